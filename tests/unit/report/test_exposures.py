# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host says that it lets in, and for whom; and how published ports become elements."""

from __future__ import annotations

import collections

import pytest

from _dockless.firewall import published_ports
from _dockless.model import topology
from _dockless.report import exposures
from support.pipeline import resolved

SUBNET = {"ipam": {"config": [{"subnet": "172.20.0.0/16"}]}}
PORT = {"target": 80, "published": 8080}
EVERYONE = "everyone who reaches any address of this host"
DIRECTLY = "everyone who has a route to 172.20.0.2"


def host(network=None, ports=(PORT,), defaults=None):
    """Return a host with one sandbox on one network."""
    return resolved(
        {
            "networks": {"net": {**SUBNET, **(network or {})}},
            "sandboxes": {"web": {"networks": {"net": {"ipv4_address": "172.20.0.2"}}, "ports": list(ports)}},
        },
        defaults=defaults,
    )


def ways_in(found):
    """Return the ways in of a host: address, port, its port at the host, and for whom."""
    return [
        (row["address"], row["port"], row["host_port"], row["reachable_from"]) for row in exposures.exposures(found)
    ]


HOSTS_PORT = ("0.0.0.0", 8080, 8080, EVERYONE)
CASES = {
    "nat": ({}, PORT, {}, [HOSTS_PORT]),
    "routed": ({"gateway_mode_ipv4": "routed"}, PORT, {}, [("172.20.0.2", 80, 0, DIRECTLY)]),
    "nat-unprotected": (
        {"gateway_mode_ipv4": "nat-unprotected"},
        PORT,
        {},
        [HOSTS_PORT, ("172.20.0.2", 0, 0, DIRECTLY)],
    ),
    "trusted": (
        {"trusted_host_interfaces": ["eth1"]},
        PORT,
        {},
        [HOSTS_PORT, ("172.20.0.2", 80, 0, "who has a route to 172.20.0.2 by eth1")],
    ),
    "direct routing": ({}, PORT, {"allow_direct_routing": True}, [HOSTS_PORT, ("172.20.0.2", 80, 0, DIRECTLY)]),
    "guests": (
        {},
        {**PORT, "source_ranges": ["192.0.2.0/24"]},
        {},
        [("0.0.0.0", 8080, 8080, "this host, and 192.0.2.0/24")],
    ),
    "guests at its own address": (
        {"gateway_mode_ipv4": "routed"},
        {**PORT, "source_ranges": ["192.0.2.0/24"]},
        {},
        [("172.20.0.2", 80, 0, "who is in 192.0.2.0/24 and has a route to 172.20.0.2")],
    ),
    "guests by a trusted link": (
        {"trusted_host_interfaces": ["eth1"]},
        {**PORT, "source_ranges": ["192.0.2.0/24"]},
        {},
        [
            ("0.0.0.0", 8080, 8080, "this host, and 192.0.2.0/24"),
            ("172.20.0.2", 80, 0, "who is in 192.0.2.0/24 and has a route to 172.20.0.2 by eth1"),
        ],
    ),
    "guests of the other family": (
        {},
        {**PORT, "source_ranges": ["2001:db8::/64"]},
        {"allow_direct_routing": True},
        [("0.0.0.0", 8080, 8080, "this host only")],
    ),
    "loopback": ({}, {**PORT, "host_ip": "127.0.0.1"}, {}, [("127.0.0.1", 8080, 8080, "this host only")]),
    "one address": (
        {},
        {**PORT, "host_ip": "192.0.2.1"},
        {},
        [("192.0.2.1", 8080, 8080, "everyone who reaches 192.0.2.1")],
    ),
}


@pytest.mark.parametrize("network, port, defaults, expected", CASES.values(), ids=CASES.keys())
def test_ways_in(network, port, defaults, expected):
    """Each way in which a port is open is reported with its source ranges, and no other."""
    assert ways_in(host(network, [port], defaults)) == expected


def test_no_port_is_no_way_in():
    """A sandbox without ports is reached as a whole where its network is unprotected, and not at all elsewhere."""
    assert ways_in(host(ports=())) == [] == ways_in(host({"gateway_mode_ipv4": "routed"}, ()))
    assert ways_in(host({"gateway_mode_ipv4": "nat-unprotected"}, ())) == [("172.20.0.2", 0, 0, DIRECTLY)]


def elements(*ports, **network):
    """Return the elements of a host with these ports, by map."""
    found = collections.defaultdict(list)
    declared = host(network, ports)
    published_ports.add_elements(declared, topology.networks_by_key(declared), found)
    return dict(found)


def test_a_range_that_keeps_its_numbers_is_one_element():
    """Neighbours join whatever entry they came from; a gap parts them, and so does an address."""
    assert elements("7000-7999:7000-7999", "8000:8000") == {"ranges4": ["tcp . 7000-8000 : 172.20.0.2"]}
    assert elements("7000:7000", "7002-7003:7002-7003") == {
        "published4": ["tcp . 7000 : 172.20.0.2 . 7000"],
        "ranges4": ["tcp . 7002-7003 : 172.20.0.2"],
    }
    assert elements("7000:7000", "192.0.2.1:7001:7001") == {
        "published4": ["tcp . 7000 : 172.20.0.2 . 7000"],
        "published4_on": ["192.0.2.1 . tcp . 7001 : 172.20.0.2 . 7001"],
    }


def test_a_shifted_range_is_an_element_a_port():
    """The kernel's map has one target for an element."""
    assert elements("7000-7001:8000-8001") == {
        "published4": ["tcp . 7000 : 172.20.0.2 . 8000", "tcp . 7001 : 172.20.0.2 . 8001"]
    }


def test_source_ranges_of_the_other_family_admit_nobody():
    """A list that names IPv6 clients alone does not open the port to all of IPv4."""
    found = elements({**PORT, "source_ranges": ["2001:db8::/64"]})
    assert found["restricted4"] == ["0.0.0.0/0 . tcp . 8080"] and found["allowed4"] == [
        "0.0.0.0/32 . 0.0.0.0/0 . tcp . 8080"
    ]


def test_a_routed_network_has_targets_and_nothing_of_the_hosts():
    """Those who may come stand before each.

    Several ports of one target let in all that any of them does, and no elements overlap.
    """
    assert elements("8080:80", gateway_mode_ipv4="routed") == {"targets4": ["0.0.0.0/0 . 172.20.0.2 . tcp . 80"]}
    one, other = (
        {"target": 80, "published": port, "source_ranges": [source]}
        for port, source in ((1, "192.0.2.0/25"), (2, "192.0.2.128/25"))
    )
    assert elements(one, other, gateway_mode_ipv4="routed") == {"targets4": ["192.0.2.0/24 . 172.20.0.2 . tcp . 80"]}
    assert elements(one, "3:80", gateway_mode_ipv4="routed") == {"targets4": ["0.0.0.0/0 . 172.20.0.2 . tcp . 80"]}


@pytest.mark.parametrize("network", [{}, {"gateway_mode_ipv4": "nat-unprotected"}])
def test_targets_are_of_networks_that_ask_for_them(network):
    """Elsewhere no rule looks at them: a network that is unprotected is open as a whole."""
    assert set(elements("8080:80", **network)) == {"published4"}
