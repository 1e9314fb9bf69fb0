# SPDX-License-Identifier: GPL-3.0-or-later
"""What must pass, and what the other end must see of it: rules that drop everything would pass every attack."""

from __future__ import annotations

import struct
import typing as t

from . import wire
from .attacks_host import foreign, tunnelled
from .attacks_port import ADVERTISEMENT, SOLICITATION, message6
from .claims import Call, Passage, Send, asks, datagram, frame_of
from .places import FOREIGN_NET, FORWARDER, HOST, LATE_ADDRESS, OUTSIDE, SECOND, address, gateway, host_port
from .topology import GUEST, Lab

CLOSED_PORT = 12345  # nobody listens there


def of(version: int) -> list[Passage]:
    """Return the passages over one family."""
    return [
        *_inside(version),
        *_out(version),
        *_pings_out(version),
        *_published(version),
        *_direct(version),
        *_host(version),
        *_frames(version),
    ]


def calls(version: int) -> list[Call]:
    """Return the connections over one family."""
    host, far = HOST[version == 6], OUTSIDE["far"][version == 6]
    pairs = [
        ("c1", address("c2", version), 80),
        ("c1", OUTSIDE["nbr"][version == 6], 80),
        ("c1", far, 81),
        ("r1", far, 80),
        ("s1", far, 80),
        ("o1", far, 80),
        ("nbr", host, host_port("c1")),
        ("far", host, host_port("c1")),
        ("node", host, host_port("c1")),
        ("c1", host, host_port("c2")),
        ("c1", host, host_port("c1")),
        ("c3", host, host_port("c1")),
        ("q1", host, host_port("q2")),
        ("vpn", SECOND[version == 6], host_port("c3")),
        ("nbr", address("r1", version), 80),
        ("c3", address("r1", version), 80),
        ("nbr", address("u1", version), 81),
        ("vpn", address("t1", version), 80),
        ("p1", address("p2", version), 81),
        ("node", address("c4", version), 81),
        ("c1", gateway("c1", version), 81),
    ]
    return [Call(f"{origin} connects to {target} port {port}", origin, target, port) for origin, target, port in pairs]


def _asked(origin: str, to: str, port: int, target: str, source: str = "", at: int = 0, version: int = 4) -> Passage:
    return Passage(
        f"{origin} asks {to} port {port}, IPv{version}", asks(origin, to, port), target, source=source, port=at
    )


def _inside(version: int) -> t.Iterator[Passage]:
    yield _asked("c1", address("c2", version), 80, "c2", address("c1", version), version=version)
    yield _asked("c4", address("c5", version), 81, "c5", address("c4", version), version=version)
    yield _asked("i1", address("i2", version), 81, "i2", address("i1", version), version=version)
    yield _asked("guest", address("c1", version), 80, "c1", GUEST[version == 6], version=version)
    yield _asked("c1", GUEST[version == 6], 80, "guest", address("c1", version), version=version)
    yield _asked("p1", address("p2", version), 81, "p2", gateway("p2", version), version=version)

    # The kernel redirects a host once in a while only, and tells c1 in vain: its calls come back to its network.
    for origin, neighbour in (("c1", "c2"), ("r1", "r2")):
        yield Passage(
            f"{origin} by way of the gateway keeps its address, IPv{version}",
            _detour(address(origin, version), address(neighbour, version), origin, neighbour),
            neighbour,
            source=address(origin, version),
        )


def _detour(source: str, target: str, origin: str, neighbour: str) -> Send:
    """Return the sender of packets to a neighbour by way of the gateway."""

    def send(lab: Lab, token: bytes) -> None:
        port = 10000 + int(token[2:]) % 50000
        # A question first, by the same way: a kernel that translates redirects nobody who opens a flow
        # (nf_nat_icmp_reply_translation), only who answers in one.
        asked = wire.udp(target, source, 80, port, b"?")
        lab[neighbour].frame(frame_of(lab, neighbour, target, source, wire.UDP, asked))
        lab[origin].frame(frame_of(lab, origin, source, target, wire.UDP, wire.udp(source, target, port, 80, token)))

    return send


