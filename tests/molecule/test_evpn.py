# SPDX-License-Identifier: GPL-3.0-or-later
"""The scenario evpn; molecule/README.md says what it verifies."""

from __future__ import annotations

from support import scenarios


@scenarios.steps_of("evpn")
def test_evpn(step):
    scenarios.check(step)
