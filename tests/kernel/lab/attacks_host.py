# SPDX-License-Identifier: GPL-3.0-or-later
"""Attacks on the border between networks, the host and the world."""

from __future__ import annotations

import struct
import typing as t

from . import places, wire
from .claims import Attack, datagram, frame_of, of_kinds, udp_from
from .places import (
    FOREIGN_MACS,
    FOREIGN_NET,
    FOREIGN_VNI,
    FORWARDER,
    HOST,
    OUTSIDE,
    SCTP_PORT,
    SECOND,
    address,
    gateway,
    host_port,
)
from .topology import Lab

VXLAN = 4789
SEALED, SEALED_VNI = places.SEALED
VIA_NEIGHBOUR = frozenset(("nbr",))
Opening = t.Callable[[str, str, int, int, bytes], bytes]  # source, target, their ports, data
_PROTOCOLS: dict[str, tuple[int, Opening]] = {  # the first packet of a connection, with data
    "UDP": (wire.UDP, wire.udp),
    "TCP": (
        wire.TCP,
        lambda source, target, sport, dport, data: wire.tcp(source, target, sport, dport, wire.SYN, data),
    ),
    "SCTP": (wire.SCTP, lambda _source, _target, sport, dport, data: wire.sctp(sport, dport, data)),
}


def of(version: int) -> list[Attack]:
    """Return the attacks over one family."""
    return of_kinds(
        {
            "loopback addresses": _loopback(version),
            "sandboxes' own addresses": _direct(version),
            "networks that are closed in one direction": _ways(version),
            "internal networks to the host": _walled(version),
            "addresses that the host shares": _shared(version),
            "addresses of others": _forged(version),
            "ports with source_ranges": _audience(version),
            "the DNS forwarder": _names(version),
            "tunnels": _tunnels(version),
            "tunnels by other addresses": _tunnels_by_other_addresses(version),
            "fragments": _pieces(version),
            "port shadows": _port_shadows(version),
        }
    )


def _outside(place: str, version: int) -> str:
    return OUTSIDE[place][version == 6]


def _attack(name: str, origin: str, target: str, port: int, counter: str, version: int, **more: t.Any) -> Attack:
    """Return an attack by datagrams with origin's own address."""
    seen = VIA_NEIGHBOUR if origin == "far" else frozenset()
    return Attack(
        f"{name}, IPv{version}",
        origin,
        udp_from(origin, address(origin, version), target, port, more.pop("to", "")),
        counter,
        **{"seen_by": seen, **more},
    )


def _loopback(version: int) -> t.Iterator[Attack]:
    if version == 6:  # a kernel takes neither ::1 from a wire nor to it
        yield _attack("neighbour to ::1", "nbr", "::1", 9999, "", 6, victim="node")
        yield Attack("neighbour as ::1", "nbr", udp_from("nbr", "::1", HOST[1], 9998), "", "node")
        yield _attack("sandbox to ::1", "c1", "::1", 9999, "", 6, victim="node")
        return
    yield _attack("neighbour to a port published on 127.0.0.1", "nbr", "127.0.0.1", 8900, "loopback", 4, victim="c1")
    yield _attack("neighbour to another loopback address", "nbr", "127.0.0.2", 8900, "loopback", 4, victim="c1")
    yield Attack("neighbour as 127.0.0.1", "nbr", udp_from("nbr", "127.0.0.1", HOST[0], 9998), "loopback", "node")
    yield _attack("sandbox to the host's loopback", "c1", "127.0.0.1", 9999, "loopback", 4, victim="node")
    yield Attack(
        "unguarded sandbox as 127.0.0.1",
        "l1",
        udp_from("l1", "127.0.0.1", gateway("l1", 4), 9998),
        "loopback",
        "node",
    )


