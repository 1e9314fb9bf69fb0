# SPDX-License-Identifier: GPL-3.0-or-later
"""A plan for all hosts: assignments, what stays the same, and refusals."""

from __future__ import annotations

import ipaddress
import random

import pytest

from _dockless import names
from _dockless.errors import DocklessError
from support.fake_fleet import SimulatedFleet, documents_with_peers, through_files

RED = {"driver": "overlay", "ipam": {"config": [{"subnet": "10.60.0.0/24"}]}}
SCENARIO = {
    "one": {"a": {"networks": ["red"]}, "b": {"networks": ["red"]}, "c": {"networks": ["blue"]}},
    "two": {"d": {"networks": {"red": {"aliases": ["dave"]}}, "hostname": "d1"}, "e": {"networks": ["blue"]}},
}


def red(**hosts):
    """Return a fleet with one network, its hosts and their sandboxes."""
    return SimulatedFleet({"red": RED}, hosts)


def refusal(fleet, *limit, **options):
    """Return the error of the plan."""
    with pytest.raises(DocklessError) as caught:
        fleet.plan(limit or None, **options)
    return str(caught.value)


def test_two_subnets_over_two_hosts():
    """A, B and D are in one subnet, C and E in another; each host knows the other's sandboxes."""
    fleet = SimulatedFleet({"red": {"driver": "overlay"}, "blue": {"driver": "overlay"}}, SCENARIO)
    fleet.run()
    subnets = {key[1]: ipaddress.ip_network(network.subnets[0]) for key, network in fleet.ledger.networks.items()}
    assert not subnets["red"].overlaps(subnets["blue"])
    found = fleet.addresses()
    assert all(ipaddress.ip_address(found[one][0]) in subnets["red"] for one in "abd")
    assert all(ipaddress.ip_address(found[one][0]) in subnets["blue"] for one in "ce")
    assert fleet.peers("one", "red") == {"two": ["d"]} and fleet.peers("two", "red") == {"one": ["a", "b"]}
    assert fleet.peers("one", "blue") == {"two": ["e"]} and fleet.peers("two", "blue") == {"one": ["c"]}


def test_host_document_lists_everything_about_a_peer():
    fleet = SimulatedFleet({"red": RED, "blue": {"driver": "overlay"}}, SCENARIO)
    fleet.run()
    document = fleet.hosts["one"].documents["shop"]["networks"]["red"]
    assert document["peers"]["two"] == {
        "vtep": "192.0.2.2",
        "sandboxes": {
            "d": {
                "addresses": ["10.60.0.4"],
                "mac_address": names.endpoint_mac("shop", ("shop", "red"), "d"),
                "aliases": ["dave"],
                "hostname": "d1",
            }
        },
    }
    assert document["vtep"] == "192.0.2.1"


def test_vnis_count_up_from_256_stay_and_give_way_to_given_ones():
    fleet = SimulatedFleet({"n1": {"driver": "overlay"}, "n2": {"driver": "overlay", "vni": 256}}, {"one": ["a"]})
    fleet.run()
    assert {key[1]: network.vni for key, network in fleet.ledger.networks.items()} == {"n1": 257, "n2": 256}
    fleet.networks["n0"] = {"driver": "overlay", "driver_opts": {"vni": "300"}}
    fleet.networks["n00"] = {"driver": "overlay"}
    fleet.run()
    assert {key[1]: network.vni for key, network in fleet.ledger.networks.items()} == {
        "n1": 257,
        "n2": 256,
        "n0": 300,
        "n00": 258,
    }


def test_one_vni_for_two_networks_is_refused():
    fleet = SimulatedFleet({"n1": {"driver": "overlay", "vni": 7}, "n2": {"driver": "overlay", "vni": 7}}, {"one": []})
    assert "networks.n2.vni: network shop/n1 (host one) has the VNI 7 too" in refusal(fleet)


