# SPDX-License-Identifier: GPL-3.0-or-later
"""What comes out of a tunnel is checked against the sandboxes of the host that it comes from.

Root in a sandbox lets the kernel write a checksum over the source of a packet after the sender's host has checked it.
Beside that, the sender's host sends every other frame as VXLAN, as if it checked nothing.
"""

from __future__ import annotations

import contextlib
import struct
import typing as t

import pytest

from lab import topology, wire
from support import private_fleet, traffic
from support.tunnels import (
    EVPN,
    FIRST_OFFSET,
    KINDS,
    PROTOCOL,
    ROUTED,
    SEALED,
    STATIC,
    Tunnels,
    address,
    frame,
    mac,
    rewritten,
    sandbox,
)

BRIDGED = (STATIC, SEALED, EVPN)
FAMILIES = (4, 6)
ADVERTISEMENT, SOLICITATION, REDIRECT, ROUTER, ROUTER_SOLICITATION = 136, 135, 137, 134, 133
Frames = dict[str, bytes]


@pytest.fixture(scope="module", name="tunnels")
def make_tunnels() -> t.Iterator[Tunnels]:
    """Return two hosts that have converged. At the end nothing may be left."""
    with private_fleet.Fleet(2) as fleet:
        with contextlib.ExitStack() as stack:
            stack.enter_context(topology.one_processor())
            for host in fleet.hosts:
                stack.enter_context(traffic.bridge_calls_iptables(host, 0))
            yield Tunnels(fleet)
        fleet.check_clean()


def payload(token: bytes) -> bytes:
    """Return a token, filled up to a size that no link extends, with zeros at the end."""
    return token.ljust(40, b".") + bytes(4)


def packet(kind: str, source: str, version: int, token: bytes, protocol: int = PROTOCOL, more: bytes = b"") -> bytes:
    """Return a packet to victim."""
    return wire.packet(source, address(kind, "victim", version), protocol, more + payload(token))


def token_of(each: bytes) -> bytes:
    """Return the token in a frame."""
    begin = each.index(b"TOKEN-")
    return each[begin : begin + 12]


# ---- a checksum over the source ----------------------------------------------


def disguised(tunnels: Tunnels, kind: str) -> dict[str, tuple[bytes, bytes]]:
    """Return frames as evil's host sees them, and as they arrive."""
    if kind == ROUTED:  # with another source, the header of IPv4 would have a wrong checksum at the first router
        return dict(_other_sources(tunnels, kind, 6, ("third", "victim")))
    claimed = ("gateway", "victim") if kind == EVPN else ("gateway", "good", "third", "victim", "nobody")
    found = {}
    for version in FAMILIES:
        found.update(_other_sources(tunnels, kind, version, claimed))
        found.update(_other_macs(tunnels, kind, version, ("victim",) if kind == EVPN else ("good", "third", "victim")))
        found.update(_other_types(tunnels, kind, version))
    return {**found, **dict(_other_claims(tunnels, kind))}


def _other_sources(
    tunnels: Tunnels, kind: str, version: int, claimed: t.Iterable[str]
) -> t.Iterator[tuple[str, tuple[bytes, bytes]]]:
    evil, hop, own = mac(kind, "evil"), tunnels.hop(kind), address(kind, "evil", version)
    for name in claimed:
        token, other = tunnels.token(), address(kind, name, version)
        if kind == ROUTED:  # the same last number in the part of another host: only two bytes differ
            other = other.rpartition(":")[0] + ":" + own.rpartition(":")[2]
        seen, meant = packet(kind, own, version, token), packet(kind, other, version, token)
        if version == 4:  # the checksum of the header is one for what arrives
            seen = seen[:10] + meant[10:12] + seen[12:]
        yield f"{name}'s address, IPv{version}", (frame(hop, evil, seen), frame(hop, evil, meant))


def _other_macs(
    tunnels: Tunnels, kind: str, version: int, claimed: t.Iterable[str]
) -> t.Iterator[tuple[str, tuple[bytes, bytes]]]:
    for name in claimed:
        data = packet(kind, address(kind, "evil", version), version, tunnels.token())
        macs = (mac(kind, each) for each in ("evil", name))
        seen, meant = (frame(tunnels.hop(kind), source, data) for source in macs)
        yield f"{name}'s MAC, IPv{version}", (seen, meant)


