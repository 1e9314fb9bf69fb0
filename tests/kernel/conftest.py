# SPDX-License-Identifier: GPL-3.0-or-later
"""The fixtures of the kernel tests; see tests/support/fixtures.py."""

from __future__ import annotations

from support.fixtures import fleet, lab, private_host, untouched_machine

__all__ = ["fleet", "lab", "private_host", "untouched_machine"]
