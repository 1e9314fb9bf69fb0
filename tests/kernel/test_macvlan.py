# SPDX-License-Identifier: GPL-3.0-or-later
"""Sandboxes on the host's own interfaces: what the neighbour on eth0's link sees of them, and what the host does."""

from __future__ import annotations

import pytest

from support import traffic
from support.invariants import hooked
from support.private_host import FAR_ADDRESSES, HOST_ADDRESSES, NEIGHBOUR_ADDRESSES, SUPPORT, SYSTEM_PYTHON

FAR4, FAR6 = FAR_ADDRESSES
LAN4 = {
    "subnet": "192.0.2.0/24",
    "gateway": NEIGHBOUR_ADDRESSES[0],
    "ip_range": "192.0.2.64/26",
    "aux_addresses": {"eth0": HOST_ADDRESSES[0]},
}
LAN6 = {"subnet": "2001:db8:1::/64", "gateway": NEIGHBOUR_ADDRESSES[1], "aux_addresses": {"eth0": HOST_ADDRESSES[1]}}
PAIR = {"one": {"networks": ["lan"]}, "two": {"networks": ["lan"]}}
KINDS = """
import sys
from _dockless.observe import parents
print(parents.has_kind(sys.argv[1]))
"""


def lan(*subnets, **options):
    """Return a macvlan network's declaration without names; its parent is eth0 by default."""
    return {
        "driver": "macvlan",
        "parent": "eth0",
        "dns_enabled": False,
        **({"ipam": {"config": list(subnets)}} if subnets else {}),
        **options,
    }


def addresses(answer, sandbox, network="lan"):
    """Return a sandbox's addresses on a network, without prefix length."""
    row = next(row for row in answer["endpoints"] if (row["sandbox"], row["network"]) == (sandbox, network))
    return [cidr.partition("/")[0] for cidr in row["addresses"]]


def needs(host, kind):
    """Skip the test where the kernel has no links of a kind."""
    if host.python(KINDS, kind).stdout.strip() != "True":
        pytest.skip(f"this kernel has no {kind} links")


def test_sandboxes_are_hosts_of_the_link(private_host):
    """Device, address, route and MTU are as reported. A second run changes nothing.

    The neighbour and what is behind it are reached.
    """
    document = {"networks": {"lan": lan(LAN4, LAN6, mtu=1400)}, "sandboxes": PAIR}
    answer = private_host.apply(document)
    assert not private_host.apply(document)["changed"] and not private_host.plan(document)["changed"]
    eth0 = traffic.links(private_host, "one")["eth0"]
    assert (
        eth0["linkinfo"]["info_kind"] == "macvlan"
        and eth0["linkinfo"]["info_data"]["mode"] == "bridge"
        and "UP" in eth0["flags"]
    )
    assert eth0["mtu"] == 1400 and eth0["address"] == answer["endpoints"][0]["mac_address"]
    assert private_host.sh("cat /proc/sys/net/ipv6/conf/eth0/accept_ra", netns="one") == "0"
    assert traffic.default_routes(private_host, "one") == [
        f"{NEIGHBOUR_ADDRESSES[0]} eth0",
        f"{NEIGHBOUR_ADDRESSES[1]} eth0",
    ]
    for address in addresses(answer, "two"):
        assert private_host.ping("one", address) and private_host.neighbour().ping(None, address)
        assert not private_host.ping(None, address, wait=1)  # no link of the host meets those on its parent
    for address in (*NEIGHBOUR_ADDRESSES, *FAR_ADDRESSES):
        assert private_host.ping("one", address)
    assert traffic.fits(private_host, "one", FAR4, 1400) and not traffic.fits(private_host, "one", FAR4, 1401)


