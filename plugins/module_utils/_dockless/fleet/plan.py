# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""One plan for all hosts of a fleet: numbers, subnets, addresses and peers of its overlay networks, computed once.

What is declared comes first, then what was given before, then what is free. A plan is made over every host of the
inventory, whether it could be asked or not, so that no two hosts are ever given one address.
"""

from __future__ import annotations

import ipaddress
import typing as t

from ..errors import DocklessError
from ..model import topology
from ..model.host import IPAddress, Subnet
from . import addresses as fleet_addresses
from . import host_documents, previous_state, underlay
from .addresses import Leases
from .host_documents import NetworkDocument
from .inventory import read_inventory
from .model import (
    EndpointDeclaration,
    EndpointRecord,
    FleetHost,
    FleetPlan,
    HostUnderlay,
    Inventory,
    Key,
    Ledger,
    Membership,
    PriorNetwork,
    ResolvedNetwork,
)
from .networks import assign_slices, assign_subnets, assign_vnis
from .previous_state import HostKnowledge
from .services import assign_addresses

TUNNEL_SUBNET = "100.64.0.0/16"
_REMEDY = "Run over the whole fleet once, or bring back the ledger file, or give the address in the inventory."


def plan_fleet(
    hosts: t.Sequence[FleetHost],
    ledger: Ledger = Ledger(),
    *,
    inventory: t.Iterable[str] = (),
    purge: bool = True,
    tunnel_subnet: str = TUNNEL_SUBNET,
    tunnels: t.Sequence[str] = ("a",),
) -> FleetPlan:
    """Return what every host is given.

    hosts are all of the fleet, those that were not read included. inventory are
    the names of hosts that exist beside them. purge False tells that hosts keep
    what they have and do not declare. tunnels are those of encrypted networks: the first is
    sent by, and what comes by any is taken. Raises DocklessError, with host and option path, for what
    contradicts itself, is exhausted, or cannot be given safely.
    """
    by_name = {host.name: host for host in hosts}
    known = HostKnowledge(ledger, by_name, {*inventory, *by_name})
    reading = read_inventory(hosts, previous_state.known_keys(ledger, by_name))
    kept = previous_state.prior_networks(ledger, by_name, known, reading.networks)
    work = _Work(by_name, ledger, known, reading, kept, purge)
    given = work.given()
    drawn, underlays = work.drawn(given, tunnel_subnet, tuple(tunnels))
    return _plan(work, drawn, underlays)


class _Work:
    """What the parts of one plan share."""

    def __init__(
        self,
        hosts: t.Mapping[str, FleetHost],
        ledger: Ledger,
        known: HostKnowledge,
        reading: Inventory,
        kept: dict[Key, PriorNetwork],
        purge: bool,
    ) -> None:
        self.hosts = hosts
        self.ledger = ledger
        self.known = known
        self.reading = reading
        self.kept = kept
        self._purge = purge

    def given(self) -> dict[Key, ResolvedNetwork]:
        """Return every declared network with its blanks filled in."""
        vnis = assign_vnis(self.reading.networks, self.kept)
        subnets = assign_subnets(self.reading.networks, self.kept, self.hosts)
        return {key: self._network(key, vnis[key], subnets[key]) for key in self.reading.networks}

    def _network(self, key: Key, vni: int, subnets: tuple[Subnet, ...]) -> ResolvedNetwork:
        overlay = self.reading.networks[key]
        written, kept = self.ledger.networks.get(key, PriorNetwork()), self.kept.get(key, PriorNetwork())
        places = self.reading.places.get(key, [])
        declared = {place.key for place in places}
        others = {one: entry for one, entry in kept.endpoints.items() if one not in declared}
        leaving = {one: entry for one, entry in others.items() if self._leaves(one, entry)}
        staying = {one: entry for one, entry in others.items() if one not in leaving}
        fleet_addresses.check_declarations(places, staying)
        leases = previous_state.leases(kept, written)
        strangers = [name for name in self.reading.members[key] if not self.known.is_known(name, key)]

        def refuse_new(what: str) -> None:
            if strangers:
                raise DocklessError(
                    f"network {'/'.join(key)} cannot give {what} something new, because host {strangers[0]} was not read in this run, "
                    "and neither the ledger nor another host knows what it has",
                    _REMEDY,
                )

        given = ResolvedNetwork(overlay, vni, subnets, {}, {}, staying, leaving, set())
        if overlay.routed or (not overlay.host and kept.slices):
            given = given._replace(
                overlay=overlay._replace(routed=True), slices=self._slices(given, kept, written, places, refuse_new)
            )
        reserved = [
            ipaddress.ip_address(a) for entry in (*staying.values(), *leaving.values()) for a in entry.addresses
        ]
        services = assign_addresses(overlay, subnets, places, reserved, kept, leases, refuse_new)
        reserved += [ipaddress.ip_address(vip) for addresses in services.values() for vip in addresses]
        addresses = self._addresses(given, places, reserved, leases, refuse_new)
        macs, salted = fleet_addresses.macs(overlay, places)
        endpoints = {
            place.key: EndpointRecord(
                place.host, addresses[place.key], macs[place.key], place.endpoint.aliases, place.sandbox.hostname
            )
            for place in places
        }
        ipv4_only = {place.key for place in places if topology.turns_ipv6_off(place.sandbox)}
        return given._replace(endpoints=endpoints, salted=salted, services=services, ipv4_only=ipv4_only)

    def _leaves(self, one: Key, entry: EndpointRecord) -> bool:
        """Return whether the run will take a sandbox away that its host has and does not declare."""
        return self._purge and self.known.was_read(entry.host) and self.hosts[entry.host].project == one[0]

    def _slices(
        self,
        given: ResolvedNetwork,
        kept: PriorNetwork,
        written: PriorNetwork,
        places: t.Sequence[EndpointDeclaration],
        refuse_new: t.Callable[[str], None],
    ) -> dict[str, tuple[Subnet, ...]]:
        members: dict[str, list[IPAddress]] = {
            name: [] for name in (*self.reading.members[given.overlay.key], *kept.members)
        }
        for place in places:
            members[place.host] += [a for a in (place.endpoint.ipv4_address, place.endpoint.ipv6_address) if a]
        slices = {**{name: parts for name, parts in written.slices.items() if name in members}, **kept.slices}
        return assign_slices(
            given.overlay, given.subnets, kept._replace(slices=slices), members, lambda name: refuse_new("host " + name)
        )

    def _addresses(
        self,
        given: ResolvedNetwork,
        places: t.Sequence[EndpointDeclaration],
        reserved: t.Sequence[IPAddress],
        leases: Leases,
        refuse_new: t.Callable[[str], None],
    ) -> dict[Key, tuple[str, ...]]:

        def new(name: str) -> None:
            refuse_new("sandbox " + name)

        if not given.overlay.routed:
            return fleet_addresses.assign(given.overlay, given.subnets, places, reserved, leases, new)
        found: dict[Key, tuple[str, ...]] = {}
        by_host: dict[str, list[EndpointDeclaration]] = {}
        for place in places:
            by_host.setdefault(place.host, []).append(place)
        for name, local in by_host.items():
            fleet_addresses.check_slice(given.overlay, given.slices[name], local)
            inside = [a for a in reserved if any(s.network and a in s.network for s in given.slices[name])]
            found.update(
                fleet_addresses.assign(given.overlay, given.slices[name], local, inside, leases, lambda name: None)
            )
        return found

    def drawn(
        self, given: t.Mapping[Key, ResolvedNetwork], tunnel_subnet: str, tunnels: tuple[str, ...]
    ) -> tuple[dict[Key, NetworkDocument], dict[str, HostUnderlay]]:
        """Return the networks with their members' VTEP addresses, and how each host is reached."""
        underlays = previous_state.underlays(self.ledger, self.hosts)
        sealed = [key for key, one in given.items() if one.overlay.encrypted]
        if sealed:
            names = {name for key in sealed for name in self.members(key)}
            self._refuse_strangers(names, underlays)
            underlays.update(
                underlay.assign_tunnels(
                    names, underlays, tunnel_subnet, given[sealed[0]].overlay.tunnel_port, self.hosts, tunnels
                )
            )
        found = {}
        for key, one in given.items():
            members = {name: self.reading.members[key].get(name, Membership("", None)) for name in self.members(key)}
            vteps = underlay.assign_vteps(one.overlay, members, self.hosts, underlays)
            found[key] = NetworkDocument(one, vteps, underlay.common_mtu(one.overlay, vteps, underlays), tunnels)
        return found, underlays

    def _refuse_strangers(self, names: t.AbstractSet[str], underlays: t.Mapping[str, HostUnderlay]) -> None:
        """Raise DocklessError where a host needs an address for its tunnels and another one's may be forgotten."""
        new = sorted(name for name in names if not underlays.get(name, HostUnderlay()).tunnel)
        strangers = [name for name in new if not self.known.was_read(name)]
        if strangers and new != strangers[:1]:
            raise DocklessError(
                f"host {next(name for name in new if name != strangers[0])} cannot be given an address for its tunnels, because host "
                f"{strangers[0]} was not read in this run, and neither the ledger nor another host knows that it has",
                _REMEDY,
            )

    def members(self, key: Key) -> set[str]:
        """Return the hosts of a network: those that declare it, and those that have it and could not be asked, or have sandboxes there."""
        staying = {
            entry.host
            for one, entry in self.kept.get(key, PriorNetwork()).endpoints.items()
            if not self._leaves(one, entry)
        }
        absent = {name for name in self.kept.get(key, PriorNetwork()).members if self.known.is_absent(name)}
        return {*self.reading.members[key], *absent, *staying}


