# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Which network a sandbox leaves the host by, for each family on its own."""

from __future__ import annotations

import ipaddress

from .host import (
    GATEWAY_ISOLATED,
    GATEWAY_NAT,
    GATEWAY_ROUTED,
    GATEWAY_UNPROTECTED,
    Defaults,
    Endpoint,
    IPAddress,
    Network,
    Sandbox,
)
from .macvlan import macvlan_of
from .topology import Networks, Topology, address_of, subnet_of


def mode_of(network: Network, version: int) -> str:
    """Return the gateway mode of a family: nat, nat-unprotected, routed or isolated."""
    return network.gateway_mode_ipv4 if version == 4 else network.gateway_mode_ipv6


def is_translated(network: Network, version: int) -> bool:
    """Return whether what leaves the network takes an address of the host."""
    return network.masquerade and mode_of(network, version) in (GATEWAY_NAT, GATEWAY_UNPROTECTED)


def are_ports_direct(network: Network, version: int, defaults: Defaults) -> bool:
    """Return whether whoever has a route reaches published ports at the sandboxes' own addresses."""
    mode = mode_of(network, version)
    return mode == GATEWAY_ROUTED or mode == GATEWAY_NAT and defaults.allow_direct_routing


def trusted_links(network: Network, version: int, defaults: Defaults) -> tuple[str, ...]:
    """Return the host's interfaces by which published ports are reached there, where not everybody reaches them."""
    return network.trusted if mode_of(network, version) == GATEWAY_NAT and not defaults.allow_direct_routing else ()


def leads_out(network: Network) -> bool:
    """Return whether a sandbox's questions may leave by the network."""
    return not network.internal and network.egress


def has_host_address(network: Network, version: int) -> bool:
    """Return whether the host has the gateway's address on the network's bridge."""
    return mode_of(network, version) != GATEWAY_ISOLATED and not (version == 4 and network.inhibit_ipv4)


def keeps_gateway(network: Network, version: int) -> bool:
    """Return whether a subnet has a gateway at all: one that nothing could ever lead to is an address for a sandbox."""
    return network.passes_host and (has_host_address(network, version) or not network.internal)


def gateway_of(network: Network, version: int) -> IPAddress | None:
    """Return the address that a sandbox routes by, None where there is no way out."""
    subnet = subnet_of(network, version)
    if subnet is None or network.internal or not has_host_address(network, version):
        return None
    return subnet.gateway


def next_hop(endpoint: Endpoint, network: Network, version: int) -> str | None:
    """Return where an endpoint's default route of a family goes: a gateway, "" for whatever is on the link, None for nowhere."""
    if network.passes_host:
        via = gateway_of(network, version)
        return None if via is None else str(via)
    address = address_of(endpoint, version)
    if network.internal or not address:
        return None
    if macvlan_of(network).mode in ("l3", "l3s"):
        return ""
    found = (s.gateway for s in network.subnets if ipaddress.ip_address(address) in s.network)
    return next((str(gateway) for gateway in found if gateway is not None), None)


def gateway_endpoint(sandbox: Sandbox, networks: Networks, version: int) -> Endpoint | None:
    """Return the endpoint with the default route of a family: highest gw_priority, ties by network name."""
    best = None
    for endpoint in sandbox.endpoints:
        network = networks[endpoint.network]
        if next_hop(endpoint, network, version) is None or not address_of(endpoint, version):
            continue
        rank = (-endpoint.gw_priority, network.name, network.project)
        if best is None or rank < best[0]:
            best = rank, endpoint
    return best[1] if best else None


def publishing_endpoint(sandbox: Sandbox, networks: Networks, version: int) -> Endpoint | None:
    """Return the endpoint that published ports lead to: that of the default route, if packets to it pass this host."""
    found = gateway_endpoint(sandbox, networks, version)
    return found if found is not None and networks[found.network].passes_host else None


def gateways(sandbox: Sandbox, topology: Topology) -> list[str]:
    """Return the address of the host as the sandbox sees it: where its default route of each family goes."""
    winners = ((publishing_endpoint(sandbox, topology.networks, version), version) for version in (4, 6))
    found = [str(gateway_of(topology.networks[winner.network], version)) for winner, version in winners if winner]
    parents = (topology.networks[endpoint.network].macvlan for endpoint in sandbox.endpoints)
    return found or [str(address) for parent in parents if parent for address in parent.addresses][:2]
