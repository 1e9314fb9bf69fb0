# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Adds sandboxes to a declaration, changes them and removes them."""

from __future__ import annotations

import typing as t

from ..errors import refuse
from .declaration import Declaration, Spec, given_options, merged, section, with_object, without_objects


def put_sandbox(declaration: Declaration, name: str, spec: Spec) -> Declaration:
    """Return the declaration with the sandbox; options that spec does not set keep their value.

    A new sandbox has no network unless spec sets one. networks and network_mode exclude each other, so setting one
    removes the other.
    """
    options = given_options(spec)
    sandboxes = section(declaration, "sandboxes")
    sandbox = merged(sandboxes.get(name), spec)
    sets_networks, sets_mode = "networks" in options, "network_mode" in options
    if name not in sandboxes and not sets_networks and not sets_mode:
        sandbox["networks"] = {}
    if sets_mode and not sets_networks:
        sandbox.pop("networks", None)
    elif sets_networks and not sets_mode:
        sandbox.pop("network_mode", None)
    return with_object(declaration, "sandboxes", name, sandbox)


def remove_sandbox(declaration: Declaration, name: str, force: bool = False) -> Declaration:
    """Return the declaration without the sandbox.

    Raises DocklessError while other sandboxes share its network stack. With force, these get network_mode none: they
    have no interface but lo.
    """
    users = _sharing_sandboxes(declaration, name)
    if users and not force:
        share = "shares" if len(users) == 1 else "share"
        refuse(
            f"sandboxes.{name}",
            f"the sandbox {name} is in use: {', '.join(users)} {share} its network stack",
            f"Remove {', '.join(users)} first, or set force: true, which leaves only the interface lo there.",
        )
    for user in users:
        isolated = {**section(declaration, "sandboxes")[user], "network_mode": "none"}
        declaration = with_object(declaration, "sandboxes", user, isolated)
    return without_objects(declaration, "sandboxes", (name,))


def purge_sandboxes(declaration: Declaration, names: t.Container[str]) -> Declaration:
    """Return the declaration with only the sandboxes in names.

    Raises DocklessError if one of them shares the network stack of a sandbox to remove.
    """
    others = [name for name in section(declaration, "sandboxes") if name not in names]
    remaining = without_objects(declaration, "sandboxes", others)
    for name in others:
        remove_sandbox(remaining, name)  # raises if one of the remaining sandboxes needs it
    return remaining


def _sharing_sandboxes(declaration: Declaration, name: str) -> list[str]:
    """Return the sandboxes that share the network stack of this one, sorted."""
    modes = (f"container:{name}", f"service:{name}")
    sandboxes = section(declaration, "sandboxes")
    return sorted(other for other, spec in sandboxes.items() if (spec or {}).get("network_mode") in modes)