@pytest.mark.parametrize("mode", ["private", "vepa", "passthru"])
def test_macvlan_modes(private_host, mode):
    """As declared, by either spelling; in none of these do two sandboxes meet without the switch."""
    sandboxes = PAIR if mode != "passthru" else {"one": PAIR["one"]}
    answer = private_host.apply(
        {"networks": {"lan": lan(LAN4, driver_opts={"macvlan_mode": mode})}, "sandboxes": sandboxes}
    )
    assert traffic.links(private_host, "one")["eth0"]["linkinfo"]["info_data"]["mode"] == mode
    if mode == "passthru":
        assert traffic.links(private_host, "one")["eth0"]["address"] == traffic.links(private_host)["eth0"]["address"]
        return
    assert private_host.ping("one", FAR4)
    assert not private_host.ping("one", addresses(answer, "two")[0], wait=1)
    document = {"networks": {"lan": lan(LAN4)}, "sandboxes": PAIR}
    assert any(
        line.startswith("update macvlan eth0 in one (data is mode=")
        for line in private_host.apply(document)["operations"]
    )
    assert private_host.ping("two", addresses(answer, "one")[0])  # nobody has looked for this one in vain


def test_passthru_needs_the_parent_alone(private_host):
    """Refused in either order while another network is there (nothing touched).

    In its place, in one run, it is made.
    """
    both = {"lan": lan(LAN4), "mine": lan(LAN4, mode="passthru")}
    assert "needs a parent for itself" in private_host.refusal({"networks": both, "sandboxes": PAIR})
    private_host.assert_back_to(private_host.birth)
    private_host.apply({"networks": {"lan": lan(LAN4)}, "sandboxes": PAIR})
    answer = private_host.apply(
        {"networks": {"mine": lan(LAN4, mode="passthru")}, "sandboxes": {"one": {"networks": ["mine"]}}}
    )
    assert traffic.links(private_host, "one")["eth0"]["linkinfo"]["info_data"]["mode"] == "passthru"
    private_host.apply({"networks": {"lan": lan(LAN4)}, "sandboxes": PAIR})
    assert private_host.ping("one", FAR4) and answer["changed"]


@pytest.mark.parametrize("subnet", ["172.30.0.0/24", "172.30.0.0/31", "fd00:30::/64"])
def test_macvlan_without_a_parent(private_host, subnet):
    """Sandboxes reach each other, all addresses are theirs, and outside is unreachable.

    The bridge below goes with the network.
    """
    answer = private_host.apply({"networks": {"lan": lan({"subnet": subnet}, parent=None)}, "sandboxes": PAIR})
    assert private_host.ping("one", addresses(answer, "two")[0]) and private_host.ping(
        "two", addresses(answer, "one")[0]
    )
    assert (
        "unreachable"
        in private_host.run(
            ["ping", "-n", "-c", "1", FAR6 if ":" in subnet else FAR4], netns="one", check=False
        ).stderr.lower()
    )
    assert traffic.default_routes(private_host, "one") == []
    private_host.apply({"networks": {}, "sandboxes": {}})
    assert set(traffic.links(private_host)) == {"lo", "eth0"}


@pytest.mark.smoke
def test_internal_macvlan_with_a_parent(private_host):
    """No way further than the link itself."""
    private_host.apply({"networks": {"lan": lan(LAN4, LAN6, internal=True)}, "sandboxes": PAIR})
    assert private_host.ping("one", NEIGHBOUR_ADDRESSES[0]) and traffic.default_routes(private_host, "one") == []
    assert "unreachable" in private_host.run(["ping", "-n", "-c", "1", FAR4], netns="one", check=False).stderr


SUBNETS = [
    {"subnet": "172.28.2.0/24"},
    {"subnet": "172.28.4.0/24", "gateway": "172.28.4.254"},
    {"subnet": "2001:db8:4::/64"},
    {"subnet": "2001:db8:6::/64", "gateway": "2001:db8:6::fe"},
]


