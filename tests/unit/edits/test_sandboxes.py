# SPDX-License-Identifier: GPL-3.0-or-later
"""Sandboxes that are added to a declaration, changed and removed."""

from __future__ import annotations

import pytest

from _dockless.edits.sandboxes import purge_sandboxes, put_sandbox, remove_sandbox
from _dockless.errors import DocklessError
from support.documents import host_of


def test_a_new_sandbox_is_on_no_network_and_one_that_stands_stays_on_its_own(shop):
    assert put_sandbox({}, "a", {"hostname": "x", "dns": None})["sandboxes"]["a"] == {"hostname": "x", "networks": {}}
    assert put_sandbox({}, "a", {"network_mode": "none"})["sandboxes"]["a"] == {"network_mode": "none"}
    assert put_sandbox(shop, "plain", {"hostname": "x"})["sandboxes"]["plain"] == {"hostname": "x"}
    assert put_sandbox(shop, "db", {"network_mode": "none"})["sandboxes"]["db"].keys() == {"network_mode", "records"}
    assert put_sandbox(shop, "old", {"networks": ["back"]})["sandboxes"]["old"] == {"networks": ["back"]}


def test_a_partner_in_use_stays_unless_forced(shop):
    """When it goes by force, what shared its stack is left with lo alone."""
    with pytest.raises(DocklessError, match="the sandbox web is in use: probe shares its network stack"):
        remove_sandbox(shop, "web")
    left = remove_sandbox(shop, "web", force=True)
    assert "web" not in left["sandboxes"]
    assert left["sandboxes"]["probe"] == {"network_mode": "none", "labels": {"a": "b"}}
    host_of(left)
    assert remove_sandbox(shop, "missing") is shop


def test_purge_sandboxes_takes_partners_away_together(shop):
    assert list(purge_sandboxes(shop, {"db", "plain"})["sandboxes"]) == ["db", "plain"]
    with pytest.raises(DocklessError, match="probe shares"):
        purge_sandboxes(shop, {"probe"})
