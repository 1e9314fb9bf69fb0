# SPDX-License-Identifier: GPL-3.0-or-later
"""Format, lint, types and YAML: the checks that take seconds, so that make check runs them before each commit."""

from __future__ import annotations

from support.collection import check

# Where lines may still be longer than 120 columns.
ENGINE = "plugins/module_utils/_dockless"
PACKAGES = ("apply", "desired", "engine", "linux", "model", "observe", "state")
LONG_LINES = (*(f"{ENGINE}/{name}/*" for name in PACKAGES), f"{ENGINE}/names.py", "tests/bench/*")


def test_ruff_format():
    check("ruff", "format", "--check", ".")


def test_ruff_check():
    exceptions = ",".join(f"{pattern}:E501" for pattern in LONG_LINES)
    check("ruff", "check", "--extend-per-file-ignores", exceptions, ".")


def test_mypy():
    check("mypy")


def test_yamllint():
    check("yamllint", "--strict", ".")
