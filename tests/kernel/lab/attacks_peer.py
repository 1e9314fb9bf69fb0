# SPDX-License-Identifier: GPL-3.0-or-later
"""Attacks by tunnels: what a peer of an overlay sends in another's name, what a WireGuard link or the device of a
routed overlay delivers, and what sandboxes and neighbours send into a tunnel.
"""

from __future__ import annotations

import struct
import typing as t

from . import wire
from .claims import ANY, Attack, Passage, Send, asks, datagram, frame_of, udp_from
from .places import (
    HOST,
    LEARNED,
    NETWORK_OF,
    OUTSIDE,
    PEER_MAC,
    SLICE,
    TUNNEL,
    VNIS,
    address,
    gateway,
    peer_address,
    within,
)
from .topology import Lab

Make = t.Callable[[Lab, bytes], bytes]  # an inner frame with a token
VXLAN = 4789


def of(version: int) -> list[Attack]:
    """Return the attacks over one family."""
    return [*_from_peers(version), *_into_tunnels(version), *_by_links(version)]


def passages(version: int) -> list[Passage]:
    """Return what must pass: from a sandbox that no declaration has, and from a peer's slice."""
    inner = _inner("w1", within(LEARNED, 7, version), version)
    victim = ("v1", "w1")[version == 6]
    sealed = _inner(victim, peer_address(victim, version), version)
    packet = _from_slice(within(SLICE, 7, version), version)
    return [
        Passage(f"a peer's frame from a learned address, IPv{version}", through_tunnel("w1", inner), "w1"),
        Passage(f"a peer's frame by WireGuard, IPv{version}", through_tunnel(victim, sealed, "tunnel"), victim),
        Passage(f"a router's frame by WireGuard, IPv{version}", through_tunnel(victim, sealed, "tunnel", True), victim),
        Passage(f"a packet from a peer's slice, IPv{version}", packet, "node", port=81),
    ]


def through_tunnel(victim: str, make: Make, origin: str = "nbr", is_router: bool = False) -> Send:
    """Return the sender of a frame by a peer of a sandbox's overlay, on the link of origin.

    A router is the peer of a routed overlay: with one MAC only.
    """
    six = victim == "w1"
    source, target = TUNNEL[1][six] if is_router else OUTSIDE["nbr"][six], HOST[six]

    def send(lab: Lab, token: bytes) -> None:
        header = struct.pack("!II", 0x08000000, VNIS[NETWORK_OF[victim]] << 8)
        outer = wire.udp(source, target, 50000, VXLAN, header + make(lab, token))
        lab[origin].frame(frame_of(lab, origin, source, target, wire.UDP, outer))

    return send


def _inner(victim: str, source: str, version: int, sender: str = PEER_MAC, target: str = "", **more: t.Any) -> Make:
    """Return the maker of a datagram from a peer's sandbox to a victim."""

    def make(lab: Lab, token: bytes) -> bytes:
        to = address(victim, version)
        packet = wire.packet(
            source, to, wire.UDP, datagram(source, to, more.get("port", 80), token, more.get("sport", 0))
        )
        kind = wire.IP6 if version == 6 else wire.IP
        return wire.ethernet(target or lab[victim].mac, sender, kind, packet, more.get("tags", ()))

    return make


def _from_peers(version: int) -> t.Iterator[Attack]:
    for victim in ("v1", "w1"):
        own = peer_address(victim, version)
        makers = {
            "as the gateway": _inner(victim, gateway(victim, version), version),
            "as its victim": _inner(victim, address(victim, version), version),
            "as nobody": _inner(victim, own[:-1] + "8", version),
            "to everybody": _inner(victim, own, version, target=wire.BROADCAST),
            "with a VLAN tag": _inner(victim, own, version, tags=[(wire.VLAN, 5)]),
            "as a DHCP server": _inner(victim, own, version, sport=547 if version == 6 else 67),
            "to a DHCP client": _inner(victim, own, version, port=546 if version == 6 else 68),
            "as a learned address of this host": _inner(victim, within(LEARNED, 1, version), version),
            **(_messages6(victim, own) if version == 6 else _messages4(victim, own)),
        }
        if victim == "v1":
            makers["with a MAC of this host"] = _inner(victim, within(LEARNED, 7, version), version)
        for name, make in makers.items():
            yield Attack(
                f"a peer's frame to {victim} {name}, IPv{version}",
                "nbr",
                through_tunnel(victim, make),
                "tunnels",
                victim,
            )
        another = _inner(victim, own, version, "02:00:00:00:99:90")
        for origin in ("nbr", "tunnel"):
            yield Attack(
                f"a frame to {victim} as another router, by {origin}, IPv{version}",
                origin,
                through_tunnel(victim, another, origin, is_router=True),
                "overlays",
                victim,
            )


