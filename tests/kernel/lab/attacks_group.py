# SPDX-License-Identifier: GPL-3.0-or-later
"""Attacks by frames to the group addresses that no bridge forwards (IEEE 802.1D, table 7-10).

A bridge passes such a frame to the port that it came in by, past the hooks of the bridge: all of them for :0e, all but
the last for the others. :01 is dropped by every bridge, and :00 is forwarded as any group where there is no spanning
tree.
"""

from __future__ import annotations

import struct
import typing as t

from . import attacks_port, wire
from .attacks_host import VXLAN
from .claims import Attack, Send, datagram, frame_of, of_kinds
from .places import HOST, NETS, NETWORK_OF, OUTSIDE, address, gateway
from .topology import GUEST, Lab

GROUPS = tuple(f"01:80:c2:00:00:{last:02x}" for last in range(16))
FORWARDED, PAUSE = GROUPS[0], GROUPS[1]
LACP, LLDP = GROUPS[2], GROUPS[14]
# A sandbox of each kind of network, with a neighbour of it, which is itself where it has none.
PAIRS = {
    "c1": "c2",
    "c4": "c5",
    "i1": "i2",
    "r1": "r2",
    "q1": "q2",
    "n1": "n2",
    "l1": "l2",
    "f1": "f2",
    "v1": "v1",
    "w1": "w1",
}
ORIGINS = tuple(PAIRS)
HEARD_BY_THE_HOST = 9998
Make = t.Callable[[Lab, bytes], tuple[int, bytes]]  # (EtherType, payload) with a token
Peer = t.NamedTuple("Peer", (("vni", int), ("family", int), ("victim", str)))
# Far ends of the lab's overlays, which send what a host with a hostile root sends.
PEERS = (Peer(4097, 4, "v1"), Peer(4098, 6, "w1"))


def of() -> list[Attack]:
    """Return one attack for each origin and group, and each kind of packet in the two groups that differ most."""
    return of_kinds(
        {
            "group addresses": _to_groups(GROUPS[1:], _one_kind),
            "packets to group addresses": _to_groups((LACP, LLDP), _kinds),
            "group addresses through a tunnel": _from_peers((PAUSE, LACP, LLDP)),
            "the group address that is forwarded": _forwarded(),
            "group addresses from a veth pair": _from_pair(),
        }
    )


def every() -> list[Attack]:
    """Return each kind of packet from each origin to each group that a bridge does not forward."""
    return of_kinds(
        {
            "packets to group addresses": _to_groups(GROUPS[1:], _kinds),
            "group addresses through a tunnel": _from_peers(GROUPS[1:]),
        }
    )


def _to_groups(groups: t.Sequence[str], kinds_of: t.Callable[[str], dict[str, Make]]) -> t.Iterator[Attack]:
    for origin in ORIGINS:
        for group in groups:
            yield from _sent(origin, group, kinds_of(origin))


def _from_peers(groups: t.Sequence[str]) -> t.Iterator[Attack]:
    for peer in PEERS:
        for group in groups:
            yield from _from_peer(peer, group)


def _source(origin: str, version: int) -> str:
    """Return the address of a place, an invented one where its network does not have the family."""
    return "2001:db8:130::1" if version == 6 and origin in ("f1", "f2") else address(origin, version)


def _one_kind(origin: str) -> dict[str, Make]:
    return {"a datagram to the host": _datagram(_source(origin, 4), HOST[0])}


def _kinds(origin: str) -> dict[str, Make]:
    net = NETS[NETWORK_OF[origin]]
    return {
        **_ipv4_kinds(origin, _source(origin, 4), net.address(1, 4), net.address(255, 4)),
        **_ipv6_kinds(origin, _source(origin, 6), net.address(1, 6)),
        **_arp_kinds(origin),
    }


