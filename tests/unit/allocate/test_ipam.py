# SPDX-License-Identifier: GPL-3.0-or-later
"""Subnets and addresses: what is fixed first, then what was given before, then the lowest free."""

from __future__ import annotations

import ipaddress
import random

import pytest

from _dockless.allocate import ipam
from _dockless.errors import DocklessError
from _dockless.model.addresses import overlaps
from _dockless.model.facts import Facts
from _dockless.model.host import Defaults
from _dockless.model.network import Network
from support.pipeline import leases_of, resolved


def net(text):
    """Return a network."""
    return ipaddress.ip_network(text)


def addresses(host, network=None):
    """Return the addresses by sandbox, of one network or of all."""
    return {
        s.name: [a for e in s.endpoints if network in (None, e.network[1]) for a in e.addresses]
        for p in host.projects
        for s in p.sandboxes
    }


def subnets(host):
    """Return the subnets by network."""
    return {n.name: [str(s.network) for s in n.subnets] for p in host.projects for n in p.networks}


def on_one(config, sandboxes, **more):
    """Return a document with one network and sandboxes on it."""
    return {
        "networks": {"n": {"ipam": {"config": config}, **more}},
        "sandboxes": {name: {"networks": {"n": spec or {}}} for name, spec in sandboxes.items()},
    }


def test_fixed_addresses_are_reserved_before_dynamic_ones():
    """The sandbox that asks for .2 comes last, and gets it."""
    host = resolved(on_one([{"subnet": "10.1.0.0/29"}], {"a": None, "b": None, "z": {"ipv4_address": "10.1.0.2"}}))
    assert addresses(host) == {"a": ["10.1.0.3/29"], "b": ["10.1.0.4/29"], "z": ["10.1.0.2/29"]}


def test_addresses_are_kept_and_what_was_freed_is_given_to_a_new_one():
    before = resolved(on_one([{"subnet": "10.1.0.0/24"}], {"a": None, "b": None, "c": None}))
    after = resolved(on_one([{"subnet": "10.1.0.0/24"}], {"0": None, "b": None, "c": None}), leases=leases_of(before))
    assert addresses(after) == {"0": ["10.1.0.2/24"], "b": ["10.1.0.3/24"], "c": ["10.1.0.4/24"]}


def test_a_kept_address_gives_way_to_a_fixed_one():
    before = resolved(on_one([{"subnet": "10.1.0.0/24"}], {"a": None}))
    after = resolved(
        on_one([{"subnet": "10.1.0.0/24"}], {"a": None, "z": {"ipv4_address": "10.1.0.2"}}), leases=leases_of(before)
    )
    assert addresses(after) == {"a": ["10.1.0.3/24"], "z": ["10.1.0.2/24"]}


def test_a_kept_address_of_another_subnet_is_forgotten():
    before = resolved(on_one([{"subnet": "10.1.0.0/24"}], {"a": None}))
    after = resolved(on_one([{"subnet": "10.2.0.0/24"}], {"a": None}), leases=leases_of(before))
    assert addresses(after) == {"a": ["10.2.0.2/24"]}


def test_range_gateway_and_auxiliary_addresses():
    """Dynamic addresses are of the range; the gateway and what is reserved are never given."""
    config = [
        {
            "subnet": "172.28.0.0/16",
            "ip_range": "172.28.5.0/29",
            "gateway": "172.28.5.1",
            "aux_addresses": {"printer": "172.28.5.3"},
        }
    ]
    host = resolved(on_one(config, {"a": None, "b": None, "fixed": {"ipv4_address": "172.28.9.9"}}))
    assert addresses(host) == {"a": ["172.28.5.0/16"], "b": ["172.28.5.2/16"], "fixed": ["172.28.9.9/16"]}
    kept = resolved(
        on_one(config, {"a": None, "b": None}),
        leases={"shop": {"endpoints": {"a": {"shop/n": {"addresses": ["172.28.5.1/16"]}}}}},
    )
    assert addresses(kept)["a"] == ["172.28.5.0/16"]


def test_the_first_address_that_is_not_reserved_is_the_gateway():
    host = resolved(
        on_one([{"subnet": "10.1.0.0/24", "aux_addresses": {"x": "10.1.0.1", "y": "10.1.0.2"}}], {"a": None})
    )
    assert str(host.projects[0].networks[0].subnets[0].gateway) == "10.1.0.3"
    assert addresses(host) == {"a": ["10.1.0.4/24"]}


