# SPDX-License-Identifier: GPL-3.0-or-later
"""The quick case of a parametrized test: the smoke set, `pytest -m smoke`, has one case of most kernel test files."""

from __future__ import annotations

import typing as t

import pytest


def smoke_case(cases: t.Mapping[str, t.Any], quick: str) -> list[t.Any]:
    """Return a table of cases by name as pytest's parameters, of which the one named quick is in the smoke set.

    A case of several parameters is a tuple. Raises KeyError when there is no such case.
    """
    if quick not in cases:
        raise KeyError(quick)
    parameters = []
    for name, values in cases.items():
        marks = [pytest.mark.smoke] if name == quick else []
        values = values if isinstance(values, tuple) else (values,)
        parameters.append(pytest.param(*values, id=name, marks=marks))
    return parameters
