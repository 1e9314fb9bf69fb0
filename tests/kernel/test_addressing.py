# SPDX-License-Identifier: GPL-3.0-or-later
"""Subnets and addresses as a host gets them: chosen beside what it has, kept while others come and go."""

from __future__ import annotations

import ipaddress

import pytest

from support import traffic
from support.traffic import network


def subnets(host, project="shop"):
    """Return the subnets of each network, as show reports them."""
    return {
        row["name"]: [subnet["subnet"] for subnet in row["ipam"]["config"]]
        for row in host.dockless("show", "--project", project, "--json")["networks"]
    }


def addresses(answer):
    """Return the addresses of each (sandbox, network)."""
    return {(row["sandbox"], row["network"]): row["addresses"] for row in answer["endpoints"]}


def plain(*names, **options):
    """Return networks without a subnet of their own."""
    return {name: network(**options) for name in names}


def config(**options):
    """Return a network with one subnet that has options."""
    return network(ipam={"config": [options]})


@pytest.mark.smoke
def test_automatic_subnets_avoid_what_the_host_routes(private_host):
    """A route, a link's subnet and a route in another table; what stands on the way is leapt over, not tried."""
    private_host.sh(
        "ip route add 172.17.0.0/17 via 192.0.2.3; ip address add 172.18.255.1/30 dev eth0; "
        "ip route add 172.20.9.9/32 via 192.0.2.3"
    )
    private_host.apply({"networks": plain("a", "b", "c")})
    assert subnets(private_host) == {"a": ["172.19.0.0/16"], "b": ["172.21.0.0/16"], "c": ["172.22.0.0/16"]}
    assert private_host.ping(None, "172.19.0.1") and private_host.ping(None, "172.22.0.1")
    private_host.sh("ip route del 172.17.0.0/17; ip address del 172.18.255.1/30 dev eth0; ip route del 172.20.9.9/32")
    assert not private_host.apply({"networks": plain("a", "b", "c")})["changed"]  # nobody is moved into the gap


def test_asked_for_subnet_over_a_host_route_is_warned_of(private_host):
    private_host.sh("ip route add 10.50.0.0/16 via 192.0.2.3")
    answer = private_host.apply({"networks": {"a": network("10.50.1.0/24")}})
    assert any("10.50.1.0/24" in warning and "10.50.0.0/16" in warning for warning in answer["warnings"])
    private_host.sh("ip route del 10.50.0.0/16 via 192.0.2.3")


def test_default_address_pools(private_host):
    """Pools in their order; changed pools reach new networks only; an explicit address wins."""
    pools = [{"base": "175.30.0.0/16", "size": 16}, {"base": "175.33.0.0/16", "size": 24}]
    defaults = {"default_address_pools": pools}
    document = {"networks": plain("a", "b"), "sandboxes": {"old": {"network_mode": "bridge"}}}
    first = private_host.apply({**document, "defaults": defaults})
    assert subnets(private_host) == {"bridge": ["175.30.0.0/16"], "a": ["175.33.0.0/24"], "b": ["175.33.1.0/24"]}
    assert addresses(first)["old", "bridge"] == ["175.30.0.2/16"]
    later = {
        "networks": {**document["networks"], **plain("c", "d")},
        "sandboxes": document["sandboxes"],
        "defaults": {"default_address_pools": [{"base": "175.33.0.0/16", "size": 24}]},
    }
    second = private_host.apply(later)
    assert subnets(private_host) == {
        "bridge": ["175.30.0.0/16"],
        **{name: [f"175.33.{i}.0/24"] for i, name in enumerate("abcd")},
    }
    assert addresses(second)["old", "bridge"] == ["175.30.0.2/16"]


def test_bip_wins_over_pools(private_host):
    """bip with fixed_cidr and default_gateway on the default bridge."""
    defaults = {
        "bip": "10.60.0.1/24",
        "fixed_cidr": "10.60.0.128/25",
        "default_address_pools": [{"base": "175.30.0.0/16", "size": 16}],
    }
    answer = private_host.apply({"sandboxes": {"old": {"network_mode": "bridge"}}, "defaults": defaults})
    assert addresses(answer)["old", "bridge"] == ["10.60.0.128/24"]
    assert traffic.links(private_host)["dockless0"]["cidrs"] == ["10.60.0.1/24"]
    assert traffic.default_routes(private_host, "old") == ["10.60.0.1 eth0"] and private_host.ping(
        "old", "198.51.100.1"
    )


