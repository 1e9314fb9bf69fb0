# SPDX-License-Identifier: GPL-3.0-or-later
"""Plans, case by case: see tests/support/golden.py for how to add one."""

from __future__ import annotations

import pathlib

import pytest
import yaml

from support.golden import cases, planned

CASES = cases(pathlib.Path(__file__).parent / "plan")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_plan(case):
    """Which steps, in which order, why, and what on_mismatch refuses."""
    expected = yaml.safe_load((case / "plan.yml").read_text(encoding="utf-8"))
    assert planned(case) == expected
