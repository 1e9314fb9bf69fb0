# SPDX-License-Identifier: GPL-3.0-or-later
"""What a sandbox says about itself and others on its network: that it serves DHCP, that an address is taken; and
packets to everybody, from networks that may not reach the host.
"""

from __future__ import annotations

import typing as t

from . import attacks_port, wire
from .claims import Attack, Send, datagram, of_kinds
from .places import HOST, NETS, NETWORK_OF, address, gateway
from .topology import Lab

# One of each kind of network whose ports are checked, with a neighbour; itself where it has none.
PAIRS = {"c1": "c2", "c4": "c5", "i1": "i2", "r1": "r2", "n1": "n2", "o1": "o2", "v1": "v1"}
DHCP_CLIENT, DHCP6_CLIENT = 68, 546
SERVER_PORTS, SERVER_PORTS6 = (67, 68, 1067, 40000), (547, 546, 1547, 40000)


def of() -> list[Attack]:
    """Return every such attack."""
    return of_kinds(
        {
            "DHCP from any port": _each(_offers),
            "denial of addresses": _each(_denials),
            "ARP probes": _each(_probes),
            "the host by addresses of everybody": _to_everybody(),
        }
    )


def _each(attacks: t.Callable[[str, str], t.Iterator[Attack]]) -> t.Iterator[Attack]:
    for origin, victim in PAIRS.items():
        yield from attacks(origin, victim)


def _sent(origin: str, make: t.Callable[[Lab, bytes], bytes]) -> Send:
    def send(lab: Lab, token: bytes) -> None:
        lab[origin].frame(make(lab, token))

    return send


def _offers(origin: str, victim: str) -> t.Iterator[Attack]:
    """An answer of a DHCP server is one by its target port, from whatever port it comes."""
    everybody = {4: "255.255.255.255", 6: "ff02::1"}
    for version, ports, client in ((4, SERVER_PORTS, DHCP_CLIENT), (6, SERVER_PORTS6, DHCP6_CLIENT)):
        own = address(origin, version)
        relay = ports[0]
        yield Attack(
            f"{origin} answers a relay from port {relay}",
            origin,
            _sent(origin, _relayed(origin, victim, own, relay)),
            "dhcp",
            victim,
        )
        for port in ports:
            for target in (everybody[version], address(victim, version)):

                def make(
                    lab: Lab, token: bytes, own: str = own, port: int = port, target: str = target, client: int = client
                ) -> bytes:
                    packet = wire.packet(own, target, wire.UDP, datagram(own, target, client, b"\2" + token, port))
                    return _framed(lab, origin, victim, packet, target)

                yield Attack(
                    f"{origin} offers DHCP from port {port} to {target}", origin, _sent(origin, make), "dhcp", victim
                )

    def behind_options(lab: Lab, token: bytes) -> bytes:
        own, target = address(origin, 4), address(victim, 4)
        body = datagram(own, target, DHCP_CLIENT, b"\2" + token, 67)
        return _framed(lab, origin, victim, wire.packet(own, target, wire.UDP, body, options=b"\1" * 8), target)

    yield Attack(f"{origin} offers DHCP behind options", origin, _sent(origin, behind_options), "dhcp", victim)


def _relayed(origin: str, victim: str, own: str, port: int) -> t.Callable[[Lab, bytes], bytes]:
    """Return a server's packet to a relay, which hears at the server's port."""
    target = address(victim, 6 if ":" in own else 4)

    def make(lab: Lab, token: bytes) -> bytes:
        packet = wire.packet(own, target, wire.UDP, datagram(own, target, port, b"\2" + token, port))
        return _framed(lab, origin, victim, packet, target)

    return make


def _framed(lab: Lab, origin: str, victim: str, packet: bytes, target: str) -> bytes:
    mac = wire.BROADCAST if "255" in target else wire.multicast_mac(target) if target[:2] == "ff" else lab[victim].mac
    return wire.ethernet(mac, lab[origin].mac, wire.IP6 if ":" in target else wire.IP, packet)


