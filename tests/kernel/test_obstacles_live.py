# SPDX-License-Identifier: GPL-3.0-or-later
"""Foreign firewalls beside ours, in whole runs: a warning says what packets show, and goes when they pass."""

from __future__ import annotations

import pytest

from support import traffic
from support.traffic import network

DOCUMENT = {
    "networks": {"front": network("172.20.0.0/24", bridge_name="br0")},
    "sandboxes": {"one": {"networks": ["front"]}, "two": {"networks": ["front"], "ports": ["8080:80"]}},
}
SIX = {
    "networks": {"front": network("fd00:20::/64", bridge_name="br0", enable_ipv4=False)},
    "sandboxes": DOCUMENT["sandboxes"],
}


def forward(family="ip", table="filter", chain="FORWARD", rules=""):
    """Return a foreign table whose forward chain drops what its rules do not accept."""
    return (
        f"table {family} {table} {{ chain {chain} {{ type filter hook forward priority filter; policy drop; "
        f"{rules} }}; }}"
    )


@pytest.fixture
def foreign(private_host):
    """Return a function that puts a foreign table in the place of the last.

    All are gone before the host is compared.
    """
    made = []

    def put(text):
        while made:
            private_host.run(["nft", "delete", "table", *made.pop()])
        words = text.split()
        private_host.run(["nft", "-f", "-"], input=text)
        made.append(words[1:3])

    yield put
    while made:
        private_host.run(["nft", "delete", "table", *made.pop()])


def test_dropped_bridge_frames_are_found_and_named(private_host, foreign):
    """The walk-through's fault: two namespaces on an own bridge do not ping, because another's chain drops bridged
    frames.
    """
    with traffic.bridge_calls_iptables(private_host, 1):
        assert private_host.apply(DOCUMENT)["warnings"] == [] and private_host.ping("one", "172.20.0.3")
        foreign(forward())
        assert not private_host.ping("one", "172.20.0.3", wait=1)
        answer = private_host.apply(DOCUMENT)
        assert not answer["changed"] and len(answer["warnings"]) == 1
        assert "Chain FORWARD of table ip filter drops " in answer["warnings"][0]
        assert (
            "frames between the ports of br0" in answer["warnings"][0] and "its policy is drop" in answer["warnings"][0]
        )
        foreign(forward(rules='iifname "br0" accept; oifname "br0" accept;'))
        assert private_host.ping("one", "172.20.0.3") and private_host.ping("one", "198.51.100.1")
        assert private_host.apply(DOCUMENT)["warnings"] == []


def test_routed_traffic_only_where_bridges_do_not_call(private_host, foreign):
    """The same chain hits only what is routed where bridges do not call iptables: neighbours ping, the way out is
    named.
    """
    with traffic.bridge_calls_iptables(private_host, 0):
        foreign(forward())
        told = private_host.apply(DOCUMENT)["warnings"]
        assert private_host.ping("one", "172.20.0.3") and not private_host.ping("one", "198.51.100.1", wait=1)
        private_host.serve_http("two", 80, "two")
        assert private_host.neighbour().fetch(None, "http://192.0.2.2:8080/", wait=1) is None
        assert (
            len(told) == 1
            and "packets out of br0" in told[0]
            and "packets into br0" in told[0]
            and "frames" not in told[0]
        )
        foreign(
            forward(
                rules="ct state established,related accept; iifgroup 25707 accept; "
                "oifgroup 25707 ct status dnat accept;"
            )
        )
        assert private_host.apply(DOCUMENT)["warnings"] == []
        assert private_host.ping("one", "198.51.100.1") and private_host.neighbour().fetch(
            None, "http://192.0.2.2:8080/"
        )


@pytest.mark.parametrize("family, table, chain", [("ip6", "filter", "FORWARD"), ("inet", "firewall", "way_through")])
def test_family_table_and_chain_are_named(private_host, foreign, family, table, chain):
    """For an IPv6 network a chain of IPv6 or of both families counts, one of IPv4 does not."""
    with traffic.bridge_calls_iptables(private_host, 1):
        foreign(forward(family, table, chain))
        told = private_host.apply(SIX)["warnings"]
        assert len(told) == 1 and f"Chain {chain} of table {family} {table} drops " in told[0]
        assert not private_host.ping("one", "2001:db8:2::1", wait=1)
        foreign(forward("ip"))
        assert private_host.apply(SIX)["warnings"] == [] and private_host.ping("one", "2001:db8:2::1", wait=4)


def test_bridge_family_is_read_too(private_host, foreign):
    """A chain of the bridge family drops frames whatever bridge-nf-call-iptables says."""
    with traffic.bridge_calls_iptables(private_host, 0):
        foreign(forward("bridge", "wall"))
        told = private_host.apply(DOCUMENT)["warnings"]
        assert len(told) == 1 and "Chain FORWARD of table bridge wall drops frames between the ports of br0" in told[0]
        assert not private_host.ping("one", "172.20.0.3", wait=1) and private_host.ping("one", "198.51.100.1")


@pytest.mark.smoke
def test_warning_comes_with_a_plan_too_and_foreign_tables_stay(private_host, foreign):
    """Check mode reports the same. No run and no removal changes foreign tables."""
    foreign(forward())
    before = private_host.sh("nft list table ip filter")
    private_host.apply(DOCUMENT)
    told = private_host.plan(DOCUMENT)["warnings"]
    assert len(told) == 1 and "table ip filter" in told[0]
    private_host.apply({}, absent=True)
    assert private_host.sh("nft list table ip filter") == before
