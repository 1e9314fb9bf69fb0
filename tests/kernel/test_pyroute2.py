# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine with the pyroute2 that runs it: the distribution's, and the newest."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.every_pyroute2

SHOP = {
    "networks": {
        "frontend": {
            "enable_ipv6": True,
            "ipam": {"config": [{"subnet": "172.30.1.0/24"}, {"subnet": "fd00:30:1::/64"}]},
        },
        "backend": {"internal": True, "ipam": {"config": [{"subnet": "172.30.2.0/24"}]}},
    },
    "sandboxes": {
        "web": {
            "networks": {"frontend": {"ipv4_address": "172.30.1.10", "ipv6_address": "fd00:30:1::10"}, "backend": {}},
            "ports": ["8080:80"],
        },
        "probe": {"networks": {"frontend": {"ipv4_address": "172.30.1.11"}}},
        "db": {"networks": {"backend": {"ipv4_address": "172.30.2.20"}}},
    },
}


def test_networks_carry_packets_and_go_again(private_host):
    assert private_host.apply(SHOP)["changed"]
    assert private_host.ping("web", "172.30.2.20") and private_host.ping("probe", "172.30.1.10")
    assert private_host.ping("probe", "fd00:30:1::10")
    assert not private_host.ping("probe", "172.30.2.20", wait=1)
    private_host.serve_http("web", 80, "hello")
    assert private_host.neighbour().fetch(None, "http://192.0.2.2:8080/") == "hello\n192.0.2.3\n"
    assert not private_host.apply(SHOP)["changed"]


def test_a_changed_line_changes_only_that(private_host):
    private_host.apply(SHOP)
    sandboxes = {**SHOP["sandboxes"], "db": {"networks": {"backend": {"ipv4_address": "172.30.2.21"}}}}
    changed = private_host.apply({**SHOP, "sandboxes": sandboxes})
    assert changed["changed"]
    assert private_host.ping("web", "172.30.2.21") and not private_host.ping("web", "172.30.2.20", wait=1)
    fewer = {name: sandbox for name, sandbox in sandboxes.items() if name != "probe"}
    private_host.apply({**SHOP, "sandboxes": fewer})
    assert private_host.sh("ls /run/netns") == "db\nweb"


@pytest.mark.smoke
def test_a_small_mtu_reaches_both_ends(private_host):
    networks = {"small": {"driver_opts": {"com.docker.network.driver.mtu": "1400"}}}
    private_host.apply({"networks": networks, "sandboxes": {"one": {"networks": ["small"]}}})
    assert private_host.sh("cat /sys/class/net/eth0/mtu", netns="one") == "1400"
