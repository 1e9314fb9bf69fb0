# SPDX-License-Identifier: GPL-3.0-or-later
"""Names that are known never leave, whatever the servers outside say; fallback of servers."""

from __future__ import annotations

import pytest

from support.dns_questions import dig
from support.private_host import NEIGHBOUR_ADDRESSES, SUPPORT, SYSTEM_PYTHON

UPSTREAM, NEIGHBOUR = "192.0.2.2", NEIGHBOUR_ADDRESSES[0]
OUTSIDE = ("NOERROR", ["203.0.113.7"])
NETWORKS = {"front": {"ipam": {"config": [{"subnet": "172.20.0.0/24"}]}}}


def document(*servers, **more):
    """Return two sandboxes on a network, with servers."""
    return {
        "networks": NETWORKS,
        "sandboxes": {
            "cli": {"networks": ["front"], "dns": list(servers), **more},
            "db": {"networks": {"front": {"ipv4_address": "172.20.0.20"}}},
        },
    }


@pytest.fixture(name="upstream")
def _upstream(private_host):
    """Return a server that answers everything and prints the queries."""
    server = private_host.popen([SYSTEM_PYTHON, str(SUPPORT / "dns_upstream.py"), UPSTREAM])
    assert server.readline() == "ready"
    return server


def heard(host, upstream):
    """Return the questions that the server was asked so far; one of our own marks the end."""
    assert dig(host, "cli", "sentinel.example.org") == OUTSIDE
    return list(iter(upstream.readline, "sentinel.example.org 1"))


@pytest.mark.parametrize("dead", ["127.127.127.1", NEIGHBOUR], ids=["refusing", "silent"])
def test_next_upstream_answers_for_a_silent_one(private_host, upstream, dead):
    """One that refuses, and one that says nothing at all (its neighbour drops the question)."""
    assert upstream.pid
    private_host.neighbour().sh(
        "nft add table inet silent; nft add chain inet silent in '{ type filter hook input priority 0; }'; "
        "nft add rule inet silent in udp dport 53 drop"
    )
    private_host.apply(document(dead, UPSTREAM))
    assert dig(private_host, "cli", "example.org", "A", "+time=10", "+tries=1") == OUTSIDE
    private_host.neighbour().sh("nft delete table inet silent")


@pytest.mark.smoke
def test_local_names_are_never_asked_upstream(private_host, upstream):
    """A server that has an answer to everything, and a search domain that it serves, take no name of a sandbox."""
    private_host.apply(document(UPSTREAM, dns_search=["corp.example"]))
    private_host.sh(
        "for n in $(seq 300); do echo 'db A'; echo 'db AAAA'; echo 'DB.front A'; echo 'nobody A'; "
        "done >/run/lock/questions"
    )
    said = private_host.sh(
        "dig @127.0.0.11 +noall +comments +answer -f /run/lock/questions; rm /run/lock/questions", netns="cli"
    )
    assert said.count("172.20.0.20") == 600 and said.count("status: NXDOMAIN") == 300 and "203.0.113.7" not in said
    for name in ("db", "nobody"):
        assert private_host.lookup("cli", name) == (
            ["172.20.0.20"] if name == "db" else ["203.0.113.7"]
        )  # nobody.corp.example, by search
    asked = heard(private_host, upstream)
    assert asked and all(line.startswith("nobody.corp.example ") for line in asked)


def test_upstream_queries_have_random_ports_and_ids(private_host):
    """Who guesses must hit both; sixty questions."""
    code = (
        f"import socket, sys\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\ns.bind(('{UPSTREAM}', 53))\n"
        "print('ready', flush=True)\n"
        "while True:\n m, c = s.recvfrom(999)\n print(c[1], int.from_bytes(m[:2], 'big'), flush=True)\n"
        " s.sendto(m[:2] + b'\\x81\\x83' + m[4:6] + bytes(6) + m[12:], c)"
    )
    server = private_host.popen([SYSTEM_PYTHON, "-c", code])
    assert server.readline() == "ready"
    private_host.apply(document(UPSTREAM))
    private_host.sh(
        'for n in $(seq 60); do echo "n$n.example A"; done >/run/lock/questions; '
        "ip netns exec cli dig @127.0.0.11 +noall -f /run/lock/questions; rm /run/lock/questions"
    )
    ports, numbers = zip(*(map(int, server.readline().split()) for turn in range(60)))
    assert len(set(ports)) > 50 and max(ports) - min(ports) > 16384 and len(set(numbers)) > 50


