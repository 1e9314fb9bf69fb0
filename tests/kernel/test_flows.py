# SPDX-License-Identifier: GPL-3.0-or-later
"""Connections follow what is published: one that has lost its ground is cut, to the exact tuple, and no other."""

from __future__ import annotations

import subprocess

import pytest

from support import traffic
from support.private_host import HOST_ADDRESSES, NEIGHBOUR_ADDRESSES, SYSTEM_PYTHON
from support.traffic import network

HOST4, HOST6 = HOST_ADDRESSES
NETWORKS = {"front": network("172.20.0.0/24 fd00:20::/64")}
# One socket, so one source port: what a client with a fixed port does. Orders come on its standard input: ADDRESS PORT
# TEXT.
_CLIENT = """
import socket, sys
wires = {}
for family, name in ((socket.AF_INET, "4"), (socket.AF_INET6, "6")):
    wires[name] = socket.socket(family, socket.SOCK_DGRAM)
    if name == "6":
        wires[name].setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    wires[name].bind(("", 40404))
print("ready", flush=True)
for line in sys.stdin:
    address, port, text = line.split()
    wires["6" if ":" in address else "4"].sendto(text.encode(), (address, int(port)))
    print("sent", flush=True)
"""
# A connection that stays open: each line that it is told is sent, and what comes back is said, or how it ended.
_STREAM = """
import socket, sys
wire = socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=5)
wire.settimeout(2)
print("ready", flush=True)
for line in sys.stdin:
    try:
        wire.send(line.encode())
        print(wire.recv(100).decode().strip() or "closed", flush=True)
    except OSError as error:
        print("silent", flush=True)
"""
_ECHO = """
import socket, sys, threading
server = socket.create_server(("::", int(sys.argv[1])), family=socket.AF_INET6, dualstack_ipv6=True)
print("ready", flush=True)
def serve(wire):
    while True:
        data = wire.recv(100)
        if not data: return
        wire.send(data)
while True:
    threading.Thread(target=serve, args=(server.accept()[0],), daemon=True).start()
"""