def test_a_second_run_changes_nothing():
    fleet = SimulatedFleet(
        {"red": {"driver": "overlay", "enable_ipv6": True}, "blue": {"driver": "overlay", "mode": "routed"}}, SCENARIO
    )
    first, second = fleet.run(), fleet.run()
    assert (
        first.ledger == second.ledger
        and first.documents == second.documents
        and first.peer_tables == second.peer_tables
    )


def test_both_families():
    fleet = SimulatedFleet({"red": {**RED, "enable_ipv6": True}}, {"one": ["a"], "two": ["b"]})
    fleet.run()
    assert [":" in address for address in fleet.addresses()["a"]] == [False, True]
    assert fleet.ledger.networks["shop", "red"].subnets[1].startswith("fd")


def test_a_new_subnet_is_none_that_a_host_uses():
    fleet = SimulatedFleet({"red": {"driver": "overlay"}}, {"one": ["a"], "two": ["b"]})
    fleet.hosts["two"].facts = fleet.hosts["two"].facts._replace(routes=(ipaddress.ip_network("10.0.0.0/12"),))
    fleet.run()
    assert fleet.ledger.networks["shop", "red"].subnets == ("10.16.0.0/16",)


def test_address_pools_of_the_inventory_are_used():
    fleet = SimulatedFleet({"red": {"driver": "overlay"}}, {})
    fleet.add("one", ["a"], defaults={"default_address_pools": [{"base": "10.200.0.0/16", "size": 24}]})
    fleet.run()
    assert ipaddress.ip_network(fleet.ledger.networks["shop", "red"].subnets[0]).subnet_of(
        ipaddress.ip_network("10.200.0.0/16")
    )


def test_addresses_stay_when_hosts_and_sandboxes_come_and_go():
    fleet = red(one=["a", "b"], two=["c", "d"])
    fleet.run()
    before = fleet.addresses()
    fleet.add("zero", ["aa"])
    del fleet.inventory["one"]["sandboxes"]["a"]
    fleet.run()
    after = fleet.addresses()
    assert {one: after[one] for one in "bcd"} == {one: before[one] for one in "bcd"}
    assert after["aa"] == ["10.60.0.6"]  # that of a is free in the next run only: its host still had it


def test_an_address_is_free_when_its_host_was_read_without_it():
    fleet = red(one=["a", "b"])
    fleet.run()
    del fleet.inventory["one"]["sandboxes"]["a"]
    fleet.run()
    assert ("shop", "a") in fleet.ledger.networks["shop", "red"].endpoints  # the host still had it when it was read
    fleet.run()
    assert ("shop", "a") not in fleet.ledger.networks["shop", "red"].endpoints
    fleet.add("two", ["z"])
    fleet.run()
    assert fleet.addresses()["z"] == ["10.60.0.2"]


def test_host_that_left_the_inventory_loses_everything():
    fleet = red(one=["a"], two=["b"])
    fleet.run()
    fleet.remove("one")
    fleet.run()
    assert fleet.peers("two", "red") == {} and set(fleet.ledger.hosts) == {"two"}
    fleet.add("three", ["c"])
    fleet.run()
    assert fleet.addresses()["c"] == ["10.60.0.2"]


def test_a_host_outside_of_the_group_but_in_the_inventory_keeps_its_entries():
    fleet = red(one=["a"], two=["b"])
    fleet.run()
    moved = fleet.inventory.pop("one")
    fleet.run(inventory=["one", "two"])
    assert fleet.peers("two", "red") == {"one": ["a"]}
    fleet.inventory["one"] = moved
    fleet.run()
    assert fleet.addresses() == {"a": ["10.60.0.2"], "b": ["10.60.0.3"]}


