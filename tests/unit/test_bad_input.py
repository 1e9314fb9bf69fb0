# SPDX-License-Identifier: GPL-3.0-or-later
"""Documents that are refused before anything is touched, each with its exact message (IP-04, IP-11, IP-15, LC-01, S-14, S-70 ...).

The ids of the acceptance list stand in the names of the cases.
"""

from __future__ import annotations

import pathlib

import pytest
import yaml
from documents import host_of

from _dockless.errors import DocklessError
from _dockless.model.facts import Listener

CASES = yaml.safe_load(pathlib.Path(__file__).with_name("bad_input.yml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_document_is_refused_with_its_message(case):
    listeners = [Listener(*listener) for listener in case.get("listeners", ())]
    with pytest.raises(DocklessError) as refusal:
        host_of(case.get("document"), defaults=case.get("defaults"), listeners=listeners, **case.get("projects", {}))
    assert str(refusal.value) == case["message"]
    assert refusal.value.remedy
    assert "\n" not in str(refusal.value)


def test_there_are_enough_cases_and_each_has_its_own_name():
    assert len({case["name"] for case in CASES}) == len(CASES) >= 70
