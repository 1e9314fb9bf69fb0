# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Rules for macvlan and ipvlan networks."""

from __future__ import annotations

import typing as t

from ..errors import DocklessError, refuse
from ..model import macvlan
from ..model.facts import Facts
from ..model.host import Endpoint, Host, Network, Sandbox
from .endpoints import check_fixed_address

_Taken = dict[tuple[str, t.Any], Endpoint]


def check_macvlans(host: Host) -> None:
    """Raise DocklessError for networks that cannot share a parent, and for addresses and MACs that cannot be had there."""
    found = macvlan.parented_networks(host)
    if not found:
        return
    by_parent: dict[str, list[Network]] = {}
    for network in found:
        if macvlan.macvlan_of(network).parent:
            by_parent.setdefault(macvlan.macvlan_of(network).parent, []).append(network)
        _check_host_addresses(network)
    for networks in by_parent.values():
        _check_beside(networks)
    _check_members(host, {network.key: network for network in found})


def _check_beside(networks: t.Sequence[Network]) -> None:
    first = networks[0]
    for network in networks[1:]:
        mine, other, path = macvlan.macvlan_of(network), macvlan.macvlan_of(first), network.path
        shared = f"network {first.project}/{first.name} ({first.path}) sits on {mine.parent} as well"
        if "passthru" in (mine.mode, other.mode):
            which = "this one" if mine.mode == "passthru" else "that one"
            refuse(
                path + ".parent",
                f"{shared}, and {which} has the mode passthru, which needs a parent for itself alone",
                "Choose another parent or mode.",
            )
        if network.driver != first.driver:
            refuse(
                path + ".parent",
                f"{shared}, with the driver {first.driver}, and an interface carries macvlan or ipvlan links, not both",
                f"Use driver: {first.driver}, or another parent.",
            )
        if network.driver == "ipvlan" and mine.mode != other.mode:
            refuse(
                path + ".ipvlan_mode",
                f"{shared} in the mode {other.mode}, and all ipvlan links of an interface have one mode",
                f"Use {other.mode}, or another parent.",
            )


def _check_host_addresses(network: Network) -> None:
    path = network.path + ".host_access_address"
    if not (network.enable_ipv4 or network.enable_ipv6) and macvlan.macvlan_of(network).host_access:
        refuse(
            network.path + ".host_access", "a network with ipam driver none has no addresses for the host", "Remove it."
        )
    seen: set[int] = set()
    for address in macvlan.macvlan_of(network).addresses:
        if address.version in seen:
            refuse(
                path,
                f"{address} is the second IPv{address.version} address of the host on the network",
                "Give one of each family.",
            )
        seen.add(address.version)
        auxiliary = [a for s in network.subnets for name, a in s.aux_addresses]
        if address not in auxiliary:
            check_fixed_address(network, address, path)


def _check_members(host: Host, networks: t.Mapping[tuple[str, str], Network]) -> None:
    taken: _Taken = {}
    alone: dict[tuple[str, str], Endpoint] = {}
    for project in host.projects:
        for sandbox in project.sandboxes:
            for endpoint in sandbox.endpoints:
                network = networks.get(endpoint.network)
                if network is not None:
                    _check_member(endpoint, network, taken)
                    other = alone.setdefault(network.key, endpoint)
                    if other is not endpoint and macvlan.macvlan_of(network).mode == "passthru":
                        refuse(
                            endpoint.path,
                            f"network {network.project}/{network.name} hands its parent over to one sandbox, which is "
                            f"{other.project}/{other.sandbox} ({other.path})",
                            "Choose another mode, or take one of them off.",
                        )


def _check_member(endpoint: Endpoint, network: Network, taken: _Taken) -> None:
    if endpoint.mac_address and macvlan.shares_mac(network):
        refuse(
            endpoint.path + ".mac_address",
            f"on network {network.project}/{network.name} a sandbox has the MAC of the parent, and none of its own",
            "Remove it, or use driver: macvlan in another mode than passthru.",
        )
    for address, key in ((endpoint.ipv4_address, "ipv4_address"), (endpoint.ipv6_address, "ipv6_address")):
        if address is not None and address in macvlan.macvlan_of(network).addresses:
            refuse(
                f"{endpoint.path}.{key}",
                f"{address} is the host's on network {network.project}/{network.name}",
                "Choose another address.",
            )
    parent = macvlan.macvlan_of(network).parent
    for what, key in (
        (endpoint.ipv4_address, "ipv4_address"),
        (endpoint.ipv6_address, "ipv6_address"),
        (endpoint.mac_address, "mac_address"),
    ):
        if what and parent:
            other = taken.setdefault((parent, what), endpoint)
            if other is not endpoint:
                refuse(
                    f"{endpoint.path}.{key}",
                    f"{what} is taken on {parent} by the sandbox {other.project}/{other.sandbox} ({other.path})",
                    "Choose another one.",
                )


