# SPDX-License-Identifier: GPL-3.0-or-later
"""The scenario systemd; molecule/README.md says what it verifies."""

from __future__ import annotations

from support import scenarios


@scenarios.steps_of("systemd")
def test_systemd(step):
    scenarios.check(step)