def test_a_moved_sandbox_keeps_its_address():
    fleet = red(one=["a", "b"], two=["c"])
    fleet.run()
    before = fleet.addresses()
    fleet.inventory["two"]["sandboxes"]["a"] = fleet.inventory["one"]["sandboxes"].pop("a")
    fleet.run()
    assert fleet.addresses() == before
    assert fleet.peers("one", "red") == {"two": ["a", "c"]}
    fleet.run()
    assert fleet.addresses() == before and fleet.ledger.networks["shop", "red"].endpoints["shop", "a"].host == "two"


def test_unreached_hosts_stay_as_they_are():
    """Two of three hosts are not of the run: nobody forgets them, and what is new is taken by nobody of them."""
    fleet = red(one=["a"], two=["b"], three=["c"])
    fleet.run()
    fleet.inventory["one"]["sandboxes"]["new"] = {"networks": ["red"]}
    fleet.run(["one"])
    assert fleet.peers("one", "red") == {"two": ["b"], "three": ["c"]}
    assert fleet.addresses()["new"] == ["10.60.0.5"]
    assert fleet.ledger.hosts["two"].vtep == "192.0.2.2"


def test_assignments_of_an_unreachable_host_stay_in_the_documents():
    fleet = red(one=["a"], two=["b", "c"])
    fleet.run()
    del fleet.inventory["two"]["sandboxes"]["b"]
    fleet.run(["one"])
    assert fleet.peers("one", "red") == {"two": ["b", "c"]}
    fleet.run()
    assert fleet.peers("one", "red") == {"two": ["c"]}


def test_unpurged_object_is_still_reported():
    fleet = red(one=["a"], two=["b", "c"])
    fleet.run()
    del fleet.inventory["two"]["sandboxes"]["b"]
    assert documents_with_peers(fleet.plan(purge=False), "one")[0]["networks"]["red"]["peers"]["two"][
        "sandboxes"
    ].keys() == {"b", "c"}


def test_nothing_new_is_given_beside_a_host_that_nobody_knows():
    fleet = red(one=["a"], two=["b"])
    assert "cannot assign a new address to sandbox a, because host two was not read in this run" in refusal(
        fleet, "one"
    )
    assert "Run over the whole fleet once" in refusal(fleet, "one")
    fleet.inventory["one"]["sandboxes"]["a"] = {"networks": {"red": {"ipv4_address": "10.60.0.9"}}}
    fleet.inventory["two"]["sandboxes"]["b"] = {"networks": {"red": {"ipv4_address": "10.60.0.8"}}}
    fleet.run(["one"])  # what is fixed needs to be known to nobody
    assert fleet.addresses() == {"a": ["10.60.0.9"]}


def test_without_a_ledger_hosts_remember_for_each_other():
    fleet = SimulatedFleet({"red": RED}, {"one": ["a"], "two": ["b"], "three": ["c"]}, keeps_ledger=False)
    fleet.run()
    before = fleet.addresses()
    fleet.inventory["one"]["sandboxes"]["new"] = {"networks": ["red"]}
    fleet.run(["one"])
    after = fleet.addresses()
    assert after.pop("new") == ["10.60.0.5"] and after == before
    assert fleet.peers("one", "red") == {"two": ["b"], "three": ["c"]}


def test_a_lost_ledger_is_made_again_from_what_hosts_have():
    for mode in ({}, {"mode": "routed"}):
        fleet = SimulatedFleet({"red": {"driver": "overlay", **mode}}, {"one": ["b"], "two": ["a"]})
        fleet.run()
        before, ledger = fleet.addresses(), fleet.ledger
        fleet.ledger = type(ledger)()
        fleet.add("three", ["aa"])
        fleet.run()
        assert {one: fleet.addresses()[one] for one in before} == before
        assert fleet.ledger.networks["shop", "red"].vni == ledger.networks["shop", "red"].vni


def test_one_sandbox_on_two_hosts_is_refused_with_both():
    fleet = red(one=["a"], two=["a"])
    assert refusal(fleet).startswith(
        "host two, sandboxes.a.networks[0]: sandbox a is on network shop/red on host one too"
    )


