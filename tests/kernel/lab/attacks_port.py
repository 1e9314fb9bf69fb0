# SPDX-License-Identifier: GPL-3.0-or-later
"""Attacks of a sandbox on its own network: other MACs, other addresses, other protocols, and answers that nobody
asked for.
"""

from __future__ import annotations

import ipaddress
import struct
import typing as t

from . import wire
from .claims import Attack, Send, datagram, frame_of, of_kinds, udp_from
from .places import BEHIND_L2, HOST, NETWORK_OF, address, gateway
from .topology import Lab

ALL_NODES, ALL_ROUTERS, ALL_MLD = "ff02::1", "ff02::2", "ff02::16"
BPDU_GROUP, PAUSE_GROUP, LACP_GROUP, LLDP_GROUP = (f"01:80:c2:00:00:{last}" for last in ("00", "01", "02", "0e"))
ROUTER_ADVERTISEMENT, REDIRECT, SOLICITATION, ADVERTISEMENT, MLD_QUERY = 134, 137, 135, 136, 130


def of(origin: str = "c1", victim: str = "c2") -> list[Attack]:
    """Return the attacks of one sandbox on another of its network."""
    return of_kinds(
        {
            "MAC addresses and protocols": _stations(origin, victim),
            "ARP": _arp(origin, victim),
            "IPv4 source addresses": _sources4(origin, victim),
            "IPv6 source addresses": _sources6(origin, victim),
            "DHCP": _services(origin, victim),
            "DHCP clients": _offers(origin, victim),
            "malformed packets": _malformed(origin, victim),
            "routers": _routers(origin, victim),
            "neighbour discovery": _neighbours(origin, victim),
            "duplicate address detection": _denials(origin, victim),
            "multicast queriers": _queriers(origin, victim),
        }
    )


def kernels() -> list[Attack]:
    """Return the attacks that a port without a guard lets through to the host, and what must stop them there.

    And those that no rule sees.
    """
    return of_kinds(
        {
            "ports without port security": _unguarded(),
            "networks without IPv6": _without_ipv6(),
            "icc: false": _apart(),
        }
    )


def _frame(origin: str, make: t.Callable[[Lab, bytes], bytes]) -> Send:
    def send(lab: Lab, token: bytes) -> None:
        lab[origin].frame(make(lab, token))

    return send


def _own6(lab: Lab, place: str) -> str:
    return wire.link_local(lab[place].mac)


def _stations(origin: str, victim: str) -> t.Iterator[Attack]:
    def claimed(mac: t.Callable[[Lab], str], version: int) -> Send:
        def make(lab: Lab, token: bytes) -> bytes:
            payload = wire.packet(
                address(origin, version),
                address(victim, version),
                wire.UDP,
                datagram(address(origin, version), address(victim, version), 80, token),
            )
            return wire.ethernet(lab[victim].mac, mac(lab), wire.IP6 if version == 6 else wire.IP, payload)

        return _frame(origin, make)

    for version in (4, 6):
        macs = {
            "the victim's": lambda lab: lab[victim].mac,
            "the gateway's": lambda lab: lab.hop(origin),
            "the host's": lambda lab: lab["node"].mac,
            "a stranger's": lambda lab: "02:00:00:00:00:99",
        }
        for name, mac in macs.items():
            yield Attack(
                f"{origin} with {name} MAC, IPv{version}", origin, claimed(mac, version), "source_macs", victim
            )
    yield Attack(
        f"{origin} with a MAC for each frame",
        origin,
        _frame(
            origin, lambda lab, token: wire.ethernet(wire.BROADCAST, "02:ee:" + token[4:8].hex(":"), wire.IP, token)
        ),
        "source_macs",
        victim,
    )
    kinds = {
        "an unknown type": 0x88B5,
        "RARP": wire.RARP,
        "LLDP": 0x88CC,
        "EAPOL": 0x888E,
        "PPPoE": 0x8863,
        "MPLS": 0x8847,
        "802.3": 50,
    }
    for name, kind in kinds.items():
        for target in (victim, wire.BROADCAST):
            yield Attack(
                f"{origin} sends {name} to {target}",
                origin,
                _typed(origin, target, kind),
                "source_macs",
                victim,
            )
    tags = {
        "802.1Q": ((wire.VLAN, 5),),
        "priority": ((wire.VLAN, 0),),
        "802.1ad": ((wire.QINQ, 5),),
        "double": ((wire.QINQ, 5), (wire.VLAN, 6)),
        "two 802.1Q": ((wire.VLAN, 5), (wire.VLAN, 0)),
    }
    for name, tag in tags.items():
        for version in (4, 6):
            yield Attack(
                f"{origin} behind {name} tags, IPv{version}",
                origin,
                _tagged(origin, victim, version, tag),
                "source_macs",
                victim,
            )
    yield Attack(
        f"{origin} claims to be the root bridge",
        origin,
        _frame(origin, lambda lab, token: bpdu(lab[origin].mac, token)),
        "source_macs",
        victim,
    )


