# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Macvlan and ipvlan networks: what they add to a network, and the interface of the host that they are attached to.

Each sandbox has a link that is created on the parent, in the sandbox's namespace. A network without a parent
uses a bridge of its own as the parent. That bridge has no address, so the network is isolated.
"""

from __future__ import annotations

import typing as t

from .addresses import IPAddress
from .facts import Facts, Parent


class Macvlan(t.NamedTuple):
    """The part of a network that only the drivers macvlan and ipvlan have.

    Example: Macvlan(parent="eth0.60", host_access=True) is VLAN 60 on eth0, with a link of the host beside the
    sandboxes' links.
    """

    # An interface of the host, "" for an isolated network.
    parent: str = ""
    # macvlan: bridge, private, vepa or passthru. ipvlan: l2, l3 or l3s.
    mode: str = "bridge"
    # Whether the host has a link of its own on the network, without which it cannot reach the sandboxes.
    host_access: bool = False
    # The addresses of that link, at most one of each family.
    addresses: tuple[IPAddress, ...] = ()


def parse_vlan_name(name: str) -> tuple[str, int] | None:
    """Return the base interface and the VLAN id in an interface name: ("eth0", 60) for eth0.60, None for eth0."""
    base, _dot, number = name.rpartition(".")
    if not base or not number.isdigit():
        return None
    vlan_id = int(number)
    return (base, vlan_id) if 1 <= vlan_id <= 4094 else None


def existing_parent(macvlan: Macvlan, facts: Facts) -> Parent | None:
    """Return the interface of the host that must exist before the network can be created, None if it is missing.

    It is the parent. If the parent is a VLAN that dockless creates, it is the base interface of the VLAN.
    """
    parent = facts.parent(macvlan.parent)
    vlan = parse_vlan_name(macvlan.parent)
    if vlan is not None and (parent is None or parent.managed):
        return facts.parent(vlan[0])
    return parent