def test_one_fixed_address_for_two_sandboxes_is_refused_with_both():
    fleet = red(
        one={"a": {"networks": {"red": {"ipv4_address": "10.60.0.9"}}}},
        two={"b": {"networks": {"red": {"ipv4_address": "10.60.0.9"}}}},
    )
    assert refusal(fleet).startswith(
        "host two, sandboxes.b.networks.red: 10.60.0.9 is also the fixed address of sandbox a on host one"
    )


def test_a_fixed_address_that_an_unreached_host_still_has_is_refused():
    fleet = red(one=["a"], two=["b"])
    fleet.run()
    del fleet.inventory["two"]["sandboxes"]["b"]
    fleet.inventory["one"]["sandboxes"]["new"] = {"networks": {"red": {"ipv4_address": "10.60.0.3"}}}
    assert "10.60.0.3 is the address of sandbox shop/b on host two, which still has it" in refusal(fleet, "one")
    fleet.plan()  # over both it goes in the same run


def test_a_fixed_address_moves_the_dynamic_one_that_had_it():
    fleet = red(one=["a"], two=["b"])
    fleet.run()
    fleet.inventory["two"]["sandboxes"]["z"] = {"networks": {"red": {"ipv4_address": "10.60.0.2"}}}
    fleet.run()
    assert fleet.addresses() == {"a": ["10.60.0.4"], "b": ["10.60.0.3"], "z": ["10.60.0.2"]}


def test_options_must_be_the_same_on_all_hosts():
    fleet = red(one=["a"])
    fleet.add("two", ["b"], networks={"red": {**RED, "ipam": {"config": [{"subnet": "10.61.0.0/24"}]}}})
    assert refusal(fleet).startswith(
        "host two, networks.red.ipam.config[0].subnet: an overlay network must be the same on all hosts, "
        "but this option is '10.61.0.0/24' here and '10.60.0.0/24' on host one"
    )
    fleet.inventory["two"]["networks"] = {"red": {**RED, "vtep": "eth0", "bridge_name": "red0", "internal": None}}
    fleet.plan()  # these are each host's own


def test_an_error_of_a_declaration_names_its_host():
    fleet = red(one={"a": {"networks": {"red": {"ipv4_addres": "10.60.0.2"}}}})
    assert refusal(fleet).startswith(
        "host one, sandboxes.a.networks.red: unknown option 'ipv4_addres'. Did you mean ipv4_address?"
    )


def test_routed_slices_are_kept_and_addresses_are_of_them():
    fleet = SimulatedFleet(
        {
            "wide": {
                "driver": "overlay",
                "mode": "routed",
                "enable_ipv6": True,
                "slice_prefix": 26,
                "ipam": {"config": [{"subnet": "10.9.0.0/16"}]},
            }
        },
        {"two": ["b"], "three": ["c"]},
    )
    fleet.run()
    fleet.add("one", ["a"])
    fleet.run()
    slices = fleet.ledger.networks["shop", "wide"].slices
    assert {name: parts[0] for name, parts in slices.items()} == {
        "three": "10.9.0.0/26",
        "two": "10.9.0.64/26",
        "one": "10.9.0.128/26",
    }
    assert all(parts[1].endswith("/80") for parts in slices.values())
    assert {one: found[0] for one, found in fleet.addresses().items()} == {
        "a": "10.9.0.130",
        "b": "10.9.0.66",
        "c": "10.9.0.2",
    }
    document = fleet.hosts["one"].documents["shop"]["networks"]["wide"]
    assert (
        document["ipam"]["config"][0] == {"subnet": "10.9.0.0/16", "ip_range": "10.9.0.128/26"}
        and "slice_prefix" not in document
    )
    assert document["peers"]["two"]["subnets"] == list(slices["two"])


