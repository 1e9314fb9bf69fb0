# SPDX-License-Identifier: GPL-3.0-or-later
"""The host's nft table, case by case: see tests/support/golden.py for how to add one."""

from __future__ import annotations

import pathlib

import pytest

from support.golden import cases, ruleset_of

CASES = cases(pathlib.Path(__file__).parent / "host_table")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_table(case):
    """The elements of a document's table.

    The rules are the same in all of them: their number does not grow with the document.
    """
    assert ruleset_of(case) == (case / "table.nft").read_text(encoding="utf-8")