def bpdu(mac: str, token: bytes) -> bytes:
    """Return a configuration BPDU (802.1D) of a bridge that has the best priority."""
    body = (
        bytes.fromhex("424203")
        + struct.pack(
            "!HBBB8sI8sHHHHH",
            0,
            0,
            0,
            0,
            bytes(2) + wire.mac_bytes(mac),
            0,
            bytes(2) + wire.mac_bytes(mac),
            0x8001,
            0,
            0x1400,
            0x200,
            0xF00,
        )
        + token
    )
    return wire.ethernet(BPDU_GROUP, mac, len(body), body)


def _typed(origin: str, target: str, kind: int) -> Send:
    return _frame(
        origin,
        lambda lab, token: wire.ethernet(
            target if ":" in target else lab[target].mac, lab[origin].mac, kind, token.ljust(50, b"\0")
        ),
    )


def _tagged(origin: str, victim: str, version: int, tags: t.Sequence[tuple[int, int]]) -> Send:
    def make(lab: Lab, token: bytes) -> bytes:
        source, target = address(origin, version), address(victim, version)
        payload = wire.packet(source, target, wire.UDP, datagram(source, target, 80, token))
        return wire.ethernet(lab[victim].mac, lab[origin].mac, wire.IP6 if version == 6 else wire.IP, payload, tags)

    return _frame(origin, make)


def _arp(origin: str, victim: str) -> t.Iterator[Attack]:
    mine, its, gate = address(origin, 4), address(victim, 4), gateway(origin, 4)
    zero = "00:00:00:00:00:00"

    def said(operation: int, sender: str, target: str, to: str, kind: int = 1, mac: str = "") -> Send:
        return _frame(
            origin,
            lambda lab, token: wire.ethernet(
                wire.BROADCAST if to == "all" else lab.hop(origin) if to == "node" else lab[to].mac,
                lab[origin].mac,
                wire.ARP,
                wire.arp(
                    operation,
                    {"": lab[origin].mac, "its": lab[victim].mac}[mac],
                    sender,
                    zero if operation == 1 else lab[victim].mac,
                    target,
                    token,
                    kind,
                ),
            ),
        )

    for name, sender, target in (
        ("the victim's", its, gate),
        ("the gateway's", gate, its),
        ("the host's", HOST[0], its),
        ("nobody's", "0.0.0.0", its),
    ):
        for operation in (1, 2):
            for to in ("all", victim, "node"):
                yield Attack(
                    f"{origin} claims {name} address in ARP {operation} to {to}",
                    origin,
                    said(operation, sender, target, to),
                    "arp_senders",
                    victim,
                )
        yield Attack(
            f"{origin} announces {name} address", origin, said(2, sender, sender, "all"), "arp_senders", victim
        )
    yield Attack(
        f"{origin} gives the victim's MAC in ARP",
        origin,
        said(2, mine, its, victim, mac="its"),
        "arp_senders",
        victim,
    )
    yield Attack(f"{origin} asks in inverse ARP", origin, said(8, mine, its, victim), "arp_senders", victim)
    yield Attack(
        f"{origin} sends ARP of another hardware", origin, said(2, its, its, victim, kind=6), "arp_senders", victim
    )