@pytest.mark.parametrize("parent", ["eth0", None])
def test_macvlan_with_several_subnets(private_host, parent):
    """Sandboxes of one subnet reach each other; gateways are only where they are given, and none without a parent."""
    places = {
        "one": ("172.28.2.10", "2001:db8:4::10"),
        "two": ("172.28.2.11", "2001:db8:4::11"),
        "three": ("172.28.4.10", "2001:db8:6::10"),
        "four": ("172.28.4.11", "2001:db8:6::11"),
    }
    sandboxes = {
        name: {"networks": {"lan": {"ipv4_address": four, "ipv6_address": six}}} for name, (four, six) in places.items()
    }
    private_host.apply({"networks": {"lan": lan(*SUBNETS, parent=parent)}, "sandboxes": sandboxes})
    for asking, answering in (("one", "two"), ("three", "four")):
        assert all(private_host.ping(asking, address) for address in places[answering])
    assert traffic.default_routes(private_host, "one") == []
    assert traffic.default_routes(private_host, "three") == (
        ["172.28.4.254 eth0", "2001:db8:6::fe eth0"] if parent else []
    )


def test_gateway_of_one_family_only(private_host):
    """None by itself for the other."""
    private_host.apply(
        {"networks": {"lan": lan({"subnet": "192.0.2.0/24", "ip_range": "192.0.2.64/26"}, LAN6)}, "sandboxes": PAIR}
    )
    assert traffic.default_routes(private_host, "one") == [f"{NEIGHBOUR_ADDRESSES[1]} eth0"]
    assert private_host.ping("one", FAR6) and not private_host.ping("one", FAR4, wait=1)


@pytest.mark.parametrize(
    "families", [(True, True), (True, False), (False, True), None], ids=["both", "IPv4", "IPv6", "none"]
)
def test_macvlan_address_families(private_host, families):
    """Addresses as the switches say, IPv6 off on the link where it has none, and lo with both."""
    four, six = families or (False, False)
    options = {"enable_ipv4": four, "enable_ipv6": six} if families else {"ipam": {"driver": "none"}}
    answer = private_host.apply({"networks": {"lan": lan(**options)}, "sandboxes": PAIR})
    assert [":" in address for address in addresses(answer, "one")] == [False] * four + [True] * six
    found = traffic.links(private_host, "one")
    assert len(found["eth0"]["cidrs"]) == four + 2 * six and found["lo"]["cidrs"] == ["127.0.0.1/8", "::1/128"]
    assert private_host.sh("cat /proc/sys/net/ipv6/conf/eth0/disable_ipv6", netns="one") == str(int(not six))


def test_macvlan_networks_on_one_subnet_share_its_addresses(private_host):
    """Three networks with ranges that overlap; whoever comes, from whichever, gets what nobody has, and keeps it."""
    networks = {
        name: lan({"subnet": "172.28.0.0/24", **extra}, {"subnet": "2001:db8:9::/64"})
        for name, extra in {"a": {}, "b": {"ip_range": "172.28.0.0/29"}, "c": {"ip_range": "172.28.0.4/30"}}.items()
    }
    document = {
        "networks": networks,
        "sandboxes": {f"{name}{number}": {"networks": [name]} for name in "abc" for number in (1, 2)},
    }
    document["sandboxes"]["fixed"] = {"networks": {"a": {"ipv4_address": "172.28.0.4"}}}
    answer = private_host.apply(document)
    given = [address for row in answer["endpoints"] for address in row["addresses"]]
    assert len(set(given)) == len(given) == 14
    assert private_host.ping("a1", addresses(answer, "c2", "c")[0]) and private_host.ping(
        "b1", addresses(answer, "fixed", "a")[1]
    )
    document["sandboxes"]["a0"] = {"networks": ["a"]}
    again = private_host.apply(document)
    assert [row for row in again["endpoints"] if row["sandbox"] != "a0"] == answer["endpoints"]
    assert not {*again["endpoints"][0]["addresses"]} & set(given)


