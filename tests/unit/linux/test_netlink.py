# SPDX-License-Identifier: GPL-3.0-or-later
"""The kernel's answers, read by hand: from bytes made here, from pyroute2's encoding, and from noise."""

from __future__ import annotations

import random
import socket
import struct

import pytest
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg

from _dockless.linux import addresses, links, netlink, routes
from _dockless.linux.links import LinkRow
from _dockless.linux.netlink import ADDRESSES, ALL_ROUTES, LINKS


def attribute(kind, value):
    """Return one attribute, padded."""
    return struct.pack("=HH", 4 + len(value), kind) + value + b"\0" * (-len(value) % 4)


def message(kind, body, flags=0, sequence=1):
    """Return one message, padded."""
    return struct.pack("=IHHII", 16 + len(body), kind, flags, sequence, 0) + body + b"\0" * (-len(body) % 4)


def u32(value):
    """Return a number of the machine's byte order."""
    return struct.pack("=I", value)


def test_messages_of_one_datagram():
    data = message(16, b"abc", 2, 7) + message(3, b"", 0, 8)
    assert [(kind, flags, sequence, bytes(body)) for kind, flags, sequence, body in netlink._messages(data)] == [
        (16, 2, 7, b"abc"),
        (3, 0, 8, b""),
    ]


def test_attributes_and_what_is_inside_them():
    inner = attribute(1, b"veth\0") + attribute(2, u32(5))
    found = netlink.nested(attribute(3, b"eth0\0") + attribute(18 | 0x8000, inner))
    assert netlink.text(found[3]) == "eth0" and netlink.text(netlink.nested(found[18])[1]) == "veth"
    assert netlink.number(netlink.nested(found[18])[2]) == 5


def test_missing_values():
    assert (netlink.text(None), netlink.number(None), netlink.number(None, 7)) == ("", 0, 7)
    assert netlink.number(struct.pack("=H", 513)) == 513 and netlink.text(b"\xff\0") == "\ufffd"


@pytest.mark.parametrize(
    "data",
    [b"", b"\0", b"\0" * 3, b"\0" * 4, struct.pack("=HH", 3, 1), struct.pack("=HH", 400, 1), struct.pack("=HH", 4, 1)],
)
def test_broken_attributes_end_the_reading(data):
    assert set(netlink.nested(data)) <= {1}


@pytest.mark.parametrize("seed", range(20))
def test_noise_is_read_to_its_end(seed):
    """Whatever comes, reading ends: impossible lengths are not believed."""
    chance = random.Random(seed)
    for _turn in range(200):
        data = bytes(
            chance.choice((0, 1, 4, 16, 255, chance.randrange(256))) for place in range(chance.randint(0, 120))
        )
        netlink.nested(data)
        for _kind, flags, _sequence, body in netlink._messages(data):
            if len(body) >= 20:
                netlink._extended_message(flags, body)


def refusal(errno, words, capped):
    """Return the kernel's answer to a message of 32 bytes, with its words about it (extended acknowledgement)."""
    sent = message(16, b"x" * 16)
    body = struct.pack("=i", -errno) + (sent[:16] if capped else sent)
    return (0x200 if words else 0) | (0x100 if capped else 0), body + (
        attribute(1, words.encode() + b"\0") if words else b""
    )


@pytest.mark.parametrize("capped", [True, False])
@pytest.mark.parametrize("words", ["", "Device is down", "Nexthop has invalid gateway"])
def test_the_kernels_words(capped, words):
    assert netlink._extended_message(*refusal(22, words, capped)) == words


def test_rows_by_kind():
    body = struct.pack("=BxHiII", 0, 1, 5, 0x1043, 0) + attribute(3, b"eth0\0")
    assert netlink._row(16, body) == (body[:16], {3: b"eth0\0"})
    body = struct.pack("=BBBBI", 2, 24, 0, 0, 5) + attribute(2, bytes((10, 1, 0, 2)))
    assert netlink._row(20, body) == (body[:8], {2: bytes((10, 1, 0, 2))})
    body = struct.pack("=BBBBBBBBI", 2, 0, 0, 0, 254, 213, 0, 1, 0) + attribute(4, u32(5))
    assert netlink._row(24, body) == (body[:12], {4: u32(5)})


