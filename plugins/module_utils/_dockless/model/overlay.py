# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Questions about overlay networks and the WireGuard links that encrypted ones share."""

from __future__ import annotations

import typing as t

from .. import names
from ..names import TUNNEL_SLOTS
from .facts import Facts
from .host import Host, Network, Overlay, OverlayPeer, PeerSandbox

# Bytes that the outer headers of a packet take, by the version of the outer IP header (20 or 40 bytes of them).
VXLAN_OVERHEAD = {4: 50, 6: 70}  # IP, UDP, VXLAN and the inner Ethernet header (RFC 7348)
WIREGUARD_OVERHEAD = {4: 60, 6: 80}  # IP, UDP, WireGuard's header and its authentication tag


def overlay_of(network: Network) -> Overlay:
    """Return the overlay settings of a network that has them, which is one of the driver overlay."""
    assert network.overlay is not None, f"network {network.name} is no overlay"
    return network.overlay


def encrypted_networks(host: Host) -> list[Network]:
    """Return the networks of a host that reach other hosts through WireGuard."""
    return [network for project in host.projects for network in project.networks if network.is_encrypted]


def wireguard_mtu(peers: t.Iterable[OverlayPeer], facts: Facts) -> int:
    """Return the MTU of a WireGuard link to these hosts, in bytes."""
    has_ipv6_endpoint = any(peer.endpoint.startswith("[") for peer in peers)
    return facts.mtu - WIREGUARD_OVERHEAD[6 if has_ipv6_endpoint else 4]


def key_of(peer: OverlayPeer, slot: str, overlay: Overlay) -> str:
    """Return another host's public key for a slot, "" if it has none."""
    return dict(peer.public_keys).get(slot, "") or (peer.public_key if slot == overlay.tunnels[0] else "")


def wireguard_port(first: int, slot: str) -> int:
    """Return the UDP port of a slot's WireGuard link: the first one's is declared, the next ones follow it."""
    return first + TUNNEL_SLOTS.index(slot)


def vxlan_device(network: Network) -> str:
    """Return the name of a network's vxlan device."""
    return names.vxlan_link(network.project, network.name)


def peer_mac(network: Network, sandbox: PeerSandbox) -> str:
    """Return the MAC of a sandbox on another host."""
    return sandbox.mac_address or names.endpoint_mac(sandbox.project or network.project, network.key, sandbox.name)
