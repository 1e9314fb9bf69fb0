# SPDX-License-Identifier: GPL-3.0-or-later
"""Edits of networks, sandboxes, connections and whole documents."""

from __future__ import annotations

import pytest

from _dockless.edits.networks import (
    connect,
    disconnect,
    keep_endpoints,
    keep_networks,
    keep_sandboxes,
    merge_document,
    put_network,
    put_sandbox,
    remove_network,
    remove_sandbox,
    replace_document,
)
from _dockless.errors import DocklessError
from support.documents import host_of


def test_put_network_keeps_what_is_not_said(shop):
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


def test_keep_networks_takes_the_others_away(shop):
    assert list(keep_networks(shop, {"front", "back"})["networks"]) == ["front", "back"]
    with pytest.raises(DocklessError, match="active endpoints"):
        keep_networks(shop, {"front"})


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


def test_keep_sandboxes_takes_partners_away_together(shop):
    assert list(keep_sandboxes(shop, {"db", "plain"})["sandboxes"]) == ["db", "plain"]
    with pytest.raises(DocklessError, match="probe shares"):
        keep_sandboxes(shop, {"probe"})


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


def test_keep_endpoints_disconnects_the_named_sandboxes_from_the_rest(shop):
    found = keep_endpoints(shop, [("web", "front"), ("db", "front")])["sandboxes"]
    assert found["web"]["networks"] == {"front": {"aliases": ["www"]}}
    assert found["db"]["networks"] == {}
    assert found["old"] is shop["sandboxes"]["old"]


def test_documents_are_replaced_by_part_and_merged_by_object(shop):
    document = {"networks": {"front": {"mtu": 1300}}, "sandboxes": None}
    assert replace_document(shop, document) == {**shop, "networks": {"front": {"mtu": 1300}}}
    merged = merge_document(shop, document)
    assert merged["networks"]["front"] == {"internal": False, "mtu": 1300}
    assert merged["sandboxes"] == shop["sandboxes"]