def _sources4(origin: str, victim: str) -> t.Iterator[Attack]:
    sources = {
        "the victim's": address(victim, 4),
        "the gateway's": gateway(origin, 4),
        "a neighbour's that is none": address(origin, 4)[:-2] + "77",
        "the host's": HOST[0],
        "a stranger's": "8.8.8.8",
        "a loopback": "127.0.0.1",
        "no": "0.0.0.0",
        "everybody's": "255.255.255.255",
    }
    for name, source in sources.items():
        for to, target in ((victim, address(victim, 4)), ("", "192.0.2.3"), ("", HOST[0])):
            yield Attack(
                f"{origin} to {target} with {name} address",
                origin,
                udp_from(origin, source, target, 80, to),
                "source_addresses",
                victim,
            )


def _sources6(origin: str, victim: str) -> t.Iterator[Attack]:
    def from_(source: t.Callable[[Lab], str], target: t.Callable[[Lab], str], to: str) -> Send:
        return lambda lab, token: udp_from(origin, source(lab), target(lab), 80, to)(lab, token)

    sources: dict[str, t.Callable[[Lab], str]] = {
        "the victim's": lambda lab: address(victim, 6),
        "the gateway's": lambda lab: gateway(origin, 6),
        "the host's": lambda lab: HOST[1],
        "the victim's link-local": lambda lab: _own6(lab, victim),
        "the gateway's link-local": lambda lab: wire.link_local(lab.hop(origin)),
        "a stranger's": lambda lab: "2001:4860::8",
        "a loopback": lambda lab: "::1",
        "no": lambda lab: "::",
        "a mapped": lambda lab: "::ffff:172.30.10.12",
    }
    targets: list[tuple[str, str, t.Callable[[Lab], str]]] = [
        (victim, victim, lambda lab: address(victim, 6)),
        ("the world", "", lambda lab: "2001:db8:1::3"),
        ("the host", "", lambda lab: HOST[1]),
        (f"the link-local address of {victim}", victim, lambda lab: _own6(lab, victim)),
    ]
    for name, source in sources.items():
        for whom, to, target in targets:
            yield Attack(
                f"{origin} with {name} IPv6 address to {whom}",
                origin,
                from_(source, target, to),
                "source_addresses",
                victim,
            )


def _services(origin: str, victim: str) -> t.Iterator[Attack]:
    """A spoofed question for an address is dropped before anything, and so is an answer of a server that is none."""

    def asked(source: str, sport: int, dport: int, target: str) -> Send:
        return _frame(
            origin,
            lambda lab, token: wire.ethernet(
                wire.BROADCAST
                if "255" in target
                else wire.multicast_mac(target)
                if target.startswith("ff")
                else lab[victim].mac,
                lab[origin].mac,
                wire.IP6 if ":" in target else wire.IP,
                wire.packet(
                    source or _own6(lab, origin),
                    target,
                    wire.UDP,
                    datagram(source or _own6(lab, origin), target, dport, token, sport),
                ),
            ),
        )

    yield Attack(
        f"{origin} asks DHCP as nobody",
        origin,
        asked("0.0.0.0", 68, 67, "255.255.255.255"),
        "source_addresses",
        victim,
    )
    for target in ("255.255.255.255", address(victim, 4)):
        yield Attack(
            f"{origin} offers DHCP to {target}", origin, asked(address(origin, 4), 67, 68, target), "dhcp", victim
        )
    for target in (address(victim, 6), "ff02::1:2"):
        for name, source in (("its address", address(origin, 6)), ("its link-local address", "")):
            yield Attack(
                f"{origin} offers DHCPv6 to {target} by {name}",
                origin,
                asked(source, 547, 546, target),
                "dhcp",
                victim,
            )


