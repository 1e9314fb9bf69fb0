# SPDX-License-Identifier: GPL-3.0-or-later
"""At which addresses the host listens to sandboxes, and which of them its neighbours reach.

A sandbox reaches the host by unicast alone: at its gateway, and at the host's other addresses if its network is not
internal. What it sends to everybody, the host does not take, except for the questions of neighbour discovery.
"""

from __future__ import annotations

import ipaddress
import json
import typing as t

import pytest

from lab import wire
from support import traffic, wire_probe
from support.private_host import HOST_ADDRESSES, NEIGHBOUR_ADDRESSES
from support.traffic import network

PORT = 9999
KINDS: dict[str, dict[str, t.Any]] = {
    "inner": {"internal": True},
    "front": {},
    "routed": {"gateway_mode_ipv4": "routed", "gateway_mode_ipv6": "routed"},
    "bare": {"gateway_mode_ipv4": "nat-unprotected", "gateway_mode_ipv6": "nat-unprotected"},
    "loose": {"port_security": False},
    "wide": {"isolate": "open"},
    "apart": {"icc": False},
    "silent": {"egress": False},
}
NUMBERS = {name: 20 + number for number, name in enumerate(KINDS)}
SUBNETS = {name: (f"172.{number}.0.0/24", f"fd00:{number}::/64") for name, number in NUMBERS.items()}
GATEWAYS = {name: (f"172.{number}.0.1", f"fd00:{number}::1") for name, number in NUMBERS.items()}
BROADCASTS = {name: f"172.{number}.0.255" for name, number in NUMBERS.items()}
ANYCASTS = {name: f"fd00:{number}::" for name, number in NUMBERS.items()}
GROUPS4 = ("224.0.0.1", "224.0.0.251", "239.255.255.250", "232.1.1.1")
GROUPS6 = ("ff02::1", "ff02::2", "ff02::fb", "ff05::2", "ff08::123", "ff01::1", "ff02::16")
JOIN = """
import signal, socket, struct, sys
joined = []
for index, name in socket.if_nameindex():
    for group in sys.argv[1].split() if name.startswith("br-") else ():
        door = socket.socket(socket.AF_INET6 if ":" in group else socket.AF_INET, socket.SOCK_DGRAM)
        joined.append(door)  # a socket has twenty groups at most
        if ":" in group:
            door.setsockopt(41, 20, socket.inet_pton(10, group) + struct.pack("=i", index))
        else:
            door.setsockopt(0, 35, socket.inet_aton(group) + bytes(4) + struct.pack("=i", index))
print("ready", flush=True)
signal.pause()
"""
HEAR_ARP = """
import socket
wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0806))
wire.bind(("eth0", 0x0806))
wire.settimeout(15)
print("ready", flush=True)
while True:
    frame, sender = wire.recvfrom(2048)
    if sender[2] != 4 and frame[20:22] == b"\\0\\1":
        print(socket.inet_ntoa(frame[28:32]), flush=True)
        break
"""


def document(**more: t.Any) -> dict[str, t.Any]:
    """Return a project with a network of each kind and one sandbox on each."""
    return {
        "networks": {name: network(" ".join(SUBNETS[name]), **options) for name, options in KINDS.items()},
        "sandboxes": {name: {"networks": [name]} for name in KINDS},
        **more,
    }


class Sandbox(t.NamedTuple):
    """What frames of a sandbox need: its MAC and its bridge's, and its addresses."""

    name: str
    mac: str
    bridge_mac: str
    address4: str
    address6: str

    def source(self, target: str) -> str:
        """Return its address of the target's family."""
        return self.address6 if ":" in target else self.address4

    def packet(self, target: str, protocol: int = wire.UDP, payload: bytes | None = None, hops: int = 64) -> bytes:
        """Return a packet from its own address."""
        source = self.source(target)
        if payload is None:
            payload = wire.udp(source, target, 40000, PORT, b"hello")
        return wire.packet(source, target, protocol, payload, hops=hops)

    def frame(self, packet: bytes, mac: str = "") -> bytes:
        """Return a packet in a frame to its bridge, or to a MAC."""
        return wire.ethernet(mac or self.bridge_mac, self.mac, wire.IP6 if packet[0] >> 4 == 6 else wire.IP, packet)

    def last(self) -> bytes:
        """Return an echo request to its gateway."""
        return wire_probe.echo_request(self.bridge_mac, self.mac, self.address4, GATEWAYS[self.name][0])


