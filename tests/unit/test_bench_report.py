# SPDX-License-Identifier: GPL-3.0-or-later
"""The bench's arithmetic: medians, ratios, and what counts as met."""

from __future__ import annotations

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "bench"))
import report
from subjects import IP_BATCH, NETAVARK, OURS, Case


def taken(*walls, memory=50_000_000):
    return [{"wall": wall, "user": 0.0, "system": 0.0, "memory": memory} for wall in walls]


def results(measured, wrong=()):
    machine = {
        "kernel": "6.1",
        "processors": 2,
        "python": "3.11",
        "commit": "abc",
        "load_before": 0.0,
        "date": "2026-01-01 00:00",
    }
    return report.Results(machine, 3, measured, list(wrong))


def found(measured):
    return {what: (value, report.met(value, bound)) for what, value, bound in report.targets(results(measured))}


def test_medians_are_compared_so_that_one_slow_round_does_not_count():
    answer = found(
        {Case(OURS, 1000): {"cold": taken(2.0, 1.0, 90.0)}, Case(IP_BATCH, 1000): {"cold": taken(7.0, 6.0, 8.0)}}
    )
    assert answer["engine at 1,000: times faster than ip -batch + nft"] == (3.5, True)


def test_a_ratio_below_its_bound_is_missed():
    answer = found({Case(OURS, 400): {"cold": taken(1.0)}, Case(NETAVARK, 400): {"cold": taken(19.9)}})
    assert answer["engine at 400: times faster than netavark"] == (19.9, False)


def test_names_are_compared_with_names_only():
    answer = found({Case(OURS, 400): {"cold": taken(1.0)}, Case(NETAVARK, 400, True): {"cold": taken(50.0)}})
    assert answer["engine at 400 with names: times faster than netavark with aardvark-dns"] == (None, None)


def test_cost_of_an_endpoint_is_compared_not_that_of_the_whole():
    answer = found({Case(OURS, 200): {"cold": taken(1.0)}, Case(OURS, 2000): {"cold": taken(14.0)}})
    assert answer["cost of an endpoint at 2,000 against one at 200, times"] == (1.4, False)


def test_a_run_that_changes_nothing_is_a_percentage_of_the_first():
    answer = found({Case(OURS, 1000): {"cold": taken(2.0), "no-op": taken(0.1)}})
    assert answer["a run that changes nothing at 1,000, % of the first"] == (5.0, True)


def test_the_tables_name_what_was_missed_and_what_was_wrong():
    measured = {Case(OURS, 2000): {"cold": taken(3.0, memory=151_000_000)}}
    text = report.markdown(results(measured, ["cni at 400: p400 has no address"]))
    assert "| peak memory at 2,000, MB | ≤ 150 | 151.0 | **missed** |" in text
    assert "| engine at 400: times faster than the CNI plugins | ≥ 30 |  | not measured |" in text
    assert "- Wrong, not counted: cni at 400: p400 has no address" in text