def _offers(origin: str, victim: str) -> t.Iterator[Attack]:
    """A DHCP client takes an answer from any port, and at any address."""
    for version, port in ((4, 68), (6, 546)):
        source, six = address(origin, version), version == 6
        kind = wire.IP6 if six else wire.IP
        targets = [address(victim, version), "ff02::1" if six else "255.255.255.255"]
        targets += [gateway(origin, version), "ff02::1:2" if six else "224.0.0.1"]
        for target in targets:
            for sport in (0, 68, 546, 1067, 40000):
                yield Attack(
                    f"{origin} offers DHCP to {target} from port {sport}, IPv{version}",
                    origin,
                    _to_everybody(origin, victim, kind, _offer(source, target, port, sport)),
                    "dhcp",
                    victim,
                )
        target = address(victim, version)
        server = 547 if six else 67
        yield Attack(
            f"{origin} answers a DHCP relay, IPv{version}",
            origin,
            _to_everybody(origin, victim, kind, _offer(source, target, server, server)),
            "dhcp",
            victim,
        )

        def in_pieces(lab: Lab, token: bytes, source: str = source, target: str = target, port: int = port) -> bytes:
            body = wire.udp(source, target, 40000, port, token + bytes(40))
            return wire.fragments(source, target, wire.UDP, body, 16, int(token[2:]))[0]

        plain = _offer(source, target, port, 40000)

        def with_options(lab: Lab, token: bytes, plain: t.Callable[[Lab, bytes], bytes] = plain) -> bytes:
            packet = plain(lab, token)
            return _behind(wire.OPTIONS, packet) if packet[0] >> 4 == 6 else _with_options(packet)

        for name, make in (("in a fragment", in_pieces), ("behind options", with_options)):
            yield Attack(
                f"{origin} offers DHCP {name}, IPv{version}",
                origin,
                _to_everybody(origin, victim, kind, make),
                "dhcp",
                victim,
            )


def _offer(source: str, target: str, port: int, sport: int) -> t.Callable[[Lab, bytes], bytes]:
    def make(_lab: Lab, token: bytes) -> bytes:
        return wire.packet(source, target, wire.UDP, wire.udp(source, target, sport, port, token))

    return make


def _to_everybody(origin: str, victim: str, kind: int, make: t.Callable[[Lab, bytes], bytes]) -> Send:
    """Return the sender of a packet in a frame to its destination's MAC; where that is everybody, to all."""

    def send(lab: Lab, token: bytes) -> None:
        packet = make(lab, token)
        target = str(ipaddress.ip_address(packet[24:40] if packet[0] >> 4 == 6 else packet[16:20]))
        is_group = target.startswith(("ff", "224."))
        macs = {address(victim, 4): lab[victim].mac, address(victim, 6): lab[victim].mac}
        macs.update({gateway(origin, version): lab.hop(origin) for version in (4, 6)})
        mac = wire.multicast_mac(target) if is_group else macs.get(target, wire.BROADCAST)
        lab[origin].frame(wire.ethernet(mac, lab[origin].mac, kind, packet))

    return send


def _with_options(packet: bytes) -> bytes:
    """Return an IPv4 packet with four bytes of options (no operation)."""
    length = struct.unpack_from("!H", packet, 2)[0] + 4
    head = bytes([0x46]) + packet[1:2] + struct.pack("!H", length) + packet[4:10] + bytes(2) + packet[12:20]
    head += b"\1\1\1\1"
    return head[:10] + struct.pack("!H", wire.checksum(head)) + head[12:] + packet[20:]


def _malformed(origin: str, victim: str) -> t.Iterator[Attack]:
    """Headers that say something else than the frame has: nft finds no protocol in them."""

    def longer(packet: bytes) -> bytes:
        at = 4 if packet[0] >> 4 == 6 else 2
        return packet[:at] + struct.pack("!H", 1400) + packet[at + 2 :]

    changes: dict[str, t.Callable[[bytes], bytes]] = {
        "longer than the frame": longer,
        "of another version": lambda packet: bytes([packet[0] ^ 0x30]) + packet[1:],
    }
    for version, port, kind in ((4, 68, wire.IP), (6, 546, wire.IP6)):
        for name, change in changes.items():
            offer = _offer(address(origin, version), address(victim, version), port, 67)
            yield Attack(
                f"{origin} sends a packet {name}, IPv{version}",
                origin,
                _frame(
                    origin,
                    lambda lab, token, offer=offer, change=change, kind=kind: wire.ethernet(
                        lab[victim].mac, lab[origin].mac, kind, change(offer(lab, token))
                    ),
                ),
                "malformed",
                victim,
            )


