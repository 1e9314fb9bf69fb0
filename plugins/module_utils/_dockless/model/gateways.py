# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Default routes of sandboxes, and how clients reach published ports. version is an address family, 4 or 6."""

from __future__ import annotations

import ipaddress

from .host import Defaults
from .network import GATEWAY_NAT, GATEWAY_ROUTED, Network, Networks
from .sandbox import Endpoint, Sandbox
from .topology import Topology


def are_ports_direct(network: Network, version: int, defaults: Defaults) -> bool:
    """Return whether every client that has a route reaches published ports at the sandboxes' own addresses."""
    mode = network.gateway_mode(version)
    return mode == GATEWAY_ROUTED or mode == GATEWAY_NAT and defaults.allow_direct_routing


def trusted_links(network: Network, version: int, defaults: Defaults) -> tuple[str, ...]:
    """Return the interfaces of the host from which clients reach published ports at the sandboxes' own addresses.

    Empty if the gateway mode or allow_direct_routing makes no difference between interfaces.
    """
    if network.gateway_mode(version) != GATEWAY_NAT or defaults.allow_direct_routing:
        return ()
    return network.trusted


def next_hop(endpoint: Endpoint, network: Network, version: int) -> str | None:
    """Return the next hop of an endpoint's default route.

    It is the address of a gateway, "" for a route to the link without gateway (ipvlan l3), or None for no route.
    """
    if network.passes_host:
        gateway = network.gateway(version)
        return None if gateway is None else str(gateway)
    address = endpoint.address(version)
    if network.internal or not address:
        return None
    if network.macvlan_options.mode in ("l3", "l3s"):
        return ""
    for subnet in network.subnets:
        if subnet.gateway is not None and ipaddress.ip_address(address) in subnet.network:
            return str(subnet.gateway)
    return None


def gateway_endpoint(sandbox: Sandbox, networks: Networks, version: int) -> Endpoint | None:
    """Return the endpoint with the default route of a family: highest gw_priority, ties by network name."""
    best = None
    for endpoint in sandbox.endpoints:
        network = networks[endpoint.network]
        if next_hop(endpoint, network, version) is None or not endpoint.address(version):
            continue
        rank = (-endpoint.gw_priority, network.name, network.project)
        if best is None or rank < best[0]:
            best = rank, endpoint
    return best[1] if best else None


def publishing_endpoint(sandbox: Sandbox, networks: Networks, version: int) -> Endpoint | None:
    """Return the endpoint to which published ports forward.

    It is the one with the default route. None if packets to it do not pass this host, or there is no such route.
    """
    endpoint = gateway_endpoint(sandbox, networks, version)
    if endpoint is None or not networks[endpoint.network].passes_host:
        return None
    return endpoint


def host_gateways(sandbox: Sandbox, topology: Topology) -> list[str]:
    """Return the addresses of the host that a sandbox reaches, at most two. The name host-gateway resolves to them.

    They are the gateways of its default routes. Without any, they are the host's own addresses on its macvlan and
    ipvlan networks.
    """
    found = []
    for version in (4, 6):
        endpoint = publishing_endpoint(sandbox, topology.networks, version)
        if endpoint is not None:
            found.append(str(topology.networks[endpoint.network].gateway(version)))
    if found:
        return found
    for network in topology.networks_of(sandbox):
        if network.macvlan is not None:
            found += [str(address) for address in network.macvlan.addresses]
    return found[:2]
