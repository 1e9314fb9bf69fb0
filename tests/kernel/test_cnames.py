# SPDX-License-Identifier: GPL-3.0-or-later
"""CNAME records that no resolver can have: refused where one project declares them, harmless where several do."""

from __future__ import annotations

import json

import pytest

from support.dns_questions import dig


def cname(name, value):
    """Return a CNAME record as a document has it."""
    return {"name": name, "type": "CNAME", "value": value}


def document(front=(), back=()):
    """Return a project with the records of its two networks, and a sandbox on both."""
    return {
        "networks": {
            "front": {"ipam": {"config": [{"subnet": "172.20.0.0/24"}]}, "records": list(front)},
            "back": {"ipam": {"config": [{"subnet": "172.21.0.0/24"}]}, "records": list(back)},
        },
        "sandboxes": {
            "app": {"networks": ["front", "back"]},
            "web": {"networks": {"front": {"ipv4_address": "172.20.0.9"}}},
            "db": {"networks": {"back": {"ipv4_address": "172.21.0.9", "aliases": ["db.corp.example"]}}},
        },
    }


@pytest.mark.parametrize(
    "records, message",
    [
        ([cname("rds", "mydb.rds.example.com")], "networks.front.records[0].value: mydb.rds.example.com is no name"),
        ([cname("a", "web"), cname("A", "db")], "networks.front.records[1].name: A has two CNAME records"),
        ([cname("a", "b"), cname("b", "a")], "networks.front.records[1].value: the CNAME records of b lead back to it"),
    ],
    ids=["outside", "duplicate", "circle"],
)
def test_refused_before_any_change(private_host, records, message):
    """The message has the path of the option, and no text of dnsmasq."""
    assert private_host.refusal(document(records)).startswith(message)
    private_host.assert_back_to(private_host.birth)


def test_records_of_two_networks_that_contradict_each_other(private_host):
    """The first network's are used, in the sandbox on both and in the resolver of the host."""
    front = [cname("data", "web"), cname("here", "there")]
    back = [cname("DATA", "db"), cname("there", "here"), cname("x", "db.corp.example")]
    code = (
        "import json, sys\nfrom _dockless.engine import converge\n"
        "converge.converge(converge.Request('shop', lambda before: json.loads(sys.argv[1]), "
        "defaults={'host_names': {}}))"
    )
    private_host.python(code, json.dumps(document(front, back)))
    assert dig(private_host, "app", "data") == ("NOERROR", ["172.20.0.9", "web."])
    assert dig(private_host, "app", "x") == ("NOERROR", ["172.21.0.9", "db.corp.example."])
    assert dig(private_host, "db", "data") == ("NOERROR", ["172.21.0.9", "db."])
    answer = private_host.run(["dig", "@127.0.0.12", "-p", "10053", "+short", "web.front"]).stdout
    assert answer.split() == ["172.20.0.9"]


def test_the_end_of_another_projects_name_stops_nobody(private_host):
    """Its removal, runs of a third project and the boot succeed; the owner of the record is told."""
    other = {"networks": {"n": {}}, "sandboxes": {"api": {"networks": {"n": {"aliases": ["api.corp.example"]}}}}}
    private_host.apply(other, project="other")
    mine = document([cname("api", "api.corp.example")])
    private_host.apply(mine)
    private_host.apply({}, project="other", absent=True)
    private_host.apply({"networks": {"m": {}}}, project="third")
    warnings = private_host.dockless("apply", "--boot", "--json")["warnings"]
    assert [warning for warning in warnings if "api.corp.example is no name of" in warning]
    assert dig(private_host, "app", "web") == ("NOERROR", ["172.20.0.9"])
    assert private_host.refusal(mine).startswith("networks.front.records[0].value: api.corp.example is no name")
