# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Rules for encrypted overlay networks."""

from __future__ import annotations

import ipaddress
import typing as t

from ..errors import refuse
from ..model.facts import Facts
from ..model.host import Host, Network, Overlay, OverlayPeer
from ..model.overlay import _port, encrypted_networks, key_of

_ONE = "A host has one tunnel for all of its encrypted networks: say the same in each."


def check_encrypted(host: Host, facts: Facts) -> None:
    """Raise DocklessError for encrypted networks that cannot share a tunnel, or that lack what it needs."""
    networks = encrypted_networks(host)
    for network in networks:
        _check_own(network, t.cast(Overlay, networks[0].overlay), facts)
        for peer in network.peers:
            _check_peer(network, peer, dict(facts.tunnel_keys))
    if networks:
        _check_hosts(networks)
        _check_published(host, t.cast(Overlay, networks[0].overlay))


def _check_own(network: Network, first: Overlay, facts: Facts) -> None:
    overlay, path = t.cast(Overlay, network.overlay), network.path
    try:
        own = ipaddress.ip_address(overlay.vtep)
    except ValueError:
        refuse(
            path + ".vtep",
            f"the encrypted network {network.name} has no vtep, which is this host's address inside its tunnel",
            "Give each host an address of its own from a subnet that is used nowhere else, like 100.100.0.1. The role overlay fills it in.",
        )
    if own in facts.addresses:
        refuse(
            path + ".vtep",
            f"{own} is an address that this host has outside of the tunnel: what is sent to such an address goes in clear",
            "Give an address that is used nowhere else.",
        )
    for key, mine, other in (
        ("vtep", overlay.vtep, first.vtep),
        ("tunnel_port", overlay.tunnel_port, first.tunnel_port),
        ("tunnels", list(overlay.tunnels), list(first.tunnels)),
    ):
        if mine != other:
            refuse(f"{path}.{key}", f"{mine} is not {other}, as another encrypted network of this host has it", _ONE)


def _check_peer(network: Network, peer: OverlayPeer, own: t.Mapping[str, str]) -> None:
    path, overlay = f"{network.path}.peers.{peer.name}", t.cast(Overlay, network.overlay)
    keys = [key for key in (key_of(peer, slot, overlay) for slot in overlay.tunnels) if key]
    if not keys:
        refuse(
            path + ".public_key",
            f"host {peer.name} has no public key, and the network {network.name} is encrypted",
            "Give what wg pubkey says there. The role overlay fills it in.",
        )
    if set(keys) & set(own.values()):
        refuse(
            path + ".public_key",
            f"host {peer.name} has the public key of this host",
            "Each host has a key of its own: never copy the private one.",
        )
    if str(peer.vtep) == overlay.vtep:
        refuse(path + ".vtep", f"{peer.vtep} is this host's own address inside its tunnel", "Give the other host's.")
    if peer.vtep.version != ipaddress.ip_address(overlay.vtep).version:
        refuse(
            path + ".vtep",
            f"{peer.vtep} is of another family than {overlay.vtep}, this host's end",
            "Use one family for all hosts.",
        )


def _check_hosts(networks: t.Sequence[Network]) -> None:
    """A tunnel tells hosts apart by their keys, and each may send from its own address only."""
    by_key: dict[str, OverlayPeer] = {}
    by_address: dict[t.Any, OverlayPeer] = {}
    for network in networks:
        for peer in network.peers:
            path = f"{network.path}.peers.{peer.name}"
            for key in {peer.public_key, *(key for slot, key in peer.public_keys)} - {""}:
                if by_key.setdefault(key, peer).vtep != peer.vtep:
                    refuse(
                        path + ".public_key",
                        f"host {by_key[key].name} has the same public key",
                        "Give each host its own.",
                    )
            other = by_address.setdefault(peer.vtep, peer)
            if _tunnel_of(other) != _tunnel_of(peer):
                refuse(
                    path,
                    f"{peer.vtep} is told of with other keys or another endpoint elsewhere, as host {other.name}",
                    _ONE,
                )


def _tunnel_of(peer: OverlayPeer) -> tuple[t.Any, ...]:
    return peer.public_key, peer.public_keys, peer.endpoint


def _check_published(host: Host, overlay: Overlay) -> None:
    taken = {_port(overlay.tunnel_port, slot) for slot in overlay.tunnels}
    for project in host.projects:
        for sandbox in project.sandboxes:
            for mapping in sandbox.ports:
                if mapping.protocol == "udp" and mapping.host_port in taken:
                    refuse(
                        f"{sandbox.path}.ports",
                        f"UDP port {mapping.host_port} is that of this host's tunnel",
                        "Publish another one, or set tunnel_port.",
                    )