def _plan(work: _Work, drawn: t.Mapping[Key, NetworkDocument], underlays: t.Mapping[str, HostUnderlay]) -> FleetPlan:
    mine: dict[str, dict[str, dict[Key, str]]] = {}
    for key, places in work.reading.places.items():
        for place in places:
            mine.setdefault(place.host, {}).setdefault(place.endpoint.sandbox, {})[key] = place.called
    keys: dict[str, list[Key]] = {}
    for key in sorted(drawn):
        for name in work.reading.members[key]:
            keys.setdefault(name, []).append(key)
    documents, joined = {}, {}
    for host in work.hosts.values():
        documents[host.name], joined[host.name] = host_documents.documents(
            host, work.reading, drawn, keys.get(host.name, []), mine.get(host.name, {})
        )
    tables = {key: host_documents.peer_table(one, work.members(key), underlays) for key, one in drawn.items()}
    left_out = sorted({name for key in drawn for name in work.members(key) if name not in tables[key]})
    warnings = (
        (f"no other host is told of {', '.join(left_out)} yet, because how to reach it is not known until it is read",)
        if left_out
        else ()
    )
    return FleetPlan(documents, joined, tables, _ledger(work, drawn, underlays), warnings)


def _reserved(given: ResolvedNetwork) -> tuple[str, ...]:
    return tuple(
        str(a)
        for s in given.subnets
        for a in ((s.gateway,) if s.gateway else ()) + tuple(one for name, one in s.aux_addresses)
    )


def _ledger(work: _Work, drawn: t.Mapping[Key, NetworkDocument], underlays: t.Mapping[str, HostUnderlay]) -> Ledger:
    """Return what the next plan must know."""
    networks = dict(work.kept)
    for key, one in drawn.items():
        given, kept = one.given, work.kept.get(key, PriorNetwork())
        slices = {name: tuple(str(part.network) for part in parts) for name, parts in given.slices.items()}
        networks[key] = PriorNetwork(
            given.vni,
            tuple(str(s.network) for s in given.subnets),
            tuple(sorted({*work.reading.members[key], *kept.members})),
            slices,
            {**given.staying, **given.leaving, **given.endpoints},
            _reserved(given),
            given.services,
        )
    names = {name for kept in networks.values() for name in kept.members}
    hosts = {
        name: underlays.get(name) or work.ledger.hosts[name]
        for name in names
        if name in underlays or name in work.ledger.hosts
    }
    return Ledger(networks, hosts)