def test_exhausted_pools_are_reported_before_any_change(private_host):
    pools = {"default_address_pools": [{"base": "10.70.0.0/23", "size": 24}]}
    told = private_host.refusal({"networks": plain("a", "b", "c"), "defaults": pools})
    assert "network c cannot get an IPv4 subnet" in told and "networks.c.ipam" in told
    private_host.assert_back_to(private_host.birth)
    private_host.apply({"networks": plain("a", "b"), "defaults": pools})
    assert sorted(subnets(private_host).values()) == [["10.70.0.0/24"], ["10.70.1.0/24"]]


REFUSED = {
    "range outside": (
        {"a": config(subnet="172.28.0.0/16", ip_range="172.29.0.0/24")},
        "172.29.0.0/24 is not within the subnet 172.28.0.0/16",
    ),
    "two gateways": (
        {"a": config(subnet="172.28.0.0/16", gateway=["172.28.0.1", "172.28.0.2"])},
        "cannot have two gateways",
    ),
    "overlap within": (
        {"a": network("172.28.0.0/16 172.28.5.0/24")},
        "172.28.5.0/24 of network shop/a overlaps 172.28.0.0/16",
    ),
    "overlap between": (
        {"a": network("192.168.0.0/16"), "b": network("192.168.128.0/17")},
        "192.168.128.0/17 of network shop/b overlaps",
    ),
    "same twice": (
        {"a": network("10.1.0.0/24"), "b": network("10.1.0.0/24")},
        "overlaps 10.1.0.0/24 of network shop/a",
    ),
    "gateway outside": (
        {"a": config(subnet="10.100.0.0/24", gateway="10.200.0.1")},
        "10.200.0.1 is not within the subnet 10.100.0.0/24",
    ),
    "one address": ({"a": network("10.1.0.7/32")}, "10.1.0.7/32 is too small"),
    "unknown driver": ({"a": network(ipam={"driver": "magic"})}, "the ipam driver 'magic' is not supported"),
    "none with subnets": (
        {"a": network(ipam={"driver": "none", "config": [{"subnet": "10.1.0.0/24"}]})},
        "cannot have subnets",
    ),
}


@pytest.mark.parametrize("networks, words", REFUSED.values(), ids=REFUSED.keys())
def test_invalid_addressing_is_refused_before_any_change(private_host, networks, words):
    assert words in private_host.refusal({"networks": networks})
    private_host.assert_back_to(private_host.birth)


def test_declared_addressing_is_applied(private_host):
    """Subnet, range, gateway, reserved addresses; dynamic ones out of the range, fixed ones also beside it."""
    asked = {
        "subnet": "172.28.0.0/16",
        "ip_range": "172.28.5.252/30",
        "gateway": "172.28.5.254",
        "aux_addresses": {"printer": "172.28.5.252"},
    }
    networks = {"a": network(ipam={"config": [asked, {"subnet": "fd00:28::/64"}]})}
    sandboxes = {
        "one": {"networks": ["a"]},
        "two": {"networks": ["a"]},
        "fix": {"networks": {"a": {"ipv4_address": "172.28.99.9"}}},
    }
    document = {"networks": networks, "sandboxes": sandboxes}
    given = addresses(private_host.apply(document))
    assert given["fix", "a"][0] == "172.28.99.9/16"
    assert sorted(given[name, "a"][0] for name in ("one", "two")) == ["172.28.5.253/16", "172.28.5.255/16"]
    shown = private_host.dockless("show", "--project", "shop", "--json")["networks"][0]["ipam"]["config"]
    assert shown == [asked, {"subnet": "fd00:28::/64", "gateway": "fd00:28::1"}]
    assert (
        private_host.ping("one", "172.28.99.9")
        and traffic.default_routes(private_host, "one")[0] == "172.28.5.254 eth0"
    )
    links = "ip -o link | sed 's/ state [A-Z]*//'"  # a new bridge is told to be up some time after it is
    before = private_host.sh(links)
    sandboxes["three"] = {"networks": ["a"]}
    assert "network a has no free address left in 172.28.5.252/30" in private_host.refusal(document)
    assert private_host.sh(links) == before
    del sandboxes["one"]
    assert (
        addresses(private_host.apply(document))["three", "a"][0] == given["one", "a"][0]
    )  # what is free again is given again