def _ipv4_kinds(origin: str, source: str, gate: str, broadcast: str) -> dict[str, Make]:
    targets = {
        "the host": HOST[0],
        "the gateway": gate,
        "everybody": "255.255.255.255",
        "its subnet": broadcast,
        "all hosts": "224.0.0.1",
        "the loopback": "127.0.0.1",
    }
    neighbour = address(PAIRS[origin], 4)
    return {
        **{f"a datagram to {name}": _datagram(source, target) for name, target in targets.items()},
        "a neighbour's datagram": _datagram(neighbour, HOST[0]),
        "nobody's datagram": _datagram("0.0.0.0", "255.255.255.255"),
        "an echo request": lambda lab, token: (
            wire.IP,
            wire.packet(source, HOST[0], wire.ICMP, wire.icmp(8, 0, struct.pack("!HH", 77, 1) + token)),
        ),
        "a datagram with the priority tag": lambda lab, token: (
            wire.VLAN,
            struct.pack("!HH", 0, wire.IP) + _datagram(source, HOST[0])(lab, token)[1],
        ),
    }


def _ipv6_kinds(origin: str, source: str, gate: str) -> dict[str, Make]:
    targets = {"the host": HOST[1], "the gateway": gate, "all nodes": attacks_port.ALL_NODES}

    def advertises_router(lab: Lab, token: bytes) -> tuple[int, bytes]:
        body = attacks_port.advertisement(lab, origin, token)
        own = wire.link_local(lab[origin].mac)
        return wire.IP6, attacks_port.message6(
            lab, origin, attacks_port.ALL_NODES, attacks_port.ROUTER_ADVERTISEMENT, body, own
        )

    def advertises_neighbour(lab: Lab, token: bytes) -> tuple[int, bytes]:
        body = struct.pack("!I", 0x20000000) + wire.packed(OUTSIDE["nbr"][1]) + wire.option6(2, lab[origin].mac)
        body += wire.token_option(token)
        return wire.IP6, attacks_port.message6(lab, origin, HOST[1], attacks_port.ADVERTISEMENT, body, source)

    def asks_for_host(lab: Lab, token: bytes) -> tuple[int, bytes]:
        body = bytes(4) + wire.packed(HOST[1]) + wire.option6(1, lab[origin].mac) + wire.token_option(token)
        return wire.IP6, attacks_port.message6(lab, origin, HOST[1], attacks_port.SOLICITATION, body, source)

    def asks_for_echo(lab: Lab, token: bytes) -> tuple[int, bytes]:
        body = struct.pack("!HH", 77, 1) + token
        return wire.IP6, wire.packet(source, HOST[1], wire.ICMP6, wire.icmp6(source, HOST[1], 128, body))

    return {
        **{f"an IPv6 datagram to {name}": _datagram(source, target) for name, target in targets.items()},
        "the host's IPv6 datagram": _datagram(HOST[1], HOST[1]),
        "a router advertisement": advertises_router,
        "a neighbour advertisement": advertises_neighbour,
        "a neighbour solicitation": asks_for_host,
        "an IPv6 echo request": asks_for_echo,
    }


def _arp_kinds(origin: str) -> dict[str, Make]:
    """ARP for the host's address, from a neighbour on another link than the port: who answers, takes an entry."""

    def said(operation: int, sender: str, target: str) -> Make:
        return lambda lab, token: (
            wire.ARP,
            wire.arp(operation, lab[origin].mac, sender, "00:00:00:00:00:00", target, token),
        )

    return {
        "an ARP request": said(1, OUTSIDE["nbr"][0], HOST[0]),
        "an ARP request of a stranger": said(1, "192.0.2.77", HOST[0]),
        "an ARP reply": said(2, OUTSIDE["nbr"][0], HOST[0]),
        "an announcement": said(1, "192.0.2.78", "192.0.2.78"),
    }


def _datagram(source: str, target: str) -> Make:
    kind = wire.IP6 if ":" in source else wire.IP
    return lambda lab, token: (
        kind,
        wire.packet(source, target, wire.UDP, datagram(source, target, HEARD_BY_THE_HOST, token)),
    )


