# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""The ledger and what hosts tell -> what was given before. Nothing is forgotten because a host could not be asked.

What a host has now counts more than the ledger, and the ledger more than what hosts tell of each other.
"""

from __future__ import annotations

import typing as t

from ..model.addresses import is_address
from .model import EndpointRecord, FleetHost, HostUnderlay, Key, Ledger, PriorNetwork

Hosts = t.Mapping[str, FleetHost]


class HostKnowledge:
    """Which hosts' things are known: those that were read, those in the ledger, those that others tell of."""

    def __init__(self, ledger: Ledger, hosts: Hosts, inventory: t.AbstractSet[str]) -> None:
        self._ledger = ledger
        self._hosts = hosts
        self._inventory = inventory
        self._told = {
            (key, peer)
            for host in hosts.values()
            if host.memory
            for key, kept in host.memory.others.items()
            for peer in kept.members
        }

    def was_read(self, name: str) -> bool:
        """Return whether the host told in this run what it has."""
        return name in self._hosts and self._hosts[name].memory is not None

    def is_known(self, name: str, key: Key) -> bool:
        """Return whether what the host has on a network is known at all."""
        return self.was_read(name) or name in self._ledger.hosts or (key, name) in self._told

    def is_absent(self, name: str) -> bool:
        """Return whether the host belongs to the inventory, but was not read."""
        return name in self._inventory and not self.was_read(name)


def known_keys(ledger: Ledger, hosts: Hosts) -> set[Key]:
    """Return the overlay networks that the ledger or a host knows."""
    keys = set(ledger.networks)
    for host in hosts.values():
        if host.memory:
            keys |= {*host.memory.networks, *host.memory.others}
    return keys


def prior_networks(
    ledger: Ledger, hosts: Hosts, known: HostKnowledge, declared: t.Container[Key]
) -> dict[Key, PriorNetwork]:
    """Return what was given before, without what is certainly gone: its host was read and has it no more, or is gone itself.

    Networks that are declared stay, even if no host has them.
    """
    found: dict[Key, PriorNetwork] = {}
    told = [host for host in hosts.values() if host.memory is not None]
    for key in known_keys(ledger, hosts):
        kept = _network(key, ledger.networks.get(key, PriorNetwork()), told, known)
        if kept.members or kept.endpoints or key in declared:
            found[key] = kept
    return found


def _network(key: Key, written: PriorNetwork, told: t.Sequence[FleetHost], known: HostKnowledge) -> PriorNetwork:
    endpoints: dict[Key, EndpointRecord] = {
        one: entry for one, entry in written.endpoints.items() if known.is_absent(entry.host)
    }
    slices = {name: parts for name, parts in written.slices.items() if known.is_absent(name)}
    members = {name for name in written.members if known.is_absent(name)}
    vni, subnets, reserved, services = written.vni, written.subnets, written.reserved, dict(written.services)
    second: list[PriorNetwork] = []
    for host in told:
        own = host.memory.networks.get(key) if host.memory else None
        if own:
            vni, subnets, reserved = vni or own.vni, subnets or own.subnets, reserved or own.reserved
            services.update({name: vips for name, vips in own.services.items() if name not in services})
            members.add(host.name)
            slices.update({name: parts + written.slices.get(name, ()) for name, parts in own.slices.items()})
            for one, entry in own.endpoints.items():
                _add(endpoints, one, entry, written.endpoints.get(one))
        other = host.memory.others.get(key) if host.memory else None
        if other:
            second.append(other)
    for other in second:
        members |= {name for name in other.members if known.is_absent(name)}
        for name, parts in other.slices.items():
            if known.is_absent(name):
                slices.setdefault(name, parts)
        for one, entry in other.endpoints.items():
            if known.is_absent(entry.host):
                endpoints.setdefault(one, entry)
    return PriorNetwork(vni, subnets, tuple(sorted(members)), slices, endpoints, reserved, services)


def _add(endpoints: dict[Key, EndpointRecord], one: Key, entry: EndpointRecord, written: EndpointRecord | None) -> None:
    """Add what a host has. Where two have the same sandbox, the one that the ledger names has it."""
    if one in endpoints and written and written.host != entry.host:
        return
    if not entry.addresses and written and written.host == entry.host:
        entry = written
    endpoints[one] = entry


def leases(kept: PriorNetwork, written: PriorNetwork) -> dict[Key, tuple[str, ...]]:
    """Return the addresses that each sandbox had before, by what its host has, else by the ledger."""
    found = {one: entry.addresses for one, entry in written.endpoints.items()}
    found.update((one, entry.addresses) for one, entry in kept.endpoints.items() if entry.addresses)
    return found


def underlays(ledger: Ledger, hosts: Hosts) -> dict[str, HostUnderlay]:
    """Return how each host is reached, as it told now, else as the ledger or another host knows it, and the inventory over all."""
    found: dict[str, HostUnderlay] = {}
    for host in hosts.values():
        if host.memory:
            found.update(host.memory.peers)
    found = {**found, **ledger.hosts}
    for host in hosts.values():
        before = found.get(host.name, HostUnderlay())
        now = host.memory.underlay if host.memory else HostUnderlay()
        told = before._replace(**{field: value for field, value in zip(now._fields, now) if value})
        if is_address(host.vtep):
            told = told._replace(vtep=host.vtep)
        elif host.memory and host.vtep in host.memory.interfaces:
            told = told._replace(vtep=host.memory.interfaces[host.vtep])
        found[host.name] = told
    return found