def message6(lab: Lab, origin: str, target: str, kind: int, body: bytes, source: str = "") -> bytes:
    """Return a message of neighbour discovery in its packet: hop limit 255."""
    source = source or _own6(lab, origin)
    return wire.packet(source, target, wire.ICMP6, wire.icmp6(source, target, kind, body), hops=255)


def advertisement(lab: Lab, origin: str, token: bytes) -> bytes:
    """Return the body of a router advertisement: a router for half an hour, with a prefix to make addresses of."""
    prefix = struct.pack("!BBBBIII", 3, 4, 64, 0xC0, 1800, 1800, 0) + wire.packed("2001:db8:bad::")
    return (
        struct.pack("!BBHII", 64, 0, 1800, 0, 0) + wire.option6(1, lab[origin].mac) + prefix + wire.token_option(token)
    )


def _behind(header: int, packet: bytes) -> bytes:
    """Return a packet with an extension header of eight bytes before its message."""
    head = bytearray(packet[:40])
    extension = bytes([packet[6], 0, 1, 4, 0, 0, 0, 0])  # PadN
    if header == wire.FRAGMENT:
        extension = struct.pack("!BBHI", packet[6], 0, 0, 99)  # an atomic fragment (RFC 6946)
    head[6] = header
    head[4:6] = struct.pack("!H", len(packet) - 32)
    return bytes(head) + extension + packet[40:]


def _routers(origin: str, victim: str) -> t.Iterator[Attack]:
    def sent(kind: int, target: str, behind: int = -1, source: str = "") -> Send:
        def make(lab: Lab, token: bytes) -> bytes:
            to = {"all": ALL_NODES, "victim": _own6(lab, victim), "node": wire.link_local(lab.hop(origin))}[target]
            body = advertisement(lab, origin, token)
            if kind == REDIRECT:  # what goes to the far host should come here
                body = (
                    bytes(4)
                    + wire.packed(_own6(lab, origin))
                    + wire.packed("2001:db8:2::9")
                    + wire.option6(2, lab[origin].mac)
                    + wire.token_option(token)
                )
            packet = message6(lab, origin, to, kind, body, source)
            mac = {"all": wire.multicast_mac(ALL_NODES), "victim": lab[victim].mac, "node": lab.hop(origin)}[target]
            return wire.ethernet(mac, lab[origin].mac, wire.IP6, packet if behind < 0 else _behind(behind, packet))

        return _frame(origin, make)

    for name, kind in (("advertises a router", ROUTER_ADVERTISEMENT), ("redirects", REDIRECT)):
        for target in ("all", "victim", "node"):
            yield Attack(f"{origin} {name} to {target}", origin, sent(kind, target), "routers", victim)
            for where, header in (
                ("hop-by-hop options", wire.HOP_BY_HOP),
                ("destination options", wire.OPTIONS),
                ("a fragment header", wire.FRAGMENT),
            ):
                yield Attack(
                    f"{origin} {name} to {target} behind {where}",
                    origin,
                    sent(kind, target, header),
                    "routers",
                    victim,
                )
        yield Attack(
            f"{origin} {name} by its address",
            origin,
            sent(kind, "all", source=address(origin, 6)),
            "routers",
            victim,
        )
        yield Attack(f"{origin} {name} as nobody", origin, sent(kind, "all", source="::"), "source_addresses", victim)

    def redirect4(lab: Lab, token: bytes) -> bytes:
        told = wire.packet(
            address(victim, 4), "198.51.100.9", wire.UDP, datagram(address(victim, 4), "198.51.100.9", 80, token)
        )
        return frame_of(
            lab,
            origin,
            gateway(origin, 4),
            address(victim, 4),
            wire.ICMP,
            wire.icmp(5, 1, wire.packed(address(origin, 4)) + told),
            victim,
        )

    yield Attack(f"{origin} redirects as the gateway", origin, _frame(origin, redirect4), "source_addresses", victim)