def _direct(version: int) -> t.Iterator[Attack]:
    """What is masqueraded is not addressed from elsewhere: neither by its neighbours' neighbours nor by other
    networks.
    """
    for port in (80, 81):
        for origin in ("nbr", "far", "vpn", "c3", "p1", "i1"):
            counter = (
                "closed" if origin == "p1" else "direct"
            )  # an open network's packets are left to the chain forward
            if (origin, version) == ("i1", 6):
                counter = ""  # the bridge of an isolated network has no IPv6
            yield _attack(
                f"{origin} to port {port}",
                origin,
                address("c1", version),
                port,
                counter,
                version,
                victim="c1",
            )
    yield _attack("neighbour to a trusted network", "nbr", address("t1", version), 80, "direct", version, victim="t1")
    yield _attack(
        "trusted link to an unpublished port", "vpn", address("t1", version), 81, "closed", version, victim="t1"
    )
    for place in ("c1", "c4", "r1", "t1", "o1", "p1", "l1"):
        target = gateway(place, version)
        yield _attack(f"neighbour to the gateway {target}", "nbr", target, 9998, "gateways", version, victim="node")
    yield Attack(
        f"neighbour as a sandbox, IPv{version}",
        "nbr",
        udp_from("nbr", address("c2", version), address("c1", version), 80),
        "direct",
        "c1",
    )
    for origin in ("nbr", "far", "c1"):
        yield _attack(
            f"{origin} to a routed network's unpublished port",
            origin,
            address("r1", version),
            81,
            "closed",
            version,
            victim="r1",
        )

    def other_protocol(lab: Lab, token: bytes) -> None:
        lab["nbr"].frame(frame_of(lab, "nbr", address("nbr", version), address("r1", version), 47, token))

    yield Attack(f"neighbour to a routed network by GRE, IPv{version}", "nbr", other_protocol, "closed", "r1")
    yield _attack("detour by the gateway", "q1", address("q2", version), 81, "closed", version, victim="q2")


def _ways(version: int) -> t.Iterator[Attack]:
    yield _attack("into a network without ingress", "nbr", address("o1", version), 80, "ingress", version, victim="o1")
    yield _attack(
        "another network into one without ingress",
        "c1",
        address("o1", version),
        80,
        "ingress",
        version,
        victim="o1",
    )
    yield _attack(
        "out of a network without egress", "n1", _outside("nbr", version), 80, "egress", version, victim="nbr"
    )
    yield _attack(
        "out of a network without egress to a routed one",
        "n1",
        address("r1", version),
        80,
        "egress",
        version,
        victim="r1",
    )
    yield _attack(
        "out of a network without egress by a host port",
        "n1",
        HOST[version == 6],
        host_port("c1"),
        "egress",
        version,
        victim="c1",
    )
    for target in ("nbr", "far", "vpn", "r1"):
        yield _attack(f"internal to {target}", "c4", address(target, version), 80, "internal", version, victim=target)
    yield _attack("neighbour to internal", "nbr", address("c4", version), 80, "internal", version, victim="c4")
    yield _attack("another network to internal", "c1", address("c4", version), 80, "internal", version, victim="c4")
    yield _attack(
        "isolated to the world",
        "i1",
        _outside("nbr", version),
        80,
        "internal" if version == 4 else "",
        version,
        victim="nbr",
    )
    for origin, target in (("nbr", "vpn"), ("vpn", "nbr"), ("far", "vpn"), ("vpn", "far")):
        yield _attack(
            f"{origin} to {target} through the node",
            origin,
            _outside(target, version),
            80,
            "transit",
            version,
            victim=target,
        )


def _walled(version: int) -> t.Iterator[Attack]:
    addresses = {"host": HOST, "second uplink": SECOND, "another gateway": (gateway("c1", 4), gateway("c1", 6))}
    for origin in ("c4", "i1"):
        counter = "" if (origin, version) == ("i1", 6) else "gateway_only"
        for name, both in addresses.items():
            yield _attack(f"{origin} to the {name}", origin, both[version == 6], 9998, counter, version, victim="node")
        yield _attack(
            f"{origin} to a host port", origin, HOST[version == 6], host_port("c1"), counter, version, victim="c1"
        )
        yield _attack(
            f"{origin} to another network's port 53",
            origin,
            gateway("c1", version),
            53,
            counter,
            version,
            victim="c1",
        )


