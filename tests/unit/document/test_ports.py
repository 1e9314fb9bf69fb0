# SPDX-License-Identifier: GPL-3.0-or-later
"""Compose's forms of a published port."""

from __future__ import annotations

import pytest

from _dockless.document.ports import parse_expose, parse_ports
from _dockless.errors import DocklessError


def mappings(*entries):
    """Return (host address, first and last host port, target, protocol) of each mapping."""
    return [
        (str(p.host_ip or ""), p.host_port, p.host_port_end, p.target_port, p.protocol)
        for p in parse_ports("p", "s", list(entries), "ports")
    ]


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ("80", ("", 0, 0, 80, "tcp")),
        (80, ("", 0, 0, 80, "tcp")),
        ("8080:80", ("", 8080, 0, 80, "tcp")),
        ("8080:80/UDP", ("", 8080, 0, 80, "udp")),
        ("53/sctp", ("", 0, 0, 53, "sctp")),
        ("127.0.0.1:8080:80", ("127.0.0.1", 8080, 0, 80, "tcp")),
        ("192.0.2.1::80", ("192.0.2.1", 0, 0, 80, "tcp")),
        ("[fd00::1]:8080:80", ("fd00::1", 8080, 0, 80, "tcp")),
        ("[::]::80", ("::", 0, 0, 80, "tcp")),
        ("0.0.0.0:80:80", ("0.0.0.0", 80, 0, 80, "tcp")),
        ("8000-9000:80", ("", 8000, 9000, 80, "tcp")),
        ("192.0.2.1:8000-9000:80/udp", ("192.0.2.1", 8000, 9000, 80, "udp")),
        ({"target": 80}, ("", 0, 0, 80, "tcp")),
        (
            {
                "target": "80",
                "published": 8080,
                "protocol": "udp",
                "host_ip": "[fd00::1]",
                "mode": "host",
                "name": "web",
                "app_protocol": "http",
            },
            ("fd00::1", 8080, 0, 80, "udp"),
        ),
        ({"target": 80, "published": "8000-9000"}, ("", 8000, 9000, 80, "tcp")),
        ({"target": 80, "published": None, "host_ip": None}, ("", 0, 0, 80, "tcp")),
    ],
)
def test_every_form_of_one_port(entry, expected):
    assert mappings(entry) == [expected]


def test_ranges_map_one_to_one():
    assert mappings("8000-8002:9000-9002/udp") == [("", 8000 + n, 0, 9000 + n, "udp") for n in range(3)]
    assert mappings("3000-3001") == [("", 0, 0, 3000, "tcp"), ("", 0, 0, 3001, "tcp")]


def test_a_mapping_knows_its_entry():
    assert [p.path for p in parse_ports("p", "s", ["80", "90-91:90-91"], "sandboxes.s.ports")] == [
        "sandboxes.s.ports[0]",
        "sandboxes.s.ports[1]",
        "sandboxes.s.ports[1]",
    ]


@pytest.mark.parametrize(
    "entry",
    [
        "",
        "a",
        "80:",
        "::",
        "1:2:3:4",
        "80/",
        "/tcp",
        "65536",
        "0",
        "-1",
        "80-",
        "-80",
        "8-7",
        "8080:80/tcp/udp",
        " 80",
        "80\n",
        "127.0.0.1:80",
        "127.0.0.1:0:80",
        "[fd00::1:80:80",
        "[::1%lo]:80:80",
        "224.0.0.1:80:80",
        "[ff02::1]:80:80",
        "1-3:1-2",
        True,
        None,
        80.5,
        [],
        "²:80",
        "٣:80",
    ],
)
def test_invalid_ports_are_refused(entry):
    with pytest.raises(DocklessError) as refusal:
        parse_ports("p", "s", [entry], "sandboxes.s.ports")
    assert refusal.value.path.startswith("sandboxes.s.ports[0]")


@pytest.mark.parametrize(
    "said, meant",
    [
        (["192.0.2.7"], ["192.0.2.7/32"]),
        (["2001:db8::7"], ["2001:db8::7/128"]),
        (["64:ff9b::192.0.2.7"], ["64:ff9b::c000:207/128"]),
        (["10.0.0.0/8", "10.0.0.0/8"], ["10.0.0.0/8"]),
        (["2001:db8::/32", "10.1.0.0/16", "10.0.0.0/8"], ["10.0.0.0/8", "2001:db8::/32"]),
        (["10.0.0.0/9", "10.128.0.0/9"], ["10.0.0.0/8"]),
        (["::/0", "fd00::/8", "0.0.0.0/0"], ["0.0.0.0/0", "::/0"]),
    ],
)
def test_who_may_use_a_port(said, meant):
    """Addresses and subnets of both families, in any order; what is within another, or completes it, is one."""
    (found,) = parse_ports("p", "s", [{"target": 80, "published": 8080, "source_ranges": said}], "ports")
    assert [str(network) for network in found.source_ranges] == meant


def test_exposed_ports_are_each_there_once():
    assert parse_expose([80, "80/tcp", "53/udp", "3000-3001"], "expose") == (
        (80, "tcp"),
        (53, "udp"),
        (3000, "tcp"),
        (3001, "tcp"),
    )
