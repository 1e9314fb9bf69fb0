# SPDX-License-Identifier: GPL-3.0-or-later
"""IPv6 where it is asked for, and nothing of it where it is not."""

from __future__ import annotations

import ipaddress

import pytest

from support import traffic
from support.dns_questions import until
from support.private_host import FAR_ADDRESSES, SYSTEM_PYTHON
from support.traffic import network

FAR4, FAR6 = FAR_ADDRESSES
PAIR = {"one": {"networks": ["front"]}, "two": {"networks": ["front"]}}
ULA = ipaddress.ip_network("fd00::/8")
DISABLED = "/proc/sys/net/ipv6/conf/{}/disable_ipv6"


def families(host, sandbox):
    """Return the addresses of eth0 by family."""
    found = traffic.links(host, sandbox)["eth0"]["cidrs"]
    return [a for a in found if ":" not in a], [a for a in found if ":" in a]


def test_automatic_ipv6_subnet_is_a_stable_ula(private_host):
    """enable_ipv6 alone, in either spelling or as the host's default, gives one of fd00::/8, the same after a new
    start.
    """
    spelled = {
        "a": network(enable_ipv6=True),
        "b": network(driver_opts={"com.docker.network.enable_ipv6": "true"}),
        "c": network(),
    }
    document = {"networks": spelled, "sandboxes": {"one": {"networks": ["a", "b", "c"]}}, "defaults": {"ipv6": True}}

    def prefixes():
        private_host.apply(document)
        rows = private_host.dockless("show", "--project", "shop", "--json")["networks"]
        return {
            row["name"]: ipaddress.ip_network(subnet["subnet"])
            for row in rows
            for subnet in row["ipam"]["config"]
            if ":" in subnet["subnet"]
        }

    first = prefixes()
    assert set(first) == set("abc") and len(set(first.values())) == 3
    assert all(prefix.subnet_of(ULA) and prefix.prefixlen == 64 for prefix in first.values())
    private_host.apply({}, absent=True)
    assert prefixes() == first
    assert private_host.ping("one", str(first["a"][1])) and private_host.ping("one", FAR6)


def test_network_option_overrides_the_default(private_host):
    networks = {
        "yes": network("172.20.0.0/24"),
        "no": network("172.21.0.0/24", enable_ipv6=False),
        "only": network(enable_ipv4=False),
    }
    private_host.apply({"networks": networks, "defaults": {"ipv6": True}})
    rows = {
        row["name"]: (row["enable_ipv4"], row["enable_ipv6"])
        for row in private_host.dockless("show", "--json")["networks"]
    }
    assert rows == {"yes": (True, True), "no": (True, False), "only": (False, True)}


@pytest.mark.smoke
def test_ipv4_network_has_no_ipv6_at_all(private_host):
    """Not even a link-local address, inside or on the bridge; lo keeps ::1."""
    private_host.apply({"networks": {"front": network("172.20.0.0/24")}, "sandboxes": PAIR})
    assert families(private_host, "one")[1] == []
    assert private_host.sh("cat " + DISABLED.format("eth0"), netns="one") == "1"
    assert traffic.links(private_host, "one")["lo"]["cidrs"] == ["127.0.0.1/8", "::1/128"]
    assert private_host.sh("ip -6 route show dev eth0", netns="one") == ""
    bridge = next(link for link in traffic.links(private_host).values() if link["ifname"].startswith("br-"))
    assert bridge["cidrs"] == ["172.20.0.1/24"]
    assert not private_host.ping("one", "ff02::1%eth0", wait=1) and private_host.ping("one", FAR4)


