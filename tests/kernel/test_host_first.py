# SPDX-License-Identifier: GPL-3.0-or-later
"""Nothing that is declared cuts the host off its own addresses and routes."""

from __future__ import annotations

import pytest

from support import traffic
from support.private_host import HOST_ADDRESSES, NEIGHBOUR_ADDRESSES
from support.traffic import network

HOST4, HOST6 = HOST_ADDRESSES
NEXT_HOPS = (
    "ip route add 198.51.100.0/24 via 10.99.0.1 dev eth0 onlink",
    "ip route add 198.51.101.0/24 nexthop via 10.98.0.1 dev eth0 onlink nexthop via 10.97.0.1 dev eth0 onlink",
    "ip -6 route add 2001:db8:99::/64 via fd00:99::1 dev eth0 onlink",
    "ip route add 198.51.102.0/24 via inet6 fd00:98::1 dev eth0 onlink",
)
LATER = ("172.20.0.77", "fd00:20::77")
GATEWAYS = ("172.20.0.1", "fd00:20::1")


def document(subnets, **more):
    """Return a project with one sandbox on a network."""
    return {"networks": {"front": network(subnets)}, "sandboxes": {"web": {"networks": ["front"]}}, **more}


@pytest.mark.parametrize(
    ("preparation", "subnets", "conflict"),
    [
        ("", "192.0.2.0/24", f"{HOST4}, which is an address of this host"),
        ("", "192.0.0.0/16", f"{HOST4}, which is an address of this host"),
        ("", "2001:db8:1::/64", f"{HOST6}, which is an address of this host"),
        ("ip address add 198.18.0.9/32 dev lo", "198.18.0.0/24", "198.18.0.9, which is an address of this host"),
        (NEXT_HOPS[0], "10.99.0.0/24", "10.99.0.1, which is the next hop of a route of this host"),
        (NEXT_HOPS[1], "10.97.0.0/24", "10.97.0.1, which is the next hop of a route of this host"),
        (NEXT_HOPS[2], "fd00:99::/64", "fd00:99::1, which is the next hop of a route of this host"),
        (NEXT_HOPS[3], "fd00:98::/64", "fd00:98::1, which is the next hop of a route of this host"),
    ],
)
def test_a_subnet_that_the_host_uses_is_refused(private_host, preparation, subnets, conflict):
    """Such a run once ended well, and the session with it: every packet to the host's own address was dropped."""
    private_host.sh(preparation or "true")
    before = private_host.snapshot()
    assert f"contains {conflict}" in private_host.refusal(document(subnets))
    private_host.assert_back_to(before)
    private_host.apply(document("172.20.0.0/24"))  # the control
    private_host.apply({}, absent=True)
    private_host.sh(preparation.replace(" add ", " del ", 1) or "true")


def test_the_default_bridge_is_refused_as_any_other_network(private_host):
    bridged = {"defaults": {"bip": "192.0.2.9/24"}, "sandboxes": {"web": {"network_mode": "bridge"}}}
    assert f"contains {HOST4}" in private_host.refusal(bridged)


def test_an_automatic_subnet_avoids_addresses_and_next_hops(private_host):
    """An address with a full prefix has no route in the main table."""
    private_host.sh("ip address add 172.17.0.9/32 dev lo; ip address add 172.18.0.9/32 dev lo")
    private_host.apply({"networks": {"front": {}}, "sandboxes": {"web": {"networks": ["front"]}}})
    chosen = private_host.sh("ip netns exec web ip -4 -o address show dev eth0")
    private_host.apply({}, absent=True)
    private_host.sh("ip address del 172.17.0.9/32 dev lo; ip address del 172.18.0.9/32 dev lo")
    assert "172.17.0." not in chosen and "172.18.0." not in chosen


def test_an_address_that_the_host_gets_later_stays_reachable(private_host):
    """By DHCP or a VPN the host moves into a subnet of dockless: it is reached there, its gateway address is not."""
    private_host.apply(document("172.20.0.0/24 fd00:20::/64"))
    for address in LATER:
        private_host.sh(f"ip address add {address} dev eth0 nodad")
    neighbour = private_host.neighbour()
    neighbour.sh(f"ip route add 172.20.0.0/24 via {HOST4}; ip -6 route add fd00:20::/64 via {HOST6}")
    heard = traffic.record(private_host, None, 9999)

    def probe(text):
        """Send to the host's new addresses and to the gateways, then a datagram that must arrive."""
        for number, address in enumerate((*LATER, *GATEWAYS)):
            traffic.send(neighbour, None, address, 9999, f"{text}-{number}")
        traffic.send(neighbour, None, HOST4, 9999, "end")
        lines = iter(heard.readline, f"end {NEIGHBOUR_ADDRESSES[0]}")
        return {line.split()[0] for line in lines}

    assert probe("guarded") == {"guarded-0", "guarded-1"}
    for number, rule in enumerate(("ip daddr != @gateways4 accept", "ip6 daddr != @gateways6 accept")):
        with traffic.without(private_host, rule):
            assert probe(f"without-{number}") == {f"without-{number}-{1 - number}"}
    answer = private_host.apply(document("172.20.0.0/24 fd00:20::/64"))
    assert answer["operations"] == []
    assert any(LATER[0] in warning for warning in answer["warnings"]), answer["warnings"]
    private_host.apply({}, absent=True)
    private_host.sh("; ".join(f"ip address del {address} dev eth0" for address in LATER))
