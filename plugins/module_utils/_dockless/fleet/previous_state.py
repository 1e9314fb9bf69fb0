# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Merges the ledger and the hosts' reports into the assignments of earlier plans. An unread host keeps all of its own.

There are three sources. A host of the inventory that this run did not read is *absent*.

* *first hand*: what a host that was read reports of its own networks and sandboxes.
* *ledger*: what the last plan wrote.
* *second hand*: what a host that was read knows of its peers. It counts for absent hosts only.

Which source a field of PriorNetwork is taken from, in order of precedence:

========================  ===============================================================
vni, subnets, reserved    ledger, first hand (the first host that has it)
services, one by one      ledger, first hand (the first host that has it)
members                   the union of first hand, and of absent hosts in ledger and second hand
slices of a read host     first hand followed by ledger: the allocation takes the first that fits
slices of an absent host  ledger, second hand
endpoints                 ledger if its host is absent, first hand, second hand; see _endpoints
========================  ===============================================================
"""

from __future__ import annotations

import typing as t

from ..errors import DocklessError
from ..model.addresses import is_address
from .model import EndpointRecord, FleetHost, HostUnderlay, Key, Ledger, PriorNetwork

REMEDY = "Run over the whole fleet once, restore the ledger file, or set the address in the inventory."

Hosts = t.Mapping[str, FleetHost]
Endpoints = dict[Key, EndpointRecord]
_T = t.TypeVar("_T")


class HostKnowledge:
    """Which hosts were read in this run, and which are known from the ledger or from other hosts."""

    def __init__(self, ledger: Ledger, hosts: Hosts, inventory: t.AbstractSet[str]) -> None:
        self._ledger = ledger
        self._hosts = hosts
        self._inventory = inventory
        self._known_to_peers = {
            (key, peer)
            for host in hosts.values()
            if host.report
            for key, network in host.report.remote.items()
            for peer in network.members
        }

    def was_read(self, name: str) -> bool:
        """Return whether the host reported in this run what it has."""
        return name in self._hosts and self._hosts[name].report is not None

    def is_known(self, name: str, key: Key) -> bool:
        """Return whether any source says what the host has on a network."""
        return self.was_read(name) or name in self._ledger.hosts or (key, name) in self._known_to_peers

    def is_absent(self, name: str) -> bool:
        """Return whether the host belongs to the inventory, but was not read."""
        return name in self._inventory and not self.was_read(name)

    def guard(self, key: Key, members: t.Iterable[str]) -> NewAssignmentGuard:
        """Return the guard of a network with these members."""
        return NewAssignmentGuard(key, [name for name in members if not self.is_known(name, key)])


class NewAssignmentGuard:
    """Refuses new addresses and slices on a network while it is unknown what one of its hosts has.

    That host may have the same address already, assigned by a plan whose ledger is lost.
    """

    def __init__(self, key: Key, unknown_hosts: t.Sequence[str] = ()) -> None:
        self._key = key
        self._unknown_hosts = unknown_hosts

    def check(self, kind: str, owner: str) -> None:
        """Raise DocklessError if a host is unknown. kind is what the owner would get: "address", "slice"."""
        if self._unknown_hosts:
            raise DocklessError(
                f"network {'/'.join(self._key)} cannot assign a new {kind} to {owner}, because host "
                f"{self._unknown_hosts[0]} was not read in this run, and neither the ledger nor another host knows "
                "what it has",
                REMEDY,
            )


class _Sources(t.NamedTuple):
    """What the three sources say of one network. first_hand is by host; both host lists are in inventory order."""

    first_hand: t.Mapping[str, PriorNetwork]
    ledger: PriorNetwork
    second_hand: t.Sequence[PriorNetwork]
    is_absent: t.Callable[[str], bool]

    @classmethod
    def of(cls, key: Key, ledger: Ledger, hosts: Hosts, knowledge: HostKnowledge) -> _Sources:
        """Collect what the sources say of the network key."""
        first_hand, second_hand = {}, []
        for host in hosts.values():
            if host.report is None:
                continue
            if key in host.report.networks:
                first_hand[host.name] = host.report.networks[key]
            if key in host.report.remote:
                second_hand.append(host.report.remote[key])
        return cls(first_hand, ledger.networks.get(key, PriorNetwork()), second_hand, knowledge.is_absent)

    def merged(self) -> PriorNetwork:
        """Return the network by the precedence at the head of this file."""
        ledger_first = (self.ledger, *self.first_hand.values())
        return PriorNetwork(
            vni=_first_set((source.vni for source in ledger_first), 0),
            subnets=_first_set((source.subnets for source in ledger_first), ()),
            members=self._members(),
            slices=self._slices(),
            endpoints=self._endpoints(),
            reserved=_first_set((source.reserved for source in ledger_first), ()),
            services=_first_of_each(source.services for source in ledger_first),
        )

    def _members(self) -> tuple[str, ...]:
        absent = {
            name for source in (self.ledger, *self.second_hand) for name in source.members if self.is_absent(name)
        }
        return tuple(sorted(absent.union(self.first_hand)))

    def _slices(self) -> dict[str, tuple[str, ...]]:
        found: dict[str, tuple[str, ...]] = {}
        for source in (self.ledger, *self.second_hand):
            for name, parts in source.slices.items():
                if self.is_absent(name):
                    found.setdefault(name, parts)
        for own in self.first_hand.values():
            for name, parts in own.slices.items():
                found[name] = parts + self.ledger.slices.get(name, ())
        return found

    def _endpoints(self) -> Endpoints:
        """Return the endpoint of each sandbox.

        A sandbox is on one host. While it moves, two hosts can have it: the host in the ledger then keeps it.
        """
        found: Endpoints = {
            sandbox: record for sandbox, record in self.ledger.endpoints.items() if self.is_absent(record.host)
        }
        for own in self.first_hand.values():
            for sandbox, reported in own.endpoints.items():
                recorded = self.ledger.endpoints.get(sandbox)
                belongs_to_another = recorded is not None and recorded.host != reported.host
                if not (sandbox in found and belongs_to_another):
                    found[sandbox] = _with_addresses(reported, recorded)
        for source in self.second_hand:
            for sandbox, record in source.endpoints.items():
                if self.is_absent(record.host):
                    found.setdefault(sandbox, record)
        return found


def known_keys(ledger: Ledger, hosts: Hosts) -> set[Key]:
    """Return the overlay networks in the ledger and in the reports of hosts."""
    keys = set(ledger.networks)
    for host in hosts.values():
        if host.report:
            keys |= {*host.report.networks, *host.report.remote}
    return keys


def prior_networks(
    ledger: Ledger, hosts: Hosts, knowledge: HostKnowledge, declared: t.Container[Key]
) -> dict[Key, PriorNetwork]:
    """Return what earlier plans assigned, by network, without what is certainly gone.

    An endpoint is gone if its host was read and does not have it, or left the inventory. Networks of which no host and
    no endpoint is left are gone too, except those that are declared.
    """
    found: dict[Key, PriorNetwork] = {}
    for key in known_keys(ledger, hosts):
        network = _Sources.of(key, ledger, hosts, knowledge).merged()
        if network.members or network.endpoints or key in declared:
            found[key] = network
    return found


def leases(prior: PriorNetwork, recorded: PriorNetwork) -> dict[Key, tuple[str, ...]]:
    """Return the addresses that each sandbox had before: by prior, otherwise by the ledger's record of the network.

    The ledger also knows sandboxes that are certainly gone. They get the same addresses when they come back.
    """
    found = {sandbox: record.addresses for sandbox, record in recorded.endpoints.items()}
    found.update((sandbox, record.addresses) for sandbox, record in prior.endpoints.items() if record.addresses)
    return found


def underlays(ledger: Ledger, hosts: Hosts) -> dict[str, HostUnderlay]:
    """Return how each host is reached.

    That is the ledger's record, or another host's report if the ledger has none. Each field that the host's own report
    sets overrides it, and the host's variable dockless_vtep overrides the VTEP address.
    """
    second_hand: dict[str, HostUnderlay] = {}
    for host in hosts.values():
        if host.report:
            second_hand.update(host.report.peers)
    found = {**second_hand, **ledger.hosts}
    for host in hosts.values():
        underlay = found.get(host.name, HostUnderlay())
        if host.report:
            underlay = _updated(underlay, host.report.underlay)
        vtep = _declared_vtep(host)
        found[host.name] = underlay._replace(vtep=vtep) if vtep else underlay
    return found


def _first_set(values: t.Iterable[_T], default: _T) -> _T:
    """Return the first value that is not 0 or empty."""
    return next((value for value in values if value), default)


def _first_of_each(sources: t.Iterable[t.Mapping[str, _T]]) -> dict[str, _T]:
    """Return each key's value in the first mapping that has the key."""
    found: dict[str, _T] = {}
    for source in sources:
        for name, value in source.items():
            found.setdefault(name, value)
    return found


def _with_addresses(reported: EndpointRecord, recorded: EndpointRecord | None) -> EndpointRecord:
    """Return what the host reports, or the ledger's record of the same host where the report has no addresses."""
    same_host = recorded is not None and recorded.host == reported.host
    if recorded is not None and same_host and not reported.addresses:
        return recorded
    return reported


def _updated(underlay: HostUnderlay, reported: HostUnderlay) -> HostUnderlay:
    """Return the underlay with every field that the report sets."""
    return HostUnderlay(
        reported.vtep or underlay.vtep,
        reported.mtu or underlay.mtu,
        reported.tunnel or underlay.tunnel,
        reported.public_keys or underlay.public_keys,
        reported.endpoint or underlay.endpoint,
    )


def _declared_vtep(host: FleetHost) -> str:
    """Return the address that dockless_vtep of the host names, "" if it is not set or the interface is unknown."""
    if is_address(host.vtep):
        return host.vtep
    return host.report.interfaces.get(host.vtep, "") if host.report else ""
