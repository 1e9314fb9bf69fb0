# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Reads and replaces parts of a declaration without modifying it."""

from __future__ import annotations

import typing as t

from ..document.endpoint import DEFAULT_NETWORK
from ..document.readers import is_list
from ..errors import refuse

Declaration = dict[str, t.Any]  # networks, sandboxes and veth_pairs, each by name
Spec = t.Mapping[str, t.Any]  # the options of one object


def section(declaration: Declaration, kind: str) -> dict[str, t.Any]:
    """Return the objects of a kind (networks, sandboxes or veth_pairs) by name."""
    return declaration.get(kind) or {}


def given_options(spec: Spec) -> dict[str, t.Any]:
    """Return the options that are set, which are those that are not None."""
    return {option: value for option, value in spec.items() if value is not None}


def merged(before: Spec | None, spec: Spec | None) -> dict[str, t.Any]:
    """Return the options of before, with those that spec sets in their place."""
    return {**(before or {}), **given_options(spec or {})}


def with_object(declaration: Declaration, kind: str, name: str, spec: Spec) -> Declaration:
    """Return the declaration with this object, in place of any other of its kind and name."""
    return {**declaration, kind: {**section(declaration, kind), name: dict(spec)}}


def without_objects(declaration: Declaration, kind: str, names: t.Iterable[str]) -> Declaration:
    """Return the declaration without the objects of these names; names that do not exist are ignored."""
    objects = section(declaration, kind)
    removed = set(names) & set(objects)
    if not removed:
        return declaration
    return {**declaration, kind: {name: spec for name, spec in objects.items() if name not in removed}}


def sandbox_of(declaration: Declaration, name: str) -> dict[str, t.Any]:
    """Return the options of a sandbox. Raises DocklessError if it is not declared."""
    sandboxes = section(declaration, "sandboxes")
    if name not in sandboxes:
        refuse(
            f"sandboxes.{name}",
            f"the sandbox {name} is not declared in this project",
            "Declare it first, with container_netns or container_networks.",
        )
    return sandboxes[name] or {}


def networks_of(spec: Spec | None) -> dict[str, t.Any]:
    """Return the endpoint options of each network that a sandbox joins, by network name.

    A sandbox declares its networks as a list, as a dictionary, as network_mode: bridge, or by leaving them out (it
    then joins the project's default network); the result is the dictionary.
    """
    spec = spec or {}
    mode = spec.get("network_mode")
    if mode is not None:
        return {"bridge": {}} if mode == "bridge" else {}
    networks = spec.get("networks")
    if networks is None:
        return {DEFAULT_NETWORK: {}}
    if is_list(networks):
        return {name: {} for name in networks}
    return {name: dict(options or {}) for name, options in networks.items()}
