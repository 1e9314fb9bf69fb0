# SPDX-License-Identifier: GPL-3.0-or-later
"""Documents that are refused before dockless changes anything, each with its exact message.

The cases lie beside the unit tests of the package that refuses: tests/unit/<package>/bad_input/<file>.yml.
"""

from __future__ import annotations

import pathlib

import pytest
import yaml

from _dockless.errors import DocklessError
from _dockless.model.facts import Listener, VxlanDevice
from support.documents import host_of

FILES = sorted(pathlib.Path(__file__).parent.glob("*/bad_input/*.yml"))
CASES = [case for file in FILES for case in yaml.safe_load(file.read_text(encoding="utf-8"))]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_document_is_refused_with_its_message(case):
    listeners = [Listener(*listener) for listener in case.get("listeners", ())]
    devices = [VxlanDevice(*device) for device in case.get("vxlan_devices", ())]
    with pytest.raises(DocklessError) as refusal:
        host_of(
            case.get("document"),
            defaults=case.get("defaults"),
            listeners=listeners,
            vxlan_devices=devices,
            **case.get("projects", {}),
        )
    assert str(refusal.value) == case["message"]
    assert refusal.value.remedy
    assert "\n" not in str(refusal.value)


def test_all_cases_are_loaded_and_each_has_its_own_name():
    names = [case["name"] for case in CASES]
    assert len(names) >= 300
    assert not {name for name in names if names.count(name) > 1}