def test_dns_on_macvlan(private_host):
    """Sandboxes find each other.

    Other names are asked for by way of the parent, and of nobody without one or where it is internal.
    """
    named = {"dns_enabled": True}
    networks = {
        "lan": lan(LAN4, **named),
        "inner": lan({"subnet": "172.28.1.0/24"}, internal=True, **named),
        "alone": lan(parent=None, **named),
    }
    sandboxes = {
        **PAIR,
        "in1": {"networks": ["inner"]},
        "al1": {"networks": {"alone": {"aliases": ["www"]}}},
        "al2": {"networks": ["alone"]},
    }
    upstream = private_host.neighbour().popen([SYSTEM_PYTHON, str(SUPPORT / "dns_upstream.py"), NEIGHBOUR_ADDRESSES[0]])
    assert upstream.readline() == "ready"
    answer = private_host.apply({"networks": networks, "sandboxes": sandboxes})
    assert private_host.lookup("one", "two") == addresses(answer, "two") and private_host.lookup(
        "al2", "www"
    ) == addresses(answer, "al1", "alone")
    for sandbox in ("in1", "al1"):
        assert private_host.lookup(sandbox, "inner.example") == []
    assert "203.0.113.7" in private_host.lookup("one", "far.example")
    assert upstream.readline().startswith("far.example")  # and of inner.example it was not asked


def test_parent_link_down(private_host):
    """Sandboxes are made on a tap without a user, and on a link that is down; when it comes up they are there."""
    private_host.sh("ip tuntap add mode tap tap0; ip link add down0 type veth peer name down1; ip link set down1 up")
    private_host.sh("ip address add 172.28.2.1/24 dev down1")
    subnets = (
        {"subnet": "172.28.1.0/24", "gateway": "172.28.1.254"},
        {"subnet": "fd00:28::/64", "gateway": "fd00:28::fe"},
    )
    document = {
        "networks": {
            "lan": lan(*subnets, parent="tap0"),
            "cut": lan(
                {"subnet": "172.28.2.0/24", "gateway": "172.28.2.1", "ip_range": "172.28.2.64/26"}, parent="down0"
            ),
        },
        "sandboxes": {"one": {"networks": {"lan": {"interface_name": "tapped"}}}, "two": {"networks": ["cut"]}},
    }
    answer = private_host.apply(document)
    assert not private_host.apply(document)["changed"] and "tapped" in traffic.links(private_host, "one")
    assert not private_host.ping("two", "172.28.2.1", wait=1)
    private_host.sh("ip link set down0 up")
    assert private_host.ping("two", "172.28.2.1", wait=5) and not private_host.apply(document)["changed"]
    assert len(answer["endpoints"]) == 2
    private_host.apply({}, absent=True)
    private_host.sh("ip link del tap0; ip link del down0")


def test_range_of_one_address(private_host):
    """A range of one address serves one sandbox, for no gateway takes it by itself; the next must name one."""
    network = lan({"subnet": "172.28.0.0/24", "ip_range": "172.28.0.9/32"})
    assert addresses(private_host.apply({"networks": {"lan": network}, "sandboxes": {"one": PAIR["one"]}}), "one") == [
        "172.28.0.9"
    ]
    told = private_host.refusal({"networks": {"lan": network}, "sandboxes": PAIR})
    assert "no free address left in 172.28.0.9/32 for sandbox two" in told
    two = {"networks": {"lan": {"ipv4_address": "172.28.0.10"}}}
    answer = private_host.apply({"networks": {"lan": network}, "sandboxes": {"one": PAIR["one"], "two": two}})
    assert private_host.ping("one", addresses(answer, "two")[0])


def test_existing_vlan_link_is_used_and_kept(private_host):
    """One that is there before us, whatever made it, is neither changed nor removed; two networks share it."""
    private_host.sh(
        "ip link add eth0.60 type veth peer name vlan60 && ip link set eth0.60 up mtu 1450 addrgenmode none && "
        "ip link set vlan60 up addrgenmode none && ip address add 172.28.0.1/24 dev vlan60"
    )
    before = private_host.snapshot()
    networks = {
        name: lan({"subnet": "172.28.0.0/24", "ip_range": "172.28.0.64/26"}, parent="eth0.60") for name in ("a", "b")
    }
    document = {"networks": networks, "sandboxes": {"one": {"networks": ["a"]}, "two": {"networks": ["b"]}}}
    answer = private_host.apply(document)
    assert (
        private_host.ping("one", "172.28.0.1")
        and private_host.ping("two", "172.28.0.1")
        and private_host.ping("one", addresses(answer, "two", "b")[0])
    )
    assert traffic.links(private_host, "one")["eth0"]["mtu"] == 1450
    private_host.apply({"networks": {"b": networks["b"]}, "sandboxes": {"two": document["sandboxes"]["two"]}})
    assert private_host.ping("two", "172.28.0.1")
    private_host.apply({}, absent=True)
    private_host.assert_back_to(before)
    private_host.sh("ip link del eth0.60")


