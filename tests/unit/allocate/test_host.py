# SPDX-License-Identifier: GPL-3.0-or-later
"""Every blank filled in: interface names, MACs, defaults, and what is remembered."""

from __future__ import annotations

import json
import random
import re

import pytest

from _dockless import names
from _dockless.errors import DocklessError
from _dockless.model.facts import Facts
from _dockless.model.sandbox import MODE_NONE
from _dockless.names import INTERFACE, INTERFACE_LIMIT
from _dockless.validate import host_support
from support.pipeline import leases_of, resolved
from support.random_documents import document

NETWORKS = {"a": None, "b": None, "c": {"driver_opts": {"com.docker.network.container_iface_prefix": "lan"}}}


def interfaces(host):
    """Return the interface name by network, for each sandbox."""
    return {s.name: {e.network[1]: e.interface_name for e in s.endpoints} for p in host.projects for s in p.sandboxes}


def on(joined, networks=None, leases=None, **more):
    """Return the resolved host of one sandbox."""
    return resolved(
        {"networks": networks or NETWORKS, "sandboxes": {"web": {"networks": joined, **more}}}, leases=leases
    )


def network_of(host, name):
    """Return a network of a host."""
    return next(n for p in host.projects for n in p.networks if n.name == name)


def test_interfaces_are_named_in_the_order_of_declaration():
    assert interfaces(on(["b", "a", "c"])) == {"web": {"b": "eth0", "a": "eth1", "c": "lan0"}}


def test_requested_interface_name_is_not_assigned_to_others():
    assert interfaces(on({"a": {}, "b": {"interface_name": "eth0"}})) == {"web": {"a": "eth1", "b": "eth0"}}


def test_interfaces_keep_their_names_when_another_network_goes_or_comes():
    before = on(["a", "b"])
    assert interfaces(on(["b"], leases=leases_of(before))) == {"web": {"b": "eth1"}}
    assert interfaces(on(["c", "b", "a"], leases=leases_of(before))) == {"web": {"a": "eth0", "b": "eth1", "c": "lan0"}}
    only_b = on(["b"], leases=leases_of(before))
    assert interfaces(on(["a", "b"], leases=leases_of(only_b))) == {"web": {"a": "eth0", "b": "eth1"}}


def test_a_changed_prefix_gives_a_new_name():
    before = on(["a"])
    changed = {**NETWORKS, "a": {"driver_opts": {"com.docker.network.container_iface_prefix": "lan"}}}
    assert interfaces(on(["a"], changed, leases_of(before))) == {"web": {"a": "lan0"}}


def test_macs_are_the_same_on_every_run_and_none_is_remembered():
    """A generated MAC needs no state; one that is asked for stands in the declaration."""
    one, again = on(["a", "b"]), on(["b", "a"])
    macs = {e.network: e.mac_address for e in one.projects[0].sandboxes[0].endpoints}
    assert macs == {e.network: e.mac_address for e in again.projects[0].sandboxes[0].endpoints}
    assert len(set(macs.values())) == 2 and all(re.fullmatch(r"02(:[0-9a-f]{2}){5}", mac) for mac in macs.values())
    assert "mac" not in json.dumps(leases_of(one))


def test_a_mac_that_is_asked_for_is_taken():
    assert (
        on({"a": {"mac_address": "AA:bb:cc:dd:ee:ff"}}).projects[0].sandboxes[0].endpoints[0].mac_address
        == "aa:bb:cc:dd:ee:ff"
    )


def test_macs_that_meet_are_salted(monkeypatch):
    """Two of 2**40 may be the same; the second takes the next, and the same next on every run."""
    real = names.endpoint_mac
    monkeypatch.setattr(
        names,
        "endpoint_mac",
        lambda project, network, sandbox, salt=0: real("p", ("p", "n"), "same" if salt < 2 else sandbox, salt),
    )
    sandboxes = {"networks": {"a": None}, "sandboxes": {name: {"networks": ["a"]} for name in ("one", "two", "three")}}
    found = [
        {e.sandbox: e.mac_address for s in resolved(sandboxes).projects[0].sandboxes for e in s.endpoints}
        for turn in range(2)
    ]
    assert found[0] == found[1] and len(set(found[0].values())) == 3


def test_a_generated_mac_avoids_one_that_is_asked_for():
    mac = names.endpoint_mac("shop", ("shop", "a"), "two")
    host = resolved(
        {
            "networks": {"a": None},
            "sandboxes": {"one": {"networks": {"a": {"mac_address": mac}}}, "two": {"networks": ["a"]}},
        }
    )
    found = {e.sandbox: e.mac_address for s in host.projects[0].sandboxes for e in s.endpoints}
    assert found == {"one": mac, "two": names.endpoint_mac("shop", ("shop", "a"), "two", 1)}


def test_derived_names_fit_the_kernel_and_differ():
    derived = [
        names.bridge_link("shop", "a"),
        names.bridge_link("sho", "pa"),
        names.veth_link("shop", ("shop", "a"), "web"),
        names.veth_link("shop", ("shop", "aw"), "eb"),
    ]
    assert len(set(derived)) == 4 and all(len(name) <= INTERFACE_LIMIT and INTERFACE.match(name) for name in derived)