def read_sandbox(host: t.Any, name: str) -> Sandbox:
    """Read what is known of a sandbox."""
    link = json.loads(host.sh("ip -json address show dev eth0", netns=name))[0]
    found = {each["family"]: each["local"] for each in link["addr_info"] if each["scope"] == "global"}
    assert host.ping(name, GATEWAYS[name][0])
    bridge = json.loads(host.sh(f"ip -json neighbour show {GATEWAYS[name][0]}", netns=name))[0]["lladdr"]
    return Sandbox(name, link["address"], bridge, found["inet"], found["inet6"])


@pytest.fixture(name="host")
def _host(private_host):
    """Return a private host with a network of each kind, which listens to groups and notes what it takes."""
    private_host.apply(document())
    wire_probe.watch(private_host)
    joined = private_host.popen(["/usr/bin/python3", "-c", JOIN, " ".join(GROUPS4 + GROUPS6)])
    assert joined.readline() == "ready"
    yield private_host
    wire_probe.unwatch(private_host)


def to_everybody(sandbox: Sandbox) -> dict[str, bytes]:
    """Return frames to every address that is not unicast, in frames to a MAC that the bridge hands to the host."""
    own = (BROADCASTS[sandbox.name], "255.255.255.255", "0.0.0.0", *GROUPS4)
    others = tuple(BROADCASTS[name] for name in KINDS if name != sandbox.name) + ("192.0.2.255",)
    anycasts = tuple(ANYCASTS.values()) + ("2001:db8:1::", "fe80::")
    solicited = wire.solicited_node(wire.link_local(sandbox.bridge_mac))
    found = {}
    for target in (*own, *others, *GROUPS6, *anycasts, solicited):
        is_group = target.startswith(("224.", "232.", "239.", "ff"))
        macs = [sandbox.bridge_mac, wire.multicast_mac(target) if is_group else wire.BROADCAST]
        for mac in macs:
            kinds = {
                "UDP": sandbox.packet(target),
                "echo": sandbox.packet(target, *_echo(sandbox, target)),
                "TCP": sandbox.packet(
                    target, wire.TCP, wire.tcp(sandbox.source(target), target, 4000, 22, wire.SYN, b"")
                ),
                "OSPF": sandbox.packet(target, 89, bytes(24)),
                "IGMP": sandbox.packet(target, wire.IGMP, wire.icmp(0x16, 0, wire.packed("239.1.1.1"))),
            }
            found.update({f"{kind} to {target} at {mac}": sandbox.frame(packet, mac) for kind, packet in kinds.items()})
    return found


def _echo(sandbox: Sandbox, target: str) -> tuple[int, bytes]:
    if ":" in target:
        return wire.ICMP6, wire.icmp6(sandbox.source(target), target, 128, b"\0\7\0\1")
    return wire.ICMP, wire.icmp(8, 0, b"\0\7\0\1")


def taken(host, sandbox: Sandbox, frames: t.Mapping[str, bytes]) -> list[str]:
    """Send frames and return the names of those that the host takes."""
    wire_probe.heard(host)
    names = dict(enumerate(frames, 1000))
    sent = [frame[:14] + wire_probe.numbered(frame[14:], number) for number, frame in zip(names, frames.values())]
    wire_probe.send(host, sandbox.name, sent, sandbox.last())
    return [names[number] for number in sorted(wire_probe.heard(host) & set(names))]