def test_vlan_link_is_created_and_removed_with_its_networks(private_host):
    """Made for the first network, marked as ours, kept for the second of another project, gone with the last.

    The link below stays.
    """
    needs(private_host, "vlan")
    neighbour = private_host.neighbour()
    neighbour.sh(
        "ip link add link eth0 name tagged type vlan id 60 && ip link set tagged up && ip address add 172.28.0.1/24 "
        "dev tagged"
    )
    document = {
        "networks": {"lan": lan({"subnet": "172.28.0.0/24", "ip_range": "172.28.0.64/26"}, parent="eth0.60")},
        "sandboxes": {"one": PAIR["one"]},
    }
    private_host.apply(document)
    made = traffic.links(private_host)["eth0.60"]
    assert made["linkinfo"]["info_data"]["id"] == 60 and made["group"] == "25707" and made["cidrs"] == []
    assert private_host.ping("one", "172.28.0.1") and not private_host.apply(document)["changed"]
    private_host.apply({**document, "sandboxes": {"second": PAIR["one"]}}, project="other")
    private_host.apply({}, absent=True)
    assert (
        private_host.ping("second", "172.28.0.1")
        and traffic.links(private_host)["eth0.60"]["ifindex"] == made["ifindex"]
    )
    private_host.sh("ip link del eth0.60")
    private_host.apply({**document, "sandboxes": {"second": PAIR["one"]}}, project="other")
    assert private_host.ping("second", "172.28.0.1")
    private_host.apply({}, project="other", absent=True)
    assert set(traffic.links(private_host)) == {"lo", "eth0"}
    neighbour.sh("ip link del tagged")


def test_vlans_that_the_kernel_cannot_make_are_refused(private_host):
    """Before anything is touched, and in check mode as well."""
    if private_host.python(KINDS, "vlan").stdout.strip() == "True":
        pytest.skip("this kernel can make VLANs")
    document = {"networks": {"lan": lan(LAN4, parent="eth0.60")}, "sandboxes": PAIR}
    assert "interface eth0.60 does not exist, and this kernel does not support VLANs" in private_host.refusal(document)
    private_host.assert_back_to(private_host.birth)


PARENTS = {
    "missing": ("", "eth7", "network lan has the parent eth7, but this host has no such interface"),
    "missing below a VLAN": ("", "eth7.60", "network lan has the parent eth7, but this host has no such interface"),
    "a bridge's port": (
        "ip link add br0 type bridge && ip link add p0 type veth peer name p1 && ip link set p0 master br0",
        "p0",
        "p0 is a port of br0",
    ),
}


@pytest.mark.parametrize("make, parent, words", PARENTS.values(), ids=PARENTS.keys())
def test_parents_that_cannot_be(private_host, make, parent, words):
    """Refused with the reason before anything is touched."""
    private_host.sh(make or "true")
    before = private_host.snapshot()
    told = private_host.refusal({"networks": {"lan": lan(parent=parent)}, "sandboxes": PAIR})
    assert words in told and "networks.lan.parent: " in told
    private_host.assert_back_to(before)
    private_host.sh("ip link del br0; ip link del p0" if make else "true")


def test_managed_bridge_cannot_be_a_parent(private_host):
    """Isolation could be bypassed."""
    private_host.apply({"networks": {"front": {"bridge_name": "br-front", "dns_enabled": False}}, "sandboxes": {}})
    told = private_host.refusal({"networks": {"lan": lan(parent="br-front")}, "sandboxes": PAIR}, project="other")
    assert "br-front belongs to another network that dockless manages" in told


def test_a_packet_too_large_for_the_parent_is_refused(private_host):
    """The kernel would say invalid argument."""
    told = private_host.refusal({"networks": {"lan": lan(mtu=1501)}, "sandboxes": PAIR})
    assert "networks.lan.mtu: network lan has an MTU of 1501 bytes, but its parent eth0 has 1500" in told


