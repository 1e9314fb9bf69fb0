# SPDX-License-Identifier: GPL-3.0-or-later
"""Which connections lose their ground by a change of what is published."""

from __future__ import annotations

import ipaddress

import pytest

from _dockless.firewall import stale_connections
from _dockless.firewall.stale_connections import ICMP, SCTP, TCP, UDP, Flow

LOCAL = {ipaddress.ip_address(text) for text in ("192.0.2.2", "2001:db8:1::2")}


def table(**elements):
    """Return elements by the names of their sets."""
    return frozenset((name, element) for name, found in elements.items() for element in found)


def flow(port, target="", protocol=UDP, source="192.0.2.3", address="192.0.2.2"):
    """Return a connection; without target it ends at the host."""
    found, dot, target_port = target.rpartition(":")
    return Flow(
        protocol,
        ipaddress.ip_address(source),
        40404,
        ipaddress.ip_address(address),
        port,
        ipaddress.ip_address(found or address),
        int(target_port or port),
        bool(target),
    )


def cut(before, after, *found):
    """Return which of the connections are cut."""
    change = stale_connections.rule_change(table(**before), table(**after))
    return [] if change is None else list(stale_connections.stale(found, change, LOCAL))


GONE = {
    "its port goes": ({"published4": ["udp . 53 : 10.0.0.2 . 53"]}, {}, flow(53, "10.0.0.2:53")),
    "its port leads elsewhere": (
        {"published4": ["udp . 53 : 10.0.0.2 . 53"]},
        {"published4": ["udp . 53 : 10.0.0.3 . 53"]},
        flow(53, "10.0.0.2:53"),
    ),
    "the port in the sandbox changes": (
        {"published4": ["tcp . 80 : 10.0.0.2 . 80"]},
        {"published4": ["tcp . 80 : 10.0.0.2 . 81"]},
        flow(80, "10.0.0.2:80", TCP),
    ),
    "one address has it no more": (
        {"published4_on": ["192.0.2.2 . udp . 53 : 10.0.0.2 . 53"]},
        {},
        flow(53, "10.0.0.2:53"),
    ),
    "its range goes": ({"ranges4": ["sctp . 7000-7999 : 10.0.0.2"]}, {}, flow(7500, "10.0.0.2:7500", SCTP)),
    "it is IPv6": (
        {"published6": ["udp . 53 : fd00::2 . 53"]},
        {},
        flow(53, "fd00::2:53", source="2001:db8:1::3", address="2001:db8:1::2"),
    ),
    "it went to the host": ({}, {"published4": ["udp . 53 : 10.0.0.2 . 53"]}, flow(53)),
    "its client is no guest any more": (
        {
            "published4": ["udp . 53 : 10.0.0.2 . 53"],
            "restricted4": ["0.0.0.0/0 . udp . 53"],
            "allowed4": ["192.0.2.0/24 . 0.0.0.0/0 . udp . 53"],
        },
        {
            "published4": ["udp . 53 : 10.0.0.2 . 53"],
            "restricted4": ["0.0.0.0/0 . udp . 53"],
            "allowed4": ["198.51.100.0/24 . 0.0.0.0/0 . udp . 53"],
        },
        flow(53, "10.0.0.2:53"),
    ),
}


OPEN = {
    "egress": ['"br-a"', '"br-b"'],
    "attached4": ['10.0.0.0/24 . "br-a"', '10.0.1.0/24 . "br-b"'],
    "attached6": ['fd00::/64 . "br-a"'],
}


def test_connections_out_of_a_network_without_egress_are_cut():
    """Neither what stays in it, nor another network's, nor questions to the host itself."""
    shut = {**OPEN, "egress": ['"br-b"']}
    outward = [
        flow(443, protocol=TCP, source="10.0.0.2", address="198.51.100.1"),
        flow(443, source="fd00::2", address="2001:db8:9::1"),
        flow(8080, "10.0.1.3:80", TCP, source="10.0.0.2"),
    ]  # by a port of the host
    others = [
        flow(443, source="10.0.1.2", address="198.51.100.1"),
        flow(53, source="10.0.0.2", address="10.0.0.3"),
        flow(22, source="10.0.0.2"),
    ]
    assert cut(OPEN, shut, *outward, *others) == outward
    assert cut(shut, OPEN, *outward, *others) == []


def test_connections_across_new_isolation_are_cut():
    """Between networks that were open to each other, both ways.

    Not within one, not by a port that is open there or published, nor elsewhere.
    """
    known = {
        "attached4": ['10.0.0.0/24 . "br-a"', '10.0.3.0/24 . "br-a"', '10.0.1.0/24 . "br-b"', '10.0.2.0/24 . "br-c"'],
        "attached6": ['fd00:1::/64 . "br-b"'],
    }
    before, after = (
        {**known, "isolate_open": ['"br-a"', '"br-b"', '"br-c"']},
        {**known, "isolate_open": ['"br-b"', '"br-c"']},
    )
    through = [
        flow(5432, protocol=TCP, source="10.0.0.2", address="10.0.1.2"),
        flow(53, source="10.0.2.2", address="10.0.3.2"),
    ]
    others = [
        flow(5432, protocol=TCP, source="10.0.1.2", address="10.0.2.2"),
        flow(53, source="10.0.0.2", address="10.0.3.2"),
        flow(8080, "10.0.1.3:80", TCP, source="10.0.0.2"),
        flow(22, source="10.0.0.2"),
        flow(443, source="10.0.0.2", address="198.51.100.1"),
    ]
    assert cut(before, after, *through, *others) == through
    assert cut(before, {**after, "isolate_open": []}, *through, *others) == [*through, others[0]]
    assert cut(before, {**after, "targets4": ["0.0.0.0/0 . 10.0.1.2 . tcp . 5432"]}, *through) == through[1:]
    assert cut(before, {**after, "direct_all": ['ipv4 . "br-a"', 'ipv6 . "br-b"']}, *through) == through[:1]
    assert cut(after, before, *through, *others) == cut(before, before, *through) == []


