# SPDX-License-Identifier: GPL-3.0-or-later
"""Format, lint, types and YAML: the checks that take seconds, so that make check runs them before each commit."""

from __future__ import annotations

from support.collection import check

# Packages that mypy does not pass yet, and rules that ruff does not pass yet.
NOT_TYPED = {"dns", "engine"}
NOT_LINTED = ("B007", "B008", "B023", "C901", "E501", "PERF401", "RET503", "RET504", "UP031")


def test_ruff_format():
    check("ruff", "format", "--check", ".")


def test_ruff_check():
    check("ruff", "check", "--ignore", ",".join(NOT_LINTED), ".")


def test_mypy():
    """Types hold in every package but those of NOT_TYPED."""
    lines = check("mypy", "--hide-error-context", "--no-error-summary", succeeds=False).splitlines()
    errors = [line for line in lines if ": error:" in line]
    assert not [line for line in errors if package(line) not in NOT_TYPED]


def package(line: str) -> str:
    """Return the engine's package in which mypy reports an error: its line starts with the file's path."""
    below_engine = line.partition("/_dockless/")[2]
    return below_engine.partition("/")[0]


def test_yamllint():
    check("yamllint", "--strict", ".")