def _neighbours(origin: str, victim: str) -> t.Iterator[Attack]:
    def claims(claimed: t.Callable[[Lab], str], target: str, kind: int = ADVERTISEMENT, behind: int = -1) -> Send:
        def make(lab: Lab, token: bytes) -> bytes:
            to = {"all": ALL_NODES, "victim": address(victim, 6), "node": gateway(origin, 6)}[target]
            body = (
                struct.pack("!I", 0x20000000 if kind == ADVERTISEMENT else 0)
                + wire.packed(claimed(lab))
                + wire.option6(2, lab[origin].mac)
            )
            packet = message6(lab, origin, to, kind, body + wire.token_option(token))
            mac = {"all": wire.multicast_mac(ALL_NODES), "victim": lab[victim].mac, "node": lab.hop(origin)}[target]
            return wire.ethernet(mac, lab[origin].mac, wire.IP6, packet if behind < 0 else _behind(behind, packet))

        return _frame(origin, make)

    claimed: dict[str, t.Callable[[Lab], str]] = {
        "the victim's": lambda lab: address(victim, 6),
        "the gateway's": lambda lab: gateway(origin, 6),
        "a stranger's": lambda lab: "2001:4860::8",
        "the victim's link-local": lambda lab: _own6(lab, victim),
        "the gateway's link-local": lambda lab: wire.link_local(lab.hop(origin)),
    }
    for name, whose in claimed.items():
        for target in ("all", "victim", "node"):
            yield Attack(
                f"{origin} advertises {name} address to {target}",
                origin,
                claims(whose, target),
                "neighbours",
                victim,
            )
        yield Attack(
            f"{origin} advertises {name} address behind options",
            origin,
            claims(whose, "victim", behind=wire.OPTIONS),
            "neighbours",
            victim,
        )
    for name, kind in (("asks", SOLICITATION), ("advertises", ADVERTISEMENT)):
        yield Attack(
            f"{origin} {name} in a fragment",
            origin,
            claims(lambda lab: address(origin, 6), "victim", kind, wire.FRAGMENT),
            "neighbours",
            victim,
        )


def _denials(origin: str, victim: str) -> t.Iterator[Attack]:
    """Questions whether an address is in use, which keep others from using it (RFC 4862, 5.4.3; RFC 5227, 2.1.1)."""

    def asked(wanted: t.Callable[[Lab], str], to: str, behind: int = -1) -> Send:
        def make(lab: Lab, token: bytes) -> bytes:
            target = wanted(lab)
            group = wire.solicited_node(target) if to == "group" else ALL_NODES
            mac = lab[victim].mac if to == "victim" else wire.multicast_mac(group)
            body = bytes(4) + wire.packed(target) + wire.token_option(token)
            packet = message6(lab, origin, group, SOLICITATION, body, "::")
            return wire.ethernet(mac, lab[origin].mac, wire.IP6, packet if behind < 0 else _behind(behind, packet))

        return _frame(origin, make)

    wanted: dict[str, t.Callable[[Lab], str]] = {
        "the victim's": lambda lab: address(victim, 6),
        "the victim's link-local": lambda lab: _own6(lab, victim),
        "the gateway's": lambda lab: gateway(origin, 6),
        "the gateway's link-local": lambda lab: wire.link_local(lab.hop(origin)),
        "nobody's": lambda lab: address(origin, 6)[:-2] + "77",
        "a stranger's": lambda lab: "2001:4860::8",
    }
    for name, whose in wanted.items():
        for to in ("group", "all", "victim"):
            yield Attack(f"{origin} asks for {name} address to {to}", origin, asked(whose, to), "neighbours", victim)
    for name, header in (
        ("options", wire.OPTIONS),
        ("hop-by-hop options", wire.HOP_BY_HOP),
        ("a fragment", wire.FRAGMENT),
    ):
        whose = wanted["the victim's"] if header != wire.FRAGMENT else lambda lab: address(origin, 6)
        yield Attack(
            f"{origin} asks for an address behind {name}", origin, asked(whose, "group", header), "neighbours", victim
        )
    zero = "00:00:00:00:00:00"
    addresses = (address(victim, 4), gateway(origin, 4), HOST[0], address(origin, 4)[:-2] + "77")
    for target in addresses:
        for operation in (1, 2):
            yield Attack(
                f"{origin} asks for {target} by ARP {operation}",
                origin,
                _frame(
                    origin,
                    lambda lab, token, target=target, operation=operation: wire.ethernet(
                        wire.BROADCAST,
                        lab[origin].mac,
                        wire.ARP,
                        wire.arp(operation, lab[origin].mac, "0.0.0.0", zero, target, token),
                    ),
                ),
                "arp_senders",
                victim,
            )
    yield Attack(
        f"{origin} asks for its address by ARP with another MAC",
        origin,
        _frame(
            origin,
            lambda lab, token: wire.ethernet(
                wire.BROADCAST,
                lab[origin].mac,
                wire.ARP,
                wire.arp(1, lab[victim].mac, "0.0.0.0", zero, address(origin, 4), token),
            ),
        ),
        "arp_senders",
        victim,
    )