def test_a_routed_host_gets_the_slice_of_its_fixed_address():
    fleet = SimulatedFleet(
        {"wide": {"driver": "overlay", "mode": "routed", "ipam": {"config": [{"subnet": "10.9.0.0/16"}]}}},
        {"one": ["a"], "two": {"b": {"networks": {"wide": {"ipv4_address": "10.9.0.77"}}}}},
    )
    fleet.run()
    assert fleet.ledger.networks["shop", "wide"].slices == {"one": ("10.9.1.0/24",), "two": ("10.9.0.0/24",)}
    fleet.inventory["one"]["sandboxes"]["c"] = {"networks": {"wide": {"ipv4_address": "10.9.0.78"}}}
    assert "10.9.0.78 is outside of 10.9.1.0/24, the slice of host one" in refusal(fleet)


def test_slices_that_cannot_be_cut_are_refused():
    wide = {"driver": "overlay", "mode": "routed", "slice_prefix": 24, "ipam": {"config": [{"subnet": "10.9.0.0/23"}]}}
    fleet = SimulatedFleet({"wide": wide}, {"one": [], "two": [], "three": []})
    assert "has no slice of /24 left in 10.9.0.0/23 for host two" in refusal(fleet)
    fleet.networks["wide"] = {**wide, "slice_prefix": 22}
    assert "slices of /22 cannot be cut from 10.9.0.0/23" in refusal(fleet)


def test_a_subnet_without_room_names_the_sandbox():
    fleet = SimulatedFleet(
        {"red": {"driver": "overlay", "ipam": {"config": [{"subnet": "10.60.0.0/30"}]}}}, {"one": ["a"], "two": ["b"]}
    )
    assert "network red has no free address left in 10.60.0.0/30 for sandbox b" in refusal(fleet)


def test_vteps_by_address_by_interface_and_without():
    fleet = red(one=["a"])
    fleet.add("two", ["b"], vtep="eth0")
    fleet.run()
    assert fleet.hosts["one"].documents["shop"]["networks"]["red"]["peers"]["two"]["vtep"] == "192.0.2.2"
    fleet.hosts["one"].facts = fleet.hosts["one"].facts._replace(uplink="", underlay=())
    fleet.ledger = fleet.ledger._replace(hosts={})
    assert refusal(fleet).startswith(
        "host one: the VTEP address of host one, which is on the overlay network shop/red, is unknown. "
        "Set its variable dockless_vtep"
    )


def test_one_vtep_address_on_two_hosts_is_refused():
    fleet = red(one=["a"])
    fleet.add("two", ["b"])
    fleet.hosts["two"].facts = fleet.hosts["one"].facts
    assert "host one has the VTEP address 192.0.2.1 too" in refusal(fleet)


def test_the_lowest_mtu_counts_where_underlays_differ():
    fleet = red(one=["a"], two=["b"])
    fleet.run()
    assert "mtu" not in fleet.hosts["one"].documents["shop"]["networks"]["red"]
    fleet.hosts["two"].facts = fleet.hosts["two"].facts._replace(
        underlay=(fleet.hosts["two"].facts.underlay[0]._replace(mtu=1400),)
    )
    fleet.run()
    assert fleet.hosts["one"].documents["shop"]["networks"]["red"]["mtu"] == 1350


def test_a_changed_vtep_reaches_the_other_hosts():
    fleet = red(one=["a"], two=["b"])
    fleet.run()
    fleet.hosts["two"].facts = fleet.hosts["two"].facts._replace(
        underlay=(fleet.hosts["two"].facts.underlay[0]._replace(address=ipaddress.ip_address("192.0.2.77")),)
    )
    fleet.run()
    assert fleet.hosts["one"].documents["shop"]["networks"]["red"]["peers"]["two"]["vtep"] == "192.0.2.77"


