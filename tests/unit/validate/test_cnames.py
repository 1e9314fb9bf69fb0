# SPDX-License-Identifier: GPL-3.0-or-later
"""CNAME records: those that no resolver answers with an address, and those with which dnsmasq does not start."""

from __future__ import annotations

import pytest

from _dockless.errors import DocklessError
from _dockless.validate import cnames
from support.pipeline import resolved

OTHER = {"networks": {"back": {}}, "sandboxes": {"api": {"networks": {"back": {"aliases": ["api.corp.example"]}}}}}


def cname(name, value):
    """Return a CNAME record as a document has it."""
    return {"name": name, "type": "CNAME", "value": value}


def document(*records, own=()):
    """Return a project with records of its network, and of the sandbox web."""
    web = {"networks": ["front"], "records": list(own)}
    db = {"networks": {"front": {"aliases": ["db.corp.example"]}}}
    return {"networks": {"front": {"records": list(records)}}, "sandboxes": {"web": web, "db": db}}


def host(*records, own=()):
    """Return the resolved host with another project besides."""
    return resolved(None, shop=document(*records, own=own), other=OTHER)


REFUSED = {
    "outside": ([cname("rds", "mydb.rds.example.com")], "[0].value: mydb.rds.example.com is no name of"),
    "outside-with-dot": ([cname("rds", "mydb.rds.example.com.")], "[0].value: mydb.rds.example.com"),
    "below-an-alias": ([cname("x", "sub.db.corp.example")], "[0].value: sub.db.corp.example is no name"),
    "last-of-a-chain": ([cname("a", "b"), cname("b", "www.example.org")], "[1].value: www.example.org is no name"),
    "duplicate": ([cname("a", "db"), cname("a", "web")], "[1].name: a has two CNAME records"),
    "same-twice": ([cname("a", "db"), cname("a", "db")], "[1].name: a has two CNAME records"),
    "other-case": ([cname("a", "db"), cname("A", "web")], "[1].name: A has two CNAME records"),
    "itself": ([cname("a", "a")], "[0].value: the CNAME records of a lead back to it"),
    "itself-in-capitals": ([cname("a", "A")], "[0].value: the CNAME records of a lead back to it"),
    "circle": ([cname("a", "b"), cname("b", "c"), cname("c", "a")], "[2].value: the CNAME records of c lead back"),
}


@pytest.mark.parametrize("records, message", REFUSED.values(), ids=REFUSED.keys())
def test_refused_with_the_path_of_the_option(records, message):
    """In a network and in a sandbox."""
    for path, known in (("networks.front", host(*records)), ("sandboxes.web", host(own=records))):
        with pytest.raises(DocklessError) as found:
            cnames.check(known, "shop", False)
        assert str(found.value).startswith(f"{path}.records{message}")


@pytest.mark.parametrize(
    "target", ["db", "later", "db.front", "DB.Front.", "db.corp.example", "api.corp.example", "api.back"]
)
def test_what_can_be_a_name_of_this_host_is_accepted(target):
    assert cnames.check(host(cname("data", target), cname("chain", "data")), "shop", False) == []


def test_a_target_with_an_address_record_is_accepted():
    address = {"name": "printer.lan", "type": "A", "value": "172.30.0.9"}
    assert cnames.check(host(address, cname("p.lan", "printer.lan"), cname("q", "p.lan")), "shop", False) == []


def test_others_and_the_boot_are_not_stopped():
    known = host(cname("rds", "mydb.rds.example.com"))
    assert cnames.check(known, "other", False) == []
    for boot in (True, False):
        (warning,) = cnames.check(known, None, boot)
        assert warning.startswith("Project shop: networks.front.records[0].value: mydb.rds.example.com is no name")


def test_a_network_without_sandboxes_here_is_not_judged():
    """The names of its sandboxes on other hosts are not known here."""
    known = resolved({"networks": {"front": {"records": [cname("a", "www.example.org")]}}})
    assert cnames.check(known, "shop", False) == []
