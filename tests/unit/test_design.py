# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/design.md against the code: what others rely on is written there as it is here."""
from __future__ import annotations

import pathlib
import re

import pytest
from _dockless import balance, chains, kernel, lock, model, names

ROOT = pathlib.Path(__file__).resolve().parents[2]
DESIGN = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")


def test_every_chain_with_its_hook_and_priority():
    found = re.findall(r"chain (\w+) \{\n\t\t(type [^;]+|)", chains.CHAINS + chains.PORT_CHAINS)
    assert len(found) == 14
    for name, hook in found:
        assert f"| `{name}` | `{hook}` |" in DESIGN or (not hook and f"| `{name}` | jumped to |" in DESIGN), name
    (name, hook), = re.findall(r"chain (\w+) \{\n\t\t(type [^;]+)", balance.table((), 0, True))
    assert f"`{name}` (`{hook}`)" in DESIGN


def test_every_set_and_map():
    for kind, name, types, ranges in (*chains.SETS, *chains.PORT_SETS):
        assert f"`{name}`" in DESIGN, (kind, types, ranges)


def test_every_counter_is_used_and_told():
    counted = set(re.findall(r'counter name "(\w+)" drop', chains.CHAINS + chains.PORT_CHAINS))
    assert counted == {*chains.COUNTERS, *chains.PORT_COUNTERS}
    assert all(f"`{name}`" in DESIGN for name in counted)
    assert not re.search(r"(?<!\") drop$", chains.CHAINS + chains.PORT_CHAINS, re.MULTILINE)


def test_no_set_or_counter_is_left_over():
    for sets, text in ((chains.SETS, chains.CHAINS), (chains.PORT_SETS, chains.PORT_CHAINS)):
        assert [name for kind, name, types, ranges in sets if not re.search(rf"@{name}\b", text)] == []


@pytest.mark.parametrize("text", [
    f"tables **`inet {names.TABLE}`**", f"link group **{names.LINK_GROUP}**", f"link group **{names.PAIR_GROUP}**", f"link group {names.DOOMED_GROUP}",
    f"protocol **{names.ROUTE_PROTOCOL}**", f"`{names.DEFAULT_BRIDGE_LINK}`", names.RESOLVER_ADDRESS, str(names.RESOLVER_PORT), names.NETNS_DIRECTORY,
    f"`{names.label('PROJECT', 'NAME')}`", f"`{names.label('', model.DEFAULT_BRIDGE)}`", f"`{names.pair_label('NETNS', 'NAME')}`", f"`{lock.PATH}`",
    f"`{names.DNS_DIRECTORY}/`", f"`{names.ETC_DIRECTORY}/projects/PROJECT.json`", f"`{names.NETNS_ETC_DIRECTORY}/NAME/`"])
def test_marks_and_paths(text):
    assert text in DESIGN


def test_both_vocabularies():
    kinds = [cls.__name__ for cls in kernel.Object.__args__]
    words = ["Host", "Project", "Network", "Subnet", "Sandbox", "Endpoint", "PortMapping", "DnsRecord", "Link", "VethPair", "Defaults"]
    assert all(hasattr(model, word) for word in words)
    for row in (kinds, words):
        assert ", ".join(f"`{word}`" for word in row) in DESIGN
