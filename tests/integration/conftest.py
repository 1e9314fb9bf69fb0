# SPDX-License-Identifier: GPL-3.0-or-later
"""Integration tests run in the private hosts of the kernel tests; see tests/support/fixtures.py."""

from __future__ import annotations

from support.fixtures import private_host, untouched_machine

__all__ = ["private_host", "untouched_machine"]
