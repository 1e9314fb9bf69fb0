# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Assigns everything on one overlay network that its declarations leave open: slices, addresses, MAC addresses."""

from __future__ import annotations

import typing as t

from ..model.addresses import IPAddress
from ..model.network import Subnet
from . import previous_state
from .addresses import (
    Records,
    TakenAddresses,
    assign_addresses,
    assign_macs,
    check_declarations,
    check_slice,
    taken_addresses,
)
from .model import EndpointDeclaration, EndpointRecord, FleetOverlay, Key, PriorNetwork, ResolvedNetwork
from .networks import assign_slices
from .previous_state import NewAssignmentGuard
from .services import assign_service_addresses


class PreviousNetwork(t.NamedTuple):
    """What one network had before this run.

    recorded is the ledger's record, prior that merged with the hosts' reports. staying and leaving are endpoints of
    prior that are not declared: on their hosts after this run, and removed by it.
    """

    recorded: PriorNetwork
    prior: PriorNetwork
    staying: Records
    leaving: Records


class NetworkResolver:
    """Resolves one network. members are the hosts that declare it."""

    def __init__(
        self,
        overlay: FleetOverlay,
        declarations: t.Sequence[EndpointDeclaration],
        members: t.Iterable[str],
        previous: PreviousNetwork,
        guard: NewAssignmentGuard,
    ) -> None:
        # A network that no host declares in this run is routed if it has slices.
        is_routed = overlay.routed or (not overlay.host and bool(previous.prior.slices))
        self._overlay = overlay._replace(routed=is_routed)
        self._declarations = declarations
        self._members = members
        self._previous = previous
        self._guard = guard
        self._leases = previous_state.leases(previous.prior, previous.recorded)

    def resolve(self, vni: int, subnets: tuple[Subnet, ...]) -> ResolvedNetwork:
        """Return the resolved network.

        Raises DocklessError if declarations contradict each other, a subnet is exhausted, or by the guard.
        """
        previous, declarations = self._previous, self._declarations
        check_declarations(declarations, previous.staying)
        slices = self._slices(subnets) if self._overlay.routed else {}
        undeclared = (*previous.staying.values(), *previous.leaving.values())
        taken = taken_addresses(address for record in undeclared for address in record.addresses)
        services = assign_service_addresses(
            self._overlay, subnets, declarations, taken, previous.prior, self._leases, self._guard
        )
        taken |= taken_addresses(address for addresses in services.values() for address in addresses)
        macs, explicit_macs = assign_macs(self._overlay, declarations)
        return ResolvedNetwork(
            self._overlay,
            vni,
            subnets,
            slices,
            self._endpoints(self._addresses(subnets, slices, taken), macs),
            previous.staying,
            previous.leaving,
            explicit_macs,
            services,
            ipv4_only={one.key for one in declarations if one.sandbox.disables_ipv6},
        )

    def _slices(self, subnets: t.Sequence[Subnet]) -> dict[str, tuple[Subnet, ...]]:
        prior, recorded = self._previous.prior, self._previous.recorded
        members: dict[str, list[IPAddress]] = {name: [] for name in (*self._members, *prior.members)}
        for declaration in self._declarations:
            fixed = (declaration.endpoint.ipv4_address, declaration.endpoint.ipv6_address)
            members[declaration.host] += [address for address in fixed if address]
        before = {name: parts for name, parts in recorded.slices.items() if name in members}
        before.update(prior.slices)
        return assign_slices(self._overlay, subnets, before, members, self._guard)

    def _addresses(
        self, subnets: t.Sequence[Subnet], slices: t.Mapping[str, tuple[Subnet, ...]], taken: TakenAddresses
    ) -> dict[Key, tuple[str, ...]]:
        if not self._overlay.routed:
            return assign_addresses(self._overlay, subnets, self._declarations, taken, self._leases, self._guard)
        by_host: dict[str, list[EndpointDeclaration]] = {}
        for declaration in self._declarations:
            by_host.setdefault(declaration.host, []).append(declaration)
        # Addresses of a slice are on its host only, and the guard has checked the slice: nothing is left to refuse.
        no_guard = NewAssignmentGuard(self._overlay.key)
        found: dict[Key, tuple[str, ...]] = {}
        for name, local in by_host.items():
            check_slice(self._overlay, slices[name], local)
            found.update(assign_addresses(self._overlay, slices[name], local, taken, self._leases, no_guard))
        return found

    def _endpoints(
        self, addresses: t.Mapping[Key, tuple[str, ...]], macs: t.Mapping[Key, str]
    ) -> dict[Key, EndpointRecord]:
        return {
            declaration.key: EndpointRecord(
                declaration.host,
                addresses[declaration.key],
                macs[declaration.key],
                declaration.endpoint.aliases,
                declaration.sandbox.hostname,
            )
            for declaration in self._declarations
        }
