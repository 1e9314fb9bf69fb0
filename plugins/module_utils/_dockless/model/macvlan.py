# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""What networks on the host's own interfaces are made of: a link for each sandbox, VLANs below, and the host's own link beside them.

Each link is made on its parent and lives in its sandbox. A network without a parent has a bridge of its own as parent, which
has no address and leads nowhere.
"""

from __future__ import annotations

import typing as t

from .facts import Facts, Parent
from .host import Host, Macvlan, Network

Networks = t.Mapping[tuple[str, str], Network]


def macvlan_of(network: Network) -> Macvlan:
    """Return what a network of this kind sits on."""
    assert network.macvlan is not None, f"network {network.name} is neither macvlan nor ipvlan"
    return network.macvlan


def parented_networks(host: Host) -> list[Network]:
    """Return the networks of the drivers macvlan and ipvlan."""
    return [network for project in host.projects for network in project.networks if not network.passes_host]


def parent_link(network: Network) -> str:
    """Return the interface that the network's links are made on."""
    return macvlan_of(network).parent or network.bridge_name


def vlan_of(parent: str) -> tuple[str, int] | None:
    """Return the interface and the number that a VLAN's name tells: eth0.60 is VLAN 60 on eth0."""
    base, dot, number = parent.rpartition(".")
    return (base, int(number)) if base and number.isdigit() and 1 <= int(number) <= 4094 else None


def shares_mac(network: Network) -> bool:
    """Return whether the network's links have their parent's MAC, and none of their own."""
    return network.driver == "ipvlan" or network.macvlan is not None and network.macvlan.mode == "passthru"


def found_parent(network: Network, facts: Facts) -> Parent | None:
    """Return the host's interface that the network needs: its parent or, of a VLAN that we make, the one below."""
    name = macvlan_of(network).parent
    there = facts.parent(name)
    vlan = vlan_of(name)
    return facts.parent(vlan[0]) if vlan and (there is None or there.managed) else there
