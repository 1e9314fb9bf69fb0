# SPDX-License-Identifier: GPL-3.0-or-later
"""Forbidden packets do not pass, and each rule is what stops them: without it the same packet arrives."""

from __future__ import annotations

from concurrent import futures

import pytest

from support import traffic
from support.private_host import FAR_ADDRESSES, HOST_ADDRESSES, NEIGHBOUR_ADDRESSES
from support.traffic import network

HOST4, HOST6 = HOST_ADDRESSES
NEIGHBOUR4, NEIGHBOUR6 = NEIGHBOUR_ADDRESSES
FAR4, FAR6 = FAR_ADDRESSES
HOST_MAC = "02:00:00:00:00:02"
GUARD_LOOPBACK = 'iifname != "lo" ip daddr 127.0.0.0/8 counter'
GUARD_SOURCE = 'iifname != "lo" ip saddr 127.0.0.0/8 counter'
GUARD_DIRECT = ("daddr . iifname != @attached4 ip", "daddr . iifname != @attached6 ip6")
FORWARD_IN, FORWARD_OUT = (
    ("oifname != @not_internal", "oifname != @ingress"),
    ("iifname != @not_internal", 'iifname != @egress counter name "egress"'),
)
FORWARD_REST = 'counter name "closed" drop'
HAIRPIN = (
    "ct status dnat ip saddr . oifname @attached4 jump masqueraded",
    "ct status dnat ip6 saddr . oifname @attached6 jump masqueraded",
)
TWO = {
    "networks": {"front": network("172.20.0.0/24 fd00:20::/64"), "other": network("172.21.0.0/24 fd00:21::/64")},
    "sandboxes": {
        "web": {"networks": {"front": {"ipv4_address": "172.20.0.10", "ipv6_address": "fd00:20::10"}}},
        "stranger": {"networks": {"other": {"ipv4_address": "172.21.0.10", "ipv6_address": "fd00:21::10"}}},
    },
}
WEB = ("172.20.0.10", "fd00:20::10")


def with_ports(*ports):
    """Return TWO with ports of the sandbox web."""
    web = {**TWO["sandboxes"]["web"], "ports": list(ports)}
    return {**TWO, "sandboxes": {**TWO["sandboxes"], "web": web}}


def test_loopback_port_is_closed_to_frames_from_the_link(private_host):
    """A neighbour's frame to 127.0.0.1 or from it reaches nothing; without the guard it does."""
    private_host.apply(with_ports("127.0.0.1:8080:80/udp"))
    heard = traffic.record(private_host, "web", 80)
    own = traffic.record(private_host, None, 9999)
    neighbour = private_host.neighbour()
    attacks = [
        ("frame", NEIGHBOUR4, "127.0.0.1", 8080),
        ("other", NEIGHBOUR4, "127.0.0.2", 8080),
        ("source", "127.0.0.1", HOST4, 9999),
    ]
    for text, source, target, port in attacks:
        traffic.send_frame(neighbour, None, "eth0", HOST_MAC, source, target, port, text)
    traffic.send(private_host, None, "127.0.0.1", 8080, "control")
    traffic.send(private_host, None, "127.0.0.1", 9999, "control")
    assert heard.readline() == "control 172.20.0.1"
    assert own.readline() == "control 127.0.0.1"
    with traffic.without(private_host, GUARD_LOOPBACK):
        traffic.send_frame(neighbour, None, "eth0", HOST_MAC, NEIGHBOUR4, "127.0.0.1", 8080, "frame")
        assert heard.readline() == f"frame {NEIGHBOUR4}"
    lax = {"ipv4/conf/eth0/route_localnet": 1, "ipv4/conf/eth0/accept_local": 1}  # the kernel itself is a second wall
    with traffic.without(private_host, GUARD_SOURCE), traffic.sysctls(private_host, lax):
        traffic.send_frame(neighbour, None, "eth0", HOST_MAC, "127.0.0.1", HOST4, 9999, "source")
        assert own.readline() == "source 127.0.0.1"
    traffic.send_frame(neighbour, None, "eth0", HOST_MAC, NEIGHBOUR4, "127.0.0.1", 8080, "frame")
    traffic.send(private_host, None, "127.0.0.1", 8080, "control again")
    assert heard.readline() == "control again 172.20.0.1"