def _other_types(tunnels: Tunnels, kind: str, version: int) -> t.Iterator[tuple[str, tuple[bytes, bytes]]]:
    for name, number in (("ARP", wire.ARP), ("RARP", wire.RARP), ("a VLAN", wire.VLAN), ("unknown", 0x88B5)):
        seen = frame(
            tunnels.hop(kind),
            mac(kind, "evil"),
            packet(kind, address(kind, "evil", version), version, tunnels.token()),
        )
        yield f"type {name}, IPv{version}", (seen, seen[:12] + struct.pack("!H", number) + seen[14:])


def _other_claims(tunnels: Tunnels, kind: str) -> t.Iterator[tuple[str, tuple[bytes, bytes]]]:
    """Yield ARP and neighbour advertisements in another's name."""
    evil, hop = mac(kind, "evil"), tunnels.hop(kind)
    for name in ("evil", "gateway", "victim"):
        token = tunnels.token()
        seen, meant = (
            wire.ethernet(hop, evil, wire.ARP, arp(kind, 2, each, payload(token))) for each in ("evil", name)
        )
        if name != "evil":
            yield f"ARP of {name}", (seen, meant)
        token = tunnels.token()
        bodies = (advertisement(kind, each, payload(token)) for each in ("evil", name))
        seen, meant = (frame(hop, evil, _icmp6(kind, ADVERTISEMENT, body)) for body in bodies)
        meant = seen[:58] + meant[58:]  # the checksum is that of what is seen
        if name != "evil":
            yield f"advertisement of {name}", (seen, meant)


def arp(kind: str, operation: int, sender: str, more: bytes, version: int = 4) -> bytes:
    """Return ARP of evil in somebody's name to victim."""
    claimed, target = address(kind, sender, version), address(kind, "victim", version)
    return wire.arp(operation, mac(kind, "evil"), claimed, mac(kind, "victim"), target, more)


def advertisement(kind: str, name: str, more: bytes) -> bytes:
    """Return the body of a neighbour advertisement: the address is at evil's MAC."""
    option = wire.option6(2, mac(kind, "evil"))
    return b"\x60\0\0\0" + wire.packed(address(kind, name, 6)) + option + more


def _icmp6(kind: str, number: int, body: bytes, source: str = "") -> bytes:
    own, target = source or address(kind, "evil", 6), address(kind, "victim", 6)
    return wire.packet(own, target, wire.ICMP6, wire.icmp6(own, target, number, body), hops=255)


@pytest.mark.parametrize("kind", KINDS)
def test_no_checksum_over_the_source_brings_a_frame_through_a_tunnel(tunnels: Tunnels, kind: str) -> None:
    """By whatever bytes: addresses, MACs, the type, and what ARP and neighbour discovery claim."""
    found = disguised(tunnels, kind)
    frames = [rewritten(*each) for each in found.values()]
    assert tunnels.arrived(kind, frames) == {}
    with unguarded(tunnels):
        arrived = tunnels.arrived(kind, frames)
    for (name, (_seen, meant)), (offset, _sent) in zip(found.items(), frames):
        if offset < FIRST_OFFSET and token_of(meant) not in arrived:
            continue
        assert token_of(meant) in arrived, name
        got, changed = arrived[token_of(meant)], slice(offset, offset + 2)
        assert got[changed] == meant[changed], name
    assert tunnels.arrived(kind, frames) == {}


@contextlib.contextmanager
def unguarded(tunnels: Tunnels) -> t.Iterator[None]:
    """Take the checks of tunnels away from both hosts for the length of a with block."""
    kept = {host: host.sh("nft list table bridge dockless") for host in (tunnels.first, tunnels.second)}
    routed = ("ip saddr . ether saddr . iifname", "ip6 saddr . ether saddr . iifname", "iifname @routed_devices icmpv6")
    for host in kept:
        host.sh("nft flush chain bridge dockless from_tunnel; nft flush chain bridge dockless to_tunnel")
    with traffic.without(tunnels.second, *routed):
        yield
    for host, text in kept.items():
        host.run(["nft", "-f", "-"], input=f"delete table bridge dockless\n{text}")


# ---- every other frame, as if the sender's host checked nothing --------------


def foreign(tunnels: Tunnels, kind: str) -> Frames:
    """Return frames that no honest host sends on, by name."""
    found = dict(_foreign_packets(tunnels, kind))
    if kind == ROUTED:
        return {name: tunnels.as_sent_by_host(kind, each) for name, each in found.items()}
    return {**found, **dict(_foreign_frames(tunnels, kind)), **dict(_services(tunnels, kind))}


