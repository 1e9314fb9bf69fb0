# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Rules for encrypted overlay networks, which share the WireGuard tunnels of a host."""

from __future__ import annotations

import typing as t

from ..errors import refuse
from ..model.addresses import IPAddress, parse_address
from ..model.facts import Facts
from ..model.host import Host
from ..model.network import Network
from ..model.overlay import Overlay, OverlayPeer, wireguard_port

_SAME = "All encrypted networks of a host share its tunnels: set the same value in each."


def check_encrypted(host: Host, facts: Facts) -> None:
    """Raise DocklessError for encrypted networks that cannot share a tunnel, or that lack an option that it needs."""
    networks = [(network, network.overlay_options) for network in host.networks() if network.is_encrypted]
    if not networks:
        return
    _network, first = networks[0]
    own_keys = frozenset(key for _slot, key in facts.tunnel_keys)
    for network, overlay in networks:
        own = _own_address(network, overlay, facts)
        _check_same_tunnel(network, overlay, first)
        for peer in network.peers:
            _check_peer(network, overlay, own, peer, own_keys)
    _check_hosts([network for network, _overlay in networks])
    _check_published_ports(host, first)


def _own_address(network: Network, overlay: Overlay, facts: Facts) -> IPAddress:
    """Return this host's address inside its tunnel. Raises DocklessError if there is none, or if it is not private."""
    own = parse_address(overlay.vtep)
    if own is None:
        refuse(
            network.path + ".vtep",
            f"encrypted network {network.name} has no vtep, which is this host's address inside its tunnel",
            "Set a different vtep on each host, from a subnet that is used nowhere else, such as 100.100.0.1. "
            "The role overlay sets it.",
        )
    if own in facts.addresses:
        refuse(
            network.path + ".vtep",
            f"{own} is an address of this host outside the tunnel, and packets to such an address are not encrypted",
            "Choose an address that is used nowhere else.",
        )
    return own


def _check_same_tunnel(network: Network, overlay: Overlay, first: Overlay) -> None:
    for option, value, other in (
        ("vtep", overlay.vtep, first.vtep),
        ("tunnel_port", overlay.tunnel_port, first.tunnel_port),
        ("tunnels", list(overlay.tunnels), list(first.tunnels)),
    ):
        if value != other:
            refuse(
                f"{network.path}.{option}",
                f"{option} is {value} here and {other} in another encrypted network of this host",
                _SAME,
            )


def _check_peer(
    network: Network, overlay: Overlay, own: IPAddress, peer: OverlayPeer, own_keys: frozenset[str]
) -> None:
    path = f"{network.path}.peers.{peer.name}"
    keys = {overlay.peer_key(peer, slot) for slot in overlay.tunnels} - {""}
    if not keys:
        refuse(
            path + ".public_key",
            f"host {peer.name} has no public key, but network {network.name} is encrypted",
            "Set public_key to the output of wg pubkey on that host. The role overlay sets it.",
        )
    if keys & own_keys:
        refuse(
            path + ".public_key",
            f"host {peer.name} has the public key of this host",
            "Create a key on each host: a private key must never be copied.",
        )
    if peer.vtep == own:
        refuse(
            path + ".vtep",
            f"{peer.vtep} is this host's own address inside its tunnel",
            "Set vtep to the address of the other host.",
        )
    if peer.vtep.version != own.version:
        refuse(
            path + ".vtep",
            f"{peer.vtep} is of another address family than {overlay.vtep}, the address of this host",
            "Use one family for all hosts.",
        )


def _check_hosts(networks: t.Sequence[Network]) -> None:
    """Raise DocklessError for hosts that WireGuard cannot tell apart.

    It knows hosts by their keys, and lets each send from its own address only (cryptokey routing).
    """
    by_key: dict[str, OverlayPeer] = {}
    by_address: dict[IPAddress, OverlayPeer] = {}
    for network in networks:
        for peer in network.peers:
            path = f"{network.path}.peers.{peer.name}"
            for key in {peer.public_key, *(key for _slot, key in peer.public_keys)} - {""}:
                other = by_key.setdefault(key, peer)
                if other.vtep != peer.vtep:
                    refuse(
                        path + ".public_key",
                        f"host {other.name} has the same public key",
                        "Create a key on each host.",
                    )
            other = by_address.setdefault(peer.vtep, peer)
            if _tunnel_of(other) != _tunnel_of(peer):
                refuse(
                    path,
                    f"{peer.vtep} is declared with other keys or another endpoint elsewhere, for host {other.name}",
                    _SAME,
                )


def _tunnel_of(peer: OverlayPeer) -> tuple[str, tuple[tuple[str, str], ...], str]:
    return peer.public_key, peer.public_keys, peer.endpoint


def _check_published_ports(host: Host, overlay: Overlay) -> None:
    tunnel_ports = {wireguard_port(overlay.tunnel_port, slot) for slot in overlay.tunnels}
    for sandbox in host.sandboxes():
        for mapping in sandbox.ports:
            if mapping.protocol == "udp" and mapping.host_port in tunnel_ports:
                refuse(
                    f"{sandbox.path}.ports",
                    f"UDP port {mapping.host_port} is the port of this host's tunnel",
                    "Publish another one, or set tunnel_port.",
                )