@pytest.mark.parametrize("reference", ["shop/red", "red-of-shop"])
def test_another_projects_network_on_other_hosts_is_joined(reference):
    """The network goes to the host under its own project, and its sandboxes there are peers of the others."""
    fleet = red(one=["a"])
    fleet.inventory["one"]["networks"] = {"red": {**RED, "name": "red-of-shop"}}
    fleet.add(
        "two", {"x": {"networks": ["up"]}}, project="desk", networks={"up": {"external": True, "name": reference}}
    )
    fleet.run()
    assert fleet.addresses() == {"x": ["10.60.0.2"], "a": ["10.60.0.3"]}  # in order of project and name
    assert fleet.peers("one", "red") == {"two": ["x"]} and fleet.peers("two", "red") == {"one": ["a"]}
    assert (
        fleet.hosts["one"].documents["shop"]["networks"]["red"]["peers"]["two"]["sandboxes"]["x"]["project"] == "desk"
    )
    second = fleet.run()
    assert second.ledger == fleet.ledger and fleet.addresses()["x"] == ["10.60.0.2"]


def test_sandboxes_of_a_project_that_is_not_of_the_run_stay():
    """Two projects of one host are two plays with one ledger."""
    fleet = red(one=["a"], two=["b"])
    fleet.run()
    shop = fleet.inventory
    fleet.inventory = {
        "one": {
            "project": "desk",
            "networks": {"up": {"external": True, "name": "shop/red"}},
            "sandboxes": {"x": {"networks": ["up"]}},
        }
    }
    fleet.run(inventory=["one", "two"])
    fleet.inventory = shop
    fleet.run()
    assert fleet.addresses() == {"a": ["10.60.0.2"], "b": ["10.60.0.3"], "x": ["10.60.0.4"]}
    assert fleet.peers("two", "red") == {"one": ["a", "x"]}


def test_bridge_networks_pass_as_they_are():
    fleet = SimulatedFleet(
        {"lan": {"driver": "bridge"}, "red": RED},
        {"one": {"a": {"networks": ["lan", "red"], "ports": ["80"]}, "p": None}},
    )
    fleet.networks["default"] = None
    plan = fleet.plan()
    (document,) = documents_with_peers(plan, "one")
    assert document["networks"]["lan"] == {"driver": "bridge"} and document["sandboxes"]["p"] is None
    assert document["sandboxes"]["a"] == {
        "networks": {"lan": None, "red": {"ipv4_address": "10.60.0.2"}},
        "ports": ["80"],
    }


def test_a_default_network_may_be_an_overlay():
    fleet = SimulatedFleet({"default": RED}, {"one": {"a": None}, "two": {"b": {"hostname": "b1"}}})
    fleet.run()
    assert fleet.addresses() == {"a": ["10.60.0.2"], "b": ["10.60.0.3"]}


def test_sandbox_without_ipv6_is_reported_without_it():
    fleet = SimulatedFleet(
        {"red": {**RED, "enable_ipv6": True}},
        {"one": {"a": {"networks": ["red"], "sysctls": {"net.ipv6.conf.all.disable_ipv6": 1}}}, "two": ["b"]},
    )
    fleet.run()
    assert fleet.hosts["two"].documents["shop"]["networks"]["red"]["peers"]["one"]["sandboxes"]["a"]["addresses"] == [
        "10.60.0.2"
    ]


def test_slices_through_files_are_those_of_the_plan(tmp_path):
    fleet = SimulatedFleet({"red": RED, "blue": {"driver": "overlay"}}, SCENARIO)
    plan = fleet.run()
    assert through_files(plan, str(tmp_path)) == {name: documents_with_peers(plan, name) for name in fleet.inventory}


