# SPDX-License-Identifier: GPL-3.0-or-later
"""How the modules read a task's arguments: None means "not given", and an object is declared once."""

from __future__ import annotations

import pytest

pytest.importorskip("ansible")

from _dockless.ansible_module import _or_fail, given_options, objects, one_or_many
from _dockless.errors import DocklessError

OPTIONS = {"name": {"type": "str"}, "mtu": {"type": "int"}, "dns": {"type": "list"}}


def test_options_that_are_not_given_are_left_out():
    assert given_options({"a": None, "b": [], "c": {}, "d": [{"e": None, "f": 0}], "g": False}) == {
        "b": [],
        "c": {},
        "d": [{"f": 0}],
        "g": False,
    }


def test_one_object_describes_itself():
    params = {"name": "front", "mtu": None, "dns": [], "networks": None, "state": "present"}
    assert objects(params, "networks", OPTIONS) == [{"name": "front", "dns": []}]


def test_a_list_is_read_in_order_and_may_be_empty():
    entries = [{"name": "b", "mtu": 1400, "dns": None}, {"name": "a", "mtu": None, "dns": None}]
    assert objects({"networks": entries}, "networks", OPTIONS) == [{"name": "b", "mtu": 1400}, {"name": "a"}]
    assert objects({"networks": []}, "networks", OPTIONS) == []


def test_object_declared_twice_is_refused_with_both_paths():
    entries = [{"netns": None, "name": "eth0"}, {"netns": "lab", "name": "eth0"}, {"netns": "lab", "name": "eth0"}]
    with pytest.raises(DocklessError) as refusal:
        objects({"pairs": entries}, "pairs", OPTIONS, key=("netns", "name"))
    assert str(refusal.value) == "pairs[2]: lab/eth0 is listed twice, first as pairs[1]. Remove one of the entries."


def test_a_list_excludes_the_options_of_one_object_and_its_entries_need_their_key():
    arguments = one_or_many("networks", OPTIONS, ("name",))
    assert ("networks", "mtu") in arguments.rules["mutually_exclusive"]
    assert arguments.rules["required_if"] == [("purge", True, ("networks",))]
    assert arguments.options["networks"]["options"]["name"]["required"] is True
    assert "required" not in arguments.options["name"]


class Told(Exception):
    """What a module failed with."""


class Failing:
    """An AnsibleModule as far as a refusal needs one."""

    def fail_json(self, msg: str, exception: str = "") -> None:
        """End the module."""
        raise Told(msg)


@pytest.mark.parametrize(
    ("cause", "message"),
    [
        (None, r"front is taken\. Choose another name\."),
        (OSError("no"), r"front is taken\. Choose another name\."),
        (ImportError("no"), r"Python library \(pyroute2\)"),
    ],
)
def test_refusal_and_missing_library_become_ansible_failures(cause, message):
    def work():
        raise DocklessError("front is taken", "Choose another name.") from cause

    with pytest.raises(Told, match=message):
        _or_fail(Failing(), work)