@pytest.mark.parametrize("parent", ["eth0", None])
def test_host_access(private_host, parent):
    """The host and its sandboxes reach each other, in both families, and the host forwards nothing to or from there;
    without it they do not.
    """
    subnets = (
        ({**LAN4, "aux_addresses": {**LAN4["aux_addresses"], "host": "192.0.2.100"}}, LAN6)
        if parent
        else ({"subnet": "172.28.0.0/24"},)
    )
    document = {"networks": {"lan": lan(*subnets, parent=parent, host_access=True)}, "sandboxes": PAIR}
    answer = private_host.apply(document)
    assert not private_host.apply(document)["changed"]
    shim = next(link for name, link in traffic.links(private_host).items() if name.startswith("mv-"))
    own = [cidr.partition("/")[0] for cidr in shim["cidrs"] if not cidr.startswith("fe80")]
    assert own[0] == ("192.0.2.100" if parent else "172.28.0.1") and len(own) == len(subnets)
    for sandbox in PAIR:
        assert all(private_host.ping(None, address) for address in addresses(answer, sandbox))
        assert all(private_host.ping(sandbox, address) for address in own)
    if parent:
        assert private_host.ping("one", HOST_ADDRESSES[0]) and private_host.ping("one", FAR4)
    document["sandboxes"] = {**PAIR, "three": {"networks": {"lan": None}, "extra_hosts": {"box": "host-gateway"}}}
    later = private_host.apply(document)
    assert later["endpoints"][:1] == answer["endpoints"][:1] and private_host.ping(None, addresses(later, "three")[0])
    assert own[0] in private_host.lookup("three", "box")
    document["networks"]["lan"]["host_access"] = False
    document["sandboxes"] = PAIR
    private_host.apply(document)
    assert not private_host.ping(None, addresses(answer, "one")[0], wait=1) and private_host.ping(
        "one", addresses(answer, "two")[0]
    )


def test_host_side_link_routes_to_the_network_only(private_host):
    """A sandbox cannot use the host as its router by way of the host's link: a rule on managed links drops it."""
    document = {"networks": {"lan": lan(LAN4, host_access=True)}, "sandboxes": PAIR}
    private_host.apply(document)
    shim = next(
        link["cidrs"][0].partition("/")[0]
        for name, link in traffic.links(private_host).items()
        if name.startswith("mv-")
    )
    recorder = traffic.record(private_host.neighbour(), None, 9000)
    private_host.sh(f"ip route replace {FAR4}/32 via {shim} dev eth0", netns="one")
    traffic.send(private_host, "one", FAR4, 9000, "through the host")
    traffic.send(private_host, "two", FAR4, 9000, "by the gateway")
    assert recorder.readline().startswith("by the gateway")
    with traffic.without(private_host, "iifname != @not_internal", 'iifname != @egress counter name "egress"'):
        traffic.send(private_host, "one", FAR4, 9000, "wall down")
        assert recorder.readline().startswith("wall down")


def test_a_sandbox_on_a_bridge_as_well(private_host):
    """Its ports are published on the bridge network, which also has its default route.

    The priority turns the way, and then ports are refused.
    """
    networks = {"lan": lan(LAN4), "front": traffic.network("172.20.0.0/24")}
    document = {
        "networks": networks,
        "sandboxes": {
            "one": {"networks": {"front": {"gw_priority": 1}, "lan": None}, "ports": ["8080:80"]},
            "two": PAIR["two"],
        },
    }
    answer = private_host.apply(document)
    private_host.serve_http("one", 80, "one")
    assert traffic.default_routes(private_host, "one") == ["172.20.0.1 eth0"] and private_host.ping("one", FAR4)
    # From its own subnet on the parent nobody needs the port, and answers would go by the parent.
    private_host.neighbour().sh(f"curl --silent --fail --max-time 3 --interface {FAR4} http://192.0.2.2:8080/")
    assert private_host.fetch("two", f"http://{addresses(answer, 'one')[0]}/")
    document["sandboxes"]["one"]["networks"] = {"front": None, "lan": {"gw_priority": 1}}
    assert "its IPv4 default route leads through network lan" in private_host.refusal(document)
    del document["sandboxes"]["one"]["ports"]
    private_host.apply(document)
    assert traffic.default_routes(private_host, "one") == [f"{NEIGHBOUR_ADDRESSES[0]} eth1"]
    assert not private_host.apply(document)["changed"]


