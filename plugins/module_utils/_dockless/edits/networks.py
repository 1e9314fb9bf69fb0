# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Adds networks to a declaration, changes them and removes them."""

from __future__ import annotations

import typing as t

from ..document.endpoint import DEFAULT_NETWORK
from ..document.network import RESERVED_NETWORKS
from ..errors import refuse
from .declaration import Declaration, Spec, merged, networks_of, section, with_object, without_objects


def put_network(declaration: Declaration, name: str, spec: Spec) -> Declaration:
    """Return the declaration with the network; options that spec does not set keep their value."""
    return with_object(declaration, "networks", name, merged(section(declaration, "networks").get(name), spec))


def remove_network(declaration: Declaration, name: str) -> Declaration:
    """Return the declaration without the network.

    Raises DocklessError while sandboxes are connected to it, and for Docker's predefined networks.
    """
    path = f"networks.{name}"
    if name in RESERVED_NETWORKS:
        refuse(
            path,
            f"the network {name} is predefined and cannot be removed",
            "Remove the sandboxes on it instead.",
        )
    users = [sandbox for sandbox, spec in section(declaration, "sandboxes").items() if name in networks_of(spec)]
    exists = name in section(declaration, "networks") or name == DEFAULT_NETWORK
    if users and exists:
        refuse(
            path,
            f"the network {name} has active endpoints: {', '.join(sorted(users))}",
            "Disconnect or remove these sandboxes first.",
        )
    return without_objects(declaration, "networks", (name,))


def purge_networks(
    declaration: Declaration, names: t.Container[str], drivers: t.Container[str] = ("bridge",)
) -> Declaration:
    """Return the declaration with only the networks in names; networks with other drivers stay.

    Raises DocklessError while sandboxes are connected to one of the networks to remove.
    """
    for name, spec in section(declaration, "networks").items():
        driver = (spec or {}).get("driver", "bridge")
        if name not in names and driver in drivers:
            declaration = remove_network(declaration, name)
    return declaration
