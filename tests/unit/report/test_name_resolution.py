# SPDX-License-Identifier: GPL-3.0-or-later
"""What network_info reports of names equals the files that resolvers serve."""

from __future__ import annotations

import pytest

# pylint: disable=wrong-import-position
from _dockless.allocate.host import resolve_host
from _dockless.desired.host import desired_state
from _dockless.document import project
from _dockless.model import topology
from _dockless.model.facts import Facts
from _dockless.model.host import Host
from _dockless.report.name_resolution import ResolutionReport

DOCUMENT = {
    "networks": {
        "front": {
            "ipam": {"config": [{"subnet": "172.20.0.0/24"}]},
            "records": [
                {"name": "printer", "value": "192.0.2.9"},
                {"name": "print", "type": "CNAME", "value": "printer"},
            ],
        },
        "shut": {"internal": True, "ipam": {"config": [{"subnet": "172.21.0.0/24"}]}},
    },
    "sandboxes": {
        "web": {"networks": {"front": {"ipv4_address": "172.20.0.9", "aliases": ["www"]}, "shut": {}}},
        "db": {"networks": {"shut": {"links": ["web:site"]}}, "dns_search": ["shop.internal"]},
        "own": {"networks": ["front"], "dns": ["192.0.2.7"]},
        "old": {"network_mode": "bridge"},
        "lab": {"network_mode": "none"},
        "agent": {"network_mode": "host"},
        "probe": {"network_mode": "container:own"},
    },
}
FACTS = Facts(nameservers=("192.0.2.53",), search=("corp.example",), resolv_conf="/etc/resolv.conf")
STUB = Facts(nameservers=("127.0.0.53",))


def told(known=FACTS):
    """Return (names by network, row by sandbox)."""
    host = resolve_host(Host((project.parse_project("shop", DOCUMENT),)), {}, known)
    names = ResolutionReport(host, desired_state(host, known), known)
    return (
        {key[1]: names.on_network(network) for key, network in topology.networks_by_key(host).items()},
        {s.name: names.of_sandbox(s) for p in host.projects for s in p.sandboxes},
    )


def values(rows, name):
    """Return (type, value) of each entry of a name."""
    return [(row["type"], row["value"]) for row in rows if row["name"] == name]


def test_what_a_network_knows():
    networks, sandboxes = told()
    assert values(networks["front"], "www") == values(networks["front"], "web.front") == [("A", "172.20.0.9")]
    assert values(networks["front"], "printer") == [("A", "192.0.2.9")] and values(networks["front"], "print") == [
        ("CNAME", "printer")
    ]
    assert values(networks["shut"], "www") == [] and len(values(networks["shut"], "db")) == 1
    assert networks["bridge"] == []


@pytest.mark.parametrize("known, asked", [(FACTS, ["192.0.2.53"]), (STUB, ["172.20.0.1#10053"])])
def test_where_questions_go(known, asked):
    """A sandbox of an internal network is reported to ask nowhere."""
    networks, found = told(known)
    assert (found["web"]["resolves"], found["web"]["name_servers"]) == (["front", "shut"], asked)
    assert found["own"]["name_servers"] == ["192.0.2.7"] and found["probe"] == found["own"]
    assert found["db"]["name_servers"] == [] and found["db"]["search"] == ["shop.internal"]
    assert [row["name"] for row in found["db"]["own_names"]] == ["site", "site.shut"]


def test_sandboxes_without_a_resolver_of_their_own():
    networks, found = told()
    assert found["old"]["name_servers"] == found["agent"]["name_servers"] == ["192.0.2.53"]
    assert all(found[name]["resolves"] == found[name]["own_names"] == [] for name in ("old", "lab", "agent"))
