# SPDX-License-Identifier: GPL-3.0-or-later
"""A host whose name server is on its loopback: sandboxes reach it through the forwarder, and nobody else does."""

from __future__ import annotations

import pytest

from support import traffic
from support.dns_questions import dig, until
from support.private_host import HOST_ADDRESSES, NEIGHBOUR_ADDRESSES, SUPPORT, SYSTEM_PYTHON

NEIGHBOUR4 = NEIGHBOUR_ADDRESSES[0]
HOST4 = HOST_ADDRESSES[0]
ANSWERED = ("NOERROR", ["203.0.113.7"])
DOCUMENT = {
    "networks": {
        "front": {"ipam": {"config": [{"subnet": "172.20.0.0/24"}]}},
        "six": {"enable_ipv4": False, "ipam": {"config": [{"subnet": "fd00:22::/64"}]}},
        "shut": {"internal": True, "ipam": {"config": [{"subnet": "172.21.0.0/24"}]}},
        "inward": {"egress": False, "ipam": {"config": [{"subnet": "172.23.0.0/24"}]}},
        "inward6": {"egress": False, "enable_ipv4": False, "ipam": {"config": [{"subnet": "fd00:25::/64"}]}},
        "routed": {"gateway_mode_ipv4": "routed", "ipam": {"config": [{"subnet": "172.24.0.0/24"}]}},
    },
    "sandboxes": {
        "web": {"networks": ["front"]},
        "six": {"networks": ["six"]},
        "db": {"networks": ["shut"]},
        "both": {"networks": ["front", "shut"]},
        "in": {"networks": ["inward"]},
        "own": {"networks": ["front"], "dns": [NEIGHBOUR4]},
        "kept": {"networks": ["routed"]},
        "in6": {"networks": ["inward6"]},
    },
}


@pytest.fixture(name="stubbed")
def _stubbed(private_host):
    """Return a host whose only server is 127.0.0.53, where one answers, and that server."""
    private_host.sh("cp /etc/resolv.conf /run/lock/resolv.conf; echo 'nameserver 127.0.0.53' >/etc/resolv.conf")
    upstream = private_host.popen([SYSTEM_PYTHON, str(SUPPORT / "dns_upstream.py"), "127.0.0.53"])
    assert upstream.readline() == "ready"
    private_host.apply(DOCUMENT)
    yield private_host, upstream
    private_host.teardown()
    private_host.sh("cat /run/lock/resolv.conf >/etc/resolv.conf; rm /run/lock/resolv.conf")


def asked(host, upstream):
    """Return what the upstream was asked until now; a query of our own marks the end."""
    assert dig(host, "web", "sentinel.example.org") == ANSWERED
    found = []
    for line in iter(upstream.readline, ""):
        if line.startswith("sentinel.example.org "):
            return found
        found.append(line)
    raise AssertionError("the upstream server ended")


def test_external_names_through_a_loopback_upstream(stubbed):
    """By a normal network, by one of IPv6 alone, by both kinds; names of sandboxes stay what they are."""
    host, upstream = stubbed
    for sandbox in ("web", "six", "both", "kept"):
        assert dig(host, sandbox, "example.org") == ANSWERED, sandbox
        assert dig(host, sandbox, "example.org", "A", "+tcp") == ANSWERED, sandbox
    assert "example.org 1 tcp" in asked(host, upstream)
    told = {row["name"]: (row["resolves"], row["name_servers"]) for row in host.dockless("show", "--json")["sandboxes"]}
    assert told == {
        "web": (["front"], ["172.20.0.1#10053"]),
        "six": (["six"], ["fd00:22::1#10053"]),
        "db": (["shut"], []),
        "in": (["inward"], []),
        "both": (["front", "shut"], ["172.20.0.1#10053"]),
        "own": (["front"], [NEIGHBOUR4]),
        "kept": (["routed"], ["172.24.0.1#10053"]),
        "in6": (["inward6"], []),
    }
    assert dig(host, "web", "own")[0] == dig(host, "db", "both")[0] == "NOERROR"
    assert (
        "127.0.0.11" in host.read("/etc/netns/web/resolv.conf")
        and "127.0.0.53" not in host.read("/etc/netns/web/resolv.conf").split("nameserver", 1)[1]
    )


