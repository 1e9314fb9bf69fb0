# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""What other firewalls of a host are asked to let through, a line for each rule or setting; and how such lines are found in them.

They accept no more than what they have to stop deciding about. In nftables a drop is final in whatever chain it stands, so
our own table, at the same hook, still drops what it drops.
"""

from __future__ import annotations

import typing as t

from ..model.gateways import are_ports_direct, mode_of, publishing_endpoint, trusted_links
from ..model.host import GATEWAY_UNPROTECTED, Host, Network
from ..model.topology import Networks
from .foreign_chains import INBOUND, OUTBOUND, WITHIN_BRIDGE, BlockingChain

COMMENT = "dockless"  # of a rule of ours in a chain or list of others


def _bridge_networks(networks: Networks) -> list[Network]:
    """Return the networks whose packets pass this host."""
    return sorted((n for n in networks.values() if n.macvlan is None), key=lambda n: n.bridge_name)


def allowed_directions(host: Host, networks: Networks) -> dict[str, set[str]]:
    """Return the directions that our own table lets new connections take, by bridge: out, in where something is open, within."""
    endpoints = [
        publishing_endpoint(sandbox, networks, version)
        for project in host.projects
        for sandbox in project.sandboxes
        if sandbox.ports
        for version in (4, 6)
    ]
    published = {endpoint.network for endpoint in endpoints if endpoint is not None}
    found = {}
    for network in _bridge_networks(networks):
        inward = network.ingress and (network.key in published or _is_open_directly(host, network))
        found[network.bridge_name] = {
            WITHIN_BRIDGE,
            *([OUTBOUND] if network.egress else []),
            *([INBOUND] if inward else []),
        }
    return found


def _is_open_directly(host: Host, network: Network) -> bool:
    """Return whether sandboxes are connected to at their own addresses, without a translation that firewalls know by its mark."""
    return any(
        mode_of(network, version) == GATEWAY_UNPROTECTED
        or are_ports_direct(network, version, host.defaults)
        or trusted_links(network, version, host.defaults)
        for version in (4, 6)
    )


def is_relevant(obstacle: BlockingChain, open_ways: t.Mapping[str, set[str]]) -> bool:
    """Return whether an obstacle stops what our own table lets through."""
    return not obstacle.bridges or any(
        flow in open_ways[bridge] for bridge in obstacle.bridges for flow in obstacle.flows
    )


def _routed(network: Network) -> bool:
    return network.overlay is not None and network.overlay.mode == "routed"
