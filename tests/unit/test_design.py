# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/design.md against the code: what others rely on is written there as it is here."""
from __future__ import annotations

import pathlib
import re

import pytest
from _dockless import balance, kernel, lock, model, names, ruleset

ROOT = pathlib.Path(__file__).resolve().parents[2]
DESIGN = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")


def test_every_chain_with_its_hook_and_priority():
    chains = re.findall(r"chain (\w+) \{\n\t\t(type [^;]+|)", ruleset.CHAINS)
    assert len(chains) == 7
    for name, hook in chains:
        assert f"| `{name}` | `{hook}` |" in DESIGN or (not hook and f"| `{name}` | jumped to |" in DESIGN), name
    (name, hook), = re.findall(r"chain (\w+) \{\n\t\t(type [^;]+)", balance.table((), 0, True))
    assert f"`{name}` (`{hook}`)" in DESIGN


def test_every_set_and_map():
    for kind, name, types, ranges in ruleset.SETS:
        assert f"`{name}`" in DESIGN, (kind, types, ranges)


@pytest.mark.parametrize("text", [
    f"table **`inet {names.TABLE}`**", f"link group **{names.LINK_GROUP}**", f"link group **{names.PAIR_GROUP}**", f"link group {names.DOOMED_GROUP}",
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
