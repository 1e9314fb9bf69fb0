# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Virtual addresses of services on networks of a fleet: one for all hosts, chosen once and kept."""

from __future__ import annotations

import typing as t

from ..allocate import service_addresses
from ..allocate.leases import EndpointLease, Leases, service_leases
from ..document.readers import is_mapping
from ..document.services import parse_services
from ..errors import DocklessError
from ..model.host import IPAddress, Network, Subnet
from .inventory import of_host
from .model import EndpointDeclaration, FleetOverlay, Key, PriorNetwork

Services = dict[str, tuple[str, ...]]  # name -> addresses


def assign_addresses(
    overlay: FleetOverlay,
    subnets: t.Sequence[Subnet],
    places: t.Sequence[EndpointDeclaration],
    reserved: t.Iterable[IPAddress],
    kept: PriorNetwork,
    leases: t.Mapping[Key, t.Sequence[str]],
    refuse_new: t.Callable[[str], None],
) -> Services:
    """Return the addresses of a network's services: declared, those of before, else free ones from the top end.

    Nothing is chosen that is reserved, asked for, or was a sandbox's. refuse_new is called
    with the name of a service that gets an address which it neither asked for nor had, and
    may raise. Raises DocklessError when a subnet is exhausted.
    """
    if not overlay.host:  # nobody declares it in this run: it is as it was
        return dict(kept.services)
    declared = overlay.spec.get("services")
    if not declared:
        return {}
    taken = list(reserved)
    held = tuple(
        s._replace(aux_addresses=s.aux_addresses + tuple(("", a) for a in taken if a.version == s.version))
        for s in subnets
    )
    try:
        network = Network(
            *overlay.key, subnets=held, services=parse_services(declared, f"networks.{overlay.key[1]}.services")
        )
        found = service_addresses.assign_vips(
            network, [place.endpoint for place in places], _as_leases(overlay.key, kept, leases)
        )
    except DocklessError as error:
        raise of_host(overlay.host, error) from None
    asked = {service.name for service in network.services if service.vips}
    for service in found.services:
        if service.name not in asked and not {str(vip) for vip in service.vips}.issubset(
            kept.services.get(service.name, ())
        ):
            refuse_new("service " + service.name)
    return service_leases(found)


def _as_leases(network: Key, kept: PriorNetwork, given: t.Mapping[Key, t.Sequence[str]]) -> dict[str, Leases]:
    endpoints: dict[str, dict[str, dict[Key, EndpointLease]]] = {network[0]: {}}
    for (project, sandbox), addresses in given.items():
        endpoints.setdefault(project, {})[sandbox] = {network: EndpointLease(tuple(addresses))}
    leases = {project: Leases(endpoints=each) for project, each in endpoints.items()}
    leases[network[0]] = leases[network[0]]._replace(services={network[1]: kept.services})
    return leases


def with_service_addresses(
    declared: t.Mapping[str, t.Any], services: t.Mapping[str, t.Sequence[str]]
) -> dict[str, t.Any]:
    """Return services as a host is to have them, each with its addresses."""
    return {
        name: {**(spec or {}), "vip": list(services[name])} if name in services else spec
        for name, spec in declared.items()
    }


def reported_services(spec: t.Mapping[str, t.Any]) -> dict[str, list[str]]:
    """Return the addresses of services that a network's declaration has."""
    services = spec.get("services")
    found = {}
    for name, service in services.items() if is_mapping(services) else ():
        vip = service.get("vip") if is_mapping(service) else None
        if vip:
            found[name] = [vip] if isinstance(vip, str) else list(vip)
    return found