def test_a_link_as_pyroute2_would_send_it():
    """A bridge port, with all that is compared."""
    one = ifinfmsg()
    one.update(index=9, flags=0x1043)
    one["attrs"] = [
        ("IFLA_IFNAME", "veth1"),
        ("IFLA_ADDRESS", "02:00:00:00:00:01"),
        ("IFLA_MTU", 1400),
        ("IFLA_LINK", 4),
        ("IFLA_MASTER", 3),
        ("IFLA_GROUP", 25707),
        ("IFLA_IFALIAS", "dockless x"),
        (
            "IFLA_LINKINFO",
            {
                "attrs": [
                    ("IFLA_INFO_KIND", "veth"),
                    ("IFLA_INFO_SLAVE_KIND", "bridge"),
                    (
                        "IFLA_INFO_SLAVE_DATA",
                        {"attrs": [("IFLA_BRPORT_MODE", 1), ("IFLA_BRPORT_ISOLATED", 1), ("IFLA_BRPORT_LEARNING", 0)]},
                    ),
                ]
            },
        ),
    ]
    one["header"]["type"] = 16
    one.encode()
    ((kind, _flags, _sequence, body),) = netlink._messages(bytes(one.data))
    row = links.decode(*netlink._row(kind, body))
    assert row == LinkRow(
        9, 0x1043, "veth1", "02:00:00:00:00:01", 1400, 4, 3, 25707, "dockless x", "veth", True, True, False, (), (), b""
    )


def test_a_port_of_something_else_than_a_bridge_is_not_isolated():
    info = attribute(4, b"bond\0") + attribute(5, attribute(33, b"\1") + attribute(4, b"\1"))
    row = links.decode(struct.pack("=BxHiII", 0, 1, 5, 0, 0), {18: info})
    assert (row.isolated, row.hairpin) == (False, False)


@pytest.mark.parametrize(
    ("family", "length", "attributes", "expected"),
    [
        (socket.AF_INET, 24, {1: "10.1.0.2", 2: "10.1.0.2"}, "10.1.0.2/24"),
        (socket.AF_INET, 32, {1: "10.1.0.9", 2: "10.1.0.2"}, "10.1.0.2/32"),
        (socket.AF_INET6, 64, {1: "fd00::2"}, "fd00::2/64"),
    ],
)
def test_addresses(family, length, attributes, expected):
    """Of a pair with a far end, the local address counts."""
    raw = {kind: socket.inet_pton(family, text) for kind, text in attributes.items()}
    assert addresses.decode(struct.pack("=BBBBI", family, length, 0, 0, 5), raw) == (5, expected)


@pytest.mark.parametrize(
    ("family", "length", "attributes", "expected"),
    [
        (socket.AF_INET, 0, {5: bytes((10, 1, 0, 1))}, (5, "0.0.0.0/0", "10.1.0.1", 0, False)),
        (socket.AF_INET, 16, {1: bytes((10, 2, 0, 0)), 6: u32(7)}, (5, "10.2.0.0/16", "", 7, False)),
        (socket.AF_INET6, 0, {6: u32(1024)}, (5, "::/0", "", 0, False)),
        (socket.AF_INET, 0, {6: u32(1024)}, (5, "0.0.0.0/0", "", 1024, False)),
    ],
)
def test_routes(family, length, attributes, expected):
    """IPv6 routes that were given no metric have 1024."""
    assert (
        routes.decode(struct.pack("=BBBBBBBBI", family, length, 0, 0, 254, 213, 0, 1, 0), {4: u32(5), **attributes})
        == expected
    )


def test_settings_of_an_interface():
    """IFLA_AF_SPEC: arrays of which each kernel has its own length; what is beyond is -1."""
    four = attribute(2, attribute(1, struct.pack("=30i", *range(100, 130))))
    six = attribute(10, attribute(2, struct.pack("=10i", *range(200, 210))))
    row = links.decode(struct.pack("=BxHiII", 0, 1, 5, 0, 0), {26: four + six})
    assert dict(
        row.conf((("ipv4/forwarding", 0), ("ipv4/route_localnet", 0), ("ipv6/accept_ra", 0), ("ipv6/disable_ipv6", 0)))
    ) == {"ipv4/forwarding": 100, "ipv4/route_localnet": 125, "ipv6/accept_ra": 203, "ipv6/disable_ipv6": -1}
    assert row.conf(()) == ()


def test_requests_are_whole():
    """struct ifinfomsg, ifaddrmsg and rtmsg with the attributes that the kernel filters by (strict checking refuses
    others).
    """
    assert [len(body) for body in (LINKS, ADDRESSES, ALL_ROUTES, netlink.routes_of(213))] == [24, 8, 12, 20]
    assert netlink.nested(LINKS[16:]) == {29: u32(8)} and netlink.nested(netlink.routes_of(213)[12:]) == {15: u32(254)}
    assert netlink.routes_of(213)[5] == 213