def _shared(version: int) -> t.Iterator[Attack]:
    """What is addressed to everybody, from sandboxes, and from outside to everybody in a network."""
    own = {"c1": "172.30.10.255" if version == 4 else "fd00:10::"}
    for origin in ("c1", "c4", "l1", *(() if version == 6 else ("i1",))):
        for target in SHARED_ADDRESSES[version]:
            is_closed = target in ("172.30.10.255", "fd00:10::") and target != own.get(origin)
            counter = "direct" if is_closed else "shared_addresses"
            yield _attack(f"{origin} to {target}", origin, target, 9998, counter, version, victim="node")
    for origin in ("nbr", "vpn", "far"):
        for target in (
            ("172.30.10.255", "172.30.30.255", "172.30.50.255") if version == 4 else ("fd00:30::", "fd00:50::")
        ):
            yield _attack(f"{origin} to {target}", origin, target, 9998, "gateways", version, victim="node")


def _forged(version: int) -> t.Iterator[Attack]:
    """Sources that are not the network's, from ports where nothing looks at MACs and addresses."""
    sources = {
        "another network's": address("c1", version),
        "the neighbour's": _outside("nbr", version),
        "the host's": HOST[version == 6],
        "a stranger's": "8.8.8.8" if version == 4 else "2001:4860::8",
    }
    for name, source in sources.items():
        for target in ("nbr", "c3"):
            yield Attack(
                f"unguarded sandbox to {target} with {name} address, IPv{version}",
                "l1",
                udp_from("l1", source, address(target, version), 80),
                "sources",
                target,
            )
    for name, (protocol, make) in _without_connection(address("c1", version), _outside("nbr", version)).items():

        def send(lab: Lab, token: bytes, protocol: int = protocol, make: t.Callable[[bytes], bytes] = make) -> None:
            source, target = address("c1", version), _outside("nbr", version)
            lab["c1"].frame(frame_of(lab, "c1", source, target, protocol, make(token)))

        yield Attack(f"{name} of no connection, IPv{version}", "c1", send, "invalid", "nbr")


def _without_connection(source: str, target: str) -> dict[str, tuple[int, t.Callable[[bytes], bytes]]]:
    """Return what connection tracking takes for no packet of any connection: it would leave untranslated."""

    def segment(flags: int) -> tuple[int, t.Callable[[bytes], bytes]]:
        return wire.TCP, lambda token: wire.tcp(source, target, 10000 + int(token[2:]) % 50000, 80, flags, token)

    def error(token: bytes) -> bytes:
        told = wire.packet(target, source, wire.UDP, datagram(target, source, 80, token))
        return wire.icmp6(source, target, 1, bytes(4) + told) if ":" in source else wire.icmp(3, 3, bytes(4) + told)

    def broken(token: bytes) -> bytes:
        return wire.sctp(10000 + int(token[2:]) % 50000, 80, token)[:-1] + b"\xff"

    return {
        "a reset": segment(wire.RST),
        "an end": segment(1),
        "a segment without flags": segment(0),
        "a segment with every flag": segment(0x3F),
        "an opening with a reset": segment(wire.SYN | wire.RST),
        "an error message": ((wire.ICMP6 if ":" in source else wire.ICMP), error),
        "an SCTP chunk with a wrong checksum": (wire.SCTP, broken),
    }


def _audience(version: int) -> t.Iterator[Attack]:
    for origin in ("nbr", "vpn", "c1", "c3"):
        yield _attack(
            f"{origin} to a port that is not for it",
            origin,
            HOST[version == 6],
            8500,
            "source_ranges",
            version,
            victim="c2",
        )


def vxlan(lab: Lab, target: str, version: int, token: bytes) -> bytes:
    """Return a VXLAN header (RFC 7348) and a frame to a sandbox in it."""
    vni = 4097 if target == "v1" else 4098
    source = address(target, version)[:-2] + "99"
    inner = wire.packet(
        source, address(target, version), wire.UDP, datagram(source, address(target, version), 80, token)
    )
    kind = wire.IP6 if version == 6 else wire.IP
    return _header(vni) + wire.ethernet(lab[target].mac, "02:00:00:00:99:99", kind, inner)