def _stopped_by(group: str, what: str) -> str:
    """Return the counter of the rule that drops a packet; the port's own settings drop IPv6 and ARP, uncounted."""
    if "priority tag" in what and group not in (PAUSE, LLDP):
        return "protocols"
    takes_ipv4 = group != PAUSE and ("datagram" in what or "echo" in what) and "IPv6" not in what
    return "ports" if takes_ipv4 else ""


def _sent(origin: str, group: str, kinds: t.Mapping[str, Make]) -> t.Iterator[Attack]:
    """Yield what a sandbox sends, with its neighbour's MAC as well: a bridge that learns would look for it there.

    Without port security a bridge learns, from any frame.
    """
    owners = {origin} if NETWORK_OF[origin] == "loose" else {origin, PAIRS[origin]}
    for name, make in kinds.items():
        for owner in sorted(owners):
            yield Attack(
                f"{origin} sends {name} to group {group[-2:]} with the MAC of {owner}",
                origin,
                _framed(origin, group, owner, make),
                _stopped_by(group, name),
                PAIRS[origin],
            )


def _framed(origin: str, group: str, owner: str, make: Make) -> Send:
    def send(lab: Lab, token: bytes) -> None:
        lab[origin].frame(wire.ethernet(group, lab[owner].mac, *make(lab, token)))

    return send


def _from_peer(peer: Peer, group: str) -> t.Iterator[Attack]:
    """Yield what a peer of an overlay sends through the tunnel."""
    for name, make in _kinds(peer.victim).items():
        yield Attack(
            f"peer of {peer.victim} sends {name} to group {group[-2:]}",
            "nbr",
            _tunnelled(peer, group, make),
            _stopped_by(group, name),
            peer.victim,
        )


def _tunnelled(peer: Peer, group: str, make: Make) -> Send:
    source, target = OUTSIDE["nbr"][peer.family == 6], HOST[peer.family == 6]

    def send(lab: Lab, token: bytes) -> None:
        inner = wire.ethernet(group, "02:00:00:00:99:99", *make(lab, token))
        outer = wire.udp(source, target, 50000, VXLAN, struct.pack("!II", 0x08000000, peer.vni << 8) + inner)
        lab["nbr"].frame(frame_of(lab, "nbr", source, target, wire.UDP, outer))

    return send


def _from_pair() -> t.Iterator[Attack]:
    """Yield datagrams from a link in a bridge that is no sandbox's, which pass no rule of the bridge."""
    for group in (LACP, LLDP):

        def send(lab: Lab, token: bytes, group: str = group) -> None:
            lab["guest"].frame(wire.ethernet(group, lab["guest"].mac, *_datagram(GUEST[0], HOST[0])(lab, token)))

        yield Attack(f"guest sends a datagram to the host to group {group[-2:]}", "guest", send, "ports", "node")


def _forwarded() -> t.Iterator[Attack]:
    """Yield frames to :00, which pass the rules as any other."""
    kinds: dict[str, tuple[str, str, Make]] = {
        "a neighbour's datagram": ("c1", "source_addresses", _datagram(address("c2", 4), HOST[0])),
        "a datagram to the host": ("c4", "gateway_only", _datagram(address("c4", 4), HOST[0])),
        "a router advertisement": (
            "c1",
            "routers",
            _ipv6_kinds("c1", address("c1", 6), gateway("c1", 6))["a router advertisement"],
        ),
        "an ARP request": ("c1", "arp_senders", _arp_kinds("c1")["an ARP request"]),
    }
    for name, (origin, counter, make) in kinds.items():
        yield Attack(
            f"{origin} sends {name} to group 00",
            origin,
            _framed(origin, FORWARDED, origin, make),
            counter,
            PAIRS[origin],
            # Its neighbours are in the group as well.
            frozenset((PAIRS[origin], "guest")) if counter == "gateway_only" else frozenset(),
        )
    yield Attack(
        "c1 sends a datagram to group 00 with its neighbour's MAC",
        "c1",
        _framed("c1", FORWARDED, "c2", _datagram(address("c1", 4), HOST[0])),
        "source_macs",
    )
