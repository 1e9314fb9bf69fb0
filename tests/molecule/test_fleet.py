# SPDX-License-Identifier: GPL-3.0-or-later
"""The scenario fleet; molecule/README.md says what it verifies."""

from __future__ import annotations

from support import scenarios


@scenarios.steps_of("fleet")
def test_fleet(step):
    scenarios.check(step)
