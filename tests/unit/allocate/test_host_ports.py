# SPDX-License-Identifier: GPL-3.0-or-later
"""Host ports: which ones ephemeral mappings get, chosen once and kept."""

from __future__ import annotations

import random

import pytest

from _dockless.allocate.host_ports import HostPortAllocations, binding_of
from _dockless.allocate.leases import PortLease
from _dockless.errors import DocklessError
from _dockless.model.facts import Facts, Listener
from _dockless.report import rows
from support.pipeline import leases_of, resolved

NARROW = Facts(port_range=(40000, 40003))


def publishing(**ports):
    """Return a document whose sandboxes publish the ports given."""
    return {"sandboxes": {name: {"ports": list(each)} for name, each in ports.items()}}


def host_ports(host):
    """Return (protocol, host port) by sandbox."""
    return {s.name: [(m.protocol, m.host_port) for m in s.ports] for p in host.projects for s in p.sandboxes}


@pytest.mark.parametrize(
    ("held", "wanted", "free"),
    [
        ("", "", False),
        ("", "10.0.0.1", False),
        ("", "0.0.0.0", False),
        ("", "::", False),
        ("", "fd00::1", False),
        ("0.0.0.0", "", False),
        ("0.0.0.0", "10.0.0.1", False),
        ("0.0.0.0", "::", True),
        ("0.0.0.0", "fd00::1", True),
        ("::", "", False),
        ("::", "fd00::1", False),
        ("::", "10.0.0.1", True),
        ("::", "0.0.0.0", True),
        ("10.0.0.1", "10.0.0.1", False),
        ("10.0.0.1", "10.0.0.2", True),
        ("10.0.0.1", "fd00::1", True),
        ("10.0.0.1", "", False),
        ("10.0.0.1", "0.0.0.0", False),
        ("fd00::1", "fd00::1", False),
        ("fd00::1", "fd00::2", True),
        ("fd00::1", "::", False),
    ],
)
def test_wildcards_meet_as_in_the_kernel(held, wanted, free):
    """An empty address is every address of both families."""
    book = HostPortAllocations(Facts())
    book.hold(("tcp", held, 80))
    assert book.is_free(("tcp", wanted, 80)) is free
    assert book.is_free(("udp", wanted, 80)) and book.is_free(("tcp", wanted, 81))


def test_listening_sockets_hold_their_ports():
    book = HostPortAllocations(
        Facts(listeners=(Listener("tcp", "0.0.0.0", 22, "sshd"), Listener("udp", "10.0.0.1", 53)))
    )
    assert (
        not book.is_free(("tcp", "", 22)) and book.is_free(("tcp", "::", 22)) and book.is_free(("udp", "10.0.0.2", 53))
    )


def test_free_ports_are_the_next_of_the_hosts_range():
    host = resolved(publishing(a=["80", "81"], b=["80/udp"]), NARROW)
    assert host_ports(host) == {"a": [("tcp", 40000), ("tcp", 40001)], "b": [("udp", 40002)]}


def test_free_ports_avoid_reserved_fixed_and_listening_ones():
    known = NARROW._replace(reserved_ports=frozenset((40000,)), listeners=(Listener("tcp", "127.0.0.1", 40001, "x"),))
    assert host_ports(resolved(publishing(a=["80"], b=["40002:80"]), known)) == {
        "a": [("tcp", 40003)],
        "b": [("tcp", 40002)],
    }


def test_free_ports_are_kept_whatever_comes_before():
    before = resolved(publishing(m=["80", "81"]), NARROW)
    after = resolved(publishing(a=["80"], m=["81", "80"]), NARROW, leases=leases_of(before))
    assert host_ports(before)["m"] == [("tcp", 40000), ("tcp", 40001)]
    assert host_ports(after) == {"a": [("tcp", 40002)], "m": [("tcp", 40001), ("tcp", 40000)]}


def test_a_kept_port_gives_way_to_one_that_is_asked_for():
    before = resolved(publishing(a=["80"]), NARROW)
    after = resolved(publishing(a=["80"], b=["40000:80"]), NARROW, leases=leases_of(before))
    assert host_ports(after) == {"a": [("tcp", 40001)], "b": [("tcp", 40000)]}