class Talker:
    """A program of the neighbour or of a sandbox that reads lines and answers each with one."""

    def __init__(self, place, code, *args, netns=None):
        self._process = subprocess.Popen(  # pylint: disable=consider-using-with
            place.command([SYSTEM_PYTHON, "-c", code, *args], netns),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout.readline() == "ready\n"

    def __call__(self, line):
        """Tell a line and return the answer."""
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        return self._process.stdout.readline().strip()

    def end(self):
        """End it."""
        self._process.stdin.close()
        self._process.wait(timeout=10)
        self._process.stdout.close()


def document(**ports):
    """Return a document of sandboxes on one network, each with its ports."""
    addresses = {
        name: {"front": {"ipv4_address": f"172.20.0.{number}", "ipv6_address": f"fd00:20::{number}"}}
        for number, name in enumerate(ports, 10)
    }
    return {
        "networks": NETWORKS,
        "sandboxes": {name: {"networks": addresses[name], "ports": found} for name, found in ports.items()},
    }


@pytest.mark.parametrize("address", [HOST4, HOST6])
def test_datagrams_follow_a_moved_port(private_host, address):
    """One client port throughout.

    The first datagram after each run reaches the port's new target. Those of another port are not affected.
    """
    private_host.apply(document(old=["51897:1194/udp"], new=[], other=["51898:1194/udp"]))
    old, new, other = (traffic.record(private_host, name, 1194) for name in ("old", "new", "other"))
    tell = Talker(private_host.neighbour(), _CLIENT)
    tell(f"{address} 51897 a")
    tell(f"{address} 51898 kept")
    assert old.readline().split()[0] == "a" and other.readline().split()[0] == "kept"
    entries = tracked(private_host, 51898)
    private_host.apply(document(old=[], new=["51897:1194/udp"], other=["51898:1194/udp"]))
    tell(f"{address} 51897 b")
    assert new.readline().split()[0] == "b"
    assert tracked(private_host, 51898) == entries == 1
    private_host.apply(document(old=[], new=[], other=["51898:1194/udp"]))
    assert tracked(private_host, 51897) == 0
    host = traffic.record(private_host, None, 51897)
    tell(f"{address} 51897 c")
    assert host.readline().split()[0] == "c"  # nobody's port any more: the host's own
    host.stop()
    tell(f"{address} 51897 to-nobody")
    private_host.apply(document(old=["51897:1194/udp"], new=[], other=["51898:1194/udp"]))
    tell(f"{address} 51897 d")
    tell(f"{address} 51898 still")
    assert old.readline().split()[0] == "d" and other.readline().split()[0] == "still"
    tell.end()


def tracked(host, port):
    """Return how many connections to a port the host keeps track of."""
    code = (
        "import sys\nfrom _dockless.linux import conntrack, netlink\n"
        "with netlink.Socket(netlink.NETLINK_NETFILTER) as sock:\n"
        "    print(sum(each.flow.port == int(sys.argv[1]) for each in conntrack._connections(sock)))"
    )
    return int(host.python(code, str(port)).stdout)


def test_withdrawn_port_ends_its_connections_only(private_host):
    """A connection by a withdrawn port ends immediately, one by another port continues.

    So does one whose clients stay welcome.
    """
    guests = {"target": 7, "published": 7003, "source_ranges": ["192.0.2.0/24"]}
    private_host.apply(document(web=["7001:7", "7002:7", guests]))
    server = private_host.popen([SYSTEM_PYTHON, "-c", _ECHO, "7"], "web")
    assert server.readline() == "ready"
    neighbour = private_host.neighbour()
    doomed, kept, guest = (Talker(neighbour, _STREAM, HOST4, port) for port in ("7001", "7002", "7003"))
    assert [talk("one") for talk in (doomed, kept, guest)] == ["one"] * 3
    private_host.apply(document(web=["7002:7", {**guests, "source_ranges": ["192.0.2.0/24", "198.51.100.0/24"]}]))
    assert [talk("two") for talk in (doomed, kept, guest)] == ["silent", "two", "two"]
    private_host.apply(document(web=["7002:7", {**guests, "source_ranges": ["198.51.100.0/24"]}]))
    assert [talk("three") for talk in (kept, guest)] == ["three", "silent"]
    for talk in (doomed, kept, guest):
        talk.end()


@pytest.mark.parametrize("version", [4, 6])
def test_withdrawn_port_ends_routed_connections(private_host, version):
    """On a routed network a connection falls silent when its port is withdrawn, or is for others only.

    Another port's goes on.
    """
    routed = network("172.20.0.0/24 fd00:20::/64", gateway_mode_ipv4="routed", gateway_mode_ipv6="routed")
    address = ("172.20.0.10", "fd00:20::10")[version == 6]
    some = {"target": 8, "published": 8, "source_ranges": ["198.51.100.0/24", "2001:db8:2::/64"]}
    private_host.apply({**document(web=["7:7", "8:8", "9:9"]), "networks": {"front": routed}})
    for port in ("7", "8", "9"):
        assert private_host.popen([SYSTEM_PYTHON, "-c", _ECHO, port], "web").readline() == "ready"
    neighbour = private_host.neighbour()
    neighbour.sh(f"ip route replace 172.20.0.0/24 via {HOST4}; ip route replace fd00:20::/64 via {HOST6}")
    talks = [Talker(neighbour, _STREAM, address, port) for port in ("7", "8", "9")]
    assert [talk("one") for talk in talks] == ["one"] * 3
    private_host.apply({**document(web=[some, "9:9"]), "networks": {"front": routed}})
    assert [talk("two") for talk in talks] == ["silent", "silent", "two"]
    for talk in talks:
        talk.end()


@pytest.mark.parametrize("version", [pytest.param(4, marks=pytest.mark.smoke), 6])
def test_connections_out_of_a_network_end_with_its_egress(private_host, version):
    """A connection that a sandbox has to the outside falls silent when its network loses egress.

    Another network's goes on.
    """
    networks = {"front": network("172.20.0.0/24 fd00:20::/64"), "other": network("172.21.0.0/24 fd00:21::/64")}
    sandboxes = {"web": {"networks": ["front"]}, "kept": {"networks": ["other"]}}
    private_host.apply({"networks": networks, "sandboxes": sandboxes})
    neighbour = private_host.neighbour()
    server = neighbour.popen([SYSTEM_PYTHON, "-c", _ECHO, "7"])
    assert server.readline() == "ready"
    outside = NEIGHBOUR_ADDRESSES[version == 6]
    doomed, kept = (Talker(private_host, _STREAM, outside, "7", netns=name) for name in ("web", "kept"))
    assert doomed("one") == kept("one") == "one"
    networks["front"]["egress"] = False
    private_host.apply({"networks": networks, "sandboxes": sandboxes})
    assert (doomed("two"), kept("two")) == ("silent", "two")
    for talk in (doomed, kept):
        talk.end()


@pytest.mark.parametrize("masquerade", [True, False])
def test_connections_between_open_networks_end_with_isolation(private_host, masquerade):
    """A connection between two networks falls silent when one of them closes itself.

    One between those that stay open goes on.
    """
    networks = {
        name: {**network(f"172.2{number}.0.0/24"), "isolate": "open", "masquerade": masquerade}
        for number, name in enumerate(("front", "back", "side"))
    }
    document = {
        "networks": networks,
        "sandboxes": {
            "db": {"networks": {"back": {"ipv4_address": "172.21.0.10"}}},
            "web": {"networks": ["front"]},
            "kept": {"networks": ["side"]},
        },
    }
    private_host.apply(document)
    assert private_host.popen([SYSTEM_PYTHON, "-c", _ECHO, "7"], "db").readline() == "ready"
    doomed, kept = (Talker(private_host, _STREAM, "172.21.0.10", "7", netns=name) for name in ("web", "kept"))
    assert doomed("one") == kept("one") == "one"
    networks["front"]["isolate"] = "strict"
    private_host.apply(document)
    assert (doomed("two"), kept("two")) == ("silent", "two")
    for talk in (doomed, kept):
        talk.end()


def test_connections_into_a_network_end_with_its_ingress(private_host):
    """To a sandbox's own address, where the mode opens it; another network's goes on."""
    networks = {
        name: network(subnet, gateway_mode_ipv4="nat-unprotected")
        for name, subnet in (("front", "172.20.0.0/24"), ("other", "172.21.0.0/24"))
    }
    document = {
        "networks": networks,
        "sandboxes": {
            name: {"networks": {net: {"ipv4_address": address}}}
            for name, net, address in (("web", "front", "172.20.0.10"), ("kept", "other", "172.21.0.10"))
        },
    }
    private_host.apply(document)
    for name in ("web", "kept"):
        assert private_host.popen([SYSTEM_PYTHON, "-c", _ECHO, "7"], name).readline() == "ready"
    neighbour = private_host.neighbour()
    neighbour.sh(f"ip route replace 172.20.0.0/24 via {HOST4}; ip route replace 172.21.0.0/24 via {HOST4}")
    doomed, kept = (Talker(neighbour, _STREAM, address, "7") for address in ("172.20.0.10", "172.21.0.10"))
    assert doomed("one") == kept("one") == "one"
    networks["front"]["ingress"] = False
    private_host.apply(document)
    assert (doomed("two"), kept("two")) == ("silent", "two")
    for talk in (doomed, kept):
        talk.end()


def test_a_client_that_asked_for_an_address_before_its_network_was_there_reaches_it(private_host):
    """Its packets went out to the world, translated; the kernel drops the next packet of such a connection."""
    routed = {f"com.docker.network.bridge.gateway_mode_ipv{version}": "routed" for version in (4, 6)}
    later = {**network("172.21.0.0/24 fd00:21::/64"), "driver_opts": routed}
    targets = {"ipv4_address": "172.21.0.2", "ipv6_address": "fd00:21::2"}
    before = {"networks": NETWORKS, "sandboxes": {"cli": {"networks": ["front"]}}}
    after = {
        "networks": {**NETWORKS, "later": later},
        "sandboxes": {**before["sandboxes"], "new": {"networks": {"later": targets}}},
    }
    pings = [f"ping -e 77 -c 1 -W 2 {address}" for address in targets.values()]
    private_host.neighbour()
    private_host.apply(before)
    assert [private_host.run(ping.split(), netns="cli", check=False).returncode for ping in pings] == [1, 1]
    private_host.apply(after)
    assert [private_host.run(ping.split(), netns="cli", check=False).returncode for ping in pings] == [0, 0]