def _queriers(origin: str, victim: str) -> t.Iterator[Attack]:
    for version, body in ((1, bytes(4)), (2, bytes(4)), (3, bytes(8))):
        yield Attack(
            f"{origin} queries IGMPv{version}",
            origin,
            _frame(
                origin,
                lambda lab, token, version=version, body=body: wire.ethernet(
                    wire.multicast_mac("224.0.0.1"),
                    lab[origin].mac,
                    wire.IP,
                    wire.packet(
                        address(origin, 4),
                        "224.0.0.1",
                        wire.IGMP,
                        wire.icmp(0x11, 0 if version == 1 else 100, body) + token,
                        hops=1,
                    ),
                ),
            ),
            "queriers",
            victim,
        )
    for name, source, counter in (("", "", "queriers"), (" as nobody", "::", "source_addresses")):
        yield Attack(
            f"{origin} queries MLD{name}",
            origin,
            _frame(
                origin,
                lambda lab, token, source=source: wire.ethernet(
                    wire.multicast_mac(ALL_NODES),
                    lab[origin].mac,
                    wire.IP6,
                    _behind(wire.HOP_BY_HOP, message6(lab, origin, ALL_NODES, MLD_QUERY, bytes(20) + token, source)),
                ),
            ),
            counter,
            victim,
        )


def _unguarded() -> t.Iterator[Attack]:
    """A port without port_security: the host's own settings are what is left."""

    def told(kind: int, body: t.Callable[[Lab, bytes], bytes]) -> Send:
        return _frame(
            "l1",
            lambda lab, token: wire.ethernet(
                lab.hop("l1"),
                lab["l1"].mac,
                wire.IP6,
                message6(lab, "l1", wire.link_local(lab.hop("l1")), kind, body(lab, token)),
            ),
        )

    yield Attack(
        "unguarded sandbox advertises a router to the host",
        "l1",
        told(ROUTER_ADVERTISEMENT, lambda lab, token: advertisement(lab, "l1", token)),
        "",
        "l2",
    )

    def redirect4(lab: Lab, token: bytes) -> bytes:
        told = wire.packet(
            gateway("l1", 4), BEHIND_L2[1], wire.UDP, datagram(gateway("l1", 4), BEHIND_L2[1], 80, token, 80)
        )
        return frame_of(
            lab,
            "l1",
            address("l2", 4),
            gateway("l1", 4),
            wire.ICMP,
            wire.icmp(5, 1, wire.packed(address("l1", 4)) + told),
        )

    yield Attack("unguarded sandbox redirects the host as its router", "l1", _frame("l1", redirect4), "", "l2")
    for version, port in ((4, 68), (6, 546)):
        for target in (gateway("l1", version), "ff02::1" if version == 6 else "255.255.255.255"):
            yield Attack(
                f"unguarded sandbox offers DHCP to the host at {target}",
                "l1",
                udp_from("l1", address("l1", version), target, port),
                "dhcp",
                "l2",
            )
    # A bridge never forwards the first and the second, and hands them to nobody whom a rule could ask.
    for name, group, kind, wall in (
        ("LLDP", LLDP_GROUP, 0x88CC, ""),
        ("pause", PAUSE_GROUP, 0x8808, ""),
        ("LACP", LACP_GROUP, 0x8809, "protocols"),
    ):
        yield Attack(f"unguarded sandbox sends {name} to the host", "l1", _typed("l1", group, kind), wall, "l2")
    yield Attack(
        "unguarded sandbox sends an unknown type to the host",
        "l1",
        _frame("l1", lambda lab, token: wire.ethernet(lab.hop("l1"), lab["l1"].mac, 0x88B5, token)),
        "protocols",
        "l2",
    )
    yield Attack("sandbox sends LACP to the host", "c1", _typed("c1", LACP_GROUP, 0x8809), "protocols", "c2")


