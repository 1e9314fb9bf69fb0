# SPDX-License-Identifier: GPL-3.0-or-later
"""The declaration that edits are tried on."""

from __future__ import annotations

import copy

import pytest

SHOP = {
    "networks": {"front": {"internal": False, "mtu": 1400}, "back": {"internal": True}, "spare": None},
    "sandboxes": {
        "web": {"networks": {"front": {"aliases": ["www"]}, "back": None}, "ports": ["8080:80", "9000-9003:90-93"]},
        "db": {"networks": ["back"], "records": [{"name": "a", "type": "A", "value": "10.0.0.1"}]},
        "plain": None,
        "old": {"network_mode": "bridge"},
        "agent": {"network_mode": "host"},
        "probe": {"network_mode": "container:web", "labels": {"a": "b"}},
    },
    "veth_pairs": {"left/eth0": {"mtu": 1400, "peer": {"name": "eth0", "netns": "right"}}},
}


@pytest.fixture
def shop():
    """Return a declaration with a bit of everything, which no edit may mutate."""
    before = copy.deepcopy(SHOP)
    yield SHOP
    assert before == SHOP