@pytest.mark.smoke
def test_sandbox_cannot_reach_the_hosts_loopback(private_host):
    """Though its bridge routes 127.0.0.0/8 for the answers of a loopback port."""
    private_host.apply(with_ports("127.0.0.1:8080:80/udp"))
    own = traffic.record(private_host, None, 9999)
    bridge = private_host.sh("ip -o -4 addr show to 172.20.0.1 | awk '{print $2}'")
    mac = private_host.sh(f"cat /sys/class/net/{bridge}/address")
    traffic.send_frame(private_host, "web", "eth0", mac, "172.20.0.10", "127.0.0.1", 9999, "attack")
    traffic.send(private_host, None, "127.0.0.1", 9999, "control")
    assert own.readline() == "control 127.0.0.1"
    with traffic.without(private_host, GUARD_LOOPBACK):
        traffic.send_frame(private_host, "web", "eth0", mac, "172.20.0.10", "127.0.0.1", 9999, "attack")
        assert own.readline() == "attack 172.20.0.10"
    conf = "/proc/sys/net/ipv4/conf"
    assert private_host.sh(f"cat {conf}/{{all,default,eth0,lo}}/route_localnet").split() == ["0"] * 4


@pytest.mark.parametrize("version", [4, 6])
def test_sandbox_address_is_unreachable_from_outside(private_host, version):
    """Neither its published nor other ports, by a neighbour with a route. Two rules stop it, each alone is enough."""
    private_host.apply(with_ports("8080:80/udp"))
    heard = traffic.record(private_host, "web", 80)
    other = traffic.record(private_host, "web", 81)
    neighbour, six = private_host.neighbour(), version == 6
    host_address, web = (HOST6, WEB[1]) if six else (HOST4, WEB[0])
    neighbour.sh(f"ip route add {'fd00:20::/64' if six else '172.20.0.0/24'} via {host_address}")
    client = NEIGHBOUR6 if six else NEIGHBOUR4

    def attack_and_control(text):
        traffic.send(neighbour, None, web, 80, "attack")
        traffic.send(neighbour, None, web, 81, "attack")
        traffic.send(neighbour, None, host_address, 8080, text)
        traffic.send(private_host, None, web, 81, text)
        assert heard.readline() == f"{text} {client}"
        assert other.readline().startswith(text)
        assert not neighbour.ping(None, web, wait=1)

    attack_and_control("control")
    with traffic.without(private_host, GUARD_DIRECT[six]):
        attack_and_control("one wall less")
    with traffic.without(private_host, FORWARD_REST):
        attack_and_control("the other wall less")
    with traffic.without(private_host, GUARD_DIRECT[six], FORWARD_REST):
        traffic.send(neighbour, None, web, 80, "direct")
        traffic.send(neighbour, None, web, 81, "direct")
        assert heard.readline() == other.readline() == f"direct {client}"
        assert neighbour.ping(None, web)
    attack_and_control("control again")


@pytest.mark.parametrize("version", [4, 6])
def test_gateway_address_is_not_the_neighbours(private_host, version):
    """What listens on a bridge is for its sandboxes; each of two rules alone keeps a neighbour with a route from it."""
    private_host.apply(TWO)
    own = traffic.record(private_host, None, 7777)
    neighbour, six = private_host.neighbour(), version == 6
    gateway = "fd00:20::1" if six else "172.20.0.1"
    neighbour.sh(f"ip route add {gateway} via {HOST6 if six else HOST4}")
    traffic.send(neighbour, None, gateway, 7777, "attack")
    traffic.send(private_host, "web", gateway, 7777, "control")
    assert own.readline() == f"control {WEB[six]}"
    rules = GUARD_DIRECT[six], "ip6 daddr @gateways6" if six else "ip daddr @gateways4"
    for rule in rules:
        with traffic.without(private_host, rule):
            traffic.send(neighbour, None, gateway, 7777, "attack")
            traffic.send(private_host, "web", gateway, 7777, "control")
            assert own.readline() == f"control {WEB[six]}"
    with traffic.without(private_host, *rules):
        traffic.send(neighbour, None, gateway, 7777, "attack")
        assert own.readline() == f"attack {NEIGHBOUR6 if six else NEIGHBOUR4}"