def _messages4(victim: str, own: str) -> dict[str, Make]:
    return {"IGMP": _framed(victim, own, wire.IGMP, lambda token: wire.icmp(0x11, 0, bytes(4) + token))}


def _framed(victim: str, own: str, protocol: int, message: t.Callable[[bytes], bytes]) -> Make:
    def make(lab: Lab, token: bytes) -> bytes:
        packet = wire.packet(own, address(victim, 6 if ":" in own else 4), protocol, message(token), hops=255)
        return wire.ethernet(lab[victim].mac, PEER_MAC, wire.IP6 if ":" in own else wire.IP, packet)

    return make


def _messages6(victim: str, own: str) -> dict[str, Make]:
    claim = wire.packed(address(victim, 6))
    bodies = {133: bytes(4), 134: bytes(12), 135: bytes(4) + claim, 136: b"\x60\0\0\0" + claim, 137: bytes(36)}
    bodies.update({130: bytes(20), 131: bytes(20), 132: bytes(20), 143: bytes(4)})
    return {
        f"ICMPv6 {number}": _framed(
            victim,
            own,
            wire.ICMP6,
            lambda token, number=number, body=body: wire.icmp6(  # type: ignore[misc]
                own, address(victim, 6), number, body + wire.token_option(token)
            ),
        )
        for number, body in bodies.items()
    }


def _into_tunnels(version: int) -> t.Iterator[Attack]:
    """Yield what a sandbox asks a peer's sandbox itself, where its bridge answers."""
    victim = ("v1", "w1")[version == 6]
    own, other = address(victim, version), peer_address(victim, version)

    def ask(lab: Lab, token: bytes) -> None:
        mac = lab[victim].mac
        if version == 4:
            question = wire.arp(1, mac, own, PEER_MAC, other, token)
            lab[victim].frame(wire.ethernet(PEER_MAC, mac, wire.ARP, question))
            return
        body = bytes(4) + wire.packed(other) + wire.token_option(token)
        message = wire.icmp6(own, other, 135, body)
        lab[victim].frame(
            wire.ethernet(PEER_MAC, mac, wire.IP6, wire.packet(own, other, wire.ICMP6, message, hops=255))
        )

    yield Attack(f"{victim} asks for a peer's sandbox itself, IPv{version}", victim, ask, "tunnels", victim)


def _from_slice(source: str, version: int, mac: str = "") -> Send:
    """Return the sender of a datagram to the node by the device of a routed overlay."""

    def send(lab: Lab, token: bytes) -> None:
        target = HOST[version == 6]
        packet = wire.packet(source, target, wire.UDP, datagram(source, target, 81, token))
        kind = wire.IP6 if version == 6 else wire.IP
        lab["slice"].frame(wire.ethernet(lab.hop("slice"), mac or lab["slice"].mac, kind, packet))

    return send


def _by_links(version: int) -> t.Iterator[Attack]:
    six = version == 6
    own = within(SLICE, 7, version)
    others = {"another slice": ("fd00:94::7" if six else "10.94.0.7", ""), "another router": (own, "02:00:00:00:99:91")}
    for name, (source, mac) in others.items():
        yield Attack(
            f"a packet of a routed overlay from {name}, IPv{version}",
            "slice",
            _from_slice(source, version, mac),
            "sources",
            "node",
        )
    if six:

        def advertise(lab: Lab, token: bytes) -> None:
            body = b"\x60\0\0\0" + wire.packed(own) + wire.token_option(token)
            message = wire.packet(own, HOST[1], wire.ICMP6, wire.icmp6(own, HOST[1], 136, body), hops=255)
            lab["slice"].frame(wire.ethernet(lab.hop("slice"), lab["slice"].mac, wire.IP6, message))

        yield Attack("a neighbour advertisement in a routed overlay, IPv6", "slice", advertise, "sources", "node")
    peer, host = TUNNEL[1][six], TUNNEL[0][six]
    for name, target in {"its end of the tunnel": host, "the host": HOST[six], "far": OUTSIDE["far"][six]}.items():
        yield Attack(
            f"a peer by its tunnel to {name}, IPv{version}",
            "tunnel",
            udp_from("tunnel", peer, target, 81),
            "overlays",
            "node",
        )
    for origin in ("nbr", "c1"):
        source = OUTSIDE["nbr"][six] if origin == "nbr" else address(origin, version)
        yield Attack(
            f"{origin} into a tunnel, IPv{version}",
            origin,
            udp_from(origin, source, peer, 80) if origin == "nbr" else asks(origin, peer, 80),
            ANY if origin == "nbr" else "overlays",  # the other table drops what passes through the host as well
            "node",
        )
