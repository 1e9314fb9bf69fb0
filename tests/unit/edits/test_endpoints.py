# SPDX-License-Identifier: GPL-3.0-or-later
"""Sandboxes that are connected to networks and disconnected."""

from __future__ import annotations

import pytest

from _dockless.edits.endpoints import connect, disconnect, purge_endpoints
from _dockless.errors import DocklessError
from support.documents import host_of


def test_connect_adds_and_changes(shop):
    """List, dictionary, nothing said and the default bridge are all joined the same."""

    def networks(declaration, name):
        return declaration["sandboxes"][name]["networks"]

    assert networks(connect(shop, "web", "front", {"gw_priority": 1, "aliases": None}), "web") == {
        "front": {"aliases": ["www"], "gw_priority": 1},
        "back": {},
    }
    assert networks(connect(shop, "db", "front", {}), "db") == {"back": {}, "front": {}}
    assert networks(connect(shop, "plain", "front", {}), "plain") == {"default": {}, "front": {}}
    old = connect(shop, "old", "front", {"aliases": []})["sandboxes"]["old"]
    assert old == {"networks": {"bridge": {}, "front": {"aliases": []}}}


@pytest.mark.parametrize(
    ("sandbox", "network", "message"),
    [
        ("agent", "front", "the sandbox agent has network_mode host"),
        ("probe", "front", "network_mode container:web"),
        ("db", "host", "cannot be connected to the network host"),
        ("ghost", "front", "the sandbox ghost is not declared"),
    ],
)
def test_connect_refuses(shop, sandbox, network, message):
    with pytest.raises(DocklessError, match=message):
        connect(shop, sandbox, network, {})


def test_disconnect_takes_exactly_that_away(shop):
    found = disconnect(shop, "web", "back")["sandboxes"]["web"]
    assert found == {"networks": {"front": {"aliases": ["www"]}}, "ports": shop["sandboxes"]["web"]["ports"]}
    assert disconnect(shop, "web", "spare") is shop
    assert disconnect(shop, "ghost", "front") is shop
    assert disconnect(shop, "old", "bridge")["sandboxes"]["old"] == {"networks": {}}
    assert disconnect(shop, "plain", "default")["sandboxes"]["plain"] == {"networks": {}}


def test_disconnect_drops_ports_that_no_network_is_left_to_carry(shop):
    left = disconnect(shop, "web", "front")
    assert left["sandboxes"]["web"] == {"networks": {"back": {}}}
    host_of(disconnect(left, "web", "back"))


def test_disconnect_from_the_host_is_refused(shop):
    with pytest.raises(DocklessError, match="cannot be disconnected from the host's network"):
        disconnect(shop, "agent", "host")


def test_purge_endpoints_disconnects_the_named_sandboxes_from_the_rest(shop):
    found = purge_endpoints(shop, [("web", "front"), ("db", "front")])["sandboxes"]
    assert found["web"]["networks"] == {"front": {"aliases": ["www"]}}
    assert found["db"]["networks"] == {}
    assert found["old"] is shop["sandboxes"]["old"]
