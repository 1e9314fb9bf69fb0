# SPDX-License-Identifier: GPL-3.0-or-later
"""Format, lint, types and YAML: the checks that take seconds, so that make check runs them before each commit."""

from __future__ import annotations

from support.collection import check


def test_ruff_format():
    check("ruff", "format", "--check", ".")


def test_ruff_check():
    check("ruff", "check", ".")


def test_mypy():
    check("mypy")


def test_yamllint():
    check("yamllint", "--strict", ".")
