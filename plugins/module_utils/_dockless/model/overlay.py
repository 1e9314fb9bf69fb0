# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Overlay networks: what they add to a network, their remote hosts, and the MTUs of their tunnels."""

from __future__ import annotations

import typing as t

from ..names import TUNNEL_SLOTS
from .addresses import IPAddress, IPNetwork
from .facts import Facts

# Bytes that the outer headers of a packet take, by the version of the outer IP header (20 or 40 bytes of them).
VXLAN_OVERHEAD = {4: 50, 6: 70}  # IP, UDP, VXLAN and the inner Ethernet header (RFC 7348)
WIREGUARD_OVERHEAD = {4: 60, 6: 80}  # IP, UDP, WireGuard's header and its authentication tag


class PeerSandbox(t.NamedTuple):
    """A sandbox on a remote host, as an overlay network knows it.

    Example: PeerSandbox("db", addresses=(IPv4Address("10.143.0.7"),), aliases=("postgres",)).
    """

    name: str
    # "" is the project of the network.
    project: str = ""
    addresses: tuple[IPAddress, ...] = ()
    # "" is the address that Network.peer_mac() derives from the names.
    mac_address: str = ""
    aliases: tuple[str, ...] = ()
    hostname: str = ""


class OverlayPeer(t.NamedTuple):
    """A remote host of an overlay network: its VXLAN tunnel endpoint (VTEP; RFC 7348, section 3) and its sandboxes.

    Example: OverlayPeer("host2", IPv4Address("192.0.2.12"), (PeerSandbox("db"),)).
    """

    name: str
    vtep: IPAddress
    sandboxes: tuple[PeerSandbox, ...] = ()
    # The slices of a routed network's subnets that belong to this host.
    subnets: tuple[IPNetwork, ...] = ()
    # The key and the address (HOST:PORT) of its first WireGuard link. Packets to vtep go through such a link.
    public_key: str = ""
    endpoint: str = ""
    # (slot, key) of each of its WireGuard links, during a key rotation.
    public_keys: tuple[tuple[str, str], ...] = ()


class Overlay(t.NamedTuple):
    """The part of a network that only the driver overlay has."""

    # The VXLAN network identifier; 0 until it is chosen.
    vni: int = 0
    # l2: one Ethernet segment across all hosts. routed: each host has a slice of the subnet.
    mode: str = "l2"
    # static: dockless writes the entries of remote sandboxes. evpn: FRR distributes them.
    control_plane: str = "static"
    # The VTEP of this host: an address, or the name of an interface until the network is resolved.
    vtep: str = ""
    # The UDP port of VXLAN packets.
    port: int = 4789
    encrypted: bool = False
    # The UDP port of this host's WireGuard link in slot a. The link in slot b has the next port.
    tunnel_port: int = 51820
    # Slots of this host's WireGuard links. Packets are sent through the first slot that the remote host has too, and
    # accepted from each of them.
    tunnels: tuple[str, ...] = ("a",)
    # The subnets of a routed network, of which this host has slices.
    whole: tuple[IPNetwork, ...] = ()

    def peer_key(self, peer: OverlayPeer, slot: str) -> str:
        """Return a remote host's public key for a slot, "" if it has none."""
        key = dict(peer.public_keys).get(slot, "")
        if not key and slot == self.tunnels[0]:
            return peer.public_key
        return key


def wireguard_mtu(peers: t.Iterable[OverlayPeer], facts: Facts) -> int:
    """Return the MTU of a WireGuard link to these hosts, in bytes."""
    has_ipv6_endpoint = any(peer.endpoint.startswith("[") for peer in peers)
    return facts.mtu - WIREGUARD_OVERHEAD[6 if has_ipv6_endpoint else 4]


def wireguard_port(first: int, slot: str) -> int:
    """Return the UDP port of a slot's WireGuard link. first is the port of the first slot; the others follow it."""
    return first + TUNNEL_SLOTS.index(slot)