@pytest.mark.parametrize("seed", range(12))
def test_random_lives_of_a_fleet(seed):
    """Whatever comes, goes, moves and is out of reach: no address twice, and none changes that need not."""
    dice = random.Random(seed)
    fleet = SimulatedFleet({"red": RED}, {f"h{n}": [f"s{n}"] for n in range(4)})
    fleet.run()
    for step in range(25):
        before = fleet.addresses()
        names_of = {one: host for host, variables in fleet.inventory.items() for one in variables["sandboxes"]}
        what = dice.choice(["add", "remove", "move", "none"])
        host = dice.choice(sorted(fleet.inventory))
        if what == "add":
            fleet.inventory[host]["sandboxes"][f"n{seed}x{step}"] = {"networks": ["red"]}
        elif names_of and what != "none":
            one = dice.choice(sorted(names_of))
            spec = fleet.inventory[names_of[one]]["sandboxes"].pop(one)
            if what == "move":
                fleet.inventory[host]["sandboxes"][one] = spec
        limit = None if dice.random() < 0.5 else dice.sample(sorted(fleet.inventory), 2)
        fleet.run(limit)
        after = fleet.addresses()  # one that moved away from a host that is not of the run is there still, too
        assert {one: set(after[one]) for one in after if one in before} == {
            one: set(before[one]) for one in after if one in before
        }


def test_encrypted_hosts_get_addresses_in_their_tunnels_and_each_others_keys():
    fleet = SimulatedFleet({"red": {**RED, "encrypted": True, "tunnel_port": 51000}}, {"one": ["a"], "two": ["b"]})
    keys = {"one": "A" * 42 + "A=", "two": "B" * 42 + "A="}
    fleet.hosts["one"].keys, fleet.hosts["two"].keys = {"a": keys["one"]}, {"a": keys["two"]}
    fleet.run(tunnels=["a", "b"])
    document = fleet.hosts["one"].documents["shop"]["networks"]["red"]
    assert document["vtep"] == "100.64.0.1" and document["tunnels"] == ["a", "b"]
    row = document["peers"]["two"]
    assert (row["vtep"], row["public_keys"], row["endpoint"]) == ("100.64.0.2", {"a": keys["two"]}, "192.0.2.2:51000")
    fleet.add("aaa", ["c"])
    fleet.hosts["aaa"].keys = {"a": "C" * 42 + "A="}
    before = fleet.ledger.hosts["two"]
    fleet.run(["aaa", "one"])
    assert fleet.ledger.hosts["aaa"].tunnel == "100.64.0.3" and fleet.ledger.hosts["two"] == before
    assert fleet.hosts["one"].documents["shop"]["networks"]["red"]["peers"]["two"] == row
    fleet.inventory["two"]["endpoint"] = "[2001:db8::2]:7"
    fleet.hosts["one"].facts = fleet.hosts["one"].facts._replace(
        underlay=(fleet.hosts["one"].facts.underlay[0]._replace(address=ipaddress.ip_address("192.0.2.99")),)
    )
    rows = fleet.run().peer_tables["shop", "red"]
    assert (rows["one"]["endpoint"], rows["two"]["endpoint"]) == ("192.0.2.99:51000", "[2001:db8::2]:7")


def test_host_without_a_public_key_is_not_a_peer():
    fleet = SimulatedFleet({"red": {**RED, "encrypted": True}}, {"one": ["a"], "two": ["b"]})
    fleet.hosts["two"].keys = {"a": "B" * 42 + "A="}
    plan = fleet.plan()
    assert set(plan.peer_tables["shop", "red"]) == {"two"}
    assert plan.warnings == (
        "Other hosts do not know these hosts yet: one. "
        "Their VTEP address or public key is unknown until a run reads them.",
    )


def test_host_without_a_report_keeps_its_assignments():
    """None is not "none": a host of the group without variables would lose the networks that others made on it."""
    fleet = red(one=["a"])
    fleet.add("two")
    fleet.inventory["two"] = {}
    fleet.add("three", networks=None)
    plan = fleet.plan()
    assert documents_with_peers(plan, "two") == [{"project": "default"}]
    assert documents_with_peers(plan, "three") == [{"project": "shop", "sandboxes": {}}]