def pings(host, sandboxes):
    """Return the pairs (from, to) that ping; of the addresses that sandboxes has of one, all must answer or none."""
    asked = [(one, other, address) for one in sandboxes for other in sandboxes for address in sandboxes[other]]
    with futures.ThreadPoolExecutor(8) as pool:  # those that get no answer wait side by side
        answers = list(pool.map(lambda each: host.ping(each[0], each[2]), asked))
    found = {}
    for (one, other, _address), answer in zip(asked, answers):
        found.setdefault((one, other), set()).add(answer)
    assert all(len(said) == 1 for said in found.values()), f"families differ: {found}"
    return {pair for pair, said in found.items() if True in said}


def test_networks_are_isolated_from_each_other(private_host):
    """Over both families, both ways, also with a forged source. Without the rules the packets pass."""
    private_host.apply(TWO)
    ends = {"web": WEB, "stranger": ("172.21.0.10", "fd00:21::10")}
    apart = {("web", "web"), ("stranger", "stranger")}
    assert pings(private_host, ends) == apart
    heard = traffic.record(private_host, "stranger", 80)
    bridge = private_host.sh("ip -o -4 addr show to 172.20.0.1 | awk '{print $2}'")
    mac = private_host.sh(f"cat /sys/class/net/{bridge}/address")
    for source in ("172.20.0.10", "172.21.0.1", "172.21.0.77", HOST4):
        traffic.send_frame(private_host, "web", "eth0", mac, source, "172.21.0.10", 80, "forged")
    traffic.send(private_host, None, "172.21.0.10", 80, "control")
    assert heard.readline() == "control 172.21.0.1"
    with traffic.without(private_host, FORWARD_REST):
        assert pings(private_host, ends) == apart
    with traffic.without(private_host, *GUARD_DIRECT):
        assert pings(private_host, ends) == apart
    with traffic.without(private_host, FORWARD_REST, *GUARD_DIRECT):
        assert pings(private_host, ends) == {(one, other) for one in ends for other in ends}
    assert pings(private_host, ends) == apart


def test_open_networks_reach_each_other(private_host):
    """Two strict and two open networks; only the open ones know each other, and a change is made in place."""
    networks = {
        name: network(f"172.2{i}.0.0/24 fd00:2{i}::/64", isolate=isolate)
        for i, (name, isolate) in enumerate((("a", "strict"), ("b", "strict"), ("c", "open"), ("d", "open")))
    }
    sandboxes = {f"in-{name}": {"networks": [name]} for name in networks}
    document = {"networks": networks, "sandboxes": sandboxes}
    private_host.apply(document)
    ends = {f"in-{name}": (f"172.2{i}.0.2", f"fd00:2{i}::2") for i, name in enumerate("abcd")}
    alone = {(name, name) for name in ends}
    assert pings(private_host, ends) == alone | {("in-c", "in-d"), ("in-d", "in-c")}
    networks["d"]["isolate"] = "strict"
    assert private_host.apply(document)["changed"]
    assert pings(private_host, ends) == alone
    for name in ends:
        assert private_host.ping(name, FAR4) and private_host.ping(name, FAR6)


def test_icc_false_isolates_neighbours_only(private_host):
    """Neighbours of one bridge do not reach each other; the host and the world they reach; icc true opens in place."""
    document = {
        "networks": {"front": network("172.20.0.0/24 fd00:20::/64", icc=False)},
        "sandboxes": {"a": {"networks": ["front"], "ports": ["8080:80"]}, "b": {"networks": ["front"]}},
    }
    private_host.apply(document)
    private_host.serve_http("a", 80, "a")
    ends = {"a": ("172.20.0.2", "fd00:20::2"), "b": ("172.20.0.3", "fd00:20::3")}
    with traffic.bridge_calls_iptables(private_host, 0):
        assert pings(private_host, ends) == {("a", "a"), ("b", "b")}
        assert private_host.fetch("b", f"http://{HOST4}:8080/")
    with traffic.bridge_calls_iptables(private_host, 1):
        assert pings(private_host, ends) == {("a", "a"), ("b", "b")}
    assert private_host.ping("b", "172.20.0.1") and private_host.ping("b", FAR4) and private_host.ping("b", FAR6)
    document["networks"]["front"]["icc"] = True
    private_host.apply(document)
    for end in ends:  # a question that nobody could hear is repeated once a second only
        private_host.run(["ip", "-n", end, "neighbour", "flush", "dev", "eth0"])
    assert pings(private_host, ends) == {(one, other) for one in ends for other in ends}