def _foreign_packets(tunnels: Tunnels, kind: str) -> t.Iterator[tuple[str, bytes]]:
    """Yield packets from addresses that evil does not have, whole and in every disguise."""
    claimed = {EVPN: ("gateway", "victim"), ROUTED: ("third", "victim")}.get(
        kind, ("gateway", "good", "third", "victim", "nobody")
    )
    for version in FAMILIES:
        sources = {name: address(kind, name, version) for name in claimed}
        sources["a stranger"] = "198.51.100.77" if version == 4 else "2001:db8:2::77"
        if kind != ROUTED:  # where the kernel never sends such a packet on
            sources["no address"] = "0.0.0.0" if version == 4 else wire.link_local(mac(kind, "evil"))
        for name, source in sources.items():
            for form, each in _forms(kind, source, version, tunnels).items():
                yield f"{form} from {name}, IPv{version}", frame(tunnels.hop(kind), mac(kind, "evil"), each)


def _forms(kind: str, source: str, version: int, tunnels: Tunnels) -> Frames:
    """Return packets from a source: whole, as a fragment, behind extension headers."""
    target, found = address(kind, "victim", version), {}
    found["a packet"] = packet(kind, source, version, tunnels.token())
    if kind == ROUTED:  # the host waits for the other fragments
        return found
    whole = payload(tunnels.token())
    if version == 4:
        found["a fragment"] = wire.packet(source, target, PROTOCOL, whole, offset=100)
        return found
    head = struct.pack("!BBHI", PROTOCOL, 0, 800, 7)
    found["a fragment"] = wire.packet(source, target, wire.FRAGMENT, head + whole)
    for name, number in (("hop-by-hop", wire.HOP_BY_HOP), ("destination", wire.OPTIONS)):
        option = bytes([PROTOCOL, 0, 1, 4, 0, 0, 0, 0])
        found[f"{name} options"] = packet(kind, source, version, tunnels.token(), number, option)
    return found


def _foreign_frames(tunnels: Tunnels, kind: str) -> t.Iterator[tuple[str, bytes]]:
    """Yield frames with evil's own addresses that a tunnel does not carry: MACs, groups, tags, types."""
    hop, own = tunnels.hop(kind), mac(kind, "evil")
    macs = {"victim": mac(kind, "victim"), "the gateway": tunnels.gateway_macs[kind]}
    if kind != EVPN:
        macs.update(good=mac(kind, "good"), third=mac(kind, "third"), nobody="02:00:00:00:00:99")
    for version in FAMILIES:
        source = address(kind, "evil", version)
        for name, claimed in macs.items():
            yield f"{name}'s MAC, IPv{version}", frame(hop, claimed, packet(kind, source, version, tunnels.token()))
        for group in (wire.BROADCAST, "01:00:5e:00:00:01", "33:33:00:00:00:01", "03:00:00:00:00:01"):
            yield f"to {group}, IPv{version}", frame(group, own, packet(kind, source, version, tunnels.token()))
        number = wire.IP if version == 4 else wire.IP6
        for name, tags in {
            "802.1Q": [(wire.VLAN, 5)],
            "priority": [(wire.VLAN, 0)],
            "802.1ad": [(wire.QINQ, 5)],
        }.items():
            data = packet(kind, source, version, tunnels.token())
            yield f"{name} tag, IPv{version}", wire.ethernet(hop, own, number, data, tags)
        data = packet(kind, source, version, tunnels.token())
        at = 2 if version == 4 else 4  # a length that the frame does not have
        yield f"malformed IPv{version}", frame(hop, own, data[:at] + b"\x40\0" + data[at + 2 :])
    for number in (0x88B5, wire.RARP, 0x8864, 0x8847, 0x88CC, 50):
        yield f"type {number:x}", wire.ethernet(hop, own, number, payload(tunnels.token()))


