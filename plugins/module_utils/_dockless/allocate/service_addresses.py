# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Virtual addresses of services: declared ones, then recorded ones, then free ones from the top end of the subnet."""

from __future__ import annotations

import typing as t

from ..errors import DocklessError
from ..model import addresses, topology
from ..model.addresses import IPAddress
from ..model.host import Host
from ..model.network import SERVICE_VIP, Network, Service, Subnet
from ..model.sandbox import Endpoint
from . import ipam
from .leases import NO_LEASES, ProjectLeases, endpoint_lease
from .replace import replace_networks


def with_service_addresses(host: Host, leases: ProjectLeases) -> Host:
    """Return the host with addresses for services that declare none.

    Raises DocklessError when a subnet is exhausted.
    """
    if not any(network.services for network in host.networks()):
        return host
    members = topology.endpoints_by_network(host)
    return replace_networks(host, lambda network: assign_vips(network, members.get(network.key, []), leases))


def assign_vips(
    network: Network,
    endpoints: t.Sequence[Endpoint],
    leases: ProjectLeases,
    taken_elsewhere: t.AbstractSet[tuple[int, int]] = frozenset(),
) -> Network:
    """Return the network with addresses for its services that declare none. endpoints are those on it.

    taken_elsewhere are addresses as (version, number), as for ipam.assign(). Raises DocklessError when a subnet
    is exhausted.
    """
    waiting = [service for service in network.services if service.mode == SERVICE_VIP and not service.vips]
    if not waiting:
        return network
    recorded = leases.get(network.project, NO_LEASES).services.get(network.name, {})
    vips: dict[str, list[IPAddress]] = {service.name: [] for service in waiting}
    for subnet in _first_of_each_family(network):
        taken = {number for version, number in taken_elsewhere if version == subnet.version}
        taken |= ipam.reserved(network, subnet.version) | _declared(endpoints, subnet.version)
        allocator = ipam.FamilyAllocator([subnet], taken, from_top=True)
        fresh = []
        for service in waiting:
            held = allocator.keep(recorded.get(service.name, ()))
            if held is None:
                fresh.append(service)
            else:
                vips[service.name].append(held)
        allocator.exclude(_recorded_of_endpoints(endpoints, leases, subnet.version))
        for service in fresh:
            vips[service.name].append(_next_free(allocator, network, subnet, service))
    return network._replace(
        services=tuple(
            service._replace(vips=tuple(vips[service.name])) if service.name in vips else service
            for service in network.services
        )
    )


def _next_free(allocator: ipam.FamilyAllocator, network: Network, subnet: Subnet, service: Service) -> IPAddress:
    address = allocator.next_free()
    if address is None:
        raise DocklessError(
            f"network {network.name} has no free address left in {subnet.ip_range or subnet.network} "
            f"for service {service.name}",
            "Set vip of the service, or give the network a larger subnet.",
            service.path + ".vip",
        )
    return address


def _first_of_each_family(network: Network) -> list[Subnet]:
    found = (network.subnet(version) for version in (4, 6))
    return [subnet for subnet in found if subnet is not None]


def _declared(endpoints: t.Iterable[Endpoint], version: int) -> set[int]:
    """Return the addresses of a family that endpoints declare."""
    found = (address for endpoint in endpoints for address in (endpoint.ipv4_address, endpoint.ipv6_address))
    return {int(address) for address in found if address is not None and address.version == version}


def _recorded_of_endpoints(endpoints: t.Sequence[Endpoint], leases: ProjectLeases, version: int) -> set[int]:
    """Return the addresses of a family that sandboxes had before: they keep them, so no service may get one."""
    recorded = (
        addresses.address_in(cidr) for endpoint in endpoints for cidr in endpoint_lease(leases, endpoint).addresses
    )
    return {int(address) for address in recorded if address.version == version}