def test_network_without_egress_forwards_no_query(stubbed):
    """By UDP, TCP, PTR and ANY, and by a server that is set.

    The internal one and the one without egress; 0 queries upstream.
    """
    host, upstream = stubbed
    assert asked(host, upstream) is not None
    for sandbox in ("db", "in"):
        for name, kind in (
            ("data.evil.test", "A"),
            ("data.evil.test", "AAAA"),
            ("data.evil.test", "ANY"),
            ("9.9.9.9.in-addr.arpa", "PTR"),
            ("evil", "TXT"),
        ):
            for transport in ("+notcp", "+tcp"):
                assert dig(host, sandbox, name, kind, transport) == ("NXDOMAIN", []), (sandbox, name, kind, transport)
    assert [line for line in asked(host, upstream) if "evil" in line or "arpa" in line] == []
    assert dig(host, "web", "data.evil.test") == ANSWERED  # the control
    assert any("evil" in line for line in asked(host, upstream))


def test_forwarder_is_reachable_from_its_networks_only(stubbed):
    """A neighbour with routes, and sandboxes of closed networks with routes of their own, at every address it has.

    Each rule is what stops it: without it the query arrives.
    """
    host, _upstream = stubbed
    gateways = ("172.20.0.1", "172.24.0.1")
    host.neighbour().sh(f"ip route replace 172.20.0.0/24 via {HOST4}; ip route replace 172.24.0.0/24 via {HOST4}")
    question = ["+time=1", "+tries=1", "-p", "10053", "example.org"]

    def reaches(place, netns, gateway):
        return place.run(["dig", f"@{gateway}", *question], netns=netns, check=False).returncode == 0

    host.sh("ip route replace default via 172.21.0.1", netns="db")
    for gateway in gateways:
        assert reaches(host, "web", gateway) and reaches(host, None, gateway)
        for place, netns in ((host.neighbour(), None), (host, "db"), (host, "in")):
            assert not reaches(place, netns, gateway), (netns, gateway)
    with traffic.without(host, "@forwarders4"):
        assert reaches(host, "in", gateways[0])
    with traffic.without(host, "@forwarders4", "ip daddr @gateways4"):
        assert reaches(host.neighbour(), None, gateways[1])
    assert reaches(host, "six", "fd00:22::1")
    host.sh("ip -6 route replace fd00:22::/64 via fd00:25::1", netns="in6")
    assert not reaches(host, "in6", "fd00:22::1")
    with traffic.without(host, "@forwarders6"):
        assert reaches(host, "in6", "fd00:22::1")
    listening = host.sh("ss -Hlnup 'sport = :10053'; ss -Hlntp 'sport = :10053'")
    assert "0.0.0.0:10053" not in listening and HOST4 not in listening and "172.21.0.1" not in listening


@pytest.mark.smoke
def test_forwarder_follows_the_hosts_resolv_conf(stubbed):
    """resolv.conf names another loopback server, and what was there ends."""
    host, upstream = stubbed
    other = host.popen([SYSTEM_PYTHON, str(SUPPORT / "dns_upstream.py"), "127.0.0.54"])
    assert other.readline() == "ready"
    upstream.stop()
    host.sh("echo 'nameserver 127.0.0.54' >/etc/resolv.conf")
    assert (
        until(lambda: dig(host, "web", "example.org", "A", "+time=1", "+tries=1")[0], "NOERROR", seconds=20)
        == "NOERROR"
    )
    assert host.apply(DOCUMENT)["changed"] is False


def test_killed_forwarder_is_started_again_and_removed_when_unused(stubbed):
    """By the next run where no systemd supervises it; a host with servers of both families needs none."""
    host, _upstream = stubbed
    host.sh("kill -9 $(cat /run/dockless/dns/pids/@host.pid)")
    operations = host.apply(DOCUMENT)["operations"]
    assert len(operations) == 1 and "resolver of @host" in operations[0]
    assert dig(host, "web", "example.org") == ANSWERED
    host.run(["tee", "/etc/resolv.conf"], input="".join(f"nameserver {each}\n" for each in NEIGHBOUR_ADDRESSES[:2]))
    host.apply(DOCUMENT)
    assert "@host" not in host.sh("ls /run/dockless/dns/pids /run/dockless/dns/resolvers")
    assert "forwarders4" not in host.sh("nft list set inet dockless forwarders4 | grep elements || true")
