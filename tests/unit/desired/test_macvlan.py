# SPDX-License-Identifier: GPL-3.0-or-later
"""Networks on the host's interfaces as values: links, VLANs, routes, addresses.

What the kernel here cannot have is judged here alone.
"""

from __future__ import annotations

import ipaddress

import pytest

from _dockless.allocate.leases import Leases, recorded_interfaces
from _dockless.engine.target import _without_impossible_networks
from _dockless.errors import DocklessError
from _dockless.model import gateways
from _dockless.model.facts import Parent
from _dockless.state import dependencies, plan, rebuilds
from _dockless.state.objects import Link, Route
from _dockless.validate import macvlan as validate_macvlan
from support.pipeline import FACTS, leases_of, of_kind, resolved, state, states

ETH0 = FACTS._replace(parents=(Parent("eth0", 1450),))
LAN = {"subnet": "192.0.2.0/24", "gateway": "192.0.2.1"}
PAIR = {"one": {"networks": ["lan"]}, "two": {"networks": ["lan"]}}


def document(*subnets, sandboxes=None, **options):
    """Return a document with one network on a parent."""
    network = {
        "driver": "macvlan",
        "parent": "eth0",
        "dns_enabled": False,
        "ipam": {"config": list(subnets) or [LAN]},
        **options,
    }
    return {"networks": {"lan": network}, "sandboxes": PAIR if sandboxes is None else sandboxes}


def links(found):
    """Return the links of a state by namespace and name."""
    return {(link.netns, link.name): link for link in of_kind(found, Link)}


def routes(found, netns):
    """Return (destination, via) of a namespace's routes."""
    return [(route.destination, route.via) for route in of_kind(found, Route) if route.netns == netns]


def test_ipvlan_has_its_parents_mac_and_the_given_gateway():
    found = state(resolved(document(driver="ipvlan"), ETH0), ETH0)
    one = links(found)["one", "eth0"]
    assert (one.kind, one.mac, one.parent, one.mtu, one.data) == ("ipvlan", "", "eth0", 1450, (("mode", 0),))
    assert routes(found, "one") == [("0.0.0.0/0", "192.0.2.1")]


@pytest.mark.parametrize("mode, number", [("l3", 1), ("l3s", 2)])
def test_ipvlan_l3_routes_by_the_link(mode, number):
    sandboxes = {
        "one": {"networks": {"lan": {"ipv4_address": "192.0.2.9"}}},
        "two": {"networks": {"lan": {"ipv4_address": "198.51.100.9"}}},
    }
    found = state(
        resolved(
            document(LAN, {"subnet": "198.51.100.0/24"}, driver="ipvlan", ipvlan_mode=mode, sandboxes=sandboxes), ETH0
        ),
        ETH0,
    )
    assert links(found)["one", "eth0"].data == (("mode", number),)
    assert routes(found, "one") == [("0.0.0.0/0", ""), ("198.51.100.0/24", "")]
    assert routes(found, "two") == [("0.0.0.0/0", ""), ("192.0.2.0/24", "")]
    alone = document(
        LAN, {"subnet": "198.51.100.0/24"}, driver="ipvlan", ipvlan_mode=mode, parent=None, sandboxes=sandboxes
    )
    assert routes(state(resolved(alone)), "one") == [("198.51.100.0/24", "")]


def test_vlan_link_is_on_the_host_and_depends_on_its_parent():
    below = ETH0._replace(parents=(Parent("eth0", 1450, up=False),))
    parts = states(
        resolved(shop=document(parent="eth0.60"), other=document(parent="eth0.60", sandboxes={"three": PAIR["one"]})),
        below,
    )
    vlan = parts[""]["link", "", "eth0.60"]
    assert (vlan.kind, vlan.parent, vlan.data, vlan.up, vlan.label) == (
        "vlan",
        "eth0",
        (("id", 60),),
        False,
        "dockless eth0.60",
    )
    assert all(("link", "", "eth0.60") not in parts[name] for name in ("shop", "other"))
    assert links(parts["other"])["three", "eth0"].parent == "eth0.60"


def test_unmanaged_vlan_link_is_not_declared():
    for there, declared in ((Parent("eth0.60", 1400), False), (Parent("eth0.60", 1400, managed=True), True)):
        known = FACTS._replace(parents=(Parent("eth0"), there))
        found = links(state(resolved(document(parent="eth0.60"), known), known))
        assert (("", "eth0.60") in found) is declared
        assert found["one", "eth0"].mtu == (1500 if declared else 1400)


def test_network_without_a_parent_has_an_isolated_bridge():
    host = resolved(document(parent=None))
    found = links(state(host))
    bridge = next(link for (netns, name), link in found.items() if not netns)
    assert bridge.kind == "bridge" and not bridge.mac and found["one", "eth0"].parent == bridge.name
    assert routes(state(host), "one") == [] and host.projects[0].networks[0].internal


def test_passthru_leaves_the_parents_mac_alone():
    one = links(state(resolved(document(mode="passthru", sandboxes={"one": PAIR["one"]}), ETH0), ETH0))["one", "eth0"]
    assert one.mac == "" and one.data == (("mode", "passthru"),)