def test_internal_network_has_no_egress(private_host):
    """No default route, the gateway answers, and a route added by hand does not help."""
    document = {
        "networks": {"back": network("172.30.0.0/24 fd00:30::/64", internal=True), "front": network("172.20.0.0/24")},
        "sandboxes": {"db": {"networks": ["back"]}, "cache": {"networks": ["back"]}, "web": {"networks": ["front"]}},
    }
    before = private_host.sh("ip route show default; ip -6 route show default")
    private_host.apply(document)
    assert private_host.sh("ip route show default; ip -6 route show default") == before
    assert traffic.default_routes(private_host, "db") == []
    assert (
        "Network is unreachable" in private_host.run(["ping", "-c1", "-w1", "8.8.8.8"], netns="db", check=False).stderr
    )
    for address in ("172.30.0.1", "fd00:30::1", "172.30.0.2", "fd00:30::2"):
        assert private_host.ping("db", address), address
    private_host.sh("ip route add default via 172.30.0.1; ip -6 route add default via fd00:30::1", netns="db")
    neighbour = private_host.neighbour()
    heard = traffic.record(neighbour, None, 80)
    for address in (NEIGHBOUR4, NEIGHBOUR6, FAR4):
        traffic.send(private_host, "db", address, 80, "out")
    traffic.send(private_host, "web", NEIGHBOUR4, 80, "control")
    assert heard.readline() == f"control {HOST4}"
    with traffic.without(private_host, *FORWARD_OUT):
        traffic.send(private_host, "db", NEIGHBOUR4, 80, "out")
        assert heard.readline() == "out 172.30.0.3"
    inside = traffic.record(private_host, "db", 80)
    neighbour.sh(f"ip route add 172.30.0.0/24 via {HOST4}")
    traffic.send(neighbour, None, "172.30.0.3", 80, "in")
    traffic.send(private_host, None, "172.30.0.3", 80, "control")
    assert inside.readline() == "control 172.30.0.1"
    with traffic.without(private_host, *FORWARD_IN, FORWARD_REST):
        traffic.send(neighbour, None, "172.30.0.3", 80, "in")
        assert inside.readline() == f"in {NEIGHBOUR4}"
    private_host.sh("ip route del default; ip -6 route del default", netns="db")


def test_hairpin_needs_no_br_netfilter(private_host):
    """A neighbour's answer by the host comes back through it; without the rule it does not."""
    private_host.apply(with_ports("8080:80"))
    private_host.serve_http("web", 80, "hello")
    urls = [f"http://{HOST4}:8080/", f"http://[{HOST6}]:8080/"]
    friend = {**with_ports("8080:80")["sandboxes"], "friend": {"networks": ["front"]}}
    private_host.apply({**TWO, "sandboxes": friend})
    with traffic.bridge_calls_iptables(private_host, 0):
        assert all(private_host.fetch("friend", url) for url in urls)
        with traffic.without(private_host, *HAIRPIN):
            assert [private_host.fetch("friend", url, wait=1) for url in urls] == [None, None]
        assert all(private_host.fetch("friend", url) for url in urls)


def test_masquerade_on_and_off(private_host):
    """What leaves has the host's address, or its own where masquerade is off, and then it can be addressed too."""
    document = {
        "networks": {
            "front": network("172.20.0.0/24 fd00:20::/64"),
            "plain": network("172.21.0.0/24 fd00:21::/64", masquerade=False),
        },
        "sandboxes": {"web": {"networks": ["front"]}, "bare": {"networks": ["plain"]}},
    }
    private_host.apply(document)
    neighbour = private_host.neighbour()
    heard = traffic.record(neighbour, None, 80)
    for netns, address, seen in (
        ("web", NEIGHBOUR4, HOST4),
        ("web", NEIGHBOUR6, HOST6),
        ("bare", NEIGHBOUR4, "172.21.0.2"),
        ("bare", NEIGHBOUR6, "fd00:21::2"),
    ):
        traffic.send(private_host, netns, address, 80, netns)
        assert heard.readline() == f"{netns} {seen}"
    assert private_host.ping("web", FAR4) and not private_host.ping("bare", FAR4, wait=1)
    neighbour.sh(f"ip route add 172.21.0.0/24 via {HOST4}")
    assert private_host.ping("bare", FAR4)
    assert not neighbour.ping(None, "172.21.0.2", wait=1)  # answers come in, but nobody may begin
    document["networks"]["plain"]["masquerade"] = True
    private_host.apply(document)
    traffic.send(private_host, "bare", NEIGHBOUR4, 80, "now")
    assert heard.readline() == f"now {HOST4}"
