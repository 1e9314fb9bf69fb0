# SPDX-License-Identifier: GPL-3.0-or-later
"""Edits of veth pairs."""

from __future__ import annotations

from _dockless.edits import veth_pairs
from support.documents import host_of


def test_veth_pairs_are_known_by_their_first_end(shop):
    changed = veth_pairs.put_veth_pair(
        shop, {"name": "eth0", "netns": "left", "mtu": None, "peer": {"name": "eth0", "netns": None, "mtu": 1300}}
    )
    assert changed["veth_pairs"] == {
        "left/eth0": {
            "name": "eth0",
            "netns": "left",
            "mtu": 1400,
            "peer": {"name": "eth0", "netns": "right", "mtu": 1300},
        }
    }
    both = veth_pairs.put_veth_pair(shop, {"name": "eth0", "peer": {"name": "x"}})
    assert list(both["veth_pairs"]) == ["left/eth0", "eth0"]
    host_of({"veth_pairs": both["veth_pairs"]})
    assert veth_pairs.remove_veth_pair(both, "eth0", "left")["veth_pairs"].keys() == {"eth0"}
    assert veth_pairs.purge_veth_pairs(both, [{"name": "eth0", "netns": None}])["veth_pairs"].keys() == {"eth0"}
    assert veth_pairs.remove_veth_pair(shop, "eth9") is shop
