# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""The address book that all macvlan and ipvlan networks share: their subnets may overlap, and no address is given twice."""
from __future__ import annotations

import typing as t

from ..model import gateways, macvlan
from ..model.host import Endpoint, Host
from ..model.macvlan import Number
from . import ipam

Key = t.Tuple[str, str]
Numbers = t.Set[Number]
Leases = t.Mapping[str, t.Mapping[str, t.Any]]


class Book:
    """What each network has given, as (version, number), by the network's key."""

    def __init__(self, host: Host, leases: Leases) -> None:
        self._reserved: t.Dict[Key, Numbers] = {network.key: macvlan.reserved(network) for network in macvlan.on_parents(host)}
        self._given = {key: set(numbers) for key, numbers in self._reserved.items()}
        if self._given:
            for key, endpoints in gateways.endpoints_by_network(host).items():
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


def with_host_addresses(host: Host, leases: Leases) -> Host:
    """Return the host with its own addresses on the networks that it has access to."""
    asking = [network for network in macvlan.on_parents(host) if macvlan.of(network).host_access]
    if not asking:
        return host
    book = Book(host, leases)
    chosen = {}
    for network in sorted(asking, key=lambda one: one.key):
        kept = leases.get(network.project, {}).get("host_access", {}).get(network.name, ())
        found = macvlan.host_addresses(network, kept, book.everything())
        book.put(network.key, ((a.version, int(a)) for a in found))
        chosen[network.key] = network._replace(macvlan=macvlan.of(network)._replace(addresses=found))
    return host._replace(projects=tuple(
        p._replace(networks=tuple(chosen.get(n.key, n) for n in p.networks)) for p in host.projects))


def numbers_of(endpoint: Endpoint) -> t.Iterator[Number]:
    """Yield the addresses that an endpoint has."""
    for cidr in endpoint.addresses:
        address = ipam.address_in(cidr)
        yield address.version, int(address)


def _before(endpoint: Endpoint, leases: Leases) -> t.Iterator[Number]:
    """Yield an endpoint's fixed addresses, and of the other families those that it had."""
    fixed = [a for a in (endpoint.ipv4_address, endpoint.ipv6_address) if a is not None]
    kept = leases.get(endpoint.project, {}).get("endpoints", {}).get(endpoint.sandbox, {}).get("/".join(endpoint.network), {})
    had = [ipam.address_in(cidr) for cidr in kept.get("addresses", ())]
    for address in (*fixed, *(a for a in had if a.version not in {f.version for f in fixed})):
        yield address.version, int(address)