def test_macvlan_networks_share_one_address_pool():
    networks = {
        name: document({"subnet": "192.0.2.0/28"}, LAN)["networks"]["lan"]
        if name == "x"
        else document(LAN)["networks"]["lan"]
        for name in "abc"
    }
    wide = {"networks": networks, "sandboxes": {f"s{n}": {"networks": ["abc"[n % 3]]} for n in range(30)}}
    host = resolved(wide)
    given = [cidr for p in host.projects for s in p.sandboxes for e in s.endpoints for cidr in e.addresses]
    assert len(set(given)) == 30 and "192.0.2.1/24" not in given
    wide["sandboxes"] = {"first": {"networks": ["a"]}, **wide["sandboxes"]}
    again = resolved(wide, leases=leases_of(host))
    kept = {s.name: s.endpoints[0].addresses for s in host.projects[0].sandboxes}
    assert {s.name: s.endpoints[0].addresses for s in again.projects[0].sandboxes if s.name != "first"} == kept


def host_address(host):
    """Return the host's addresses on the one network."""
    return [str(a) for a in host.projects[0].networks[0].macvlan.addresses]


def test_the_hosts_address_is_asked_for_named_or_the_first_free_and_kept():
    assert host_address(resolved(document(host_access=True, host_access_address="192.0.2.77"))) == ["192.0.2.77"]
    assert host_address(resolved(document({**LAN, "aux_addresses": {"host": "192.0.2.88"}}, host_access=True))) == [
        "192.0.2.88"
    ]
    before = resolved(document())
    assert [s.endpoints[0].addresses[0] for s in before.projects[0].sandboxes] == ["192.0.2.2/24", "192.0.2.3/24"]
    after = resolved(document(host_access=True), leases=leases_of(before))
    assert host_address(after) == ["192.0.2.4"]
    assert [s.endpoints for s in after.projects[0].sandboxes] == [s.endpoints for s in before.projects[0].sandboxes]
    more = {**PAIR, "a": PAIR["one"], "b": PAIR["one"]}
    assert host_address(resolved(document(host_access=True, sandboxes=more), leases=leases_of(after))) == ["192.0.2.4"]


def test_the_hosts_link_has_a_route_to_each_sandbox_of_every_project():
    theirs = {"networks": {"lan": {"external": True, "name": "shop/lan"}}, "sandboxes": {"three": PAIR["one"]}}
    found = states(resolved(shop=document(host_access=True), other=theirs), ETH0)[""]
    shim = next(link for link in of_kind(found, Link))
    assert shim.kind == "macvlan" and shim.parent == "eth0" and shim.data == (("mode", "bridge"),)
    assert routes(found, "") == [("192.0.2.3/32", ""), ("192.0.2.4/32", ""), ("192.0.2.5/32", "")]


def test_host_gateway_is_the_hosts_address_or_refused():
    box = {"one": {"networks": ["lan"], "extra_hosts": {"box": "host-gateway"}}}
    text = state(resolved(document(host_access=True, sandboxes=box), ETH0), ETH0)["file", "/etc/netns/one/hosts"].text
    assert "192.0.2.2\tbox\n" in text
    with pytest.raises(DocklessError, match="none of its networks reaches the host"):
        state(resolved(document(sandboxes=box), ETH0), ETH0)


OBSTACLES = [
    (
        {"driver": "ipvlan"},
        {"missing_kinds": frozenset(("ipvlan",))},
        "networks.lan.driver: network lan needs ipvlan links, which this kernel does not support. "
        "Boot a kernel with the module ipvlan, or use another driver.",
    ),
    (
        {"parent": "eth0.60"},
        {"missing_kinds": frozenset(("vlan",))},
        "networks.lan.parent: interface eth0.60 does not exist, and this kernel does not support VLANs "
        "(IEEE 802.1Q). Boot a kernel with the module 8021q, or set parent to an interface that exists.",
    ),
    (
        {"parent": "eth1"},
        {},
        "networks.lan.parent: network lan has the parent eth1, but this host has no such interface. "
        "Set parent to an interface of this host, or remove it for an isolated network.",
    ),
    (
        {},
        {"parents": (Parent("eth0", managed=True),)},
        "networks.lan.parent: interface eth0 belongs to another network that dockless manages. "
        "Set parent to an interface of the host.",
    ),
    (
        {},
        {"parents": (Parent("eth0", master="bond0"),)},
        "networks.lan.parent: interface eth0 is a port of bond0, which receives all packets that arrive on it. "
        "Use parent: bond0, or remove eth0 from it.",
    ),
]


