# SPDX-License-Identifier: GPL-3.0-or-later
"""The test harness itself: what it reports must be what is there."""

from __future__ import annotations

import os

import pytest

from support import snapshot
from support.private_host import FAR_ADDRESSES, HOST_ADDRESSES, NEIGHBOUR_ADDRESSES

PAIR = "ip link add left group 7 type veth peer right"


def test_host_is_apart_from_the_machine(private_host):
    assert private_host.sh("hostname") == "private"
    assert private_host.sh("ls /run/netns 2>/dev/null || true") == ""
    private_host.sh("mkdir -p /etc/dockless && touch /etc/dockless/mark /run/mark")
    assert not os.path.exists("/etc/dockless/mark") and not os.path.exists("/run/mark")
    assert private_host.sh("ls /sys/class/net") == "eth0\nlo"
    private_host.sh("rm /etc/dockless/mark")


def test_neighbour_and_far_host_answer(private_host):
    for address in (*NEIGHBOUR_ADDRESSES, *FAR_ADDRESSES):
        assert private_host.ping(None, address)
    for address in HOST_ADDRESSES:
        assert private_host.neighbour().ping(None, address)
    assert not private_host.ping(None, "192.0.2.77", wait=1)


def test_servers_answer_with_the_client_they_see(private_host):
    private_host.serve_http(None, 8080, "hello")
    private_host.serve_udp(None, 5353, "datagram")
    neighbour = private_host.neighbour()
    assert neighbour.fetch(None, "http://192.0.2.2:8080/") == "hello\n192.0.2.3\n"
    assert neighbour.fetch(None, "http://[2001:db8:1::2]:8080/") == "hello\n2001:db8:1::3\n"
    assert neighbour.ask_udp(None, "192.0.2.2", 5353) == "datagram\n192.0.2.3\n"
    assert neighbour.fetch(None, "http://192.0.2.2:8081/") is None
    assert neighbour.ask_udp(None, "192.0.2.2", 5354) is None


def test_a_stopped_server_is_gone(private_host):
    server = private_host.serve_http(None, 8080, "hello")
    server.stop()
    assert private_host.fetch(None, "http://127.0.0.1:8080/") is None
    private_host.assert_back_to(private_host.birth)


def test_commands_run_in_a_namespace_with_its_own_etc(private_host):
    private_host.sh("ip netns add web && mkdir -p /etc/netns/web && echo 10.9.8.7 db >/etc/netns/web/hosts")
    assert private_host.lookup("web", "db") == ["10.9.8.7"]
    assert private_host.lookup(None, "db") == []
    private_host.sh("ip netns delete web && rm -r /etc/netns/web")


LEAKS = {
    "link": PAIR,
    "link flags": "ip link set eth0 promisc on",
    "link group": "ip link set eth0 group 25707",
    "link mtu": "ip link set eth0 mtu 1400",
    "address": "ip address add 10.1.2.3/24 dev eth0",
    "route": "ip route add 10.9.0.0/16 via 192.0.2.3 table 77",
    "rule": "ip rule add from 10.0.0.0/8 table 77",
    "neighbour": "ip neighbour add 192.0.2.9 lladdr 02:00:00:00:00:09 dev eth0 nud permanent",
    "nft": "nft add table inet stray",
    "nft in a namespace": "ip netns add old; ip netns exec old nft add table inet stray",
    "sysctl": "echo 1 >/proc/sys/net/ipv4/conf/eth0/route_localnet",
    "mount": "mount -t tmpfs tmpfs /mnt",
    "namespace": "ip netns add stray",
    "file of desired state": "mkdir -p /etc/dockless && touch /etc/dockless/stray.json",
    "file at run time": "mkdir -p /run/dockless && touch /run/dockless/stray",
    "file for a namespace": "mkdir -p /etc/netns/web && touch /etc/netns/web/hosts",
    "process": "sleep 600 </dev/null >/dev/null 2>&1 &",
}


@pytest.mark.leaves_behind("what is left is what must be noticed")
@pytest.mark.parametrize("leak", LEAKS.values(), ids=LEAKS.keys())
def test_leak_is_noticed(private_host, leak):
    private_host.assert_back_to(private_host.birth)
    private_host.sh(leak)
    with pytest.raises(AssertionError, match="not as it was"):
        private_host.assert_back_to(private_host.birth)


def test_difference_counts_what_repeats():
    assert snapshot.difference({"process": ["a", "a"]}, {"process": ["a"]}) == ["process: gone: a"]
    assert snapshot.difference({"process": ["a"]}, {"process": ["a"]}) == []


@pytest.mark.smoke
def test_orphans_are_reaped(private_host):
    private_host.sh("(sleep 0 &) ; (true &)")
    private_host.sh("while grep -qs '^State:.*zombie' /proc/[0-9]*/status; do :; done")  # or the time runs out