def _header(vni: int) -> bytes:
    """Return a VXLAN header (RFC 7348, section 5)."""
    return struct.pack("!II", 0x08000000, vni << 8)


def foreign(lab: Lab, origin: str, source: str, target: str, token: bytes) -> bytes:
    """Return a packet of the VXLAN network that dockless does not manage, from origin to an address of the node."""
    inner = wire.packet(FOREIGN_NET[1], FOREIGN_NET[0], wire.UDP, datagram(FOREIGN_NET[1], FOREIGN_NET[0], 81, token))
    frame = _header(FOREIGN_VNI) + wire.ethernet(*FOREIGN_MACS, wire.IP, inner)
    return frame_of(lab, origin, source, target, wire.UDP, wire.udp(source, target, 50000, VXLAN, frame))


def sealed(origin: str, source: str, target: str) -> t.Callable[[Lab, bytes], None]:
    """Return the sender of data of an encrypted network in clear."""

    def send(lab: Lab, token: bytes) -> None:
        body = wire.udp(source, target, 50000, SEALED, _header(SEALED_VNI) + token)
        lab[origin].frame(frame_of(lab, origin, source, target, wire.UDP, body))

    return send


def tunnelled(origin: str, source: str, target: str, inner: str, version: int) -> t.Callable[[Lab, bytes], None]:
    """Return the sender of such frames to a tunnel's end."""

    def send(lab: Lab, token: bytes) -> None:
        outer = wire.udp(source, target, 50000, VXLAN, vxlan(lab, inner, version, token))
        lab[origin].frame(frame_of(lab, origin, source, target, wire.UDP, outer))

    return send


def _names(version: int) -> t.Iterator[Attack]:
    for origin in ("nbr", "far", "vpn", "n1"):
        yield _attack(
            f"{origin} to the forwarder of names",
            origin,
            gateway("c1", version),
            FORWARDER,
            "forwarders",
            version,
            victim="node",
        )


def _tunnels(version: int) -> t.Iterator[Attack]:
    inner, host, nbr = ("v1", "w1")[version == 6], HOST[version == 6], _outside("nbr", version)
    far, c1 = _outside("far", version), address("c1", version)
    name = f", IPv{version}"
    yield Attack(
        "stranger into an overlay" + name,
        "far",
        tunnelled("far", far, host, inner, version),
        "overlays",
        inner,
        VIA_NEIGHBOUR,
    )
    yield Attack(
        "sandbox into its host's overlay" + name, "c1", tunnelled("c1", c1, host, inner, version), "overlays", inner
    )
    yield Attack(
        "unguarded sandbox as a peer into an overlay" + name,
        "l1",
        tunnelled("l1", nbr, host, inner, version),
        "sources",
        inner,
    )
    yield Attack(
        "sandbox into another host's overlay" + name,
        "c1",
        tunnelled("c1", c1, nbr, inner, version),
        "overlays",
        "nbr",
    )
    yield Attack("data of an encrypted network in clear" + name, "nbr", sealed("nbr", nbr, host), "overlays", "node")
    yield Attack(
        "data of an encrypted network leave in clear" + name,
        "node",
        lambda lab, token: lab["node"].datagram(nbr, SEALED, _header(SEALED_VNI) + token),
        "unencrypted",
        "nbr",
    )


# Addresses at which a socket of the node hears, beside its own: limited broadcast, broadcast of its links, groups;
# groups and the anycast addresses of its links (RFC 4291, section 2.6.1).
SHARED_ADDRESSES = {
    4: ("255.255.255.255", "192.0.2.255", "203.0.113.255", "172.30.10.255", "172.30.50.255", "224.0.0.1"),
    6: ("ff02::1", "ff02::2", "2001:db8:1::", "2001:db8:3::", "fd00:10::", "fd00:50::"),
}


