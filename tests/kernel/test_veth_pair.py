# SPDX-License-Identifier: GPL-3.0-or-later
"""Veth pairs outside any network, in every place that their ends can be."""

from __future__ import annotations

import pytest

from support import traffic
from support.traffic import network

TWO = {"left": {"networks": []}, "right": {"networks": []}}
LEFT, RIGHT = "10.1.0.1/24", "10.1.0.2/24"


def pair(key="left/eth0", *, peer, **end):
    """Return a declaration of one pair and of two sandboxes without networks."""
    return {"sandboxes": TWO, "veth_pairs": {key: {**end, "peer": peer}}}


@pytest.mark.smoke
def test_two_namespaces_joined_by_one_pair(private_host):
    """The first walk-through: two namespaces with an address each ping each other, over both families."""
    document = pair(
        addresses=[LEFT, "fd00:1::1/64"], peer={"netns": "right", "name": "eth0", "addresses": [RIGHT, "fd00:1::2/64"]}
    )
    assert private_host.apply(document)["changed"]
    for address in ("10.1.0.2", "fd00:1::2"):
        assert private_host.ping("left", address, wait=4)
    assert private_host.ping("right", "10.1.0.1") and not private_host.ping(None, "10.1.0.1", wait=1)
    assert not private_host.apply(document)["changed"]
    assert set(traffic.links(private_host)) == {"lo", "eth0"}  # neither end is the host's


def test_one_end_in_the_host(private_host):
    """With a route each way, a sandbox reaches what is behind its other end; sizes and MACs are as asked."""
    document = pair(
        addresses=[LEFT],
        routes=["default via 10.1.0.9", "10.5.0.0/16 via 10.1.0.9"],
        mtu=1300,
        mac_address="02:00:00:00:aa:01",
        peer={
            "name": "to-left",
            "addresses": ["10.1.0.9/24"],
            "routes": [{"destination": "10.77.0.0/16", "via": "10.1.0.1"}],
            "mtu": 1300,
        },
    )
    private_host.apply(document)
    inside, outside = traffic.links(private_host, "left")["eth0"], traffic.links(private_host)["to-left"]
    assert (inside["address"], inside["mtu"], inside["cidrs"][0]) == ("02:00:00:00:aa:01", 1300, LEFT)
    assert outside["mtu"] == 1300 and "10.1.0.9/24" in outside["cidrs"]
    assert traffic.fits(private_host, None, "10.1.0.1", 1300) and not traffic.fits(private_host, None, "10.1.0.1", 1301)
    assert private_host.ping("left", "192.0.2.2")  # by its default route
    assert "10.5.0.0/16 via 10.1.0.9" in private_host.sh("ip route", netns="left")
    assert "10.77.0.0/16 via 10.1.0.1 dev to-left" in private_host.sh("ip route")
    assert not private_host.apply(document)["changed"]


def test_both_ends_in_the_host(private_host):
    document = {"veth_pairs": {"one": {"addresses": ["10.1.0.1/32"], "peer": {"name": "other"}}}}
    private_host.apply(document)
    found = traffic.links(private_host)
    assert found["one"]["link"] == "other" and found["one"]["cidrs"][:1] == ["10.1.0.1/32"]
    assert not private_host.apply(document)["changed"]


@pytest.mark.parametrize("owner", ["a foreign bridge", "a network's bridge"])
def test_host_end_is_a_bridges_port(private_host, owner):
    """A master may be the user's own bridge, which is left alone, or a managed one, whose sandboxes it then joins."""
    document = pair(addresses=["172.20.0.50/24"], peer={"name": "port", "master": "mine"})
    if owner == "a foreign bridge":
        private_host.sh("ip link add mine type bridge && ip address add 172.20.0.1/24 dev mine && ip link set mine up")
    else:
        document["networks"] = {"front": network("172.20.0.0/24", bridge_name="mine")}
        document["sandboxes"] = {**TWO, "web": {"networks": ["front"]}}
    private_host.apply(document)
    assert traffic.links(private_host)["port"]["master"] == "mine"
    assert private_host.ping("left", "172.20.0.1") and private_host.ping(None, "172.20.0.50")
    if owner != "a foreign bridge":
        assert private_host.ping("web", "172.20.0.50")
    assert not private_host.apply(document)["changed"]
    private_host.apply({**document, "veth_pairs": {}})
    assert "port" not in traffic.links(private_host) and set(traffic.links(private_host, "left")) == {"lo"}
    if owner == "a foreign bridge":
        assert private_host.ping(None, "172.20.0.1")
        private_host.sh("ip link del mine")


