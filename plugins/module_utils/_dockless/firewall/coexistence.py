# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""What foreign firewalls must let through for dockless's networks, and in which directions.

Rules in a foreign firewall accept only what dockless's own table, at the same hook, also lets through: in nftables a
drop is final in whatever chain it stands, so an accept elsewhere opens nothing that dockless's table drops.
"""

from __future__ import annotations

import typing as t

from ..model.gateways import are_ports_direct, publishing_endpoint, trusted_links
from ..model.host import Host
from ..model.network import GATEWAY_UNPROTECTED, Network, Networks

COMMENT = "dockless"  # marks dockless's rules in a foreign chain or list
OUTBOUND, INBOUND, WITHIN_BRIDGE = "out", "in", "within"  # directions of new connections, seen from a network


class BridgeTraffic(t.NamedTuple):
    """Traffic of a bridge that dockless's table lets through."""

    bridge: str
    directions: frozenset[str]
    # Sandboxes are connected to at their own addresses, without a translation that firewalls recognize by its mark.
    direct: bool
    # The VXLAN device that exchanges packets with the bridge, "" unless the network is a routed overlay.
    vxlan: str = ""

    @property
    def links(self) -> tuple[str, ...]:
        """Return the names of the links that belong to the network."""
        return (self.bridge, self.vxlan) if self.vxlan else (self.bridge,)


class Traffic(t.NamedTuple):
    """Traffic of all bridges, sorted by their names, with the IP versions of their subnets and the host's uplink."""

    bridges: tuple[BridgeTraffic, ...]
    versions: frozenset[int]
    uplink: str = ""


def traffic_of(host: Host, networks: Networks, uplink: str) -> Traffic:
    """Return the traffic that foreign firewalls must let through."""
    directions = allowed_directions(host, networks)
    bridge_networks = _bridge_networks(networks)
    bridges = []
    for network in bridge_networks:
        allowed = frozenset(directions[network.bridge_name])
        direct = network.ingress and _is_open_directly(host, network)
        bridges.append(BridgeTraffic(network.bridge_name, allowed, direct, _routed_vxlan(network)))
    versions = {subnet.version for network in bridge_networks for subnet in network.subnets}
    return Traffic(tuple(bridges), frozenset(versions), uplink)


def allowed_directions(host: Host, networks: Networks) -> dict[str, set[str]]:
    """Return the directions of new connections that dockless's table lets through, by bridge."""
    publishing = set()
    for sandbox in host.sandboxes():
        if not sandbox.ports:
            continue
        for version in (4, 6):
            endpoint = publishing_endpoint(sandbox, networks, version)
            if endpoint is not None:
                publishing.add(endpoint.network)
    found = {}
    for network in _bridge_networks(networks):
        directions = {WITHIN_BRIDGE}
        if network.egress:
            directions.add(OUTBOUND)
        if network.ingress and (network.key in publishing or _is_open_directly(host, network)):
            directions.add(INBOUND)
        found[network.bridge_name] = directions
    return found


def _bridge_networks(networks: Networks) -> list[Network]:
    """Return the networks whose packets pass this host's network stack, sorted by bridge."""
    return sorted((n for n in networks.values() if n.passes_host), key=lambda n: n.bridge_name)


def _is_open_directly(host: Host, network: Network) -> bool:
    """Return whether sandboxes of a network are connected to at their own addresses."""
    return any(
        network.gateway_mode(version) == GATEWAY_UNPROTECTED
        or are_ports_direct(network, version, host.defaults)
        or trusted_links(network, version, host.defaults)
        for version in (4, 6)
    )


def _routed_vxlan(network: Network) -> str:
    is_routed = network.is_routed
    return network.vxlan_device if is_routed else ""