def _services(tunnels: Tunnels, kind: str) -> t.Iterator[tuple[str, bytes]]:
    """Yield what only the bridge, a router or a server sends, with evil's own addresses."""
    hop, own = tunnels.hop(kind), mac(kind, "evil")
    for operation in (1, 2):
        for target in (hop, wire.BROADCAST):
            yield (
                f"ARP {operation} to {target}",
                wire.ethernet(target, own, wire.ARP, arp(kind, operation, "evil", payload(tunnels.token()))),
            )
    claim = wire.packed(address(kind, "victim", 6))
    messages = {
        ROUTER_SOLICITATION: bytes(4),
        ROUTER: b"\x40\0\x07\x08" + bytes(8),
        SOLICITATION: bytes(4) + claim,
        ADVERTISEMENT: b"\x60\0\0\0" + claim,
        REDIRECT: bytes(4) + claim + claim,
        130: bytes(4) + bytes(16),
        131: bytes(4) + claim,
        132: bytes(4) + claim,
        143: bytes(4),
    }
    for number, body in messages.items():
        for source in (address(kind, "evil", 6), wire.link_local(own), "::"):
            yield (
                f"ICMPv6 {number} from {source}",
                frame(hop, own, _icmp6(kind, number, body + payload(tunnels.token()), source)),
            )
        message = wire.icmp6(
            address(kind, "evil", 6), address(kind, "victim", 6), number, body + payload(tunnels.token())
        )
        for name, header in {
            "options": (wire.HOP_BY_HOP, bytes([wire.ICMP6, 0, 1, 4, 0, 0, 0, 0])),
            "a fragment": (wire.FRAGMENT, struct.pack("!BBHI", wire.ICMP6, 0, 1, 9)),
        }.items():
            data = wire.packet(
                address(kind, "evil", 6), address(kind, "victim", 6), header[0], header[1] + message, hops=255
            )
            yield f"ICMPv6 {number} in {name}", frame(hop, own, data)
    for number in (0x11, 0x16, 0x22):
        message = wire.icmp(number, 0, bytes(4) + payload(tunnels.token()))
        yield (
            f"IGMP {number:x}",
            frame(hop, own, wire.packet(address(kind, "evil", 4), address(kind, "victim", 4), wire.IGMP, message)),
        )
    for version, ports in ((4, [(67, 4000), (4000, 68)]), (6, [(547, 4000), (4000, 546)])):
        source, target = address(kind, "evil", version), address(kind, "victim", version)
        for sport, dport in ports:
            data = wire.udp(source, target, sport, dport, payload(tunnels.token()))
            yield f"UDP {sport} to {dport}", frame(hop, own, wire.packet(source, target, wire.UDP, data))


@pytest.mark.parametrize("kind", KINDS)
def test_frames_that_a_host_does_not_send_on_end_at_the_tunnel(tunnels: Tunnels, kind: str) -> None:
    """Whatever a sandbox's own host lets through. Each of them arrives where nothing is checked."""
    found = foreign(tunnels, kind)
    arrived = tunnels.arrived_by_vxlan(kind, found.values())
    assert [name for name, each in found.items() if token_of(each) in arrived] == []
    with unguarded(tunnels):
        arrived = tunnels.arrived_by_vxlan(kind, found.values())
    missing = [name for name, each in found.items() if token_of(each) not in arrived]
    assert missing == []


# ---- neighbours --------------------------------------------------------------


@pytest.mark.parametrize("kind", [STATIC, EVPN])
def test_a_neighbour_whose_probes_do_not_cross_is_found_again(tunnels: Tunnels, kind: str) -> None:
    """A kernel asks a neighbour itself whether it is still there. When nobody answers, the bridge does for it."""
    host, netns = tunnels.first, sandbox(kind, "evil")
    host.sh("for each in ipv4 ipv6; do echo 50 >/proc/sys/net/$each/neigh/eth0/retrans_time_ms; done", netns=netns)
    for version in FAMILIES:
        target = address(kind, "victim", version)
        assert host.ping(netns, target)
        host.sh(f"ip neigh change {target} dev eth0 lladdr {mac(kind, 'victim')} nud probe", netns=netns)
        # Bridges of kernels before 6.15 answer what is asked.
        host.sh(f"until ip neigh show to {target} | grep -qE 'FAILED|REACHABLE|STALE'; do :; done", netns=netns)
        assert host.ping(netns, target)


def test_without_port_security_a_tunnel_carries_every_frame(tunnels: Tunnels) -> None:
    """As the ports of such a network do. What asks for neighbours crosses the tunnel, too."""
    hosts = (tunnels.first, tunnels.second)
    for number, host in enumerate(hosts, 1):
        document = tunnels.document(number, (STATIC, SEALED, ROUTED))
        document["networks"][STATIC]["port_security"] = False
        host.apply(document)
    found = foreign(tunnels, STATIC)
    arrived = tunnels.arrived_by_vxlan(STATIC, found.values())
    assert [name for name, each in found.items() if token_of(each) not in arrived] == []
    token = tunnels.token()
    question = wire.ethernet(
        mac(STATIC, "victim"), mac(STATIC, "evil"), wire.ARP, arp(STATIC, 1, "evil", payload(token))
    )
    assert token in tunnels.arrived(STATIC, [(None, question)])
    for number, host in enumerate(hosts, 1):
        host.apply(tunnels.document(number, (STATIC, SEALED, ROUTED)))
    assert token not in tunnels.arrived(STATIC, [(None, question)])