@pytest.mark.parametrize(
    ("spec", "defaults", "field", "expected"),
    [
        ({}, {}, "mtu", 1450),
        ({}, {"mtu": 1400}, "mtu", 1400),
        ({"mtu": 9000}, {"mtu": 1400}, "mtu", 9000),
        ({}, {}, "icc", True),
        ({}, {"icc": False}, "icc", False),
        ({"icc": True}, {"icc": False}, "icc", True),
        ({}, {}, "masquerade", True),
        ({}, {"ip_masq": False}, "masquerade", False),
        ({"masquerade": True}, {"ip_masq": False}, "masquerade", True),
        ({}, {}, "enable_ipv6", False),
        ({}, {"ipv6": True}, "enable_ipv6", True),
        ({"enable_ipv6": False}, {"ipv6": True}, "enable_ipv6", False),
        ({"bridge_name": "br0"}, {}, "bridge_name", "br0"),
        ({}, {}, "bridge_name", names.bridge_link("shop", "n")),
    ],
)
def test_a_networks_own_setting_wins_over_the_hosts(spec, defaults, field, expected):
    host = resolved({"networks": {"n": spec}}, Facts(mtu=1450), defaults=defaults)
    assert getattr(network_of(host, "n"), field) == expected


def test_a_resolved_network_leaves_nothing_open():
    for seed in range(20):
        for network in (n for p in resolved(document(random.Random(seed))).projects for n in p.networks):
            assert (network.left_open, network.subnet_requests) == (frozenset(), ())
            assert network.mtu > 0
            assert all(subnet.version == subnet.network.version for subnet in network.subnets)


def test_automatic_subnets_of_one_size_stay_two_on_the_next_run():
    """A run with leases once gave both subnets the first recorded network."""
    networks = {"a": {"ipam": {"config": [{"subnet": "0.0.0.0/24"}, {"subnet": "0.0.0.0/24"}]}}}
    first = on(["a"], networks)
    subnets = [subnet.network for subnet in network_of(first, "a").subnets]
    assert len(set(subnets)) == 2
    again = on(["a"], networks, leases_of(first))
    assert [subnet.network for subnet in network_of(again, "a").subnets] == subnets


def test_default_bridge_exists_when_a_sandbox_is_on_it():
    host = resolved({"sandboxes": {"a": {"network_mode": "bridge"}}})
    bridge = network_of(host, "bridge")
    assert (bridge.key, bridge.bridge_name, bridge.dns_enabled) == (("", "bridge"), "dockless0", False)
    assert not any(n.name == "bridge" for p in resolved({"sandboxes": {"a": None}}).projects for n in p.networks)


def test_the_default_bridge_takes_the_hosts_flags():
    host = resolved(
        {"sandboxes": {"a": {"network_mode": "bridge"}}},
        defaults={"bip": "10.9.0.1/24", "fixed_cidr": "10.9.0.128/25", "default_gateway": "10.9.0.254"},
    )
    (subnet,) = network_of(host, "bridge").subnets
    assert [str(x) for x in (subnet.network, subnet.gateway, subnet.ip_range)] == [
        "10.9.0.0/24",
        "10.9.0.254",
        "10.9.0.128/25",
    ]
    assert [e.addresses for p in host.projects for s in p.sandboxes for e in s.endpoints] == [("10.9.0.128/24",)]


def test_kernel_without_ipv6_is_reported():
    host = resolved({"networks": {"n": {"enable_ipv6": True}}})
    host_support.refuse_missing_families(host, Facts())
    with pytest.raises(
        DocklessError, match=r"^networks\.n: network n needs IPv6, but this kernel has it disabled\. Boot without"
    ):
        host_support.refuse_missing_families(host, Facts(ipv6=False))


@pytest.mark.parametrize("seed", range(40))
def test_leases_survive_json_and_resolve_to_the_same_host(seed):
    """What is written after a run gives the same host on the next, also where the order of everything is another."""
    chance = random.Random(seed)
    declared = document(chance)
    for spec in declared["sandboxes"].values():
        if any(not declared["networks"][n].get("internal") for n in spec.get("networks", ())):
            spec["ports"] = ["80", "8000-8099:81"]
    first = resolved(declared)
    leases = json.loads(json.dumps(leases_of(first)))
    assert resolved(declared, leases=leases) == first
    shuffled = {kind: dict(chance.sample(list(specs.items()), len(specs))) for kind, specs in declared.items()}
    assert leases_of(resolved(shuffled, leases=leases)) == _sorted_like(
        leases_of(first), leases_of(resolved(shuffled, leases=leases))
    )


def _sorted_like(expected, found):
    """Return expected with its ports in found's order, which is that of declaration."""
    for name, each in expected.items():
        order = [row[:4] for row in found[name]["ports"]]
        each["ports"] = sorted((list(row) for row in each["ports"]), key=lambda row: order.index(row[:4]))
    return expected


def test_nothing_is_remembered_of_what_has_no_network():
    host = resolved({"sandboxes": {"a": {"network_mode": "none"}, "b": {"network_mode": "host"}}})
    assert leases_of(host) == {"shop": {"networks": {}, "endpoints": {}, "ports": []}}
    assert host.projects[0].sandboxes[0].mode == MODE_NONE
