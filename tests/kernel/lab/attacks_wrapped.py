# SPDX-License-Identifier: GPL-3.0-or-later
"""The same forbidden ways in every form that a packet has: other protocols, tunnels, tags, options, routing headers,
fragments. What a rule cannot see in a form must not open the way.
"""

from __future__ import annotations

import struct
import typing as t

from . import wire
from .claims import Attack, Send, datagram, of_kinds
from .places import HOST, OUTSIDE, address
from .topology import Lab

Form = t.Callable[[str, str, bytes], list[bytes]]  # (source, target, token): IP packets
Made = t.Callable[[bytes], bytes]  # a packet of a datagram
PORT = 81


class Way(t.NamedTuple):
    """Packets that a rule drops by addresses or links alone, whatever they carry."""

    name: str
    origin: str
    source: str
    target: str
    counter: str
    victim: str


def of(version: int) -> list[Attack]:
    """Return the attacks over one family."""
    forms = {**_protocols(), **_encapsulated(), **_pieces(), **(_headers6() if version == 6 else _options4())}
    return of_kinds(
        {
            "other forms of packets": _in_forms(version, forms),
            "VLAN tags on the link": _tagged(version),
            "source routes": _source_routes(version, is_known=False),
            "source routes within a connection": _source_routes(version, is_known=True),
        }
    )


def _ways(version: int) -> list[Way]:
    six = version == 6
    nbr, host = OUTSIDE["nbr"][six], HOST[six]
    ways = [
        Way("neighbour to a sandbox", "nbr", nbr, address("c1", version), "direct", "c1"),
        Way(
            "foreign tunnel to a sandbox",
            "foreign",
            address("foreign", version),
            address("c1", version),
            "direct",
            "c1",
        ),
        Way("neighbour to a routed network", "nbr", nbr, address("r1", version), "closed", "r1"),
        Way("into a network without ingress", "nbr", nbr, address("o1", version), "ingress", "o1"),
        Way(
            "another network into one without ingress",
            "c1",
            address("c1", version),
            address("o1", version),
            "ingress",
            "o1",
        ),
        Way("out of a network without egress", "n1", address("n1", version), nbr, "egress", "nbr"),
        Way("internal to the world", "c4", address("c4", version), nbr, "internal", "nbr"),
        Way("internal to the host", "c4", address("c4", version), host, "gateway_only", "node"),
        Way("neighbour to an internal network", "nbr", nbr, address("c4", version), "internal", "c4"),
        Way("through the host", "nbr", nbr, OUTSIDE["vpn"][six], "transit", "vpn"),
        Way("a neighbour's address", "c1", address("c2", version), nbr, "source_addresses", "nbr"),
        Way("a stranger's address", "l1", "2001:4860::8" if six else "8.8.8.8", nbr, "sources", "nbr"),
    ]
    if not six:
        ways.append(Way("neighbour to the loopback", "nbr", nbr, "127.0.0.1", "loopback", "node"))
    return ways


def _in_forms(version: int, forms: dict[str, Form]) -> t.Iterator[Attack]:
    for way in _ways(version):
        for name, form in forms.items():
            if "fragments" in name and way.counter == "source_addresses":  # the bridge counts each
                continue
            is_forwarded = way.counter in ("closed", "ingress", "egress")
            counter = "source_routes" if is_forwarded and "routing header" in name else way.counter
            yield Attack(f"{way.name} {name}, IPv{version}", way.origin, _sent(way, form), counter, way.victim)


def _sent(way: Way, form: Form, tags: t.Sequence[tuple[int, int]] = ()) -> Send:
    kind = wire.IP6 if ":" in way.source else wire.IP

    def send(lab: Lab, token: bytes) -> None:
        for packet in form(way.source, way.target, token):
            lab[way.origin].frame(wire.ethernet(lab.hop(way.origin), lab[way.origin].mac, kind, packet, tags))

    return send


def _tagged(version: int) -> t.Iterator[Attack]:
    """A kernel takes a frame with the priority tag (VLAN 0) as one without a tag."""
    for way in _ways(version):
        if way.origin != "nbr":
            continue
        for name, tag in (("802.1Q", wire.VLAN), ("802.1ad", wire.QINQ)):
            attack = _sent(way, _datagram, ((tag, 0),))
            yield Attack(
                f"{way.name} with a priority tag of {name}, IPv{version}", "nbr", attack, way.counter, way.victim
            )
            other = _sent(way, _datagram, ((tag, 5),))  # no link of the host has this VLAN
            yield Attack(f"{way.name} in a VLAN of {name}, IPv{version}", "nbr", other, "", way.victim)