def test_subnets_by_size(private_host):
    """Sizes asked for give concrete prefixes, the same ever after."""
    document = {
        "networks": {"a": network("0.0.0.0/24 ::/120"), "b": network("0.0.0.0/28")},
        "sandboxes": {"x": {"networks": ["a"]}},
    }
    private_host.apply(document)
    found = subnets(private_host)
    four, six = map(ipaddress.ip_network, found["a"])
    assert four.prefixlen == 24 and six.prefixlen == 120 and six.subnet_of(ipaddress.ip_network("fd00::/8"))
    assert found["b"][0].endswith("/28")
    assert not private_host.apply(document)["changed"] and subnets(private_host) == found
    assert private_host.ping("x", str(four[1])) and private_host.ping("x", str(six[1]))


def test_impossible_fixed_addresses_are_refused(private_host):
    """On the default bridge, of the wrong family, taken, the gateway, link-local outside its range."""
    networks = {"a": network("172.20.0.0/24 fd00:20::/64"), "four": network("172.21.0.0/24"), "auto": network()}

    def told(endpoint, where="a", **more):
        return private_host.refusal(
            {"networks": networks, "sandboxes": {"web": {"networks": {where: endpoint}}, **more}}
        )

    assert "'fish' is not a valid IPv4 address" in told({"ipv4_address": "fish"})
    assert "'172.20.0.9' is not a valid IPv6 address" in told({"ipv6_address": "172.20.0.9"})
    assert "is not a valid IPv6 address" in told({"ipv6_address": "::ffff:172.20.0.9"})
    assert "172.20.0.1 is the gateway" in told({"ipv4_address": "172.20.0.1"})
    assert "172.20.0.255 is the network or broadcast address" in told({"ipv4_address": "172.20.0.255"})
    assert "172.99.0.9 is not within 172.20.0.0/24" in told({"ipv4_address": "172.99.0.9"})
    assert "has no declared IPv6 subnet" in told({"ipv6_address": "fd00::9"}, "four")
    twice = {"ipv4_address": "172.20.0.9"}
    assert "172.20.0.9 is taken by sandbox shop/web" in told(twice, other={"networks": {"a": twice}})
    for wrong in ("169.253.5.5", "2001:db8::89"):
        assert f"{wrong} is not a link-local address" in told({"link_local_ips": [wrong]})
    private_host.assert_back_to(private_host.birth)


def test_fixed_addresses_come_before_dynamic_ones(private_host):
    """On two networks, also when they are asked for late: who has one dynamically gives way, and only he."""
    networks = {"a": network("172.20.0.0/24 fd00:20::/64"), "b": network("172.21.0.0/24 fd00:21::/64")}
    fixed = {
        "a": {"ipv4_address": "172.20.0.2", "ipv6_address": "fd00:20::2"},
        "b": {"ipv4_address": "172.21.0.77", "ipv6_address": "fd00:21::77"},
    }
    sandboxes = {"alpha": {"networks": ["a"]}, "zulu": {"networks": fixed}}
    document = {"networks": networks, "sandboxes": sandboxes}
    first = addresses(private_host.apply(document))
    assert first["zulu", "a"] == ["172.20.0.2/24", "fd00:20::2/64"] and first["zulu", "b"] == [
        "172.21.0.77/24",
        "fd00:21::77/64",
    ]
    assert first["alpha", "a"] == ["172.20.0.3/24", "fd00:20::3/64"]
    links = traffic.links(private_host, "zulu")
    assert set(fixed["a"].values()) <= {cidr.partition("/")[0] for cidr in links["eth0"]["cidrs"]}
    assert all(private_host.ping("alpha", address) for address in fixed["a"].values())
    sandboxes["late"] = {"networks": {"a": {"ipv4_address": "172.20.0.3"}}}
    second = addresses(private_host.apply(document))
    assert second["late", "a"][0] == "172.20.0.3/24" and second["alpha", "a"] == ["172.20.0.4/24", "fd00:20::3/64"]
    assert private_host.ping("alpha", "172.20.0.3") and private_host.ping("late", "172.20.0.4")


def test_leases_stay_when_neighbours_come_and_go(private_host):
    """Addresses do not depend on the order of names: those who stay keep theirs, in every project."""
    networks = {"a": network("172.20.0.0/24")}
    document = {"networks": networks, "sandboxes": {name: {"networks": ["a"]} for name in ("k", "m", "p")}}
    first = addresses(private_host.apply(document))
    document["sandboxes"] = {name: {"networks": ["a"]} for name in ("b", "m", "p", "z")}
    second = addresses(private_host.apply(document))
    assert {key: value for key, value in second.items() if key in first} == {
        key: first[key] for key in (("m", "a"), ("p", "a"))
    }
    assert not private_host.apply(document)["changed"]
    private_host.apply(
        {"networks": {"a": {"external": True, "name": "shop/a"}}, "sandboxes": {"aaa": {"networks": ["a"]}}},
        project="annex",
    )
    assert addresses(private_host.apply(document)) == second
    held = [
        address
        for value in [*second.values(), traffic.links(private_host, "aaa")["eth0"]["cidrs"]]
        for address in value
    ]
    assert len(held) == len(set(held)) == 5