def test_connections_into_a_network_without_ingress_are_cut():
    """At a port, and at a sandbox's own address.

    What its sandboxes asked for goes on, and so does what the host itself asks them.
    """
    open_in = {**OPEN, "ingress": OPEN["egress"]}
    shut = {**open_in, "ingress": ['"br-b"']}
    inward = [flow(8080, "10.0.0.2:80", TCP), flow(80, protocol=TCP, source="198.51.100.1", address="10.0.0.2")]
    others = [
        flow(443, source="10.0.0.2", address="198.51.100.1"),
        flow(80, source="192.0.2.2", address="10.0.0.2"),
        flow(8081, "10.0.1.2:80"),
    ]
    assert cut(open_in, shut, *inward, *others) == inward
    assert cut(shut, open_in, *inward, *others) == []


@pytest.mark.parametrize("before, after, found", GONE.values(), ids=GONE.keys())
def test_connection_is_cut(before, after, found):
    assert cut(before, after, found) == [found]
    assert cut(before, before, found) == [] == cut(after, after, found)


def test_connections_to_a_closed_port_of_a_sandbox_are_cut():
    """For those to whom it is closed; this host reaches its sandboxes whatever is published."""
    near, far, own = (
        flow(80, protocol=TCP, source=source, address="10.0.0.2")
        for source in ("192.0.2.3", "203.0.113.3", "192.0.2.2")
    )
    elsewhere = [
        flow(81, protocol=TCP, address="10.0.0.2"),
        flow(80, address="10.0.0.2"),
        flow(80, protocol=TCP, address="10.0.0.3"),
    ]
    everybody, some = (
        {"targets4": ["0.0.0.0/0 . 10.0.0.2 . tcp . 80"]},
        {"targets4": ["192.0.2.0/24 . 10.0.0.2 . tcp . 80"]},
    )
    assert cut(everybody, {}, near, far, own, *elsewhere) == [near, far]
    assert cut(everybody, some, near, far, own, *elsewhere) == [far]
    assert cut(some, everybody, near, far, own, *elsewhere) == []
    six = flow(80, protocol=TCP, source="2001:db8:1::3", address="fd00::2")
    assert cut({"targets6": ["::/0 . fd00::2 . tcp . 80"]}, {}, six, near) == [six]


PUBLISHED = {"published4": ["udp . 53 : 10.0.0.2 . 53", "udp . 54 : 10.0.0.2 . 53", "tcp . 53 : 10.0.0.2 . 53"]}
OTHERS = {
    "another port of the same sandbox": flow(54, "10.0.0.2:53"),
    "another protocol": flow(53, "10.0.0.2:53", TCP),
    "another target by somebody else's rules": flow(53, "10.9.9.9:53"),
    "what only passes through": flow(53, address="198.51.100.1"),
    "another family": flow(53, "fd00::2:53", source="2001:db8:1::3", address="2001:db8:1::2"),
    "a stream to the host itself": flow(53, "", TCP),
}


@pytest.mark.parametrize("found", OTHERS.values(), ids=OTHERS.keys())
def test_connection_is_kept(found):
    """Three known cures cut too much or too little; neither is cut here when udp/53 goes, nor when it comes."""
    less = {"published4": PUBLISHED["published4"][1:]}
    assert cut(PUBLISHED, less, found, flow(53, "10.0.0.2:53")) == [flow(53, "10.0.0.2:53")]
    assert cut(less, PUBLISHED, found, flow(53)) == [flow(53)]


def test_connections_to_the_addresses_of_a_new_network_are_cut():
    """They began when the addresses were those of others, and are translated as what leaves the host."""
    before, after = (
        {"attached4": ['10.0.0.0/24 . "br-a"']},
        {"attached4": ['10.0.0.0/24 . "br-a"', '10.1.0.0/24 . "br-b"']},
    )
    to_new = [
        flow(0, protocol=ICMP, source="10.0.0.2", address="10.1.0.2"),
        flow(53, source="10.0.0.2", address="10.1.0.3"),
    ]
    others = [
        flow(0, protocol=ICMP, source="10.0.0.2", address="10.2.0.2"),
        flow(53, source="10.1.0.2", address="10.0.0.3"),
    ]
    assert cut(before, after, *to_new, *others) == to_new
    assert cut(after, after, *to_new) == cut(after, before, *to_new) == []
