# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Rules for macvlan and ipvlan networks."""

from __future__ import annotations

import typing as t

from ..errors import DocklessError, refuse
from ..model import macvlan
from ..model.addresses import IPAddress
from ..model.facts import Facts, Parent
from ..model.host import Host
from ..model.network import Network
from ..model.sandbox import Endpoint, Sandbox
from .endpoints import NetworkKey, Networks, check_fixed_address

_Taken = dict[tuple[str, t.Union[IPAddress, str]], Endpoint]  # (parent, address or MAC) -> the endpoint that has it
# Drivers of the network cards that hypervisors and clouds give to virtual machines.
_VIRTUAL = frozenset(
    ("ena", "gve", "hv_netvsc", "mana", "virtio_net", "vmxnet3", "xen-netfront", "xen_netfront", "vif")
)


def check_macvlans(host: Host) -> None:
    """Raise DocklessError for networks that cannot share a parent, and for addresses and MACs that are unavailable."""
    networks = [network for network in host.networks() if not network.passes_host]
    if not networks:
        return
    by_parent: dict[str, list[Network]] = {}
    for network in networks:
        parent = network.macvlan_options.parent
        if parent:
            by_parent.setdefault(parent, []).append(network)
        _check_host_addresses(network)
    for sharing in by_parent.values():
        for network in sharing[1:]:
            _check_shared_parent(network, sharing[0])
    _check_endpoints(host, {network.key: network for network in networks})


def default_route_network(sandbox: Sandbox, networks: Networks, version: int) -> Network | None:
    """Return the macvlan or ipvlan network that will have the default route of a sandbox that is on other networks too.

    This is the rule of model.gateways.gateway_endpoint, applied before subnets and addresses are chosen.
    """
    candidates = []
    for endpoint in sandbox.endpoints:
        network = networks.get(endpoint.network)
        if network is not None and _can_have_default_route(network, version):
            rank = (-endpoint.gw_priority, network.name, network.project)
            candidates.append((rank, network))
    if all(not network.passes_host for _rank, network in candidates):
        return None
    _rank, winner = min(candidates, key=lambda candidate: candidate[0])
    return winner if not winner.passes_host else None


def refusal(network: Network, facts: Facts) -> DocklessError | None:
    """Return the reason why this host cannot have the network, None if it can."""
    if network.driver in facts.missing_kinds:
        return DocklessError(
            f"network {network.name} needs {network.driver} links, which this kernel does not support",
            f"Boot a kernel with the module {network.driver}, or use another driver.",
            network.path + ".driver",
        )
    name = network.macvlan_options.parent
    if not name:
        return None
    path = network.path + ".parent"
    parent = macvlan.existing_parent(network.macvlan_options, facts)
    vlan = macvlan.parse_vlan_name(name) if facts.parent(name) is None else None
    if parent is None:
        return DocklessError(
            f"network {network.name} has the parent {vlan[0] if vlan else name}, but this host has no such interface",
            "Set parent to an interface of this host, or remove it for an isolated network.",
            path,
        )
    if vlan and "vlan" in facts.missing_kinds:
        return DocklessError(
            f"interface {name} does not exist, and this kernel does not support VLANs (IEEE 802.1Q)",
            "Boot a kernel with the module 8021q, or set parent to an interface that exists.",
            path,
        )
    return _unusable(parent, path)


def too_large(network: Network, facts: Facts) -> DocklessError | None:
    """Return the error that the declared MTU is larger than the parent's, None if it is not."""
    parent = macvlan.existing_parent(network.macvlan_options, facts)
    if parent is not None and network.mtu > parent.mtu:
        return DocklessError(
            f"network {network.name} has an MTU of {network.mtu} bytes, but its parent {parent.name} has {parent.mtu}",
            f"Set mtu to at most {parent.mtu}, or remove it.",
            network.path + ".mtu",
        )
    return None


def warnings(network: Network, facts: Facts) -> t.Iterator[str]:
    """Yield a warning if the parent is likely to drop frames of sandboxes' own MACs."""
    parent = macvlan.existing_parent(network.macvlan_options, facts)
    if parent is None or network.shares_parent_mac:
        return
    if parent.nic == "wireless":
        yield (
            f"Network {network.name} has the parent {parent.name}, which is a wireless interface. Access points accept "
            "frames from its own MAC only, so sandboxes on the network reach nobody. Use driver: ipvlan, or a bridge "
            "network."
        )
    elif parent.nic in _VIRTUAL:
        yield (
            f"Network {network.name} has the parent {parent.name}, which is the network card of a virtual machine "
            f"({parent.nic}). Frames from and to other MACs pass only where the hypervisor's switch allows promiscuous "
            "mode and changed MACs. If it does not, use driver: ipvlan."
        )


