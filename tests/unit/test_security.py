# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/security.md: each asset names tests that exist, or kinds of attacks that the lab has."""

from __future__ import annotations

import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
ROWS = [line.strip("| ").split(" | ") for line in TEXT.split("| asset |")[1].split("\n\n")[0].splitlines()[2:]]
KINDS = TEXT[TEXT.index("### Kinds of attacks") :]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0][:40])
def test_each_asset_names_its_tests(row):
    assert len(row) == 4, row
    files = re.findall(r"`([\w/]+\.py)`", row[3])
    kinds = [kind.strip() for part in re.findall(r"lab: ([^;`]+)", row[3]) for kind in part.split(",")]
    assert files or kinds
    for file in files:
        assert (ROOT / file).exists() or (ROOT / "tests" / "kernel" / file).exists(), file
    for kind in kinds:
        assert kind in KINDS, kind