def test_link_local_addresses_ping(private_host):
    """169.254.x and fe80:: ones beside the network's own."""

    def sandbox(number):
        return {"networks": {"a": {"link_local_ips": [f"169.254.8.{number}", f"fe80::8:{number}"]}}}

    private_host.apply(
        {
            "networks": {"a": network("172.20.0.0/24 fd00:20::/64")},
            "sandboxes": {f"s{n}": sandbox(n) for n in (1, 2, 3)},
        }
    )
    assert all(
        private_host.ping("s1", f"169.254.8.{n}") and private_host.ping("s1", f"fe80::8:{n}%eth0") for n in (2, 3)
    )


def test_64_bit_ip_ranges_and_the_end_of_a_subnet(private_host):
    ends = {"subnet": "fd00:30::/64", "ip_range": "fd00:30::ffff:ffff:ffff:fffe/127"}
    wide = {"subnet": "fd00:31::/56", "ip_range": "fd00:31:0:1::/64"}
    networks = {
        "end": network(ipam={"config": [ends]}, enable_ipv4=False),
        "wide": network(ipam={"config": [wide]}, enable_ipv4=False),
    }
    sandboxes = {"one": {"networks": ["end", "wide"]}, "two": {"networks": ["end", "wide"]}}
    given = addresses(private_host.apply({"networks": networks, "sandboxes": sandboxes}))
    assert sorted(given[name, "end"][0] for name in sandboxes) == [
        "fd00:30::ffff:ffff:ffff:fffe/64",
        "fd00:30::ffff:ffff:ffff:ffff/64",
    ]
    assert given["one", "wide"] == ["fd00:31:0:1::/56"] or given["one", "wide"] == ["fd00:31:0:1::1/56"]
    assert private_host.ping("one", given["two", "end"][0].partition("/")[0]) and private_host.ping(
        "one", given["two", "wide"][0].partition("/")[0]
    )


def test_network_without_addresses(private_host):
    """Up, with neither address nor route; what the user puts there works."""
    private_host.apply(
        {
            "networks": {"bare": network(ipam={"driver": "none"})},
            "sandboxes": {"one": {"networks": ["bare"]}, "two": {"networks": ["bare"]}},
        }
    )
    assert (
        traffic.links(private_host, "one")["eth0"]["cidrs"] == []
        and private_host.sh("ip route; ip -6 route", netns="one") == ""
    )
    private_host.sh("ip address add 10.9.9.1/24 dev eth0", netns="one")
    private_host.sh("ip address add 10.9.9.2/24 dev eth0", netns="two")
    assert private_host.ping("one", "10.9.9.2")


def test_generated_and_configured_macs(private_host):
    """Generated ones differ and return; a configured one is kept and answers."""
    networks = {"a": network("172.20.0.0/24"), "b": network("172.21.0.0/24")}
    document = {
        "networks": networks,
        "sandboxes": {
            "one": {"networks": ["a", "b"]},
            "two": {"networks": {"a": {"mac_address": "AA:BB:CC:DD:EE:FE"}}},
        },
    }
    macs = {(row["sandbox"], row["network"]): row["mac_address"] for row in private_host.apply(document)["endpoints"]}
    assert len(set(macs.values())) == 3 and macs["two", "a"] == "aa:bb:cc:dd:ee:fe"
    assert traffic.links(private_host, "two")["eth0"]["address"] == "aa:bb:cc:dd:ee:fe" and private_host.ping(
        None, "172.20.0.3"
    )
    private_host.apply({"networks": networks, "sandboxes": {}})
    again = {(row["sandbox"], row["network"]): row["mac_address"] for row in private_host.apply(document)["endpoints"]}
    assert again == macs
    stored = private_host.read("/etc/dockless/projects/shop.json")
    assert macs["one", "a"] not in stored and "AA:BB:CC:DD:EE:FE" in stored  # only configured MACs are stored
    document["sandboxes"]["one"]["networks"] = {"a": {"mac_address": "aa:bb:cc:dd:ee:fe"}, "b": None}
    assert "aa:bb:cc:dd:ee:fe is taken by sandbox" in private_host.refusal(document)
