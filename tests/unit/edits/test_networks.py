# SPDX-License-Identifier: GPL-3.0-or-later
"""Networks that are added to a declaration, changed and removed."""

from __future__ import annotations

import pytest

from _dockless.edits.networks import purge_networks, put_network, remove_network
from _dockless.errors import DocklessError


def test_put_network_keeps_options_that_are_not_given(shop):
    found = put_network(shop, "front", {"mtu": None, "internal": True, "dns": []})["networks"]
    assert found["front"] == {"internal": True, "mtu": 1400, "dns": []}
    assert found["back"] is shop["networks"]["back"]
    assert put_network({}, "new", {"mtu": None}) == {"networks": {"new": {}}}


def test_a_network_in_use_stays(shop):
    with pytest.raises(DocklessError, match="the network back has active endpoints: db, web"):
        remove_network(shop, "back")
    assert list(remove_network(shop, "spare")["networks"]) == ["front", "back"]
    assert remove_network(shop, "missing") is shop


def test_the_implied_default_network_is_in_use_too(shop):
    with pytest.raises(DocklessError, match="the network default has active endpoints: plain"):
        remove_network(shop, "default")


@pytest.mark.parametrize("name", ["bridge", "host", "none"])
def test_predefined_networks_cannot_be_removed(shop, name):
    with pytest.raises(DocklessError, match="predefined"):
        remove_network(shop, name)


def test_purge_networks_takes_the_others_away(shop):
    assert list(purge_networks(shop, {"front", "back"})["networks"]) == ["front", "back"]
    with pytest.raises(DocklessError, match="active endpoints"):
        purge_networks(shop, {"front"})