def _tunnels_by_other_addresses(version: int) -> t.Iterator[Attack]:
    """VXLAN packets to the addresses that the node shares, and to its other own addresses."""
    six = version == 6
    inner = ("v1", "w1")[six]
    own = (SECOND[six], gateway("c1", version))
    stranger = "2001:db8:1::77" if six else "192.0.2.77"
    sources = {"peer": ("nbr", _outside("nbr", version)), "stranger": ("nbr", stranger)}
    sources.update({name: (name, address(name, version)) for name in ("vpn", "c1", "c4", *(() if six else ("i1",)))})
    for target in (*SHARED_ADDRESSES[version], *own):
        for name, (origin, source) in sources.items():
            # The host's own addresses are closed to internal networks, those on bridges to its neighbours.
            if target in own and (name in ("c4", "i1") or target == own[1]):
                continue
            label = f"{name} to {target}, IPv{version}"
            is_closed = target in ("172.30.10.255", "fd00:10::") and name != "c1"  # as all addresses of that network
            counter = "direct" if is_closed else "overlays"
            if origin in places.OUTSIDE and target.startswith(("172.30.", "fd00:")):
                counter = "gateways"
            yield Attack(f"VXLAN of {label}", origin, tunnelled(origin, source, target, inner, version), counter, inner)
            yield Attack(f"VXLAN in clear of {label}", origin, sealed(origin, source, target), counter, "node")
    seen = VIA_NEIGHBOUR
    for target in ("2001:db8:3::",) if six else ("203.0.113.255",):
        far = _outside("far", version)
        yield Attack(
            f"VXLAN of far to {target}, IPv{version}",
            "far",
            tunnelled("far", far, target, inner, version),
            "overlays",
            inner,
            seen,
        )
    yield Attack(
        f"VXLAN of a peer of another network, IPv{version}",
        "nbr",
        tunnelled("nbr", _outside("nbr", version), HOST[six], ("w1", "v1")[six], version),
        "overlays",
        ("w1", "v1")[six],
    )
    if not six:
        yield Attack(
            "sandbox into a foreign VXLAN network",
            "c1",
            lambda lab, token: lab["c1"].frame(foreign(lab, "c1", address("c1", 4), HOST[0], token)),
            "overlays",
            "node",
        )


def _pieces(version: int) -> t.Iterator[Attack]:
    """A datagram in two pieces is put together before it is looked at, so it counts once."""

    def send(lab: Lab, token: bytes) -> None:
        source, target = _outside("nbr", version), address("c1", version)
        whole = wire.udp(source, target, 40000, 81, token * 4)
        for part in wire.fragments(source, target, wire.UDP, whole, 16, int(token[2:])):
            lab["nbr"].frame(wire.ethernet(lab.hop("nbr"), lab["nbr"].mac, wire.IP6 if version == 6 else wire.IP, part))

    yield Attack(f"neighbour in fragments, IPv{version}", "nbr", send, "direct", "c1")


def _port_shadows(version: int) -> t.Iterator[Attack]:
    """CVE-2021-3773: a sandbox sends from the port of a service of the host, or of another network's published port, to
    a client. What the client sends to the host then looks like an answer.
    """
    client, host = _outside("nbr", version), HOST[version == 6]
    services = [
        ("UDP", 9998, "node"),
        ("UDP", host_port("c3"), "c3"),
        ("TCP", host_port("c3"), "c3"),
        ("SCTP", SCTP_PORT, "c3"),
    ]
    for origin in ("c1", "s1", "l1"):
        for protocol, port, receiver in services:

            def send(lab: Lab, token: bytes, origin: str = origin, port: int = port, protocol: str = protocol) -> None:
                number, make = _PROTOCOLS[protocol]
                client_port = 20000 + int(token[2:]) % 10000
                source = address(origin, version)
                opened = make(source, client, port, client_port, b"shadow")
                lab[origin].frame(frame_of(lab, origin, source, client, number, opened))
                asked = make(client, host, client_port, port, token)
                lab["nbr"].frame(frame_of(lab, "nbr", client, host, number, asked))

            yield Attack(
                f"{origin} shadows {protocol} port {port}, IPv{version}",
                "nbr",
                send,
                "",
                receiver,
                frozenset((receiver,)),
            )