def test_sandbox_that_turns_ipv6_off(private_host):
    """On an IPv6 network, with the sandbox's own sysctl: no inet6 anywhere, a second run changes nothing."""
    quiet = {"networks": ["front"], "sysctls": {"net.ipv6.conf.all.disable_ipv6": "1"}}
    document = {
        "networks": {"front": network("172.20.0.0/24 fd00:20::/64")},
        "sandboxes": {"quiet": quiet, "two": {"networks": ["front"]}},
    }
    private_host.apply(document)
    assert private_host.sh("ip -6 address show", netns="quiet") == ""
    assert not private_host.apply(document)["changed"]
    assert private_host.ping("quiet", FAR4) and private_host.ping("two", FAR6)


def test_network_of_ipv6_alone(private_host):
    """No IPv4 address, route or mapping; IPv6 goes out, comes in by a port, and reaches neighbours."""
    one = {"networks": {"front": {"ipv6_address": "fd00:20::10"}}, "ports": ["8080:80", "5353:53/udp"]}
    answer = private_host.apply(
        {"networks": {"front": network("fd00:20::/64", enable_ipv4=False)}, "sandboxes": {**PAIR, "one": one}}
    )
    assert families(private_host, "one")[0] == [] and private_host.sh("ip -4 route", netns="one") == ""
    assert traffic.default_routes(private_host, "one") == ["fd00:20::1 eth0"]
    assert {row["host_ip"] for row in answer["ports"]} == {"::"}
    private_host.serve_http("one", 80, "six")
    private_host.serve_udp("one", 53, "six")
    neighbour = private_host.neighbour()
    assert private_host.ping("one", FAR6) and private_host.ping("two", "fd00:20::10")
    assert neighbour.fetch(None, "http://[2001:db8:1::2]:8080/") == "six\n2001:db8:1::3\n"
    assert neighbour.ask_udp(None, "2001:db8:1::2", 5353) == "six\n2001:db8:1::3\n"
    assert (
        private_host.fetch("two", "http://[2001:db8:1::2]:8080/")
        and neighbour.fetch(None, "http://192.0.2.2:8080/") is None
    )


def tentative(host, netns=None):
    """Return the IPv6 addresses for which the kernel still looks for duplicates, one on a line."""
    return host.sh("ip -6 -oneline address show tentative", netns=netns)


def link_local_addresses(host):
    """Return how many of the host's links have a link-local address."""
    return host.sh("ip -6 -oneline address show scope link").count("inet6 fe80:")


def test_addresses_are_usable_when_the_run_ends(private_host):
    """No address is tentative: a bridge that still looks for duplicates resolves no neighbour, and drops what it
    forwards.
    """
    private_host.apply({"networks": {"front": network("172.20.0.0/24 fd00:20::/64")}, "sandboxes": PAIR})
    private_host.serve_udp("one", 53, "one")
    assert tentative(private_host) == ""
    assert tentative(private_host, "one") == ""
    # The kernel adds the bridge's own link-local address some time after the bridge has its first port.
    assert until(lambda: link_local_addresses(private_host), 2) == 2, "eth0 and the bridge have one each"
    assert tentative(private_host) == ""


def test_router_advertisements_are_not_believed(private_host):
    """Neither on the bridge nor inside: addresses and routes are the declared ones alone.

    Ports are without security, or none would get as far.
    """
    private_host.apply(
        {"networks": {"front": network("172.20.0.0/24 fd00:20::/64", port_security=False)}, "sandboxes": PAIR}
    )
    bridge = next(name for name in traffic.links(private_host) if name.startswith("br-"))
    assert private_host.sh(f"cat /proc/sys/net/ipv6/conf/{bridge}/accept_ra") == "0"
    assert private_host.sh("cat /proc/sys/net/ipv6/conf/eth0/accept_ra", netns="one") == "0"
    advertise = (
        "import socket, struct\ns = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)\n"
        "s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)\n"
        "prefix = struct.pack('!BBBBIII', 3, 4, 64, 0xc0, 3600, 3600, 0) + bytes.fromhex('20010db80bad') + bytes(10)\n"
        "s.sendto(struct.pack('!BBHBBHII', 134, 0, 0, 64, 0, 1800, 0, 0) + prefix, ('ff02::1', 0, 0, "
        "socket.if_nametoindex('eth0')))\n"
    )
    private_host.run([SYSTEM_PYTHON, "-c", advertise], netns="two")
    assert private_host.ping("two", "fd00:20::2")
    assert "bad:" not in private_host.sh("ip -6 address; ip -6 route", netns="one")
    private_host.sh("echo 2 >/proc/sys/net/ipv6/conf/eth0/accept_ra", netns="one")
    private_host.run([SYSTEM_PYTHON, "-c", advertise], netns="two")
    private_host.sh(
        "until ip -6 address | grep -q bad:; do :; done", netns="one"
    )  # the advertisement is one that is believed
    assert private_host.apply(
        {"networks": {"front": network("172.20.0.0/24 fd00:20::/64", port_security=False)}, "sandboxes": PAIR}
    )["changed"]


