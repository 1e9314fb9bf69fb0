# SPDX-License-Identifier: GPL-3.0-or-later
"""What the small modules do to a declaration."""

from __future__ import annotations

import copy
import itertools

import pytest

from _dockless.document.ports import parse_ports
from _dockless.edits import dns, ports, veth_pairs
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


@pytest.fixture(autouse=True)
def untouched():
    """A declaration is never mutated."""
    before = copy.deepcopy(SHOP)
    yield
    assert before == SHOP


def test_put_network_keeps_what_is_not_said():
    found = put_network(SHOP, "front", {"mtu": None, "internal": True, "dns": []})["networks"]
    assert found["front"] == {"internal": True, "mtu": 1400, "dns": []}
    assert found["back"] is SHOP["networks"]["back"]
    assert put_network({}, "new", {"mtu": None}) == {"networks": {"new": {}}}


def test_a_network_in_use_stays():
    """LC-03."""
    with pytest.raises(DocklessError, match="the network back has active endpoints: db, web"):
        remove_network(SHOP, "back")
    assert list(remove_network(SHOP, "spare")["networks"]) == ["front", "back"]
    assert remove_network(SHOP, "missing") is SHOP


def test_the_implied_default_network_is_in_use_too():
    with pytest.raises(DocklessError, match="the network default has active endpoints: plain"):
        remove_network(SHOP, "default")


@pytest.mark.parametrize("name", ["bridge", "host", "none"])
def test_predefined_networks_cannot_be_removed(name):
    """LC-01."""
    with pytest.raises(DocklessError, match="predefined"):
        remove_network(SHOP, name)


def test_keep_networks_takes_the_others_away():
    assert list(keep_networks(SHOP, {"front", "back"})["networks"]) == ["front", "back"]
    with pytest.raises(DocklessError, match="active endpoints"):
        keep_networks(SHOP, {"front"})


def test_a_new_sandbox_is_on_no_network_and_one_that_stands_stays_on_its_own():
    assert put_sandbox({}, "a", {"hostname": "x", "dns": None})["sandboxes"]["a"] == {"hostname": "x", "networks": {}}
    assert put_sandbox({}, "a", {"network_mode": "none"})["sandboxes"]["a"] == {"network_mode": "none"}
    assert put_sandbox(SHOP, "plain", {"hostname": "x"})["sandboxes"]["plain"] == {"hostname": "x"}
    assert put_sandbox(SHOP, "db", {"network_mode": "none"})["sandboxes"]["db"].keys() == {"network_mode", "records"}
    assert put_sandbox(SHOP, "old", {"networks": ["back"]})["sandboxes"]["old"] == {"networks": ["back"]}


def test_a_partner_in_use_stays_unless_forced():
    """When it goes by force, what shared its stack is left with lo alone."""
    with pytest.raises(DocklessError, match="the sandbox web is in use: probe shares its network stack"):
        remove_sandbox(SHOP, "web")
    left = remove_sandbox(SHOP, "web", force=True)
    assert "web" not in left["sandboxes"]
    assert left["sandboxes"]["probe"] == {"network_mode": "none", "labels": {"a": "b"}}
    host_of(left)
    assert remove_sandbox(SHOP, "missing") is SHOP


def test_keep_sandboxes_takes_partners_away_together():
    assert list(keep_sandboxes(SHOP, {"db", "plain"})["sandboxes"]) == ["db", "plain"]
    with pytest.raises(DocklessError, match="probe shares"):
        keep_sandboxes(SHOP, {"probe"})


def test_connect_adds_and_changes():
    """LC-05: list, dictionary, nothing said and the default bridge are all joined the same."""

    def networks(declaration, name):
        return declaration["sandboxes"][name]["networks"]

    assert networks(connect(SHOP, "web", "front", {"gw_priority": 1, "aliases": None}), "web") == {
        "front": {"aliases": ["www"], "gw_priority": 1},
        "back": {},
    }
    assert networks(connect(SHOP, "db", "front", {}), "db") == {"back": {}, "front": {}}
    assert networks(connect(SHOP, "plain", "front", {}), "plain") == {"default": {}, "front": {}}
    old = connect(SHOP, "old", "front", {"aliases": []})["sandboxes"]["old"]
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
def test_connect_refuses(sandbox, network, message):
    """LC-08."""
    with pytest.raises(DocklessError, match=message):
        connect(SHOP, sandbox, network, {})


def test_disconnect_takes_exactly_that_away():
    """LC-05."""
    found = disconnect(SHOP, "web", "back")["sandboxes"]["web"]
    assert found == {"networks": {"front": {"aliases": ["www"]}}, "ports": SHOP["sandboxes"]["web"]["ports"]}
    assert disconnect(SHOP, "web", "spare") is SHOP
    assert disconnect(SHOP, "ghost", "front") is SHOP
    assert disconnect(SHOP, "old", "bridge")["sandboxes"]["old"] == {"networks": {}}
    assert disconnect(SHOP, "plain", "default")["sandboxes"]["plain"] == {"networks": {}}