@pytest.mark.parametrize(
    ("subnet", "more", "expected"),
    [
        (
            "10.1.0.0/31",
            {"internal": True, "driver_opts": {"com.docker.network.bridge.inhibit_ipv4": "true"}},
            ["10.1.0.0/31", "10.1.0.1/31"],
        ),
        ("fd00::/127", {"enable_ipv4": False}, ["fd00::1/127"]),
        ("fd00::/126", {"enable_ipv4": False}, ["fd00::2/126", "fd00::3/126"]),
        ("10.1.0.0/30", {}, ["10.1.0.2/30"]),
    ],
)
def test_smallest_subnets(subnet, more, expected):
    """RFC 3021, RFC 6164: both addresses of a /31 or /127 are hosts; IPv6 has no broadcast address."""
    names = "abc"[: len(expected)]
    assert [
        a
        for each in addresses(resolved(on_one([{"subnet": subnet}], dict.fromkeys(names), **more))).values()
        for a in each
    ] == expected
    with pytest.raises(DocklessError, match="has no free address left"):
        resolved(on_one([{"subnet": subnet}], dict.fromkeys(names + "z"), **more))


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("10.0.0.0/24", "10.0.0.1", "10.0.0.254"),
        ("10.0.0.0/31", "10.0.0.0", "10.0.0.1"),
        ("10.0.0.7/32", "10.0.0.7", "10.0.0.7"),
        ("fd00::/64", "fd00::1", "fd00::ffff:ffff:ffff:ffff"),
        ("fd00::/127", "fd00::", "fd00::1"),
        ("fd00::7/128", "fd00::7", "fd00::7"),
    ],
)
def test_what_may_be_given_of_a_subnet(text, low, high):
    span = ipam.usable(net(text))
    assert (span.low, span.high) == (int(ipaddress.ip_address(low)), int(ipaddress.ip_address(high)))


def test_a_range_at_the_very_end_of_a_subnet():
    """fd00::ffff:ffff:ffff:fffe/127 holds two sandboxes, and no third."""
    config = [{"subnet": "fd00::/64", "ip_range": "fd00::ffff:ffff:ffff:fffe/127"}]
    host = resolved(on_one(config, {"a": None, "b": None}, enable_ipv4=False))
    assert addresses(host) == {"a": ["fd00::ffff:ffff:ffff:fffe/64"], "b": ["fd00::ffff:ffff:ffff:ffff/64"]}


def test_exhaustion_names_network_range_sandbox_and_remedy():
    with pytest.raises(DocklessError) as refusal:
        resolved(
            on_one(
                [{"subnet": "10.1.0.0/24", "ip_range": "10.1.0.8/31"}, {"subnet": "10.2.0.0/30"}], dict.fromkeys("abcd")
            )
        )
    assert str(refusal.value) == (
        "sandboxes.d.networks.n: network n has no free address left in 10.1.0.8/31, 10.2.0.0/30 for sandbox d. "
        "Add a subnet, widen ip_range, or remove sandboxes."
    )


def test_a_second_subnet_of_a_family_takes_over():
    host = resolved(on_one([{"subnet": "10.1.0.0/30"}, {"subnet": "10.2.0.0/29"}], {"a": None, "b": None}))
    assert addresses(host) == {"a": ["10.1.0.2/30"], "b": ["10.2.0.2/29"]}


def test_link_local_addresses_come_last():
    host = resolved(on_one([{"subnet": "10.1.0.0/24"}], {"a": {"link_local_ips": ["169.254.3.4", "fe80::9"]}}))
    assert addresses(host) == {"a": ["10.1.0.2/24", "169.254.3.4/16", "fe80::9/64"]}


def test_fixed_addresses_of_both_families():
    """On two networks, IPv4 and IPv6 each."""
    one = {"ipam": {"config": [{"subnet": "10.1.0.0/24"}, {"subnet": "fd00:1::/64"}]}}
    two = {"ipam": {"config": [{"subnet": "10.2.0.0/24"}, {"subnet": "fd00:2::/64"}]}}
    host = resolved(
        {
            "networks": {"one": one, "two": two},
            "sandboxes": {
                "a": {
                    "networks": {
                        "one": {"ipv4_address": "10.1.0.77", "ipv6_address": "fd00:1::77"},
                        "two": {"ipv4_address": "10.2.0.78", "ipv6_address": "fd00:2::78"},
                    }
                }
            },
        }
    )
    assert addresses(host, "one")["a"] == ["10.1.0.77/24", "fd00:1::77/64"]
    assert addresses(host, "two")["a"] == ["10.2.0.78/24", "fd00:2::78/64"]


