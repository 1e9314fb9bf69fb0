# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""One plan for all hosts of a fleet: VNIs, subnets, addresses and peers of its overlay networks.

Declared values come first, then those of earlier plans, then the lowest free ones. A plan covers every host of the
inventory, also those that were not read, so that no two hosts ever get the same address.
"""

from __future__ import annotations

import typing as t

from ..errors import DocklessError
from . import previous_state, underlay
from .host_documents import LocalNames, PlannedNetwork, host_documents, peer_table
from .inventory import read_inventory
from .model import (
    NO_LEDGER,
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
from .networks import assign_subnets, assign_vnis
from .previous_state import REMEDY, HostKnowledge
from .resolve_network import NetworkResolver, PreviousNetwork

TUNNEL_SUBNET = "100.64.0.0/16"
Underlays = t.Mapping[str, HostUnderlay]


def plan_fleet(
    hosts: t.Sequence[FleetHost],
    ledger: Ledger = NO_LEDGER,
    *,
    inventory: t.Iterable[str] = (),
    purge: bool = True,
    tunnel_subnet: str = TUNNEL_SUBNET,
    tunnels: t.Sequence[str] = ("a",),
) -> FleetPlan:
    """Return the documents and peers of every host, and the new ledger.

    hosts are all of the fleet, including those that were not read. inventory are the names of other hosts that exist.
    purge is False if hosts keep what they have and do not declare. tunnels are those of encrypted networks: hosts send
    through the first, and accept what arrives through any. Raises DocklessError, with host and option path, if
    declarations contradict each other, a pool is exhausted, or an assignment could collide with an unknown one.
    """
    by_name = {host.name: host for host in hosts}
    knowledge = HostKnowledge(ledger, by_name, {*inventory, *by_name})
    declared = read_inventory(hosts, previous_state.known_keys(ledger, by_name))
    prior = previous_state.prior_networks(ledger, by_name, knowledge, declared.networks)
    planner = _Planner(by_name, ledger, knowledge, declared, prior, purge)
    resolved = planner.resolved_networks()
    underlays = planner.underlays(resolved, tunnel_subnet, tunnels)
    planned = planner.planned_networks(resolved, underlays, tunnels)
    return planner.plan(planned, underlays)


class _Planner:
    """The steps of one plan, and the values that they share."""

    def __init__(
        self,
        hosts: t.Mapping[str, FleetHost],
        ledger: Ledger,
        knowledge: HostKnowledge,
        inventory: Inventory,
        prior: t.Mapping[Key, PriorNetwork],
        purge: bool,
    ) -> None:
        self._hosts = hosts
        self._ledger = ledger
        self._knowledge = knowledge
        self._inventory = inventory
        self._prior = prior
        self._purge = purge

    def resolved_networks(self) -> dict[Key, ResolvedNetwork]:
        """Return every overlay network with everything assigned."""
        vnis = assign_vnis(self._inventory.networks, self._prior)
        subnets = assign_subnets(self._inventory.networks, self._prior, self._hosts)
        return {key: self._resolver(key).resolve(vnis[key], subnets[key]) for key in self._inventory.networks}

    def _resolver(self, key: Key) -> NetworkResolver:
        declarations = self._inventory.declarations.get(key, [])
        members = self._inventory.members[key]
        declared = {declaration.key for declaration in declarations}
        prior = self._prior.get(key, PriorNetwork())
        staying, leaving = {}, {}
        for sandbox, record in prior.endpoints.items():
            if sandbox in declared:
                continue
            if self._is_removed(sandbox, record):
                leaving[sandbox] = record
            else:
                staying[sandbox] = record
        previous = PreviousNetwork(self._ledger.networks.get(key, PriorNetwork()), prior, staying, leaving)
        guard = self._knowledge.guard(key, members)
        return NetworkResolver(self._inventory.networks[key], declarations, members, previous, guard)

    def _is_removed(self, sandbox: Key, record: EndpointRecord) -> bool:
        """Return whether this run removes a sandbox that is on its host, but not declared."""
        if not self._purge or not self._knowledge.was_read(record.host):
            return False
        return self._hosts[record.host].project == sandbox[0]

    def underlays(
        self, resolved: t.Mapping[Key, ResolvedNetwork], tunnel_subnet: str, tunnels: t.Sequence[str]
    ) -> dict[str, HostUnderlay]:
        """Return how each host is reached, with addresses inside the tunnels for hosts of encrypted networks."""
        found = previous_state.underlays(self._ledger, self._hosts)
        encrypted = [key for key, network in resolved.items() if network.overlay.encrypted]
        if encrypted:
            names = {name for key in encrypted for name in self._members(key)}
            self._refuse_unknown_tunnels(names, found)
            port = resolved[encrypted[0]].overlay.tunnel_port
            found.update(underlay.assign_tunnels(names, found, tunnel_subnet, port, self._hosts, tunnels))
        return found

    def _refuse_unknown_tunnels(self, names: t.AbstractSet[str], underlays: Underlays) -> None:
        """Raise DocklessError if a host needs an address inside the tunnels that an unknown host may have already."""
        without_address = sorted(name for name in names if not underlays.get(name, HostUnderlay()).tunnel)
        unread = [name for name in without_address if not self._knowledge.was_read(name)]
        if not unread:
            return
        others = [name for name in without_address if name != unread[0]]
        if others:
            raise DocklessError(
                f"host {others[0]} cannot be assigned an address inside the tunnels, because host {unread[0]} "
                "was not read in this run, and neither the ledger nor another host knows the address that it has",
                REMEDY,
            )

    def planned_networks(
        self, resolved: t.Mapping[Key, ResolvedNetwork], underlays: Underlays, tunnels: t.Sequence[str]
    ) -> dict[Key, PlannedNetwork]:
        """Return the networks with their members' VTEP addresses and their MTU."""
        found = {}
        for key, network in resolved.items():
            declared = self._inventory.members[key]
            members = {name: declared.get(name, Membership("", None)) for name in self._members(key)}
            vteps = underlay.assign_vteps(network.overlay, members, self._hosts, underlays)
            mtu = underlay.common_mtu(network.overlay, vteps, underlays)
            found[key] = PlannedNetwork(network, vteps, mtu, tuple(tunnels))
        return found

    def _members(self, key: Key) -> set[str]:
        """Return the hosts that declare a network, absent ones that have it, and those of its staying endpoints."""
        prior = self._prior.get(key, PriorNetwork())
        absent = {name for name in prior.members if self._knowledge.is_absent(name)}
        staying = {record.host for sandbox, record in prior.endpoints.items() if not self._is_removed(sandbox, record)}
        return {*self._inventory.members[key], *absent, *staying}

    def plan(self, planned: t.Mapping[Key, PlannedNetwork], underlays: Underlays) -> FleetPlan:
        """Return the plan: documents, peer tables and the ledger."""
        sandbox_networks = self._sandbox_networks()
        keys_by_host: dict[str, list[Key]] = {}
        for key in sorted(planned):
            for name in self._inventory.members[key]:
                keys_by_host.setdefault(name, []).append(key)
        documents, positions = {}, {}
        for host in self._hosts.values():
            keys = keys_by_host.get(host.name, [])
            documents[host.name], positions[host.name] = host_documents(
                host, self._inventory, planned, keys, sandbox_networks.get(host.name, {})
            )
        peer_tables, unreachable = {}, set()
        for key, network in planned.items():
            members = self._members(key)
            peer_tables[key] = peer_table(network, members, underlays)
            unreachable |= members.difference(peer_tables[key])
        ledger = self._new_ledger(planned, underlays)
        return FleetPlan(documents, positions, peer_tables, ledger, _warnings(unreachable))

    def _sandbox_networks(self) -> t.Mapping[str, t.Mapping[str, LocalNames]]:
        """Return for each host the overlay networks of each of its sandboxes, with their names in its document."""
        found: dict[str, dict[str, dict[Key, str]]] = {}
        for key, declarations in self._inventory.declarations.items():
            for declaration in declarations:
                sandboxes = found.setdefault(declaration.host, {})
                sandboxes.setdefault(declaration.endpoint.sandbox, {})[key] = declaration.local_name
        return found

    def _new_ledger(self, planned: t.Mapping[Key, PlannedNetwork], underlays: Underlays) -> Ledger:
        networks = dict(self._prior)
        for key, network in planned.items():
            networks[key] = self._new_record(key, network.resolved)
        hosts = {}
        for name in {name for network in networks.values() for name in network.members}:
            known = underlays.get(name) or self._ledger.hosts.get(name)
            if known is not None:
                hosts[name] = known
        return Ledger(networks, hosts)

    def _new_record(self, key: Key, resolved: ResolvedNetwork) -> PriorNetwork:
        prior = self._prior.get(key, PriorNetwork())
        return PriorNetwork(
            vni=resolved.vni,
            subnets=tuple(str(subnet.network) for subnet in resolved.subnets),
            members=tuple(sorted({*self._inventory.members[key], *prior.members})),
            slices={name: tuple(str(part.network) for part in parts) for name, parts in resolved.slices.items()},
            endpoints={**resolved.staying, **resolved.leaving, **resolved.endpoints},
            reserved=_reserved_addresses(resolved),
            services=resolved.services,
        )


def _reserved_addresses(resolved: ResolvedNetwork) -> tuple[str, ...]:
    """Return gateway and auxiliary addresses of each subnet, in this order."""
    found = []
    for subnet in resolved.subnets:
        if subnet.gateway:
            found.append(str(subnet.gateway))
        found += [str(address) for name, address in subnet.aux_addresses]
    return tuple(found)


def _warnings(unreachable: t.Collection[str]) -> tuple[str, ...]:
    if not unreachable:
        return ()
    return (
        f"Other hosts do not know these hosts yet: {', '.join(sorted(unreachable))}. "
        "Their VTEP address or public key is unknown until a run reads them.",
    )