@pytest.mark.parametrize(
    "options, known, message", OBSTACLES, ids=[case[2].partition(":")[2][:30] for case in OBSTACLES]
)
def test_what_this_host_cannot_have_is_refused_or_at_boot_left_out(options, known, message):
    facts = ETH0._replace(**known)
    host = resolved(
        shop=document(**options),
        other={"networks": {"front": {}}, "sandboxes": {"web": {"networks": ["front"]}}},
        known=facts,
    )
    for project in ("shop", None):
        with pytest.raises(DocklessError) as refusal:
            _without_impossible_networks(host, facts, project, boot=False)
        assert str(refusal.value) == message
    rest, told = _without_impossible_networks(host, facts, None, boot=True)
    assert told == [f"Network lan is left out: {message}"]
    assert ("one", "eth0") not in links(state(rest, facts)) and ("netns", "one") in state(rest, facts)
    rest, told = _without_impossible_networks(host, facts, "other", boot=False)
    assert told == [] and not [network for network in rest.networks() if not network.passes_host]
    assert any(
        s.endpoints for p in host.projects for s in p.sandboxes if s.name == "one"
    )  # its addresses are remembered


def test_packets_too_large_for_the_parent_are_refused_and_elsewhere_as_large_as_they_can_be():
    host = resolved(document(mtu=1500), ETH0)
    with pytest.raises(DocklessError) as refusal:
        _without_impossible_networks(host, ETH0, "shop", boot=False)
    assert str(refusal.value) == (
        "networks.lan.mtu: network lan has an MTU of 1500 bytes, but its parent eth0 has 1450. "
        "Set mtu to at most 1450, or remove it."
    )
    for project, boot in (("other", False), (None, True)):
        rest, told = _without_impossible_networks(host, ETH0, project, boot)
        assert rest is host and told == []
    assert links(state(host, ETH0))["one", "eth0"].mtu == 1450


@pytest.mark.parametrize(
    "nic, driver, words",
    [
        ("wireless", "macvlan", "wireless"),
        ("virtio_net", "macvlan", "promiscuous mode"),
        ("hv_netvsc", "macvlan", "promiscuous mode"),
        ("e1000e", "macvlan", ""),
        ("", "macvlan", ""),
        ("virtio_net", "ipvlan", ""),
    ],
)
def test_warnings_of_the_interface_below(nic, driver, words):
    facts = FACTS._replace(parents=(Parent("eth0", nic=nic),))
    for parent in ("eth0", "eth0.60"):
        network = resolved(document(driver=driver, parent=parent), facts).projects[0].networks[0]
        told = list(validate_macvlan.warnings(network, facts))
        assert len(told) == bool(words) and all(words in one for one in told)


def test_what_goes_with_a_link_and_what_changes_in_place():
    def link(netns, name, parent, mode="bridge", kind="macvlan"):
        return Link(netns, name, kind, "", 1500, "", parent=parent, data=(("mode", mode),))

    found = {
        thing.key: thing
        for thing in (
            Link("", "eth0.60", "vlan", "", 1500, "", parent="eth0"),
            link("", "mv-1", "eth0.60"),
            link("a", "eth0", "eth0.60"),
            link("b", "eth0", "eth1"),
        )
    }
    assert dependencies._links_above(found, {("link", "", "eth0.60")}) == {("link", "", "mv-1"), ("link", "a", "eth0")}
    assert dependencies._links_above(found, {("link", "a", "eth0")}) == set()
    assert dependencies.also_mutable(link("a", "x", "eth0"), link("a", "x", "eth0", "vepa")) == {"data"}
    assert not dependencies.also_mutable(link("a", "x", "eth0", "passthru"), link("a", "x", "eth0"))
    assert dependencies.also_mutable(link("a", "x", "eth0", 0, "ipvlan"), link("a", "x", "eth0", 1, "ipvlan")) == {
        "data"
    }


def test_a_declared_name_is_asked_for_and_a_lost_one_repaired():
    host = resolved(document(), ETH0)
    before = state(host, ETH0)
    known = recorded_interfaces({"shop": Leases.from_json(leases_of(host)["shop"])})
    renamed = {**PAIR, "one": {"networks": {"lan": {"interface_name": "lan0"}}}}
    wanted = state(resolved(document(sandboxes=renamed), ETH0), ETH0)
    ((_step, error),) = rebuilds.refused_steps(plan.make_plan(wanted, before), wanted, "update", known)
    assert "macvlan eth0 in one cannot be changed in place" in str(error)
    assert not list(rebuilds.refused_steps(plan.make_plan(wanted, before), wanted, "recreate", known))
    drifted = {key: thing for key, thing in before.items() if key != ("link", "one", "eth0")}
    drifted["link", "one", "other"] = before["link", "one", "eth0"]._replace(name="other")
    assert not list(rebuilds.refused_steps(plan.make_plan(before, drifted), before, "update", known))


def test_default_route_uses_the_gateway_of_the_addresss_subnet():
    sandboxes = {"one": {"networks": {"lan": {"ipv4_address": "198.51.100.9"}}}}
    subnets = (LAN, {"subnet": "198.51.100.0/24", "gateway": "198.51.100.254"}, {"subnet": "fd00:9::/64"})
    host = resolved(document(*subnets, sandboxes=sandboxes), ETH0)
    endpoint, network = host.projects[0].sandboxes[0].endpoints[0], host.projects[0].networks[0]
    assert [gateways.next_hop(endpoint, network, version) for version in (4, 6)] == ["198.51.100.254", None]
    assert ipaddress.ip_address("fd00:9::1") in network.subnets[2].network and endpoint.addresses[1] == "fd00:9::1/64"