def test_no_forwarding_is_needed(private_host):
    """Packets do not pass this host, so it need not be a router."""
    with traffic.sysctls(private_host, {"ipv4/ip_forward": 0, "ipv6/conf/all/forwarding": 0}):
        private_host.apply({"networks": {"lan": lan(LAN4, LAN6)}, "sandboxes": PAIR})
        assert private_host.ping("one", FAR4) and private_host.ping("one", FAR6)


def test_drift_is_repaired_and_renames_are_asked_for(private_host):
    """What somebody renames, empties, takes down or deletes inside is as declared again.

    A name that the document changes needs recreate.
    """
    document = {"networks": {"lan": lan(LAN4)}, "sandboxes": PAIR}
    answer = private_host.apply(document)
    for damage in (
        "ip link set eth0 down; ip link set eth0 name other; ip link set other up",
        "ip address flush dev eth0",
        "ip link set eth0 down",
        "ip link del eth0",
        "ip link set eth0 mtu 1300 address 02:00:00:00:00:77",
    ):
        private_host.sh(damage, netns="one")
        repaired = private_host.apply(document)
        assert (
            repaired["changed"] and repaired["endpoints"] == answer["endpoints"] and private_host.ping("one", FAR4)
        ), damage
    document["sandboxes"] = {**PAIR, "one": {"networks": {"lan": {"interface_name": "lan0"}}}}
    assert "Set on_mismatch to recreate" in private_host.refusal(document)
    private_host.apply(document, on_mismatch="recreate")
    assert set(traffic.links(private_host, "one")) == {"lo", "lan0"} and private_host.ping("one", FAR4)


def test_from_a_bridge_to_a_parent_and_back(private_host):
    """A sandbox changes its network under one name of the interface.

    And a fixed MAC moves to another sandbox in one run.
    """
    networks = {"lan": lan(LAN4), "front": traffic.network("172.20.0.0/24")}
    for name in ("front", "lan", "front"):
        private_host.apply({"networks": networks, "sandboxes": {"one": {"networks": [name]}}})
        assert set(traffic.links(private_host, "one")) == {"lo", "eth0"} and private_host.ping("one", FAR4)
    mac = {"networks": {"lan": {"mac_address": "02:00:00:00:00:aa", "ipv4_address": "192.0.2.70"}}}
    for name in ("one", "two", "one"):
        private_host.apply({"networks": networks, "sandboxes": {name: mac}})
        assert traffic.links(private_host, name)["eth0"]["address"] == "02:00:00:00:00:aa" and private_host.ping(
            name, FAR4
        )
    rebuilt = {"networks": {"lan": lan(LAN4), "front": networks["front"]}, "sandboxes": {"one": {**mac, "sysctls": {}}}}
    private_host.sh("ip netns del one")
    private_host.apply(rebuilt)
    assert private_host.ping("one", FAR4)


def test_a_mac_in_a_namespace_that_is_ending_is_waited_for(private_host):
    """A namespace lives on while somebody is in it, and so does the MAC of its link: a run waits for its end, and
    says what is in the way if there is none.
    """
    document = {"networks": {"lan": lan(LAN4)}, "sandboxes": {"one": {"networks": ["lan"]}}}
    events = hooked(private_host, "count", 0, document)["events"]
    steps = [event for event in events if event.startswith("before")]
    # The number is that of the process; read before the name goes, because otherwise the namespace ends at once.
    holder = private_host.popen(["sh", "-c", "echo $$; exec sleep 600"], netns="one").readline()
    private_host.sh("ip netns del one")
    assert "has this MAC" in private_host.refusal(document)
    number = next(number for number, step in enumerate(steps) if "create macvlan eth0 in one" in step)
    assert hooked(private_host, f"sh:kill -KILL {holder}", number, document)["changed"]
    assert private_host.ping("one", FAR4)


