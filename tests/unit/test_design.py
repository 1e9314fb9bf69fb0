# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/design.md and docs/firewall.md against the code: what others rely on is written there as it is here."""

from __future__ import annotations

import pathlib
import re

import pytest

from _dockless import names
from _dockless.apply.phases import PHASES
from _dockless.firewall import sandbox_table
from _dockless.firewall.port_rules import PORT_CHAINS, PORT_COUNTERS, PORT_SETS
from _dockless.firewall.rules import CHAINS, COUNTERS, SETS
from _dockless.linux.lock import PATH
from _dockless.model import host, network, sandbox
from _dockless.model.network import DEFAULT_BRIDGE
from _dockless.names import (
    DEFAULT_BRIDGE_LINK,
    DNS_DIRECTORY,
    ETC_DIRECTORY,
    LINK_GROUP,
    NETNS_DIRECTORY,
    NETNS_ETC_DIRECTORY,
    PAIR_GROUP,
    PENDING_DELETE_GROUP,
    RESOLVER_ADDRESS,
    RESOLVER_PORT,
    ROUTE_PROTOCOL,
    TABLE,
)
from _dockless.state.objects import Object

ROOT = pathlib.Path(__file__).resolve().parents[2]
DESIGN = "".join((ROOT / "docs" / page).read_text(encoding="utf-8") for page in ("design.md", "firewall.md"))


def test_every_chain_with_its_hook_and_priority():
    found = re.findall(r"chain (\w+) \{\n\t\t(type [^;]+|)", CHAINS + PORT_CHAINS)
    assert len(found) == 22
    for name, hook in found:
        assert f"| `{name}` | `{hook}` |" in DESIGN or (not hook and f"| `{name}` | jumped to |" in DESIGN), name
    ((name, hook),) = re.findall(r"chain (\w+) \{\n\t\t(type [^;]+)", sandbox_table.sandbox_table((), 0, True))
    assert f"`{name}` (`{hook}`)" in DESIGN


def test_every_set_and_map():
    for each in (*SETS, *PORT_SETS):
        assert f"`{each.name}`" in DESIGN, each


def test_every_counter_is_used_and_reported():
    counted = set(re.findall(r'counter name "(\w+)" drop', CHAINS + PORT_CHAINS))
    assert counted == {*COUNTERS, *PORT_COUNTERS}
    assert all(f"`{name}`" in DESIGN for name in counted)
    assert not re.search(r"(?<!\") drop$", CHAINS + PORT_CHAINS, re.MULTILINE)


def test_no_set_or_counter_is_left_over():
    for sets, text in ((SETS, CHAINS), (PORT_SETS, PORT_CHAINS)):
        assert [each.name for each in sets if not re.search(rf"@{each.name}\b", text)] == []


@pytest.mark.parametrize(
    "text",
    [
        f"tables **`inet {TABLE}`**",
        f"link group **{LINK_GROUP}**",
        f"link group **{PAIR_GROUP}**",
        f"link group {PENDING_DELETE_GROUP}",
        f"protocol **{ROUTE_PROTOCOL}**",
        f"`{DEFAULT_BRIDGE_LINK}`",
        RESOLVER_ADDRESS,
        str(RESOLVER_PORT),
        NETNS_DIRECTORY,
        f"`{names.label('PROJECT', 'NAME')}`",
        f"`{names.label('', DEFAULT_BRIDGE)}`",
        f"`{names.pair_label('NETNS', 'NAME')}`",
        f"`{PATH}`",
        f"`{DNS_DIRECTORY}/`",
        f"`{ETC_DIRECTORY}/projects/PROJECT.json`",
        f"`{NETNS_ETC_DIRECTORY}/NAME/`",
    ],
)
def test_marks_and_paths(text):
    assert text in DESIGN


def test_both_vocabularies():
    kinds = [cls.__name__ for cls in Object.__args__]
    words = [
        "Host",
        "Project",
        "Network",
        "Subnet",
        "Sandbox",
        "Endpoint",
        "PortMapping",
        "DnsRecord",
        "LegacyLink",
        "VethPair",
        "Defaults",
    ]
    assert all(any(hasattr(module, word) for module in (host, network, sandbox)) for word in words)
    for row in (kinds, words):
        assert ", ".join(f"`{word}`" for word in row) in DESIGN


def test_the_order_of_steps_is_that_of_the_phases():
    section = DESIGN.partition("### Order of steps")[2].partition("### ")[0]
    assert re.findall(r"^\d+\. \*\*(.+?)\*\*", section, re.MULTILINE) == [phase.name for phase in PHASES]
