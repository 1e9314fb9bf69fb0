# SPDX-License-Identifier: GPL-3.0-or-later
"""Plans and tables, case by case: see tests/support/golden.py for how to add one."""

from __future__ import annotations

import pathlib

import pytest
import yaml

from support.golden import cases, planned, ruleset_of

HERE = pathlib.Path(__file__).parent


@pytest.mark.parametrize("case", cases(HERE / "plan"), ids=lambda case: case.name)
def test_plan(case):
    """Which steps, in which order, why, and what on_mismatch refuses."""
    expected = yaml.safe_load((case / "plan.yml").read_text(encoding="utf-8"))
    assert planned(case) == expected


@pytest.mark.parametrize("case", cases(HERE / "ruleset"), ids=lambda case: case.name)
def test_table(case):
    """The data of a document's table; whatever it holds, the rules are the same, so their number does not grow with it."""
    assert ruleset_of(case) == (case / "table.nft").read_text(encoding="utf-8")