def test_disconnect_drops_ports_that_no_network_is_left_to_carry():
    left = disconnect(SHOP, "web", "front")
    assert left["sandboxes"]["web"] == {"networks": {"back": {}}}
    host_of(disconnect(left, "web", "back"))


def test_disconnect_from_the_host_is_refused():
    """LC-08."""
    with pytest.raises(DocklessError, match="cannot be disconnected from the host's network"):
        disconnect(SHOP, "agent", "host")


def test_keep_endpoints_disconnects_the_named_sandboxes_from_the_rest():
    found = keep_endpoints(SHOP, [("web", "front"), ("db", "front")])["sandboxes"]
    assert found["web"]["networks"] == {"front": {"aliases": ["www"]}}
    assert found["db"]["networks"] == {}
    assert found["old"] is SHOP["sandboxes"]["old"]


def test_publish_adds_what_is_not_there_in_any_form():
    found = ports.publish(
        SHOP,
        "web",
        {"ports": [{"target": 80, "published": 8080}, "53:53/udp", "9001:91"], "expose": [80], "publish_all": None},
    )
    assert found["sandboxes"]["web"]["ports"] == ["8080:80", "9000-9003:90-93", "53:53/udp"]
    assert found["sandboxes"]["web"]["expose"] == [80]
    assert ports.publish(found, "web", {"ports": ["53:53/udp"], "expose": ["80/tcp"]}) == found
    host_of(found)


def test_replace_ports_is_exact():
    assert ports.replace_ports(SHOP, "web", {"ports": []})["sandboxes"]["web"]["ports"] == []
    assert (
        ports.replace_ports(SHOP, "web", {"publish_all": True})["sandboxes"]["web"]["ports"]
        == SHOP["sandboxes"]["web"]["ports"]
    )


def test_withdraw_takes_ports_out_of_ranges_too():
    found = ports.withdraw(SHOP, "web", {"ports": ["8080:80/tcp", "9001-9002:91-92", "1:1"]})["sandboxes"]["web"][
        "ports"
    ]
    assert found == ["9000:90/tcp", "9003:93/tcp"]
    assert set(ports.withdraw(SHOP, "web", {})["sandboxes"]["web"]) == {"networks"}
    assert ports.withdraw(SHOP, "ghost", {}) is SHOP


def test_the_rest_of_a_range_keeps_its_address():
    declaration = {
        "sandboxes": {"a": {"ports": ["[fd00::1]:80-81:80-81", "192.0.2.1:90-91:90-91/udp"], "expose": ["5-6"]}}
    }
    found = ports.withdraw(declaration, "a", {"ports": ["[fd00::1]:80:80", "192.0.2.1:91:91/udp"], "expose": [5]})[
        "sandboxes"
    ]["a"]
    assert found == {"ports": ["[fd00::1]:81:81/tcp", "192.0.2.1:90:90/udp"], "expose": ["6/tcp"]}


def test_a_port_that_is_published_for_others_takes_the_place_of_what_was():
    """Or those that were let in before would still be, beside the others."""
    guests = {"target": 80, "published": 8080, "source_ranges": ["192.0.2.0/24"]}
    for before in ("8080:80", {**guests, "source_ranges": ["203.0.113.0/24"]}):
        found = ports.publish({"sandboxes": {"a": {"ports": [before, "53:53/udp"]}}}, "a", {"ports": [guests]})
        assert found["sandboxes"]["a"]["ports"] == ["53:53/udp", guests]
        assert ports.publish(found, "a", {"ports": [guests]}) == found
    assert ports.publish({"sandboxes": {"a": {"ports": [guests]}}}, "a", {"ports": ["8080:80"]})["sandboxes"]["a"][
        "ports"
    ] == ["8080:80"]
    assert (
        ports.withdraw({"sandboxes": {"a": {"ports": [guests]}}}, "a", {"ports": ["8080:80"]})["sandboxes"]["a"][
            "ports"
        ]
        == []
    )


def test_the_rest_of_a_range_keeps_its_clients():
    """A port that is left of it must not be open to everybody."""
    entry = {"target": "80-82", "published": "8080-8082", "host_ip": "192.0.2.1", "source_ranges": ["192.0.2.0/24"]}
    found = ports.withdraw({"sandboxes": {"a": {"ports": [entry]}}}, "a", {"ports": ["192.0.2.1:8081:81"]})
    left = {port.host_port: port for port in parse_ports("p", "a", found["sandboxes"]["a"]["ports"], "ports")}
    assert list(left) == [8080, 8082]
    assert all(
        [str(network) for network in port.source_ranges] == ["192.0.2.0/24"] and str(port.host_ip) == "192.0.2.1"
        for port in left.values()
    )


GUESTS = [(), ("192.0.2.0/24",), ("203.0.113.7", "2001:db8::/32")]


