# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Virtual addresses of services: those declared, those given before, and free ones from the top end of the subnet."""

from __future__ import annotations

import typing as t

from ..errors import DocklessError
from ..model import addresses, topology
from ..model.host import SERVICE_VIP, Endpoint, Host, IPAddress, IPNetwork, Network, Subnet
from . import ipam
from .leases import NO_LEASES, ProjectLeases, endpoint_lease


def with_service_addresses(host: Host, leases: ProjectLeases) -> Host:
    """Return the host with addresses for services that declare none. Raises DocklessError where a subnet has none left."""
    if not any(network.services for project in host.projects for network in project.networks):
        return host
    members = topology.endpoints_by_network(host)
    return host._replace(
        projects=tuple(
            project._replace(
                networks=tuple(
                    chosen(network, members.get(network.key, []), leases) if network.services else network
                    for network in project.networks
                )
            )
            for project in host.projects
        )
    )


def chosen(
    network: Network,
    endpoints: t.Sequence[Endpoint],
    leases: ProjectLeases,
    others: t.AbstractSet[tuple[int, int]] = frozenset(),
) -> Network:
    """Return the network with addresses for its services that declare none. endpoints are those on it.

    others are (version, number) of addresses that are assigned elsewhere, as for ipam.assign().
    """
    kept = leases.get(network.project, NO_LEASES).services.get(network.name, {})
    waiting = [service for service in network.services if service.mode == SERVICE_VIP and not service.vips]
    if not waiting:
        return network
    found: dict[str, list[IPAddress]] = {service.name: [] for service in waiting}
    for subnet in _first_of_each_family(network):
        taken = _fixed(network, endpoints, subnet.version)
        taken |= {number for version, number in others if version == subnet.version}
        before = [(service, ipam.kept_address(kept.get(service.name, ()), subnet, taken)) for service in waiting]
        for service, address in before:
            if address is not None and int(address) not in taken:
                found[service.name].append(address)
                taken.add(int(address))
        fresh = [
            service
            for service, address in before
            if not any(one.version == subnet.version for one in found[service.name])
        ]
        source = _from_the_top(subnet, taken | _given(endpoints, leases, subnet.version))
        for service in fresh:
            address = next(source, None)
            if address is None:
                raise DocklessError(
                    f"network {network.name} has no free address left in {subnet.ip_range or subnet.network} for service {service.name}",
                    "Give it a vip, or the network a larger subnet.",
                    service.path + ".vip",
                )
            found[service.name].append(address)
    return network._replace(
        services=tuple(
            service._replace(vips=tuple(found[service.name])) if service.name in found else service
            for service in network.services
        )
    )


def _first_of_each_family(network: Network) -> list[Subnet]:
    found = (topology.subnet_of(network, version) for version in (4, 6))
    return [subnet for subnet in found if subnet is not None and subnet.network is not None]


def _fixed(network: Network, endpoints: t.Sequence[Endpoint], version: int) -> set[int]:
    """Return the addresses that somebody named: gateways, auxiliary ones, sandboxes' here and elsewhere, other services'."""
    found = [
        address
        for subnet in network.subnets
        for address in (subnet.gateway, *(one for name, one in subnet.aux_addresses))
    ]
    found += [address for endpoint in endpoints for address in (endpoint.ipv4_address, endpoint.ipv6_address)]
    found += [vip for service in network.services for vip in service.vips]
    found += [address for peer in network.peers for there in peer.sandboxes for address in there.addresses]
    return {int(address) for address in found if address is not None and address.version == version}


def _given(endpoints: t.Sequence[Endpoint], leases: ProjectLeases, version: int) -> set[int]:
    """Return the addresses that sandboxes had before."""
    return {
        int(address)
        for endpoint in endpoints
        for cidr in endpoint_lease(leases, endpoint).addresses
        for address in [addresses.address_in(cidr)]
        if address.version == version
    }


def _from_the_top(subnet: Subnet, taken: t.AbstractSet[int]) -> t.Iterator[IPAddress]:
    """Yield free addresses from the last one down: sandboxes are given theirs from the first one up."""
    network = t.cast(IPNetwork, subnet.network)
    span = ipam.dynamic(network, subnet.ip_range)
    make = type(network.network_address)
    return (make(number) for number in range(span.high, span.low - 1, -1) if number not in taken)
