# SPDX-License-Identifier: GPL-3.0-or-later
"""Attacks out of VXLAN tunnels: by a peer of the overlay, whose host may be somebody else's by now; by a peer of
another overlay on the same UDP port; and out of a VXLAN network that dockless does not manage.
"""

from __future__ import annotations

import struct
import typing as t

from . import attacks_port, wire
from .claims import ANY, Attack, Send, datagram, of_kinds, udp_from
from .places import HOST, OUTSIDE, TUNNELS, address, gateway
from .topology import Lab

Make = t.Callable[[Lab, bytes], bytes]  # a frame with a token


def of() -> list[Attack]:
    """Return every such attack."""
    return of_kinds(
        {
            "a peer of another overlay": _of_peer("other peer", "overlays"),
            "claims of a peer": [*_of_peer("peer", ANY), *_of_peer("peer6", ANY)],
            "a foreign tunnel": [*_foreign(4), *_foreign(6)],
        }
    )


def _sent(origin: str, make: Make) -> Send:
    def send(lab: Lab, token: bytes) -> None:
        lab[origin].frame(make(lab, token))

    return send


def _of_peer(origin: str, counter: str) -> t.Iterator[Attack]:
    victim = TUNNELS[origin].victim
    kinds = {
        **_sources(origin, victim),
        **_arp(origin, victim),
        **_discovery(origin, victim),
        **_others(origin, victim),
    }
    for name, make in kinds.items():
        yield Attack(f"{origin} {name}", origin, _sent(origin, make), counter, victim)


def _framed(origin: str, to: str, packet: t.Callable[[Lab, bytes], tuple[int, bytes]], mac: str = "") -> Make:
    def make(lab: Lab, token: bytes) -> bytes:
        target = {"all": wire.BROADCAST, "node": lab.hop(origin)}.get(to) or (to if ":" in to else lab[to].mac)
        return wire.ethernet(target, mac or lab[origin].mac, *packet(lab, token))

    return make


def _sources(origin: str, victim: str) -> dict[str, Make]:
    """Packets with addresses that belong to this host, to its sandboxes, or to nobody on the overlay."""
    found: dict[str, Make] = {}
    for version in (4, 6):
        sources = {
            "the gateway's": gateway(victim, version),
            "the host's": HOST[version == 6],
            "another network's": address("c1", version),
            "a stranger's": "8.8.8.8" if version == 4 else "2001:4860::8",
            "no": "0.0.0.0" if version == 4 else "::",
        }
        for name, source in sources.items():
            for to, target in ((victim, address(victim, version)), ("node", gateway(victim, version))):

                def packet(_lab: Lab, token: bytes, source: str = source, target: str = target) -> tuple[int, bytes]:
                    body = wire.packet(source, target, wire.UDP, datagram(source, target, 9998, token))
                    return (wire.IP6 if ":" in source else wire.IP), body

                found[f"sends to {target} with {name} IPv{version} address"] = _framed(origin, to, packet)
    return found


def _arp(origin: str, victim: str) -> dict[str, Make]:
    found: dict[str, Make] = {}
    claimed = {"the gateway's": gateway(victim, 4), "the host's": HOST[0], "the victim's": address(victim, 4)}
    for name, sender in claimed.items():
        for operation in (1, 2):
            for to in ("all", victim, "node"):

                def packet(
                    lab: Lab, token: bytes, sender: str = sender, operation: int = operation
                ) -> tuple[int, bytes]:
                    own = lab[origin].mac
                    return wire.ARP, wire.arp(operation, own, sender, "00:00:00:00:00:00", address(victim, 4), token)

                found[f"claims {name} address in ARP {operation} to {to}"] = _framed(origin, to, packet)
    return found


def _discovery(origin: str, victim: str) -> dict[str, Make]:
    """Router advertisements, redirects, and claims of addresses that are here."""

    def message(kind: int, body: t.Callable[[Lab, bytes], bytes], target: str, source: str = "") -> t.Any:
        return lambda lab, token: (
            wire.IP6,
            attacks_port.message6(lab, origin, target, kind, body(lab, token), source),
        )

    def claim(asked: str) -> t.Callable[[Lab, bytes], bytes]:
        flags = struct.pack("!I", 0x20000000) + wire.packed(asked)
        return lambda lab, token: flags + wire.option6(2, lab[origin].mac) + wire.token_option(token)

    def router(lab: Lab, token: bytes) -> bytes:
        return attacks_port.advertisement(lab, origin, token)

    nodes = attacks_port.ALL_NODES
    group = wire.multicast_mac(nodes)
    claimed = {"the gateway's": gateway(victim, 6), "the victim's": address(victim, 6)}
    found = {"advertises a router": _framed(origin, group, message(attacks_port.ROUTER_ADVERTISEMENT, router, nodes))}
    for name, asked in claimed.items():
        body = claim(asked)
        found[f"advertises {name} address"] = _framed(origin, group, message(attacks_port.ADVERTISEMENT, body, nodes))
        found[f"denies {name} address"] = _framed(origin, group, message(attacks_port.SOLICITATION, body, nodes, "::"))
    return found


def _others(origin: str, victim: str) -> dict[str, Make]:
    """MAC addresses that are here, tags, and answers of DHCP."""
    own, target = address(origin, 4), address(victim, 4)

    def plain(_lab: Lab, token: bytes) -> tuple[int, bytes]:
        return wire.IP, wire.packet(own, target, wire.UDP, datagram(own, target, 9998, token))

    def offer(_lab: Lab, token: bytes) -> tuple[int, bytes]:
        return wire.IP, wire.packet(own, target, wire.UDP, datagram(own, target, 68, b"\2" + token, 67))

    def with_mac(whose: str) -> Make:
        def make(lab: Lab, token: bytes) -> bytes:
            mac = lab.hop(origin) if whose == "node" else lab[whose].mac
            return wire.ethernet(lab[victim].mac, mac, *plain(lab, token))

        return make

    def tagged(lab: Lab, token: bytes) -> bytes:
        return wire.ethernet(lab[victim].mac, lab[origin].mac, *plain(lab, token), tags=((wire.VLAN, 5),))

    return {
        "sends with the gateway's MAC": with_mac("node"),
        "sends with the victim's MAC": with_mac(victim),
        "sends behind a tag": tagged,
        "offers DHCP": _framed(origin, victim, offer),
        "sends an unknown type": _framed(origin, victim, lambda _lab, token: (0x88B5, token)),
    }


def _foreign(version: int) -> t.Iterator[Attack]:
    """What a neighbour may not do, by a tunnel that is a link of the host."""
    six = version == 6
    source = address("foreign", version)
    ways = [
        ("to a trusted network", address("t1", version), 80, "direct", "t1"),
        ("to a gateway", gateway("c1", version), 9998, "gateways", "node"),
        ("to a routed network's unpublished port", address("r1", version), 81, "closed", "r1"),
        ("into a network without ingress", address("o1", version), 80, "ingress", "o1"),
        ("to an internal network", address("c4", version), 80, "internal", "c4"),
        ("to a port that is not for it", HOST[six], 8500, "source_ranges", "c2"),
        ("through the host", OUTSIDE["vpn"][six], 80, "transit", "vpn"),
        ("to the forwarder of names", gateway("c1", version), 10053, "forwarders", "node"),
    ]
    if not six:
        ways.append(("to the host's loopback", "127.0.0.1", 9999, "loopback", "node"))
    for name, target, port, counter, victim in ways:
        yield Attack(
            f"foreign tunnel {name}, IPv{version}",
            "foreign",
            udp_from("foreign", source, target, port),
            counter,
            victim,
        )