def _datagram(source: str, target: str, token: bytes) -> list[bytes]:
    return [wire.packet(source, target, wire.UDP, datagram(source, target, PORT, token))]


def _inner(source: str, target: str, token: bytes) -> bytes:
    return _datagram(source, target, token)[0]


def _protocols() -> dict[str, Form]:
    """Protocols without ports, and with ports that are not those of TCP and UDP."""
    numbers = {
        "ESP": 50,
        "IP mobility": 55,
        "OSPF": 89,
        "EtherIP": 97,
        "IPComp": 108,
        "L2TP": 115,
        "MPLS in IP": 137,
        "an unknown protocol": 253,
    }

    def raw(number: int) -> Form:
        return lambda source, target, token: [wire.packet(source, target, number, token * 4)]

    def sctp(source: str, target: str, token: bytes) -> list[bytes]:
        return [wire.packet(source, target, wire.SCTP, wire.sctp(10000 + int(token[2:]) % 50000, PORT, token))]

    def syn(source: str, target: str, token: bytes) -> list[bytes]:
        sport = 10000 + int(token[2:]) % 50000
        return [wire.packet(source, target, wire.TCP, wire.tcp(source, target, sport, PORT, wire.SYN, token))]

    return {
        **{f"by {name}": raw(number) for name, number in numbers.items()},
        "by SCTP": sctp,
        "by TCP with data in its first segment": syn,
    }


def _encapsulated() -> dict[str, Form]:
    """A packet in another one, for the same way."""

    def in_ip(source: str, target: str, token: bytes) -> list[bytes]:
        return [wire.packet(source, target, 41 if ":" in source else 4, _inner(source, target, token))]

    def in_other_family(source: str, target: str, token: bytes) -> list[bytes]:
        inner = _inner("192.0.2.77", "192.0.2.78", token) if ":" in source else _inner("fe80::77", "fe80::78", token)
        return [wire.packet(source, target, 4 if ":" in source else 41, inner)]

    def in_gre(source: str, target: str, token: bytes) -> list[bytes]:
        kind = wire.IP6 if ":" in source else wire.IP
        return [wire.packet(source, target, 47, struct.pack("!HH", 0, kind) + _inner(source, target, token))]

    def in_udp(port: int, head: bytes, is_frame: bool) -> Form:
        def form(source: str, target: str, token: bytes) -> list[bytes]:
            inner = _inner(source, target, token)
            kind = wire.IP6 if ":" in source else wire.IP
            body = head + (wire.ethernet(wire.BROADCAST, "02:00:00:00:00:99", kind, inner) if is_frame else inner)
            return [
                wire.packet(
                    source, target, wire.UDP, datagram(source, target, port, body, 10000 + int(token[2:]) % 50000)
                )
            ]

        return form

    return {
        "in IP": in_ip,
        "in IP of the other family": in_other_family,
        "in GRE": in_gre,
        "in VXLAN of another port": in_udp(8472, struct.pack("!II", 0x08000000, 4097 << 8), True),
        "in VXLAN-GPE": in_udp(4790, struct.pack("!II", 0x0C000001, 4097 << 8), False),
        "in Geneve": in_udp(6081, struct.pack("!HHI", 0, 0x6558, 4097 << 8), True),
        "in GRE in UDP": in_udp(4754, struct.pack("!HH", 0, wire.IP), False),
        "in GTP": in_udp(2152, struct.pack("!BBHI", 0x30, 255, 60, 1), False),
    }


def _pieces() -> dict[str, Form]:
    """Fragments that do not show what they belong to. A datagram counts once: it is put together first."""

    def cut(first: int, is_reversed: bool = False) -> Form:
        def form(source: str, target: str, token: bytes) -> list[bytes]:
            whole = wire.udp(source, target, 40000, PORT, token * 8)
            parts = wire.fragments(source, target, wire.UDP, whole, first, int(token[2:]))
            return parts[::-1] if is_reversed else parts

        return form

    return {
        "in tiny fragments": cut(8),
        "in fragments that come in reverse": cut(16, is_reversed=True),
    }


def _options4() -> dict[str, Form]:
    """Options of IPv4 (RFC 791), before which a rule may look for the ports in vain."""

    def behind(options: bytes) -> Form:
        return lambda source, target, token: [
            wire.packet(source, target, wire.UDP, datagram(source, target, PORT, token), options=options)
        ]

    return {
        "behind options that do nothing": behind(b"\x01" * 40),
        "with a record of its route": behind(b"\x07\x07\x04\0\0\0\0\0"),
        "with the router alert": behind(b"\x94\x04\0\0"),
    }


