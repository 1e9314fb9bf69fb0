# SPDX-License-Identifier: GPL-3.0-or-later
"""The truth table of the attackers' lab: every pair of places, over both families, compared with what the
declaration says.
"""

from __future__ import annotations

import pytest

from lab import policy, reach
from support import traffic


def disagreements(lab, bridge_calls):
    """Return a line for each question that is answered otherwise than the policy says, and how many were asked."""
    asked = policy.questions(bridge_calls)
    wrong = [
        f"{'reached, should not be' if got else 'not reached, should be'}: {question}"
        for question, got in zip(asked, reach.answers(lab, asked))
        if got != question.expected
    ]
    return wrong, asked


@pytest.mark.parametrize("calls", [0, 1], ids=["bridge-nf off", "bridge-nf on"])
def test_reachability_equals_the_declaration(lab, calls, record_property):
    """TCP, UDP and echo, published ports and others, host ports, gateways."""
    with traffic.bridge_calls_iptables(lab.host, calls):
        wrong, asked = disagreements(lab, bool(calls))
    record_property("packets", len(asked))
    assert not wrong, f"{len(wrong)} of {len(asked)}:\n" + "\n".join(wrong[:40])
    yes = sum(question.expected for question in asked)
    assert len(asked) > 8000 and 1500 < yes < len(asked) / 2  # a table that allows or forbids all shows nothing