def _out(version: int) -> t.Iterator[Passage]:
    six = version == 6
    keep = [(origin, address(origin, version)) for origin in ("r1", "o1")]
    for origin, source in (*((origin, HOST[six]) for origin in ("c1", "q1", "u1", "l1")), *keep):
        for target in ("nbr", "far"):
            yield _asked(origin, OUTSIDE[target][six], 80, target, source, version=version)
    yield _asked("c1", OUTSIDE["vpn"][six], 80, "vpn", SECOND[six], version=version)
    yield _asked("s1", OUTSIDE["vpn"][six], 80, "vpn", HOST[six], version=version)
    yield _asked("c2", OUTSIDE["nbr"][six], 53, "nbr", HOST[six], 53, version)  # the port is published here as well
    for origin in ("c1", "r1"):
        yield Passage(
            f"{origin} is told of a closed port, IPv{version}",
            asks(origin, OUTSIDE["nbr"][six], CLOSED_PORT),
            origin,
            "frame",
        )


def _pings_out(version: int) -> t.Iterator[Passage]:
    """Protocols without ports are translated as well, to the address of the link or to the fixed one."""
    six = version == 6
    for origin, target, source in (("c1", "nbr", HOST), ("c1", "vpn", SECOND), ("s1", "vpn", HOST)):
        yield Passage(
            f"{origin} pings {target}, IPv{version}",
            lambda lab, token, origin=origin, target=target: lab[origin].echo(address(target, version), token),
            target,
            "echo",
            source[six],
        )


def _published(version: int) -> t.Iterator[Passage]:
    host, six = HOST[version == 6], version == 6
    for origin in ("nbr", "far"):
        yield _asked(origin, host, host_port("c1"), "c1", OUTSIDE[origin][six], 80, version)
    yield _asked("vpn", SECOND[six], host_port("c3"), "c3", OUTSIDE["vpn"][six], 80, version)
    yield _asked("nbr", host, 53, "c1", OUTSIDE["nbr"][six], 80, version)
    for port, at in ((9001, 9001), (9101, 9101), (9200, 80)):
        yield _asked("nbr", host, port, "c2", OUTSIDE["nbr"][six], at, version)
        yield _asked("node", host, port, "c2", "", at, version)
    yield _asked("far", host, 8500, "c2", OUTSIDE["far"][six], 80, version)
    yield _asked("node", host, host_port("c1"), "c1", "", 80, version)
    for origin, target in (("c1", "c2"), ("c1", "c1"), ("c3", "c1"), ("q1", "q2"), ("l1", "c1")):
        yield _asked(origin, host, host_port(target), target, gateway(target, version), 80, version)
    if version == 4:
        yield _asked("node", "127.0.0.1", 8900, "c1", gateway("c1", 4), 80)
        yield _asked("node", "127.0.0.1", host_port("c3"), "c3", gateway("c3", 4), 80)
        return
    yield _asked(
        "node", "::1", 8001, "node", "::1", 8001, 6
    )  # not published there: a service of the host's own keeps it

    def linklocal(lab: Lab, token: bytes) -> None:
        lab["nbr"].frame(
            frame_of(lab, "nbr", "fe80::3", "fe80::2", wire.UDP, datagram("fe80::3", "fe80::2", 8001, token))
        )

    yield Passage("a port of the host's own at its link-local address", linklocal, "node", source="fe80::3", port=8001)


def _direct(version: int) -> t.Iterator[Passage]:
    six = version == 6
    for origin, target, port in (
        ("nbr", "u1", 81),
        ("far", "u1", 80),
        ("nbr", "r1", 80),
        ("far", "r1", 80),
        ("vpn", "t1", 80),
    ):
        yield _asked(origin, address(target, version), port, target, OUTSIDE[origin][six], version=version)
    for origin, target, port in (("c1", "u1", 81), ("c3", "r1", 80), ("node", "c1", 81), ("node", "r1", 81)):
        yield _asked(origin, address(target, version), port, target, version=version)
    for origin, target in (("nbr", "r1"), ("c1", "r1"), ("nbr", "u1"), ("node", "c1"), ("p1", "p2")):
        yield Passage(
            f"{origin} pings {target}, IPv{version}",
            lambda lab, token, origin=origin, target=target: lab[origin].echo(address(target, version), token),
            target,
            "echo",
        )