def test_the_host_takes_nothing_that_is_sent_to_everybody(host):
    """Broadcast, multicast, anycast, in both families and any protocol, from a network of every kind."""
    sandboxes = [read_sandbox(host, name) for name in KINDS]
    for sandbox in sandboxes:
        assert taken(host, sandbox, to_everybody(sandbox)) == [], sandbox.name
        control = taken(host, sandbox, {"gateway": sandbox.frame(sandbox.packet(GATEWAYS[sandbox.name][0]))})
        assert control == ["gateway"]
    with traffic.without(host, "goto shared"):
        inner = sandboxes[0]
        reached = taken(host, inner, to_everybody(inner))
    for target in (
        BROADCASTS["inner"],
        "255.255.255.255",
        *GROUPS4,
        "ff02::1",
        "ff02::fb",
        "ff05::2",
        ANYCASTS["inner"],
    ):
        assert any(f" to {target} at" in name for name in reached), f"the control to {target} does not arrive"


def test_neighbour_discovery_of_the_gateway_works(host):
    """Its solicited-node group is the one multicast address that a sandbox needs at the host."""
    for name in KINDS:
        host.sh("ip neighbour flush all; ip -6 neighbour flush all", netns=name)
        assert host.ping(name, GATEWAYS[name][0]) and host.ping(name, GATEWAYS[name][1])
        own = wire.link_local(read_sandbox(host, name).bridge_mac)
        host.sh("ip -6 neighbour flush all", netns=name)
        assert host.ping(name, f"{own}%eth0")


def asked_for(host, sandbox: Sandbox, targets: t.Iterable[str]) -> set[str]:
    """Ask the host for its addresses by ARP and neighbour solicitation, and return those that it answers for."""
    frames = []
    for target in targets:
        if ":" in target:
            group = wire.solicited_node(target)
            body = bytes(4) + wire.packed(target) + wire.option6(1, sandbox.mac)
            message = wire.icmp6(sandbox.address6, group, 135, body)
            frames.append(
                sandbox.frame(sandbox.packet(group, wire.ICMP6, message, hops=255), wire.multicast_mac(group))
            )
            frames.append(sandbox.frame(sandbox.packet(group, wire.ICMP6, message, hops=255)))
        else:
            message = wire.arp(1, sandbox.mac, sandbox.address4, "00:00:00:00:00:00", target, b"")
            frames += [
                wire.ethernet(mac, sandbox.mac, wire.ARP, message) for mac in (wire.BROADCAST, sandbox.bridge_mac)
            ]
    found = set()
    for frame in wire_probe.send(host, sandbox.name, frames, sandbox.last()):
        if frame[12:14] == b"\x08\x06" and frame[20:22] == b"\0\2":
            found.add(str(ipaddress.ip_address(frame[28:32])))
        elif frame[54:55] == b"\x88":
            found.add(str(ipaddress.ip_address(frame[62:78])))
    return found


def test_the_host_answers_for_the_gateway_alone(host):
    """A sandbox does not learn which other addresses the host has: not even where the host answers for others."""
    sandboxes = {name: read_sandbox(host, name) for name in ("inner", "front", "loose", "routed")}
    bridges = [wire.link_local(sandbox.bridge_mac) for sandbox in sandboxes.values()]
    every = [*HOST_ADDRESSES, "127.0.0.1", "fe80::2", *(each for both in GATEWAYS.values() for each in both), *bridges]
    proxies = {"ipv4/conf/all/proxy_arp": 1, "ipv6/conf/all/proxy_ndp": 1, "ipv4/conf/all/route_localnet": 1}
    with traffic.sysctls(host, proxies):
        for name, sandbox in sandboxes.items():
            own = {*GATEWAYS[name], wire.link_local(sandbox.bridge_mac)}
            assert asked_for(host, sandbox, every) == own
    host.sh("for each in /proc/sys/net/ipv4/conf/br-*/arp_ignore; do echo 0 >$each; done")
    assert asked_for(host, sandboxes["inner"], every) >= {HOST_ADDRESSES[0], GATEWAYS["front"][0]}  # the control
    assert host.apply(document())["changed"]
    assert HOST_ADDRESSES[0] not in asked_for(host, sandboxes["inner"], every)