def test_a_range_gives_the_first_free_one_and_keeps_it():
    document = publishing(a=["8000-8002:80"], b=["8000-8002:80"], c=["8000:80"])
    before = resolved(document)
    assert host_ports(before) == {"a": [("tcp", 8001)], "b": [("tcp", 8002)], "c": [("tcp", 8000)]}
    del document["sandboxes"]["a"]
    after = resolved(document, leases=leases_of(before))
    assert host_ports(after) == {"b": [("tcp", 8002)], "c": [("tcp", 8000)]}
    narrower = resolved(publishing(b=["8003-8004:80"]), leases=leases_of(before))
    assert host_ports(narrower) == {"b": [("tcp", 8003)]}


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (
            publishing(a=["80", "81", "82", "83", "84"]),
            "sandboxes.a.ports[4]: no free host port is left in 40000-40003 for 84/tcp of sandbox a. "
            "Declare a host port, or widen net.ipv4.ip_local_port_range.",
        ),
        (
            publishing(a=["8000-8001:80"], b=["8000:80"], c=["8001:80"]),
            "sandboxes.a.ports[0]: no free host port is left in 8000-8001 for 80/tcp of sandbox a. "
            "Declare a host port, or widen the range.",
        ),
    ],
)
def test_exhaustion_is_a_sentence(document, message):
    with pytest.raises(DocklessError) as refusal:
        resolved(document, NARROW)
    assert str(refusal.value) == message


def test_publish_all_publishes_what_is_exposed_and_not_published_yet():
    document = {"sandboxes": {"a": {"publish_all": True, "expose": ["80", "81-82", "53/udp"], "ports": ["8080:80"]}}}
    assert host_ports(resolved(document, NARROW)) == {
        "a": [("tcp", 8080), ("tcp", 40000), ("tcp", 40001), ("udp", 40002)]
    }


@pytest.mark.parametrize(
    ("network", "defaults", "port", "expected"),
    [
        ({}, {}, "80:80", ["0.0.0.0", "::"]),
        ({}, {"ip": "0.0.0.0"}, "80:80", ["0.0.0.0", "::"]),
        ({}, {"ip": "192.0.2.1"}, "80:80", ["192.0.2.1"]),
        ({"default_publish_address": "192.0.2.9"}, {"ip": "192.0.2.1"}, "80:80", ["192.0.2.9"]),
        ({"default_publish_address": "192.0.2.9"}, {}, "198.51.100.1:80:80", ["198.51.100.1"]),
        ({}, {}, "0.0.0.0:80:80", ["0.0.0.0"]),
        ({}, {}, "[::]:80:80", ["::"]),
        ({"enable_ipv6": False}, {}, "80:80", ["0.0.0.0"]),
    ],
)
def test_addresses_that_a_port_binds(network, defaults, port, expected):
    """Both families unless said otherwise; a port's own address before the network's before the host's."""
    document = {
        "networks": {"n": {"enable_ipv6": True, **network}},
        "sandboxes": {"a": {"networks": ["n"], "ports": [port]}},
    }
    assert [row["host_ip"] for row in rows.ports(resolved(document, defaults=defaults))] == expected


def test_each_family_is_published_by_the_network_that_has_it():
    """An IPv4 network and an IPv6 one, both serve the port."""
    document = {
        "networks": {"v4": None, "v6": {"enable_ipv4": False, "enable_ipv6": True}},
        "sandboxes": {"a": {"networks": ["v4", "v6"], "ports": ["8000:80"], "expose": ["81"]}},
    }
    assert rows.ports(resolved(document)) == [
        {"sandbox": "a", "host_ip": "0.0.0.0", "host_port": 8000, "protocol": "tcp", "target_port": 80},
        {"sandbox": "a", "host_ip": "::", "host_port": 8000, "protocol": "tcp", "target_port": 80},
    ]


@pytest.mark.parametrize("seed", range(30))
def test_no_two_mappings_ever_meet_and_free_ones_are_kept(seed):
    """For any ports and any earlier run."""
    chance = random.Random(seed)
    host = None
    for _turn in range(3):
        document = publishing(**{f"s{i}": _ports(chance, i) for i in range(chance.randint(1, 6))})
        before, host = (
            host,
            resolved(document, Facts(port_range=(40000, 40060)), leases=leases_of(host) if host else None),
        )
        book = HostPortAllocations(Facts())
        for mapping in (m for p in host.projects for s in p.sandboxes for m in s.ports):
            assert mapping.host_port and not mapping.host_port_end
            assert book.is_free(binding_of(mapping))
            book.hold(binding_of(mapping))
        for key, port in (_ephemeral(before) if before else {}).items():
            assert _ephemeral(host).get(key, port) == port


def _ports(chance, number):
    found = {f"{target}/{protocol}" for target in (80, 81, 82) for protocol in ("tcp", "udp") if chance.random() < 0.5}
    return sorted(found) + ([f"{9000 + number}:99", f"127.0.0.{number + 1}::98"] if chance.random() < 0.5 else [])


def _ephemeral(host):
    return {
        PortLease.from_mapping(m).key: m.host_port
        for p in host.projects
        for s in p.sandboxes
        for m in s.ports
        if m.target_port != 99
    }
