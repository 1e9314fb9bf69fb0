# SPDX-License-Identifier: GPL-3.0-or-later
"""ansible-test sanity, and that it looked at something: it ends with 0 when it finds no files too."""

from __future__ import annotations

import re

from support.collection import ROOT, check

LEAST = 15  # tests that have something to look at in any collection with modules


def test_sanity():
    output = check("tests/sanity/run")
    ran = re.findall(r"^Running sanity test \"([\w-]+)\"", output, re.MULTILINE)
    assert "All targets skipped" not in output, output
    assert len(ran) >= LEAST and "validate-modules" in ran, output
    assert len(list((ROOT / "tests" / "output" / "junit").glob("*.xml"))) >= LEAST, output
