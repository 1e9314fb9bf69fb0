# SPDX-License-Identifier: GPL-3.0-or-later
"""Edits of published ports."""

from __future__ import annotations

import itertools

import pytest

from _dockless.document.ports import parse_ports
from _dockless.edits import ports
from support.documents import host_of


def test_publish_adds_what_is_not_there_in_any_form(shop):
    found = ports.publish(
        shop,
        "web",
        {"ports": [{"target": 80, "published": 8080}, "53:53/udp", "9001:91"], "expose": [80], "publish_all": None},
    )
    assert found["sandboxes"]["web"]["ports"] == ["8080:80", "9000-9003:90-93", "53:53/udp"]
    assert found["sandboxes"]["web"]["expose"] == [80]
    assert ports.publish(found, "web", {"ports": ["53:53/udp"], "expose": ["80/tcp"]}) == found
    host_of(found)


def test_replace_ports_is_exact(shop):
    assert ports.replace_ports(shop, "web", {"ports": []})["sandboxes"]["web"]["ports"] == []
    assert (
        ports.replace_ports(shop, "web", {"publish_all": True})["sandboxes"]["web"]["ports"]
        == shop["sandboxes"]["web"]["ports"]
    )


def test_unpublish_takes_ports_out_of_ranges_too(shop):
    found = ports.unpublish(shop, "web", {"ports": ["8080:80/tcp", "9001-9002:91-92", "1:1"]})["sandboxes"]["web"][
        "ports"
    ]
    assert found == ["9000:90/tcp", "9003:93/tcp"]
    assert set(ports.unpublish(shop, "web", {})["sandboxes"]["web"]) == {"networks"}
    assert ports.unpublish(shop, "ghost", {}) is shop


def test_the_rest_of_a_range_keeps_its_address():
    declaration = {
        "sandboxes": {"a": {"ports": ["[fd00::1]:80-81:80-81", "192.0.2.1:90-91:90-91/udp"], "expose": ["5-6"]}}
    }
    found = ports.unpublish(declaration, "a", {"ports": ["[fd00::1]:80:80", "192.0.2.1:91:91/udp"], "expose": [5]})[
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
        ports.unpublish({"sandboxes": {"a": {"ports": [guests]}}}, "a", {"ports": ["8080:80"]})["sandboxes"]["a"][
            "ports"
        ]
        == []
    )


def test_the_rest_of_a_range_keeps_its_clients():
    """A port that is left of it must not be open to everybody."""
    entry = {"target": "80-82", "published": "8080-8082", "host_ip": "192.0.2.1", "source_ranges": ["192.0.2.0/24"]}
    found = ports.unpublish({"sandboxes": {"a": {"ports": [entry]}}}, "a", {"ports": ["192.0.2.1:8081:81"]})
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
    left = ports.unpublish({"sandboxes": {"a": {"ports": found}}}, "a", {"ports": [ranged(first, last, ())[0]]})[
        "sandboxes"
    ]["a"]["ports"]
    assert let_in(left) == {port: guests for port, guests in were.items() if not first <= port <= last}


@pytest.mark.parametrize(
    "entry", ["80", "53:53/udp", "192.0.2.1::80", "[fd00::1]:8080:80", "8000-8009:80", "[::]:8000-8009:80/udp"]
)
def test_publishing_and_withdrawing_an_entry_is_exact(entry):
    declaration = ports.publish({"sandboxes": {"a": {}}}, "a", {"ports": [entry]})
    half = ports.publish(declaration, "a", {"ports": [entry]})
    assert half == declaration
    assert ports.unpublish(declaration, "a", {"ports": [entry]})["sandboxes"]["a"]["ports"] == []
