# SPDX-License-Identifier: GPL-3.0-or-later
"""Every advisory that we learned from has a test that is there, or a reason."""

from __future__ import annotations

import re

import pytest
import yaml

from _dockless.firewall.port_rules import PORT_COUNTERS
from _dockless.firewall.rules import COUNTERS
from support.collection import ROOT
from support.references import exists

LEDGER = yaml.safe_load((ROOT / "tests/kernel/lab/ledger.yml").read_text(encoding="utf-8"))
ENTRIES = {**LEDGER["advisories"], **LEDGER["fixes"]}
ADVISORIES = {  # published ones about container networks
    "CVE-2015-3629",
    "CVE-2015-3630",
    "CVE-2015-3631",
    "CVE-2019-9946",
    "CVE-2020-8554",
    "CVE-2020-8558",
    "CVE-2020-10749",
    "CVE-2020-11091",
    "CVE-2020-13401",
    "CVE-2020-13597",
    "CVE-2020-15257",
    "CVE-2020-28041",
    "CVE-2021-4024",
    "CVE-2021-3773",
    "CVE-2021-20199",
    "CVE-2021-20206",
    "CVE-2023-28840",
    "CVE-2023-28841",
    "CVE-2023-28842",
    "CVE-2024-5154",
    "CVE-2024-8418",
    "CVE-2024-9341",
    "CVE-2024-21626",
    "CVE-2024-29018",
    "CVE-2024-32473",
    "CVE-2025-8283",
    "CVE-2025-52881",
    "CVE-2025-52889",
    "CVE-2025-52890",
    "CVE-2025-54388",
    "CVE-2025-54410",
    "CVE-2025-67499",
    "CVE-2026-35406",
    "GHSA-vchx-5pr6-ffx2",
}


def test_every_advisory_is_in_the_ledger():
    assert {name for key in LEDGER["advisories"] for name in key.split(", ")} == ADVISORIES


@pytest.mark.parametrize("name", ENTRIES)
def test_every_advisory_has_a_test_or_a_reason(name):
    entry = ENTRIES[name]
    assert set(entry) <= {"lesson", "tests", "reason"} and entry["lesson"].endswith(".")
    assert entry.get("tests") or entry.get("reason")
    assert [reference for reference in entry.get("tests", ()) if not exists(reference)] == []


def test_every_counter_is_documented():
    """docs/security.md names each counter of the three tables, and no other."""
    table = (
        (ROOT / "docs/security.md").read_text(encoding="utf-8").partition("| counter | table |")[2].partition("## ")[0]
    )
    rows = re.findall(r"^\| (`[a-z_`, ]+`) \| (inet|bridge) \|", table, re.MULTILINE)
    told = {(name, family) for names, family in rows for name in re.findall(r"`([a-z_]+)`", names)}
    counters = {(name, "inet") for name in (*COUNTERS, "transit")} | {(name, "bridge") for name in PORT_COUNTERS}
    assert told == counters