def test_the_host_asks_with_the_gateway(host):
    """Whatever source address a service of the host has."""
    sandbox = read_sandbox(host, "inner")
    host.sh("ip neighbour flush all")
    capture = host.popen(["/usr/bin/python3", "-c", HEAR_ARP], netns="inner")
    assert capture.readline() == "ready"
    host.run(["ping", "-c", "1", "-w", "5", "-I", HOST_ADDRESSES[0], sandbox.address4], check=False)
    assert capture.readline() == GATEWAYS["inner"][0]


def test_an_internal_network_reaches_no_other_address_of_the_host(host):
    """Not even before its data are there: what a set does not name stays closed."""
    others = (*HOST_ADDRESSES, *GATEWAYS["front"], *GATEWAYS["bare"])
    inner, front = read_sandbox(host, "inner"), read_sandbox(host, "front")

    def reached(sandbox):
        return taken(host, sandbox, {target: sandbox.frame(sandbox.packet(target)) for target in others})

    assert reached(inner) == []
    assert reached(front) == list(others)
    host.sh("nft flush set inet dockless all_host_addresses")
    assert reached(front) == list(GATEWAYS["front"])  # its own
    assert host.apply(document())["changed"]
    assert reached(front) == list(others)


def test_a_bridge_without_data_lets_no_source_pass(host):
    sandbox = read_sandbox(host, "front")
    probe = {"own": sandbox.frame(sandbox.packet(GATEWAYS["front"][0]))}
    host.sh("nft flush set inet dockless sources4")
    wire_probe.send(host, "front", list(probe.values()))
    assert not host.ping("front", GATEWAYS["front"][0], wait=1)
    assert host.apply(document())["changed"]
    assert taken(host, sandbox, probe) == ["own"]


def from_outside(host, targets: t.Iterable[str]) -> set[str]:
    """Return which addresses a neighbour reaches by way of the host."""
    neighbour = host.neighbour()
    mac = host.sh("cat /sys/class/net/eth0/address")
    own = neighbour.sh("cat /sys/class/net/eth0/address")
    names = dict(enumerate(targets, 1000))
    frames = []
    for number, target in names.items():
        source = NEIGHBOUR_ADDRESSES[":" in target]
        packet = wire.packet(source, target, wire.UDP, wire.udp(source, target, 40000, PORT, b"hello"))
        kind = wire.IP6 if ":" in target else wire.IP
        frames.append(wire.ethernet(mac, own, kind, wire_probe.numbered(packet, number)))
    wire_probe.heard(host)
    wire_probe.send(
        neighbour, None, frames, wire_probe.echo_request(mac, own, NEIGHBOUR_ADDRESSES[0], HOST_ADDRESSES[0])
    )
    return {names[number] for number in wire_probe.heard(host) & set(names)}


def test_neighbours_reach_a_gateway_only_where_its_network_is_unprotected(host):
    """A gateway's address is for sandboxes. Neighbours have the host's own."""
    gateways = [address for both in GATEWAYS.values() for address in both]
    shared = [*BROADCASTS.values(), *ANYCASTS.values()]
    own = set(HOST_ADDRESSES)
    assert from_outside(host, [*gateways, *shared, *own]) == {*own, *GATEWAYS["bare"]}
    with traffic.without(host, "ip daddr @gateways4", "ip6 daddr @gateways6"):
        found = from_outside(host, [*gateways, *shared, *own])
    assert {*GATEWAYS["inner"], *GATEWAYS["routed"], BROADCASTS["routed"], ANYCASTS["routed"]} <= found