def test_ends_are_changed_in_place(private_host):
    """Addresses, size, state and master, without a new link; down means down."""
    private_host.sh("ip link add mine type bridge && ip link set mine up")
    private_host.apply(pair(addresses=[LEFT], peer={"name": "port", "mtu": 1500}))
    index = traffic.links(private_host)["port"]["ifindex"]
    changed = pair(
        addresses=["10.1.0.3/24"], mtu=1400, peer={"name": "port", "mtu": 1400, "master": "mine", "up": False}
    )
    assert private_host.apply(changed)["changed"]
    port, inside = traffic.links(private_host)["port"], traffic.links(private_host, "left")["eth0"]
    assert (port["ifindex"], port["mtu"], port["master"], "UP" in port["flags"]) == (index, 1400, "mine", False)
    assert (inside["mtu"], [a for a in inside["cidrs"] if "." in a]) == (1400, ["10.1.0.3/24"])
    assert not private_host.apply(changed)["changed"]
    private_host.apply({"sandboxes": {}, "veth_pairs": {}})
    private_host.sh("ip link del mine")


FOREIGN = {
    "an end in the host": ("ip link add port type bridge", None, "ip link del port"),
    "an end in a namespace": (
        "ip netns add guest && ip -n guest link add eth0 type bridge",
        "guest",
        "ip netns del guest",
    ),
}


@pytest.mark.parametrize("make, netns, unmake", FOREIGN.values(), ids=FOREIGN.keys())
def test_foreign_link_in_the_place_of_an_end_is_refused(private_host, make, netns, unmake):
    private_host.sh(make)
    before = private_host.snapshot()
    peer = {"netns": netns, "name": "eth0"} if netns else {"name": "port"}
    told = private_host.refusal({"sandboxes": {"left": {"networks": []}}, "veth_pairs": {"left/eth0": {"peer": peer}}})
    assert peer["name"] in told
    private_host.assert_back_to(before)
    private_host.sh(unmake)


REFUSED = {
    "missing master": (pair(peer={"name": "port", "master": "nobody"}), "nobody"),
    "missing namespace": ({"veth_pairs": {"nowhere/eth0": {"peer": {"name": "port"}}}}, "nowhere"),
    "both the same": ({"veth_pairs": {"one": {"peer": {"name": "one"}}}}, "both ends are named one"),
    "an endpoint's name": (
        {
            "networks": {"front": network("172.20.0.0/24")},
            "sandboxes": {"web": {"networks": ["front"]}},
            "veth_pairs": {"web/eth0": {"peer": {"name": "port"}}},
        },
        "interface eth0 of namespace web is taken by an endpoint",
    ),
    "a route to nowhere": (
        pair(addresses=[LEFT], routes=["10.9.0.0/16 via 10.200.0.1"], peer={"name": "port"}),
        "10.9.0.0/16",
    ),
}


@pytest.mark.parametrize("document, words", REFUSED.values(), ids=REFUSED.keys())
def test_impossible_pairs_are_refused_and_nothing_is_left(private_host, document, words):
    assert words in private_host.refusal(document)
    private_host.assert_back_to(private_host.birth)


def test_pair_is_none_of_the_firewalls_business(private_host):
    """A pair that the user routes by hand is not dropped by the rules of networks beside it."""
    private_host.apply(
        {
            "networks": {"front": network("172.20.0.0/24")},
            "sandboxes": {**TWO, "web": {"networks": ["front"]}},
            "veth_pairs": {
                f"{name}/eth0": {
                    "addresses": [f"10.{n}.0.2/24"],
                    "routes": [f"default via 10.{n}.0.1"],
                    "peer": {"name": f"to-{name}", "addresses": [f"10.{n}.0.1/24"]},
                }
                for n, name in ((1, "left"), (2, "right"))
            },
        }
    )
    assert private_host.ping("left", "10.2.0.2") and private_host.ping("right", "10.1.0.2")
    assert not private_host.ping("left", "172.20.0.2", wait=1)  # the network's own wall stands
