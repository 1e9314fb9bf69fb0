# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""MTU and the host's own addresses of macvlan and ipvlan networks, and the addresses that such networks share."""

from __future__ import annotations

import typing as t

from ..model import addresses, macvlan, topology
from ..model.facts import Facts
from ..model.host import Endpoint, Host, IPAddress, Network, Subnet
from . import ipam
from .leases import NO_LEASES, ProjectLeases, endpoint_lease

Key = tuple[str, str]
HOST_NAME = "host"  # the auxiliary address of this name is the host's
Number = tuple[int, int]  # version, address
Numbers = set[Number]


class SharedAddressPool:
    """What each network has given, as (version, number), by the network's key."""

    def __init__(self, host: Host, leases: ProjectLeases) -> None:
        self._reserved: dict[Key, Numbers] = {
            network.key: reserved(network) for network in macvlan.parented_networks(host)
        }
        self._given = {key: set(numbers) for key, numbers in self._reserved.items()}
        if self._given:
            for key, endpoints in topology.endpoints_by_network(host).items():
                if key in self._given:
                    self._given[key].update(number for e in endpoints for number in _before(e, leases))

    def others(self, key: Key) -> Numbers:
        """Return what a network's sandboxes must not get: what is reserved on it, or given by another network of this kind."""
        if key not in self._given:
            return set()
        return self._reserved[key].union(*(numbers for other, numbers in self._given.items() if other != key))

    def everything(self) -> Numbers:
        """Return what any network has given."""
        return set().union(*self._given.values())

    def put(self, key: Key, numbers: t.Iterable[Number]) -> None:
        """Note addresses that a network gives."""
        if key in self._given:
            self._given[key].update(numbers)


def with_host_addresses(host: Host, leases: ProjectLeases) -> Host:
    """Return the host with its own addresses on the networks that it has access to."""
    asking = [network for network in macvlan.parented_networks(host) if macvlan.macvlan_of(network).host_access]
    if not asking:
        return host
    book = SharedAddressPool(host, leases)
    chosen = {}
    for network in sorted(asking, key=lambda one: one.key):
        kept = leases.get(network.project, NO_LEASES).host_access.get(network.name, ())
        found = host_addresses(network, kept, book.everything())
        book.put(network.key, ((a.version, int(a)) for a in found))
        chosen[network.key] = network._replace(macvlan=macvlan.macvlan_of(network)._replace(addresses=found))
    return host._replace(
        projects=tuple(p._replace(networks=tuple(chosen.get(n.key, n) for n in p.networks)) for p in host.projects)
    )


def address_numbers(endpoint: Endpoint) -> t.Iterator[Number]:
    """Yield the addresses that an endpoint has."""
    for cidr in endpoint.addresses:
        address = addresses.address_in(cidr)
        yield address.version, int(address)


def _before(endpoint: Endpoint, leases: ProjectLeases) -> t.Iterator[Number]:
    """Yield an endpoint's fixed addresses, and of the other families those that it had."""
    fixed = [a for a in (endpoint.ipv4_address, endpoint.ipv6_address) if a is not None]
    had = [addresses.address_in(cidr) for cidr in endpoint_lease(leases, endpoint).addresses]
    for address in (*fixed, *(a for a in had if a.version not in {f.version for f in fixed})):
        yield address.version, int(address)


def resolve_network(network: Network, facts: Facts) -> Network:
    """Return the network with its MTU where none is asked for; only one without a parent has a bridge."""
    found = macvlan.found_parent(network, facts)
    return network._replace(
        mtu=network.mtu or (found.mtu if found else facts.mtu),
        bridge_name="" if macvlan.macvlan_of(network).parent else network.bridge_name,
    )


def host_addresses(network: Network, kept: t.Sequence[str], taken: t.AbstractSet[Number]) -> tuple[IPAddress, ...]:
    """Return the host's addresses on the network, one a family: asked for, called host, had before, else the lowest free."""
    return tuple(
        _host_address(network, version, subnets, [addresses.address_in(text) for text in kept], taken)
        for version in (4, 6)
        for subnets in [[s for s in network.subnets if s.version == version and s.network is not None]]
        if subnets
    )


def _host_address(
    network: Network,
    version: int,
    subnets: t.Sequence[Subnet],
    kept: t.Sequence[IPAddress],
    taken: t.AbstractSet[Number],
) -> IPAddress:
    asked = [a for a in macvlan.macvlan_of(network).addresses if a.version == version]
    asked += [a for s in subnets for name, a in s.aux_addresses if name == HOST_NAME]
    asked += [
        a
        for a in kept
        if a.version == version
        and (version, int(a)) not in taken
        and any(a in t.cast(t.Any, s.network) for s in subnets)
    ]
    if asked:
        return asked[0]
    for subnet in subnets:
        span = ipam.dynamic(t.cast(t.Any, subnet.network), subnet.ip_range)
        for number in range(span.low, min(span.high, span.low + len(taken)) + 1):
            if (version, number) not in taken:
                return type(t.cast(t.Any, subnet.network).network_address)(number)
    raise ipam.exhausted(network, subnets, "the host", network.path + ".host_access")


def reserved(network: Network) -> set[Number]:
    """Return what the network's sandboxes do not get."""
    found = [address for subnet in network.subnets for name, address in subnet.aux_addresses]
    found += [subnet.gateway for subnet in network.subnets if subnet.gateway is not None]
    return {(a.version, int(a)) for a in (*found, *macvlan.macvlan_of(network).addresses)}