def _check_shared_parent(network: Network, first: Network) -> None:
    """Raise DocklessError if two networks cannot have one parent. The kernel has one kind of links on an interface."""
    own, other = network.macvlan_options, first.macvlan_options
    shared = f"network {first.project}/{first.name} ({first.path}) has the parent {own.parent} too"
    if "passthru" in (own.mode, other.mode):
        which = "this" if own.mode == "passthru" else "that"
        refuse(
            network.path + ".parent",
            f"{shared}, but {which} network has the mode passthru, which needs a parent for itself",
            "Choose another parent or mode.",
        )
    if network.driver != first.driver:
        refuse(
            network.path + ".parent",
            f"{shared}, with driver {first.driver}, but an interface has either macvlan or ipvlan links",
            f"Use driver: {first.driver}, or another parent.",
        )
    if network.driver == "ipvlan" and own.mode != other.mode:
        refuse(
            network.path + ".ipvlan_mode",
            f"{shared}, in mode {other.mode}, but all ipvlan links of an interface have one mode",
            f"Use ipvlan_mode: {other.mode}, or another parent.",
        )


def _check_host_addresses(network: Network) -> None:
    """Raise DocklessError for addresses of the host that it cannot have on the network."""
    options = network.macvlan_options
    path = network.path + ".host_access_address"
    has_addresses = network.enable_ipv4 or network.enable_ipv6
    if options.host_access and not has_addresses:
        refuse(
            network.path + ".host_access",
            f"the host cannot have an address on network {network.name}, because its ipam driver is none",
            "Remove host_access, or set another ipam driver.",
        )
    seen: set[int] = set()
    auxiliary = {address for request in network.subnet_requests for _name, address in request.aux_addresses}
    for address in options.addresses:
        if address.version in seen:
            refuse(
                path,
                f"{address} is a second IPv{address.version} address of the host on the network, but it can have one "
                "of each family",
                "Remove one of the two.",
            )
        seen.add(address.version)
        if address not in auxiliary:
            check_fixed_address(network, address, path)


def _check_endpoints(host: Host, networks: Networks) -> None:
    taken: _Taken = {}
    first_endpoints: dict[NetworkKey, Endpoint] = {}
    for endpoint in host.endpoints():
        network = networks.get(endpoint.network)
        if network is None:
            continue
        _check_endpoint(endpoint, network)
        _check_unique(endpoint, network.macvlan_options.parent, taken)
        first = first_endpoints.setdefault(network.key, endpoint)
        if first is not endpoint and network.macvlan_options.mode == "passthru":
            refuse(
                endpoint.path,
                f"network {network.project}/{network.name} has the mode passthru and gives its parent to one sandbox, "
                f"which is {first.project}/{first.sandbox} ({first.path})",
                "Choose another mode, or remove one of the two endpoints.",
            )


def _check_endpoint(endpoint: Endpoint, network: Network) -> None:
    if endpoint.mac_address and network.shares_parent_mac:
        refuse(
            endpoint.path + ".mac_address",
            f"a sandbox on network {network.project}/{network.name} cannot have a MAC of its own, because it has the "
            "MAC of the parent",
            "Remove mac_address, or use driver: macvlan in another mode than passthru.",
        )
    for address, option in ((endpoint.ipv4_address, "ipv4_address"), (endpoint.ipv6_address, "ipv6_address")):
        if address is not None and address in network.macvlan_options.addresses:
            refuse(
                f"{endpoint.path}.{option}",
                f"{address} is the host's own address on network {network.project}/{network.name}",
                "Choose another address.",
            )


def _check_unique(endpoint: Endpoint, parent: str, taken: _Taken) -> None:
    """Raise DocklessError for an address or MAC that an endpoint of another network on the same parent has."""
    if not parent:
        return
    for value, option in (
        (endpoint.ipv4_address, "ipv4_address"),
        (endpoint.ipv6_address, "ipv6_address"),
        (endpoint.mac_address, "mac_address"),
    ):
        other = taken.setdefault((parent, value), endpoint) if value else endpoint
        if other is not endpoint:
            refuse(
                f"{endpoint.path}.{option}",
                f"{value} is taken on {parent} by sandbox {other.project}/{other.sandbox} ({other.path})",
                "Choose another one.",
            )


def _can_have_default_route(network: Network, version: int) -> bool:
    is_enabled = network.enable_ipv4 if version == 4 else network.enable_ipv6
    if network.internal or not is_enabled:
        return False
    if network.passes_host or network.macvlan_options.mode in ("l3", "l3s"):
        return True
    return any(request.version == version and request.gateway is not None for request in network.subnet_requests)


def _unusable(parent: Parent, path: str) -> DocklessError | None:
    if parent.managed:
        return DocklessError(
            f"interface {parent.name} belongs to another network that dockless manages",
            "Set parent to an interface of the host.",
            path,
        )
    if parent.master:
        return DocklessError(
            f"interface {parent.name} is a port of {parent.master}, which receives all packets that arrive on it",
            f"Use parent: {parent.master}, or remove {parent.name} from it.",
            path,
        )
    return None
