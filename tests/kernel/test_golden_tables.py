# SPDX-License-Identifier: GPL-3.0-or-later
"""nft takes every table that the unit tests keep as a case."""

from __future__ import annotations

import json
import pathlib

import pytest
import yaml

from _dockless.firewall import host_firewall
from support import pipeline

GOLDEN = pathlib.Path(__file__).parents[1] / "unit" / "firewall" / "host_table"


@pytest.mark.smoke
@pytest.mark.parametrize("case", sorted(GOLDEN.iterdir()), ids=lambda case: case.name)
def test_every_golden_table_loads(private_host, case):
    """nft takes the data that the unit tests keep, and the kernel gives back the same elements."""
    document = yaml.safe_load((case / "document.yml").read_text(encoding="utf-8"))
    elements = pipeline.elements(pipeline.resolved(defaults=document.get("defaults"), **document["projects"]))
    private_host.run(["nft", "-f", "-"], input=host_firewall.load_script(elements))
    assert read_elements(private_host) == elements
    private_host.run(["nft", "-f", "-"], input=host_firewall.change_script(elements, frozenset()))
    assert read_elements(private_host) == set()
    private_host.run(["nft", "-f", "-"], input=host_firewall.change_script(frozenset(), elements))
    assert read_elements(private_host) == elements
    private_host.run(["nft", "-f", "-"], input=host_firewall.deletion_script())


def read_elements(host):
    """Return the elements that the kernel has."""
    found = host.python(
        "import json; from _dockless.firewall import host_firewall; from _dockless.linux import nft_dump; "
        "print(json.dumps(list(nft_dump.elements(host_firewall.FAMILY_SETS))))"
    )
    return {tuple(each) for each in json.loads(found.stdout)}


def test_the_example_of_own_rules_does_what_its_comments_say(private_host):
    """The block in docs/design.md: it closes a published port to the neighbour, and neither table minds the other."""
    text = (GOLDEN.parents[3] / "docs" / "design.md").read_text(encoding="utf-8")
    block = text[text.index("table inet mine") :].split("```")[0]
    document = {"networks": {"front": None}, "sandboxes": {"web": {"networks": ["front"], "ports": ["8080:80"]}}}
    private_host.apply(document)
    private_host.serve_http("web", 80, "hello")
    neighbour, url = private_host.neighbour(), "http://192.0.2.2:8080/"
    for rules in (block.replace("192.0.2.0/24", "198.51.100.0/24"), block.replace("203.0.113.7", "192.0.2.3")):
        assert neighbour.fetch(None, url)
        private_host.run(["nft", "-f", "-"], input=rules)
        assert neighbour.fetch(None, url, wait=1) is None
        assert private_host.fetch(None, "http://127.0.0.1:8080/")
        assert not private_host.apply(document)["changed"]
        private_host.sh("nft delete table inet mine")
    private_host.run(["nft", "-f", "-"], input=block)
    assert neighbour.fetch(None, url)
    private_host.sh("nft delete table inet mine")
