# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""MTU and the host's own addresses of macvlan and ipvlan networks, and the addresses that such networks share."""

from __future__ import annotations

import typing as t

from ..model import addresses, macvlan, topology
from ..model.addresses import IPAddress
from ..model.facts import Facts
from ..model.host import Host
from ..model.network import Network
from ..model.sandbox import Endpoint
from . import ipam
from .leases import NO_LEASES, ProjectLeases, endpoint_lease
from .replace import replace_networks

Key = tuple[str, str]  # of a network
HOST_NAME = "host"  # the auxiliary address of this name is the host's
Number = tuple[int, int]  # (version, address)
Numbers = set[Number]


class SharedAddressPool:
    """Addresses in use on each macvlan and ipvlan network. Several networks may share the subnet of one LAN."""

    def __init__(self, host: Host, leases: ProjectLeases) -> None:
        self._reserved: dict[Key, Numbers] = {
            network.key: reserved_numbers(network) for network in host.networks() if not network.passes_host
        }
        self._used = {key: set(numbers) for key, numbers in self._reserved.items()}
        if not self._used:
            return
        for key, endpoints in topology.endpoints_by_network(host).items():
            for endpoint in endpoints:
                self.add(key, _expected_numbers(endpoint, leases))

    def used_by_others(self, key: Key) -> Numbers:
        """Return the addresses that a network's sandboxes cannot get: reserved, or in use on other networks."""
        if key not in self._used:
            return set()
        return self._reserved[key].union(*(numbers for other, numbers in self._used.items() if other != key))

    def used(self) -> Numbers:
        """Return the addresses in use on any network."""
        return set().union(*self._used.values())

    def add(self, key: Key, numbers: t.Iterable[Number]) -> None:
        """Note that addresses are in use on a network; networks of other drivers are ignored."""
        if key in self._used:
            self._used[key].update(numbers)


def with_host_addresses(host: Host, leases: ProjectLeases) -> Host:
    """Return the host with its own addresses on the networks that it has access to.

    Raises DocklessError when a network is exhausted.
    """
    accessible = [
        network for network in host.networks() if not network.passes_host and network.macvlan_options.host_access
    ]
    if not accessible:
        return host
    pool = SharedAddressPool(host, leases)
    chosen: dict[Key, Network] = {}
    for network in sorted(accessible, key=lambda network: network.key):
        recorded = leases.get(network.project, NO_LEASES).host_access.get(network.name, ())
        found = host_addresses(network, recorded, pool.used())
        pool.add(network.key, ((address.version, int(address)) for address in found))
        chosen[network.key] = network._replace(macvlan=network.macvlan_options._replace(addresses=found))
    return replace_networks(host, lambda network: chosen.get(network.key, network))


def address_numbers(endpoint: Endpoint) -> t.Iterator[Number]:
    """Yield the addresses of a resolved endpoint."""
    for cidr in endpoint.addresses:
        address = addresses.address_in(cidr)
        yield address.version, int(address)


def default_mtu(network: Network, facts: Facts) -> int:
    """Return the MTU of the network's parent in bytes, or of the uplink if it has none."""
    parent = macvlan.existing_parent(network.macvlan_options, facts)
    return parent.mtu if parent else facts.mtu


def resolve_network(network: Network) -> Network:
    """Return the network without a bridge's name, unless it has no parent."""
    return network._replace(bridge_name="") if network.macvlan_options.parent else network


def host_addresses(network: Network, recorded: t.Sequence[str], taken: t.AbstractSet[Number]) -> tuple[IPAddress, ...]:
    """Return the host's addresses on the network, one for each family that it has."""
    versions = [v for v in (4, 6) if any(subnet.version == v for subnet in network.subnets)]
    return tuple(_host_address(network, version, recorded, taken) for version in versions)


def reserved_numbers(network: Network) -> Numbers:
    """Return the addresses that the network's sandboxes cannot have: auxiliary ones, gateways and the host's own."""
    found: list[IPAddress] = list(network.macvlan_options.addresses)
    for subnet in network.subnets:
        found += [address for _name, address in subnet.aux_addresses]
        if subnet.gateway is not None:
            found.append(subnet.gateway)
    return {(address.version, int(address)) for address in found}


def _expected_numbers(endpoint: Endpoint, leases: ProjectLeases) -> t.Iterator[Number]:
    """Yield the addresses that an unresolved endpoint will have: declared ones, and recorded ones of other families."""
    declared = [address for address in (endpoint.ipv4_address, endpoint.ipv6_address) if address is not None]
    declared_versions = {address.version for address in declared}
    recorded = [addresses.address_in(cidr) for cidr in endpoint_lease(leases, endpoint).addresses]
    recorded = [address for address in recorded if address.version not in declared_versions]
    for address in (*declared, *recorded):
        yield address.version, int(address)


def _host_address(network: Network, version: int, recorded: t.Sequence[str], taken: t.AbstractSet[Number]) -> IPAddress:
    """Return the host's address: host_access_address, the auxiliary one named host, the recorded one, or a free one."""
    subnets = [subnet for subnet in network.subnets if subnet.version == version]
    declared = [address for address in network.macvlan_options.addresses if address.version == version]
    auxiliary = [address for s in subnets for name, address in s.aux_addresses if name == HOST_NAME]
    if declared or auxiliary:
        return (declared or auxiliary)[0]
    allocator = ipam.FamilyAllocator(subnets, {number for family, number in taken if family == version})
    address = allocator.keep(recorded) or allocator.next_free()
    if address is None:
        raise ipam.exhausted(network, subnets, "the host", network.path + ".host_access")
    return address