def _headers6() -> dict[str, Form]:
    """Extension headers, each on its own and several at once (RFC 8200). Routing headers are at their last segment."""

    def behind(*headers: tuple[int, bytes]) -> Form:
        def form(source: str, target: str, token: bytes) -> list[bytes]:
            protocol, payload = wire.UDP, datagram(source, target, PORT, token)
            for number, rest in reversed(headers):
                payload = bytes([protocol]) + rest + payload
                protocol = number
            return [wire.packet(source, target, protocol, payload)]

        return form

    options = b"\0\1\4\0\0\0\0"
    fragment = b"\0\0\0\0\0\0\x63"
    routing = {kind: bytes([2, kind, 0, 0, 0, 0, 0]) + bytes(16) for kind in (0, 2, 3, 4)}
    return {
        "behind hop-by-hop options": behind((wire.HOP_BY_HOP, options)),
        "behind destination options": behind((wire.OPTIONS, options)),
        "behind eight headers": behind(*[(wire.OPTIONS, options)] * 8),
        "in a fragment of its own": behind((wire.FRAGMENT, fragment)),
        **{f"behind a routing header of type {kind}": behind((wire.ROUTING, rest)) for kind, rest in routing.items()},
        "behind options and a routing header": behind((wire.OPTIONS, options), (wire.ROUTING, routing[4])),
    }


def _source_routes(version: int, is_known: bool) -> t.Iterator[Attack]:
    """Packets to the host that it would send on, where an operator lets it take source routes.

    Rules before the routing see the host as their target. As part of a connection with the host they are no new one.
    """
    nbr = OUTSIDE["nbr"][version == 6]
    ways = [("nbr", nbr, target, address(target, version)) for target in ("c1", "r1", "c4", "o1")]
    ways.append(("n1", address("n1", version), "nbr", nbr))
    for origin, source, victim, target in ways:
        for name, made in (_loose_routes if version == 4 else _segments)(source, target).items():

            def send(lab: Lab, token: bytes, origin: str = origin, source: str = source, made: Made = made) -> None:
                port, host = 20000 + int(token[2:]) % 10000, HOST[version == 6]
                if is_known:
                    _put(lab, origin, wire.packet(source, host, wire.UDP, wire.udp(source, host, port, PORT, b"?")))
                    lab["node"].listen()
                    lab["node"].answer(PORT, source, port)
                _put(lab, origin, made(wire.udp(source, host, port, PORT, token)))

            where = " within a connection with the host" if is_known else ""
            counter = "" if "type 0" in name else "internal" if victim == "c4" else "source_routes"
            if origin == "n1" and name.startswith("RPL"):  # it is no packet of the connection any more
                counter = "egress"
            yield Attack(f"{name} of {origin} to {victim}{where}, IPv{version}", origin, send, counter, victim)


def _put(lab: Lab, origin: str, packet: bytes) -> None:
    kind = wire.IP6 if packet[0] >> 4 == 6 else wire.IP
    lab[origin].frame(wire.ethernet(lab.hop(origin), lab[origin].mac, kind, packet))


def _loose_routes(source: str, hop: str) -> dict[str, Made]:
    """Return packets with a loose or strict route (RFC 791) by the host to a hop."""

    def routed(kind: int) -> Made:
        option = bytes([kind, 7, 4]) + wire.packed(hop) + b"\0"
        return lambda body: wire.packet(source, HOST[0], wire.UDP, body, options=option)

    return {"loose source route": routed(131), "strict source route": routed(137)}


def _segments(source: str, hop: str) -> dict[str, Made]:
    """Return packets with a routing header whose last segment is a hop (RFC 8754, RFC 6554, RFC 5095)."""

    def routed(kind: int, rest: bytes, segments: list[str]) -> Made:
        header = bytes([wire.UDP, 2 * len(segments), kind, 1]) + rest + b"".join(map(wire.packed, segments))
        return lambda body: wire.packet(source, HOST[1], wire.ROUTING, header + body)

    return {
        "segment routing header": routed(4, bytes([1, 0, 0, 0]), [hop, HOST[1]]),
        "RPL routing header": routed(3, bytes(4), [hop]),
        "routing header of type 0": routed(0, bytes(4), [hop]),
    }