def ranged(first, last, guests):
    """Return an entry of the long form, and whom it lets in by host port."""
    entry = {
        "target": f"{first}-{last}",
        "published": f"{first}-{last}",
        **({"source_ranges": list(guests)} if guests else {}),
    }
    return entry, let_in([entry])


def let_in(entries):
    """Return whom a list of ports lets in, by host port."""
    return {port.host_port: port.source_ranges for port in parse_ports("p", "a", entries, "ports")}


@pytest.mark.parametrize("before, after", list(itertools.product(GUESTS, repeat=2)))
@pytest.mark.parametrize("first, last", [(1, 2), (2, 5), (3, 4), (4, 6), (5, 6), (1, 9)])
def test_whoever_publishes_last_says_who_comes(before, after, first, last):
    """Of ranges that meet in part, too: no port of either is open to more than its own clients."""
    (old, were), (new, are) = ranged(3, 5, before), ranged(first, last, after)
    found = ports.publish({"sandboxes": {"a": {"ports": [old]}}}, "a", {"ports": [new]})["sandboxes"]["a"]["ports"]
    assert let_in(found) == {**were, **are}
    left = ports.withdraw({"sandboxes": {"a": {"ports": found}}}, "a", {"ports": [ranged(first, last, ())[0]]})[
        "sandboxes"
    ]["a"]["ports"]
    assert let_in(left) == {port: guests for port, guests in were.items() if not first <= port <= last}


@pytest.mark.parametrize(
    "entry", ["80", "53:53/udp", "192.0.2.1::80", "[fd00::1]:8080:80", "8000-8009:80", "[::]:8000-8009:80/udp"]
)
def test_what_is_left_of_an_entry_means_the_same(entry):
    declaration = ports.publish({"sandboxes": {"a": {}}}, "a", {"ports": [entry]})
    half = ports.publish(declaration, "a", {"ports": [entry]})
    assert half == declaration
    assert ports.withdraw(declaration, "a", {"ports": [entry]})["sandboxes"]["a"]["ports"] == []


def test_names_are_added_replaced_and_removed():
    scope = ("sandboxes", "db")
    more = dns.put_names(
        SHOP,
        scope,
        {
            "records": [{"name": "A.", "value": "10.0.0.1"}, {"name": "b", "value": "10.0.0.2"}],
            "forward": "none",
            "dns": None,
        },
    )
    assert [r["name"] for r in more["sandboxes"]["db"]["records"]] == ["a", "b"]
    assert more["sandboxes"]["db"]["forward"] == "none"
    assert dns.replace_names(more, scope, {"records": []})["sandboxes"]["db"]["records"] == []
    less = dns.remove_names(more, scope, {"records": [{"name": "a", "type": "A", "value": "10.0.0.1"}]})
    assert less["sandboxes"]["db"]["records"] == [{"name": "b", "value": "10.0.0.2"}]
    assert dns.remove_names(more, scope, {})["sandboxes"]["db"] == {"networks": ["back"]}
    host_of(more)


def test_names_of_what_is_not_declared():
    with pytest.raises(DocklessError, match="the network lost is not declared"):
        dns.put_names(SHOP, ("networks", "lost"), {"dns": []})
    assert dns.put_names(SHOP, ("networks", "default"), {"dns": []})["networks"]["default"] == {"dns": []}
    assert dns.remove_names(SHOP, ("networks", "lost"), {}) is SHOP


def test_veth_pairs_are_known_by_their_first_end():
    changed = veth_pairs.put_veth_pair(
        SHOP, {"name": "eth0", "netns": "left", "mtu": None, "peer": {"name": "eth0", "netns": None, "mtu": 1300}}
    )
    assert changed["veth_pairs"] == {
        "left/eth0": {
            "name": "eth0",
            "netns": "left",
            "mtu": 1400,
            "peer": {"name": "eth0", "netns": "right", "mtu": 1300},
        }
    }
    both = veth_pairs.put_veth_pair(SHOP, {"name": "eth0", "peer": {"name": "x"}})
    assert list(both["veth_pairs"]) == ["left/eth0", "eth0"]
    host_of({"veth_pairs": both["veth_pairs"]})
    assert veth_pairs.remove_veth_pair(both, "eth0", "left")["veth_pairs"].keys() == {"eth0"}
    assert veth_pairs.keep_veth_pairs(both, [{"name": "eth0", "netns": None}])["veth_pairs"].keys() == {"eth0"}
    assert veth_pairs.remove_veth_pair(SHOP, "eth9") is SHOP


def test_documents_are_replaced_by_part_and_merged_by_object():
    document = {"networks": {"front": {"mtu": 1300}}, "sandboxes": None}
    assert replace_document(SHOP, document) == {**SHOP, "networks": {"front": {"mtu": 1300}}}
    merged = merge_document(SHOP, document)
    assert merged["networks"]["front"] == {"internal": False, "mtu": 1300}
    assert merged["sandboxes"] == SHOP["sandboxes"]
