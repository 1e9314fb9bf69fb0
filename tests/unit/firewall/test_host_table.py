# SPDX-License-Identifier: GPL-3.0-or-later
"""The host's nft table, case by case: see tests/support/golden.py for how to add one."""

from __future__ import annotations

import pathlib
import re

import pytest

from _dockless.firewall import host_firewall
from support.golden import cases, ruleset_of

# Words that nft reads as keywords where a name is expected, which later versions have more of: with a counter called
# vxlan, nft 1.0.8 and newer do not load the table.
KEYWORDS = {
    "vxlan",
    "geneve",
    "gre",
    "gretap",
    "tunnel",
    "inner",
    "last",
    "destroy",
    "xt",
    "osf",
    "secmark",
    "synproxy",
}
CASES = cases(pathlib.Path(__file__).parent / "host_table")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_table(case):
    """The elements of a document's table.

    The rules are the same in all of them: their number does not grow with the document.
    """
    assert ruleset_of(case) == (case / "table.nft").read_text(encoding="utf-8")


def test_no_name_is_a_keyword_of_nft():
    for kind in ("counter", "set", "map", "chain"):
        found = set(re.findall(rf"^\t{kind} (\w+) {{", "".join(host_firewall.RULES.values()), re.MULTILINE))
        assert found and not found & KEYWORDS, kind
