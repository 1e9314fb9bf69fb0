# SPDX-License-Identifier: GPL-3.0-or-later
"""Compose's forms of a published port."""

from __future__ import annotations

import pytest
import yaml

from _dockless.document.ports import parse_expose, parse_ports
from _dockless.document.project import parse_project
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
        (":8080:80", ("", 8080, 0, 80, "tcp")),
        (":80", ("", 0, 0, 80, "tcp")),
        ("::80/udp", ("", 0, 0, 80, "udp")),
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


def unquoted(text):
    """Return what Ansible's YAML makes of an entry without quotes."""
    return yaml.safe_load(f"[{text}]")[0]


@pytest.mark.parametrize("port", [22, 53, 80, 443, 3000, 8080, 27017])
def test_a_port_that_compose_files_name_alone_needs_no_quotes(port):
    assert mappings(unquoted(port)) == [("", 0, 0, port, "tcp")]


@pytest.mark.parametrize("host", [1, 19, 21, 22, 25, 53, 80, 222, 443, 465, 587, 853, 1022, 1092])
@pytest.mark.parametrize("target", [20, 21, 22, 23, 25, 49, 53, 59])
def test_a_mapping_that_yaml_read_in_base_60_is_refused(host, target):
    entry = unquoted(f"{host}:{target}")
    assert isinstance(entry, int)
    if entry == 80:  # 1:20: nobody publishes port 1
        return
    with pytest.raises(DocklessError, match="in quotes") as refusal:
        parse_ports("p", "s", [entry], "sandboxes.s.ports")
    assert refusal.value.path == "sandboxes.s.ports[0]"
    assert f"{host}:{target}" in str(refusal.value)
    spec = {"networks": {"n": {"services": {"store": {"ports": [entry], "sandboxes": ["web"]}}}}}
    with pytest.raises(DocklessError, match=r"networks.n.services.store.ports\[0\].*in quotes"):
        parse_project("p", spec)


@pytest.mark.parametrize("written", ["010", "0020", "0021", "0022", "0025", "0053", "0110", "0143", "0443", "03000"])
def test_a_port_that_yaml_read_in_base_8_is_refused(written):
    entry = unquoted(written)
    assert entry == int(written, 8)
    with pytest.raises(DocklessError, match="in quotes"):
        parse_ports("p", "s", [entry], "sandboxes.s.ports")


@pytest.mark.parametrize("entry", ["1342", "22:22", "0022", "0022:0022", {"target": 1342}, {"target": "22"}])
def test_what_is_in_quotes_or_has_a_key_is_meant(entry):
    assert len(mappings(entry)) == 1


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