def test_the_parent_goes_and_comes(private_host):
    """Its loss is reported. Another project's run is not affected; when it is there again the next run makes all."""
    private_host.sh(
        "ip link add up0 type veth peer name up1; ip link set up0 up; ip link set up1 up; "
        "ip address add 172.28.0.1/24 dev up1"
    )
    document = {
        "networks": {"lan": lan({"subnet": "172.28.0.0/24", "ip_range": "172.28.0.64/26"}, parent="up0")},
        "sandboxes": PAIR,
    }
    answer = private_host.apply(document)
    private_host.sh("ip link del up0")
    assert "network lan has the parent up0, but this host has no such interface" in private_host.refusal(document)
    private_host.apply(
        {"networks": {"front": traffic.network("172.20.0.0/24")}, "sandboxes": {"web": {"networks": ["front"]}}},
        project="other",
    )
    assert private_host.ping("web", FAR4)
    private_host.sh(
        "ip link add up0 type veth peer name up1; ip link set up0 up; ip link set up1 up; "
        "ip address add 172.28.0.1/24 dev up1"
    )
    assert private_host.apply(document)["endpoints"] == answer["endpoints"] and private_host.ping("one", "172.28.0.1")
    private_host.apply({}, absent=True)
    private_host.sh("ip link del up0")


# ---- ipvlan -----------------------------------------------------------------


def test_iv_ipvlan_is_refused_where_the_kernel_has_none(private_host):
    """Before anything is touched, and in check mode as well."""
    if private_host.python(KINDS, "ipvlan").stdout.strip() == "True":
        pytest.skip("this kernel has ipvlan links")
    document = {"networks": {"lan": lan(LAN4, driver="ipvlan")}, "sandboxes": PAIR}
    assert (
        "networks.lan.driver: network lan needs ipvlan links, which this kernel does not support"
        in private_host.refusal(document)
    )
    private_host.assert_back_to(private_host.birth)


@pytest.mark.parametrize("mode", ["l2", "l3", "l3s"])
def test_ipvlan_modes(private_host, mode):
    """l2 uses the given gateway, the others route by the link. The MAC is the parent's, and the parent stays."""
    needs(private_host, "ipvlan")
    document = {
        "networks": {"lan": lan(LAN4, driver="ipvlan", ipvlan_mode=mode, host_access=mode == "l2")},
        "sandboxes": PAIR,
    }
    answer = private_host.apply(document)
    assert not private_host.apply(document)["changed"]
    eth0 = traffic.links(private_host, "one")["eth0"]
    assert (
        eth0["linkinfo"]["info_data"]["mode"] == mode
        and eth0["address"] == traffic.links(private_host)["eth0"]["address"]
    )
    assert private_host.ping("one", addresses(answer, "two")[0]) and private_host.ping(
        None, addresses(answer, "two")[0], wait=2
    ) == (mode == "l2")
    route = private_host.sh("ip -4 route show default", netns="one")
    assert ("via" in route) == (mode == "l2")
    if mode == "l2":
        assert private_host.ping("one", FAR4)


def test_ipvlan_l3_between_subnets(private_host):
    """Sandboxes of two subnets reach each other without any gateway, with a parent or without."""
    needs(private_host, "ipvlan")
    sandboxes = {
        "one": {"networks": {"lan": {"ipv4_address": "172.28.1.9"}}},
        "two": {"networks": {"lan": {"ipv4_address": "172.28.2.9"}}},
    }
    for parent in ("eth0", None):
        network = lan(
            {"subnet": "172.28.1.0/24", "gateway": "172.28.1.1"},
            {"subnet": "172.28.2.0/24"},
            driver="ipvlan",
            mode="l3",
            parent=parent,
        )
        document = {"networks": {"lan": network}, "sandboxes": sandboxes}
        private_host.apply(document, on_mismatch="recreate")
        assert private_host.ping("one", "172.28.2.9") and private_host.ping("two", "172.28.1.9")
        assert not private_host.apply(document)["changed"]
