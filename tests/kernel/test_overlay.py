# SPDX-License-Identifier: GPL-3.0-or-later
"""Networks over several hosts: what crosses the underlay, what must not, and what a change touches."""
from __future__ import annotations

import fleet as fleets
import pytest

BLUE, GREEN = "10.60.0.0/16 fd00:60::/64", "10.61.0.0/16"


def spec(vni, subnets, **options):
    """Return an overlay's declaration."""
    return {"vni": vni, "ipam": {"config": [{"subnet": subnet} for subnet in subnets.split()]}, **options}


def on(network, last, six=False, **options):
    """Return a sandbox on one network with the address that ends in last."""
    fixed = {"ipv4_address": f"10.{60 if network == 'blue' else 61}.0.{last}", **({"ipv6_address": f"fd00:60::{last}"} if six else {}), **options}
    return {"networks": {network: fixed}}


def apply_all(fleet, documents, **options):
    """Apply each host its document; return the results."""
    return [host.apply(document, **options) for host, document in zip(fleet.hosts, documents)]


NETWORKS = {"blue": spec(300, BLUE), "green": spec(301, GREEN)}
PLACED = [
    {"a": on("blue", 2, True), "b": on("blue", 3, True), "c": on("green", 2)},
    {"d": on("blue", 4, True, aliases=["www"]), "e": on("green", 3)},
]


@pytest.mark.parametrize("version", [4, 6], ids=["IPv4 underlay", "IPv6 underlay"])
def test_two_subnets_over_two_hosts(fleet, version):
    """A, B and D share a subnet, C and E another; nothing goes from one to the other, by either host."""
    documents = fleets.documents(NETWORKS, PLACED, version)
    first, second = fleet.hosts[:2]
    assert all(result["changed"] for result in apply_all(fleet, documents))
    for address in ("10.60.0.4", "fd00:60::4", "10.60.0.3"):
        assert first.ping("a", address), address
    assert second.ping("e", "10.61.0.2") and second.ping("d", "fd00:60::2")
    assert not first.ping("c", "10.60.0.4", wait=1) and not second.ping("e", "10.60.0.2", wait=1)
    assert first.lookup("a", "d") == ["10.60.0.4", "fd00:60::4"] == first.lookup("b", "www.blue")
    assert first.lookup("c", "d") == []
    assert not any(result["changed"] for result in apply_all(fleet, documents))
