# SPDX-License-Identifier: GPL-3.0-or-later
"""Leases as JSON: documents on disk keep their bytes."""

from __future__ import annotations

import json

from _dockless.allocate.leases import EndpointLease, Leases, recorded_interfaces, recorded_ports
from _dockless.names import veth_link

CONTENT = {
    "networks": {"front": ["172.20.0.0/24", "fd00:1::/64"], "none": []},
    "services": {"front": {"api": ["172.20.0.254"]}},
    "host_access": {"lan": ["192.0.2.9"]},
    "endpoints": {
        "web": {
            "shop/front": {"addresses": ["172.20.0.2/24", "fd00:1::2/64"], "interface": "eth0"},
            "/bridge": {"addresses": ["172.17.0.2/16"], "interface": "eth1"},
        }
    },
    "ports": [["web", "tcp", "", 80, 32768], ["web", "udp", "127.0.0.1", 53, 5353]],
}


def test_json_is_the_same_after_a_round_trip():
    assert json.dumps(Leases.from_json(CONTENT).to_json()) == json.dumps(CONTENT)


def test_empty_parts_that_are_optional_are_left_out():
    assert Leases.from_json({}).to_json() == {"networks": {}, "endpoints": {}, "ports": []}


def test_a_lease_of_an_earlier_version_may_lack_the_interface():
    leases = Leases.from_json({"endpoints": {"web": {"shop/front": {"addresses": ["172.20.0.2/24"]}}}})
    assert leases.endpoints["web"]["shop", "front"] == EndpointLease(("172.20.0.2/24",), "")


def test_ports_and_interfaces_of_all_projects():
    leases = {"shop": Leases.from_json(CONTENT)}
    assert recorded_ports(leases) == {("tcp", "", 32768), ("udp", "127.0.0.1", 5353)}
    interfaces = recorded_interfaces(leases)
    assert interfaces["veth", "", veth_link("shop", ("", "bridge"), "web")] == "eth1"
    assert interfaces["link", "web", "eth0"] == "eth0"