def _denials(origin: str, victim: str) -> t.Iterator[Attack]:
    """Whoever asks for an address without having one claims it as well (RFC 4862, section 5.4.3)."""
    claimed: dict[str, t.Callable[[Lab], str]] = {
        "the gateway's": lambda lab: gateway(origin, 6),
        "a new": lambda lab: NETS[NETWORK_OF[origin]].address(77, 6),
        "the host's": lambda lab: HOST[1],
        "the gateway's link-local": lambda lab: wire.link_local(lab.hop(origin)),
    }
    if victim != origin:
        claimed["the victim's"] = lambda lab: address(victim, 6)
        claimed["the victim's link-local"] = lambda lab: wire.link_local(lab[victim].mac)
    for name, whose in claimed.items():
        for to in ("its group", "all nodes", "the victim"):

            def make(lab: Lab, token: bytes, whose: t.Callable[[Lab], str] = whose, to: str = to) -> bytes:
                asked = whose(lab)
                target = {"its group": wire.solicited_node(asked), "all nodes": "ff02::1"}.get(to, address(victim, 6))
                body = bytes(4) + wire.packed(asked) + wire.token_option(token)
                packet = attacks_port.message6(lab, origin, target, attacks_port.SOLICITATION, body, "::")
                return _framed(lab, origin, victim, packet, target)

            yield Attack(
                f"{origin} asks for {name} address as nobody, to {to}",
                origin,
                _sent(origin, make),
                "neighbours",
                victim,
            )


def _probes(origin: str, victim: str) -> t.Iterator[Attack]:
    """The same in IPv4 (RFC 5227): a probe for the address of somebody else, and an announcement."""
    taken = {
        "the gateway's": gateway(origin, 4),
        "the host's": HOST[0],
        "a new": NETS[NETWORK_OF[origin]].address(77, 4),
    }
    if victim != origin:
        taken["the victim's"] = address(victim, 4)
    for name, asked in taken.items():
        for what, operation, sender in (
            ("probes for", 1, "0.0.0.0"),
            ("announces", 1, asked),
            ("answers for", 2, asked),
        ):
            for to in ("everybody", "the victim"):

                def make(
                    lab: Lab,
                    token: bytes,
                    asked: str = asked,
                    operation: int = operation,
                    sender: str = sender,
                    to: str = to,
                ) -> bytes:
                    own = lab[origin].mac
                    body = wire.arp(operation, own, sender, "00:00:00:00:00:00", asked, token)
                    return wire.ethernet(wire.BROADCAST if to == "everybody" else lab[victim].mac, own, wire.ARP, body)

                yield Attack(
                    f"{origin} {what} {name} address to {to}", origin, _sent(origin, make), "arp_senders", victim
                )


def _stopped_by(origin: str, target: str, own: str, to: str) -> str:
    """Return the counter of the rule; the bridge of an isolated network has no IPv6 and no broadcast address."""
    if target == "ff01::1" or (origin == "i1" and ":" in target):  # stays within a host (RFC 4291, section 2.7)
        return ""
    if target in ("172.30.10.255", "fd00:10::"):
        return "direct"
    if origin == "i1" and target == own:
        return "internal" if to == "the host" else ""
    return "shared_addresses"


def _to_everybody() -> t.Iterator[Attack]:
    """Broadcast, multicast and anycast addresses at which the host hears, by frames to it and to everybody.

    The neighbours on the same network may hear them as well.
    """
    targets = {
        4: ("255.255.255.255", "192.0.2.255", "172.30.10.255", "224.0.0.1", "224.0.0.251", "239.1.2.3"),
        6: ("ff01::1", "ff02::1", "ff02::2", "ff02::fb", "ff05::1", "ff0e::1", "2001:db8:1::", "fd00:10::"),
    }
    for origin, neighbour in (("c4", "c5"), ("i1", "i2")):
        own_net = NETS[NETWORK_OF[origin]]
        for version in (4, 6):
            own = own_net.address(255, 4) if version == 4 else own_net.address(0, 6)
            for target in (*targets[version], own):
                for to in ("the host", "everybody"):

                    def make(lab: Lab, token: bytes, origin: str = origin, target: str = target, to: str = to) -> bytes:
                        source = address(origin, 6 if ":" in target else 4)
                        packet = wire.packet(source, target, wire.UDP, datagram(source, target, 9998, token))
                        group = wire.multicast_mac(target) if target[:2] in ("ff", "22", "23") else wire.BROADCAST
                        mac = lab.hop(origin) if to == "the host" else group
                        return wire.ethernet(mac, lab[origin].mac, wire.IP6 if ":" in target else wire.IP, packet)

                    yield Attack(
                        f"{origin} sends to {target} by a frame to {to}, IPv{version}",
                        origin,
                        _sent(origin, make),
                        _stopped_by(origin, target, own, to),
                        "node",
                        frozenset((neighbour,)),
                    )
