# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Virtual addresses of services on a fleet's overlay networks: the same on all hosts, chosen once and recorded."""

from __future__ import annotations

import typing as t

from ..allocate import service_addresses
from ..allocate.leases import EndpointLease, Leases, service_leases
from ..document.readers import is_mapping
from ..document.services import parse_services
from ..errors import DocklessError
from ..model.network import Network, Subnet
from .addresses import SandboxAddresses, TakenAddresses
from .inventory import of_host
from .model import EndpointDeclaration, FleetOverlay, Key, PriorNetwork
from .previous_state import NewAssignmentGuard

Services = dict[str, tuple[str, ...]]  # service -> virtual addresses


def assign_service_addresses(
    overlay: FleetOverlay,
    subnets: t.Sequence[Subnet],
    declarations: t.Sequence[EndpointDeclaration],
    taken: TakenAddresses,
    prior: PriorNetwork,
    leases: SandboxAddresses,
    guard: NewAssignmentGuard,
) -> Services:
    """Return the addresses of a network's services: declared ones, then those of before, then free ones from the top.

    No service gets an address that is taken, declared for a sandbox, or leased to one. Raises DocklessError if a subnet
    is exhausted, and by the guard.
    """
    if not overlay.host:  # no host declares the network in this run, so it stays as it is
        return dict(prior.services)
    declared = overlay.spec.get("services")
    if not declared:
        return {}
    try:
        services = parse_services(declared, f"networks.{overlay.key[1]}.services")
        network = Network(*overlay.key, subnets=tuple(subnets), services=services)
        endpoints = [declaration.endpoint for declaration in declarations]
        resolved = service_addresses.assign_vips(network, endpoints, _as_leases(overlay.key, prior, leases), taken)
    except DocklessError as error:
        raise of_host(overlay.host, error) from None
    with_declared_address = {service.name for service in services if service.vips}
    for service in resolved.services:
        before = prior.services.get(service.name, ())
        is_new = any(str(address) not in before for address in service.vips)
        if is_new and service.name not in with_declared_address:
            guard.check("address", f"service {service.name}")
    return service_leases(resolved)


def with_service_addresses(
    declared: t.Mapping[str, t.Any], services: t.Mapping[str, t.Sequence[str]]
) -> dict[str, t.Any]:
    """Return the services of a network's declaration, each with its addresses as vip."""
    return {
        name: {**(spec or {}), "vip": list(services[name])} if name in services else spec
        for name, spec in declared.items()
    }


def declared_addresses(spec: t.Mapping[str, t.Any]) -> dict[str, list[str]]:
    """Return the addresses of the services in a network's declaration, of those that have any."""
    services = spec.get("services")
    if not is_mapping(services):
        return {}
    found = {}
    for name, service in services.items():
        vip = service.get("vip") if is_mapping(service) else None
        if vip:
            found[name] = [vip] if isinstance(vip, str) else list(vip)
    return found


def _as_leases(network: Key, prior: PriorNetwork, sandboxes: SandboxAddresses) -> dict[str, Leases]:
    """Return what was assigned on one network as the leases of each project."""
    endpoints: dict[str, dict[str, dict[Key, EndpointLease]]] = {network[0]: {}}
    for (project, sandbox), addresses in sandboxes.items():
        endpoints.setdefault(project, {})[sandbox] = {network: EndpointLease(tuple(addresses))}
    leases = {project: Leases(endpoints=each) for project, each in endpoints.items()}
    leases[network[0]] = leases[network[0]]._replace(services={network[1]: prior.services})
    return leases