# ---- subnets ---------------------------------------------------------------


def test_automatic_subnets_are_dockers_and_avoid_routes():
    host = resolved({"networks": {"a": None, "b": None}}, Facts(routes=(net("172.17.0.0/16"), net("172.18.5.0/24"))))
    assert subnets(host) == {"a": ["172.19.0.0/16"], "b": ["172.20.0.0/16"]}


def test_pools_of_the_host():
    """The default bridge is of the first pool, the networks are of the second."""
    pools = {"default_address_pools": [{"base": "175.30.0.0/16", "size": 16}, {"base": "175.33.0.0/16", "size": 24}]}
    host = resolved(
        {"networks": {"a": None, "b": None}, "sandboxes": {"s": {"network_mode": "bridge"}}}, defaults=pools
    )
    assert subnets(host) == {"bridge": ["175.30.0.0/16"], "a": ["175.33.0.0/24"], "b": ["175.33.1.0/24"]}


def test_the_default_bridges_block_is_for_others_when_no_other_is_left():
    pools = {"default_address_pools": [{"base": "175.30.0.0/23", "size": 24}]}
    host = resolved({"networks": {"a": None, "b": None}}, defaults=pools)
    assert subnets(host) == {"a": ["175.30.1.0/24"], "b": ["175.30.0.0/24"]}


def test_changed_pools_reach_new_networks_only():
    before = resolved(
        {"networks": {"a": None}}, defaults={"default_address_pools": [{"base": "10.90.0.0/16", "size": 24}]}
    )
    after = resolved(
        {"networks": {"z": None, "a": None}},
        leases=leases_of(before),
        defaults={"default_address_pools": [{"base": "10.90.0.0/16", "size": 20}]},
    )
    assert subnets(after) == {"a": ["10.90.1.0/24"], "z": ["10.90.16.0/20"]}


def test_bip_wins_over_pools():
    host = resolved(
        {"sandboxes": {"a": {"network_mode": "bridge"}}},
        defaults={"bip": "192.168.99.1/24", "default_address_pools": [{"base": "10.90.0.0/16", "size": 24}]},
    )
    assert subnets(host) == {"bridge": ["192.168.99.0/24"]} and addresses(host) == {"a": ["192.168.99.2/24"]}


@pytest.mark.parametrize(
    ("defaults", "expected"),
    [
        ({"fixed_cidr": "10.9.0.0/24"}, ["10.9.0.0/24 10.9.0.1 10.9.0.2"]),
        ({"fixed_cidr": "10.9.0.0/24", "default_gateway": "10.9.0.9"}, ["10.9.0.0/24 10.9.0.9 10.9.0.1"]),
        (
            {"ipv6": True, "fixed_cidr": "fd00:1235::/64"},
            ["172.17.0.0/16 172.17.0.1 172.17.0.2", "fd00:1235::/64 fd00:1235::1 fd00:1235::2"],
        ),
        (
            {"ipv6": True, "fixed_cidr": "fd00:1235::/64", "default_gateway": "fd00:1235::9"},
            ["172.17.0.0/16 172.17.0.1 172.17.0.2", "fd00:1235::/64 fd00:1235::9 fd00:1235::1"],
        ),
        (
            {"ipv6": True, "bip": "10.8.0.1/16", "fixed_cidr": "fd00:1235::/64"},
            ["10.8.0.0/16 10.8.0.1 10.8.0.2", "fd00:1235::/64 fd00:1235::1 fd00:1235::2"],
        ),
        (
            {"bip": "10.8.0.1/16", "fixed_cidr": "10.8.4.0/24", "default_gateway": "10.8.0.9"},
            ["10.8.0.0/16 10.8.0.9 10.8.4.0"],
        ),
    ],
)
def test_the_default_bridge_has_the_subnets_of_bip_and_fixed_cidr(defaults, expected):
    """fixed_cidr was ignored in a family without bip, and the bridge got another prefix."""
    host = resolved({"networks": {"a": None}, "sandboxes": {"s": {"network_mode": "bridge"}}}, defaults=defaults)
    bridge = next(network for network in host.networks() if network.name == "bridge")
    (endpoint,) = host.endpoints()
    found = zip(bridge.subnets, endpoint.addresses)
    assert [f"{one.network} {one.gateway} {cidr.partition('/')[0]}" for one, cidr in found] == expected