def _host(version: int) -> t.Iterator[Passage]:
    six = version == 6
    for origin in ("c1", "n1", "o1", "l1"):
        for to in (gateway(origin, version), gateway("c3", version), HOST[six], SECOND[six]):
            yield _asked(origin, to, 81, "node", address(origin, version), version=version)
    for origin in ("c1", "c3", "r1"):
        yield _asked(origin, gateway("c1", version), FORWARDER, "node", address(origin, version), version=version)
    yield _asked("c4", gateway("c4", version), 81, "node", address("c4", version), version=version)
    for origin in OUTSIDE:
        yield _asked(origin, HOST[six], 81, "node", OUTSIDE[origin][six], version=version)
    yield Passage(
        f"o2 has forgotten its gateway and finds it again, IPv{version}",
        _forgetful("o2", gateway("o2", version)),
        "node",
        source=address("o2", version),
        port=81,
    )
    yield _asked("nbr", LATE_ADDRESS[six], 81, "node", OUTSIDE["nbr"][six], version=version)
    inner = ("v1", "w1")[six]
    yield Passage(
        f"a peer's frame in an overlay, IPv{version}",
        tunnelled("nbr", OUTSIDE["nbr"][six], HOST[six], inner, version),
        inner,
    )
    if not six:
        yield Passage(
            "a frame of a foreign VXLAN network",
            lambda lab, token: lab["nbr"].frame(foreign(lab, "nbr", OUTSIDE["nbr"][0], HOST[0], token)),
            "node",
            source=FOREIGN_NET[1],
        )
        yield Passage("a frame into a foreign VXLAN network", asks("node", FOREIGN_NET[1], 81), "nbr", "frame")


def _forgetful(origin: str, target: str) -> Send:
    """Return the sender of datagrams of a place that must ask for its target's MAC address first."""

    def send(lab: Lab, token: bytes) -> None:
        lab.host.run(["ip", "neighbour", "flush", "to", target, "dev", "eth0"], netns=origin)
        lab[origin].datagram(target, 81, token)

    return send


def _frames(version: int) -> t.Iterator[Passage]:
    def other_mac(lab: Lab, token: bytes) -> None:
        lab["l1"].frame(wire.ethernet(lab["l2"].mac, "02:00:00:00:00:77", 0x88B5, token))

    def arp(sender: str, target: str) -> t.Callable[[Lab, bytes], None]:
        def send(lab: Lab, token: bytes) -> None:
            message = wire.arp(1, lab["c1"].mac, sender, "00:00:00:00:00:00", target, token)
            lab["c1"].frame(wire.ethernet(wire.BROADCAST, lab["c1"].mac, wire.ARP, message))

        return send

    def dhcp(lab: Lab, token: bytes) -> None:
        body = datagram(address("c1", 4), "255.255.255.255", 67, token, 68)
        packet = wire.packet(address("c1", 4), "255.255.255.255", wire.UDP, body)
        lab["c1"].frame(wire.ethernet(wire.BROADCAST, lab["c1"].mac, wire.IP, packet))

    def discovered(kind: int, source: str) -> t.Callable[[Lab, bytes], None]:
        def send(lab: Lab, token: bytes) -> None:
            body = struct.pack("!I", 0) + wire.packed(address("c1", 6)) + wire.token_option(token)
            target = wire.solicited_node(address("c2", 6)) if source else address("c2", 6)
            lab["c1"].frame(
                wire.ethernet(
                    wire.multicast_mac(target) if source else lab["c2"].mac,
                    lab["c1"].mac,
                    wire.IP6,
                    message6(lab, "c1", target, kind, body, source),
                )
            )

        return send

    if version == 4:
        yield Passage("a port without a guard sends anything", other_mac, "l2", "frame")
        yield Passage("a question for a neighbour", arp(address("c1", 4), address("c2", 4)), "c2", "frame")
        yield Passage("an announcement of an address", arp(address("c1", 4), address("c1", 4)), "c2", "frame")
        yield Passage("a question whether an address is free", arp("0.0.0.0", address("c1", 4)), "c2", "frame")
        yield Passage("a question to a DHCP server", dhcp, "c2", "frame")
        return
    yield Passage("a question whether an address is free", discovered(SOLICITATION, "::"), "c2", "frame")
    yield Passage("an answer that an address is here", discovered(ADVERTISEMENT, ""), "c2", "frame")
