# SPDX-License-Identifier: GPL-3.0-or-later
"""The fixtures of the kernel tests; see tests/support/fixtures.py."""

from __future__ import annotations

import pytest

from lab import sample
from support.fixtures import changing, fleet, lab, private_host, untouched_machine

__all__ = ["changing", "fleet", "lab", "private_host", "untouched_machine"]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print how the sample of the attackers' lab is repeated."""
    terminalreporter.write_line(sample.told())