def default_route_network(
    sandbox: Sandbox, networks: t.Mapping[tuple[str, str], Network], version: int
) -> Network | None:
    """Return the network on a parent that takes a sandbox's default route of a family away from its bridge networks."""
    found = []
    for endpoint in sandbox.endpoints:
        network = networks.get(endpoint.network)
        if network is None or network.internal:
            continue
        if (
            network.macvlan is not None
            and not any(s.version == version and s.gateway for s in network.subnets)
            and network.macvlan.mode not in ("l3", "l3s")
        ):
            continue
        if network.enable_ipv4 if version == 4 else network.enable_ipv6:
            found.append(((-endpoint.gw_priority, network.name, network.project), network))
    if not found or all(network.macvlan is not None for rank, network in found):
        return None
    winner = min(found, key=lambda each: each[0])[1]
    return winner if winner.macvlan is not None else None


# Drivers of the cards that hypervisors and clouds give their guests.
_VIRTUAL = frozenset(
    ("ena", "gve", "hv_netvsc", "mana", "virtio_net", "vmxnet3", "xen-netfront", "xen_netfront", "vif")
)


def refusal(network: Network, facts: Facts) -> DocklessError | None:
    """Return why this host cannot have the network, None if it can."""
    found, name, path = (
        macvlan.found_parent(network, facts),
        macvlan.macvlan_of(network).parent,
        network.path + ".parent",
    )
    vlan = macvlan.vlan_of(name) if facts.parent(name) is None else None
    if network.driver in facts.missing_kinds:
        return DocklessError(
            f"this kernel has no {network.driver} links, which network {network.name} is made of",
            f"Boot one with the module {network.driver}, or use another driver.",
            network.path + ".driver",
        )
    if not name:
        return None
    if found is None:
        missing = vlan[0] if vlan else name
        return DocklessError(
            f"this host has no interface {missing}, which network {network.name} sits on",
            "Give the parent one of this host's interfaces, or leave it out for a network that leads nowhere.",
            path,
        )
    if vlan and "vlan" in facts.missing_kinds:
        return DocklessError(
            f"there is no interface {name}, and this kernel cannot make VLANs (IEEE 802.1Q)",
            "Boot one with the module 8021q, or give a parent that is there.",
            path,
        )
    if found.ours:
        return DocklessError(
            f"the interface {found.name} is part of another network of ours",
            "Give the parent an interface of the host.",
            path,
        )
    if found.master:
        return DocklessError(
            f"the interface {found.name} is a port of {found.master}, which gets all that arrives on it",
            f"Use parent: {found.master}, or take {found.name} out of it.",
            path,
        )
    return None


def too_large(network: Network, facts: Facts) -> DocklessError | None:
    """Return why the network's links cannot be as large as it asks for, None if they can."""
    found = macvlan.found_parent(network, facts)
    if found is not None and network.mtu is not None and network.mtu > found.mtu:
        return DocklessError(
            f"network {network.name} asks for packets of {network.mtu} bytes, and {found.name} carries {found.mtu}",
            f"Give at most {found.mtu}, or leave mtu out.",
            network.path + ".mtu",
        )
    return None


def warnings(network: Network, facts: Facts) -> t.Iterator[str]:
    """Yield what people should know of the interface that the network sits on."""
    found = macvlan.found_parent(network, facts)
    if found is None or macvlan.shares_mac(network):
        return
    if found.nic == "wireless":
        yield (
            f"network {network.name} sits on {found.name}, which is wireless: access points take frames of its own MAC only, "
            "so that sandboxes there reach nobody; use driver ipvlan, or a bridge network"
        )
    elif found.nic in _VIRTUAL:
        yield (
            f"network {network.name} sits on {found.name}, the network card of a virtual machine ({found.nic}): frames to and from other MACs "
            "pass only where the hypervisor's switch allows promiscuous mode and changed MACs; if it does not, use driver ipvlan"
        )
