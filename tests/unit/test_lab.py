# SPDX-License-Identifier: GPL-3.0-or-later
"""What the attackers' lab tries, against its documentation."""

from __future__ import annotations

from lab import sample, trial
from support.collection import ROOT


def test_every_kind_of_attack_is_documented():
    """docs/security.md names each."""
    kinds = (ROOT / "docs/security.md").read_text(encoding="utf-8").partition("### Kinds of attacks")[2]
    assert [kind for kind in sorted({attack.kind for attack in trial.attacks()}) if not kind or kind not in kinds] == []


def test_a_sample_has_every_kind_and_place():
    """And every counter, in each group of attacks that a test takes."""
    for attacks in trial.groups(trial.attacks()).values():
        found = sample.sampled(attacks)
        wanted = {each for attack in attacks for each in sample.properties(attack)}
        assert {each for attack in found for each in sample.properties(attack)} == wanted