def test_dns_works_with_an_input_drop_policy(private_host, upstream):
    """A host that lets nothing in; a resolver is inside of its sandbox."""
    assert upstream.pid
    private_host.apply(document(UPSTREAM))
    assert private_host.ping("cli", "172.20.0.1")
    private_host.sh(
        "nft add table inet theirs; nft add chain inet theirs in '{ type filter hook input priority 0; policy drop; }'"
    )
    assert not private_host.ping("cli", "172.20.0.1")
    assert dig(private_host, "cli", "db") == ("NOERROR", ["172.20.0.20"])
    private_host.sh("nft delete table inet theirs")


BLOG = {
    "networks": {"back": {"ipam": {"config": [{"subnet": "172.21.0.0/24"}]}}},
    "sandboxes": {"store": {"networks": ["back"]}},
}


def test_names_of_other_networks_never_leave_the_host(private_host, upstream):
    """They begin and cease to be names of the host with the network, and no resolver is started again for that."""
    private_host.apply(document(UPSTREAM))
    assert dig(private_host, "cli", "store.back") == OUTSIDE  # the control: the host has no such network yet
    pid = private_host.sh("cat /run/dockless/dns/pids/cli.pid")
    private_host.apply(BLOG, project="blog")
    heard(private_host, upstream)
    for name in ("store.back", "STORE.Back", "nobody.back", "deep.store.back", "_x._tcp.back"):
        for kind in ("A", "AAAA", "TXT", "SRV", "ANY"):
            for transport in ("+notcp", "+tcp"):
                assert dig(private_host, "cli", name, kind, transport) == ("NXDOMAIN", []), (name, kind, transport)
    assert heard(private_host, upstream) == []
    assert dig(private_host, "store", "store.back")[1] and not private_host.apply(BLOG, project="blog")["changed"]
    private_host.apply({}, project="blog", absent=True)
    assert dig(private_host, "cli", "store.back") == OUTSIDE
    assert private_host.sh("cat /run/dockless/dns/pids/cli.pid") == pid


def test_declared_names_take_no_other_names_of_public_domains(private_host, upstream):
    """A network with the name of a domain, an alias with dots, and a TXT record: exactly they are answered here."""
    private_host.apply(
        {
            "networks": {
                "net": {**NETWORKS["front"], "records": [{"name": "site.example", "type": "TXT", "value": "own"}]}
            },
            "sandboxes": {
                "cli": {"networks": ["net"], "dns": [UPSTREAM]},
                "db": {"networks": {"net": {"ipv4_address": "172.20.0.20", "aliases": ["example.org"]}}},
            },
        }
    )
    for name in ("db", "db.net", "DB.Net", "example.org", "example.org.net"):
        assert dig(private_host, "cli", name) == ("NOERROR", ["172.20.0.20"]), name
        assert dig(private_host, "cli", name, "AAAA") == ("NOERROR", []), name
    assert dig(private_host, "cli", "site.example", "TXT") == ("NOERROR", ['"own"'])
    assert not {line.split()[0] for line in heard(private_host, upstream)}
    for name in ("cash.net", "api.example.org", "a.b.example.org", "x.db.net", "site.example", "a.site.example"):
        assert dig(private_host, "cli", name) == OUTSIDE, name
    late = {"networks": ["net"]}
    assert private_host.apply(
        {
            "networks": {"net": NETWORKS["front"]},
            "sandboxes": {"cli": {"networks": ["net"], "dns": [UPSTREAM]}, "late": late},
        }
    )["changed"]
    assert dig(private_host, "cli", "late.net", "AAAA") == ("NOERROR", [])
    assert dig(private_host, "cli", "db.net") == OUTSIDE  # nobody has that name any more