def _without_ipv6() -> t.Iterator[Attack]:
    """A network of IPv4 alone has no IPv6 in any form."""
    own = "fe80::1234"
    kinds = {
        "a datagram": lambda lab, token: wire.packet(own, ALL_NODES, wire.UDP, datagram(own, ALL_NODES, 80, token)),
        "a router solicitation": lambda lab, token: message6(
            lab, "f1", ALL_ROUTERS, 133, bytes(4) + wire.token_option(token), "::"
        ),
        "a neighbour solicitation": lambda lab, token: message6(
            lab, "f1", ALL_NODES, SOLICITATION, bytes(4) + wire.packed(own) + wire.token_option(token), "::"
        ),
        "a router advertisement": lambda lab, token: message6(
            lab, "f1", ALL_NODES, ROUTER_ADVERTISEMENT, advertisement(lab, "f1", token), own
        ),
        "a listener report": lambda lab, token: message6(lab, "f1", ALL_MLD, 143, bytes(4) + token, "::"),
    }
    for name, packet in kinds.items():
        for target in ("f2", "node"):
            yield Attack(
                f"{name} on an IPv4 network to {target}",
                "f1",
                _frame(
                    "f1",
                    lambda lab, token, packet=packet, target=target: wire.ethernet(
                        lab.hop("f1") if target == "node" else lab[target].mac,
                        lab["f1"].mac,
                        wire.IP6,
                        packet(lab, token),
                    ),
                ),
                "source_macs",
                "f2",
            )


def _apart() -> t.Iterator[Attack]:
    """Neighbours that may not talk (icc: false): what the port guard lets pass, the bridge does not hand over."""
    for version in (4, 6):
        source, target = address("q1", version), address("q2", version)
        yield Attack(f"neighbours apart, IPv{version}", "q1", udp_from("q1", source, target, 80, "q2"), "", "q2")
    yield Attack(
        "neighbours apart, ARP",
        "q1",
        _frame(
            "q1",
            lambda lab, token: wire.ethernet(
                wire.BROADCAST,
                lab["q1"].mac,
                wire.ARP,
                wire.arp(1, lab["q1"].mac, address("q1", 4), "00:00:00:00:00:00", address("q2", 4), token),
            ),
        ),
        "",
        "q2",
    )
    yield Attack(
        "neighbours apart, link-local IPv6",
        "q1",
        _frame(
            "q1",
            lambda lab, token: frame_of(
                lab,
                "q1",
                _own6(lab, "q1"),
                _own6(lab, "q2"),
                wire.UDP,
                datagram(_own6(lab, "q1"), _own6(lab, "q2"), 80, token),
                "q2",
            ),
        ),
        "",
        "q2",
    )
    assert NETWORK_OF["q1"] == NETWORK_OF["q2"]