def test_ipv6_is_given_and_taken_in_place(private_host):
    """A network gets IPv6 and loses it again without its sandboxes losing IPv4, a connection or their link."""
    document = {"networks": {"front": network("172.20.0.0/24")}, "sandboxes": PAIR}
    private_host.apply(document)
    index = traffic.links(private_host, "one")["eth0"]["ifindex"]
    document["networks"]["front"] = network("172.20.0.0/24 fd00:20::/64")
    private_host.apply(document)
    assert private_host.ping("one", FAR6) and private_host.ping("one", "fd00:20::3")
    document["networks"]["front"] = network("172.20.0.0/24")
    private_host.apply(document)
    assert families(private_host, "one") == (["172.20.0.2/24"], []) and private_host.ping("one", FAR4)
    assert traffic.links(private_host, "one")["eth0"]["ifindex"] == index


@pytest.mark.parametrize("enable_ipv4", [True, False])
def test_addresses_are_ready_when_the_run_ends(private_host, enable_ipv4):
    """What comes next may bind and connect: nothing is tentative, no duplicate detection to wait for."""
    private_host.apply({"networks": {"front": network("fd00:20::/64", enable_ipv4=enable_ipv4)}, "sandboxes": PAIR})
    assert "fd00" not in private_host.sh("ip -6 address show tentative", netns="one")
    bind = "import socket; s = socket.socket(socket.AF_INET6); s.bind(('fd00:20::2', 80))"
    private_host.run([SYSTEM_PYTHON, "-c", bind], netns="one")
    assert "fd00" not in private_host.sh("ip -6 address show tentative")


def test_a_changed_prefix_length_is_changed_in_place(private_host):
    """An interface has an IPv6 address with one prefix length only. The new one was refused: File exists."""

    def lengths(netns, link):
        found = traffic.links(private_host, netns)[link]["cidrs"]
        return sorted(cidr for cidr in found if not cidr.startswith("fe80:"))

    def inode():
        return private_host.sh("stat -Lc %i /run/netns/one")

    first = None
    for length in (64, 80, 64):
        subnet = f"fd00:20::/{length}"
        document = {
            "networks": {"front": network(subnet, enable_ipv4=False, bridge_name="br-front")},
            "sandboxes": {**PAIR, "third": {"network_mode": "bridge"}},
            "defaults": {"bip": f"fd00:30::1/{length}"},
        }
        operations = private_host.apply(document)["operations"]
        first = first or inode()
        assert inode() == first and not any("namespace" in each for each in operations if length == 80), operations
        assert lengths(None, "br-front") == [f"fd00:20::1/{length}"]
        assert f"fd00:30::1/{length}" in lengths(None, "dockless0")
        own = lengths("one", "eth0")
        assert len(own) == 1 and own[0].endswith(f"/{length}")
        assert private_host.ping("one", lengths("two", "eth0")[0].partition("/")[0])
        assert private_host.ping("one", FAR6)
        assert private_host.apply(document)["operations"] == []