@pytest.mark.parametrize("option", [{"fixed_cidr": "172.18.0.0/16"}, {"bip": "172.18.0.1/16"}])
def test_networks_avoid_the_subnet_of_a_default_bridge_that_nobody_is_on_yet(option):
    host = resolved({"networks": {"a": None, "b": None}}, defaults=option)
    assert subnets(host) == {"a": ["172.17.0.0/16"], "b": ["172.19.0.0/16"]}


def test_only_a_size_is_asked_for():
    """Concrete prefixes of those sizes, kept on the next run."""
    document = {"networks": {"a": {"ipam": {"config": [{"subnet": "0.0.0.0/24"}, {"subnet": "::/120"}]}}}}
    before = resolved(document)
    four, six = map(net, subnets(before)["a"])
    assert four.prefixlen == 24 and six.prefixlen == 120 and six.subnet_of(net("fd00::/8"))
    again = resolved(document, Facts(routes=(four, six)), leases=leases_of(before))
    assert subnets(again) == subnets(before)


def test_a_kept_subnet_gives_way_to_one_that_is_asked_for_by_name():
    before = resolved({"networks": {"a": None}})
    after = resolved(
        {"networks": {"a": None, "b": {"ipam": {"config": [{"subnet": "172.17.9.0/24"}]}}}}, leases=leases_of(before)
    )
    assert subnets(after) == {"a": ["172.18.0.0/16"], "b": ["172.17.9.0/24"]}


def test_an_ipv6_prefix_is_the_networks_own():
    """RFC 4193: from (project, network), so the same on every host and run."""
    one, again, other = (
        subnets(resolved(project=project, document={"networks": {"a": {"enable_ipv6": True}}}))["a"][1]
        for project in ("x", "x", "y")
    )
    assert one == again != other and net(one).prefixlen == 64 and net(one).subnet_of(net("fd00::/8"))


def test_pools_run_out_with_a_sentence():
    defaults = {"default_address_pools": [{"base": "10.90.0.0/23", "size": 24}]}
    with pytest.raises(DocklessError) as refusal:
        resolved({"networks": dict.fromkeys("abc")}, defaults=defaults)
    assert str(refusal.value) == (
        "networks.c.ipam: network c cannot get an IPv4 subnet, because the address pools are exhausted. "
        "Set ipam.config[0].subnet, or enlarge default_address_pools."
    )


def test_finding_a_gap_leaps_over_what_is_taken():
    """A /30 in a pool whose first 65,536 subnets lie in one route is found without trying them."""
    defaults = Defaults(default_address_pools=((net("10.0.0.0/8"), 30),))
    taken = [net("10.0.0.0/9"), net("10.128.0.0/10")]
    assert str(ipam.free_subnet(4, None, taken, defaults, Network("shop", "n"))) == "10.192.0.0/30"


@pytest.mark.parametrize("seed", range(40))
def test_subnets_never_overlap_and_addresses_are_never_given_twice(seed):
    """For any document, routes and leases: the promises that everything else rests on."""
    chance = random.Random(seed)
    routes = tuple(
        net(f"172.{chance.randint(17, 31)}.{chance.randrange(0, 256, 64)}.0/{chance.choice((24, 18))}")
        for turn in range(chance.randint(0, 6))
    )
    host = None
    for _turn in range(3):
        networks = {f"n{i}": {"enable_ipv6": chance.random() < 0.5} for i in range(chance.randint(1, 8))}
        sandboxes = {
            f"s{i}": {"networks": chance.sample(sorted(networks), chance.randint(1, len(networks)))}
            for i in range(chance.randint(1, 9))
        }
        before = host
        host = resolved(
            {"networks": networks, "sandboxes": sandboxes},
            Facts(routes=routes),
            leases=leases_of(before) if before else None,
        )
        all_subnets = [s.network for p in host.projects for n in p.networks for s in n.subnets]
        for i, one in enumerate(all_subnets):
            assert overlaps(one, all_subnets[:i]) is None and overlaps(one, routes) is None
        gateways = [str(s.gateway) for p in host.projects for n in p.networks for s in n.subnets]
        given = [a.split("/")[0] for each in addresses(host).values() for a in each]
        assert len(set(given + gateways)) == len(given) + len(gateways)
        now, still = (
            _by_endpoint(host),
            {(n.key, s.version) for p in host.projects for n in p.networks for s in n.subnets},
        )
        for key, kept in (_by_endpoint(before) if before else {}).items():
            assert key not in now or {a for a in kept if (key[2], 6 if ":" in a else 4) in still} <= set(now[key])


def _by_endpoint(host):
    return {e.key: e.addresses for p in host.projects for s in p.sandboxes for e in s.endpoints}
