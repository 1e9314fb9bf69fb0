# SPDX-License-Identifier: GPL-3.0-or-later
"""Bridge networks as links, sizes and routes: what the kernel shows and what packets do."""

from __future__ import annotations

import pytest

from support import traffic
from support.private_host import FAR_ADDRESSES
from support.traffic import network

FAR4, FAR6 = "198.51.100.1", "2001:db8:2::1"
PAIR = {"one": {"networks": ["front"]}, "two": {"networks": ["front"]}}
BR_01 = {
    "IPv4": {"ipam": {"config": [{"subnet": "172.20.0.0/24"}]}},
    "IPv4 internal": {"ipam": {"config": [{"subnet": "172.20.0.0/24"}]}, "internal": True},
    "ULA": {"enable_ipv6": True, "enable_ipv4": False},
    "ULA internal": {"enable_ipv6": True, "enable_ipv4": False, "internal": True},
    "link-local": {"ipam": {"config": [{"subnet": "fe80::/64"}]}, "enable_ipv4": False},
    "long link-local": {"ipam": {"config": [{"subnet": "fe80:1234::/64"}]}, "enable_ipv4": False},
}


def bridge_of(host):
    """Return the name of the one bridge."""
    return host.sh("ls -d /sys/class/net/*/bridge | cut -d/ -f5")


@pytest.mark.parametrize("options", BR_01.values(), ids=BR_01.keys())
def test_neighbours_ping_by_address(private_host, options):
    """In every family, also without egress. Names have tests of their own."""
    answer = private_host.apply({"networks": {"front": {"dns_enabled": False, **options}}, "sandboxes": PAIR})
    address = answer["endpoints"][0]["addresses"][0].partition("/")[0]
    done = private_host.run(
        ["ping", "-n", "-c", "1", "-w", "4", f"{address}%eth0" if address.startswith("fe80") else address], netns="two"
    )
    assert "1 received" in done.stdout and done.stderr == ""


@pytest.mark.smoke
def test_link_local_address_of_a_fixed_mac(private_host):
    """The address that stateless configuration makes of a MAC answers."""
    sandboxes = {"one": {"networks": {"front": {"mac_address": "02:42:ac:11:00:02"}}}, "two": {"networks": ["front"]}}
    private_host.apply({"networks": {"front": network("fd00:20::/64", enable_ipv4=False)}, "sandboxes": sandboxes})
    assert private_host.ping("two", "fe80::42:acff:fe11:2%eth0", wait=4)


def test_bridge_and_veth_pairs_are_created_and_removed(private_host):
    """Kinds, states, addresses and MACs are as reported. The bridge stays until its last sandbox goes."""
    document = {"networks": {"front": network("10.88.0.0/16", bridge_name="podman0")}, "sandboxes": PAIR}
    rows = {row["sandbox"]: row for row in private_host.apply(document)["endpoints"]}
    inside, outside = traffic.links(private_host, "one"), traffic.links(private_host)
    assert set(inside) == {"lo", "eth0"} and "UP" in inside["lo"]["flags"]
    eth0, bridge = inside["eth0"], outside["podman0"]
    port = next(
        link
        for link in outside.values()
        if link.get("link_netnsid") is not None and link["ifindex"] == eth0["link_index"]
    )
    assert (
        eth0["linkinfo"]["info_kind"] == "veth"
        and "UP" in eth0["flags"]
        and eth0["address"] == rows["one"]["mac_address"]
    )
    assert (
        bridge["linkinfo"]["info_kind"] == "bridge" and "UP" in bridge["flags"] and bridge["cidrs"] == ["10.88.0.1/16"]
    )
    assert port["master"] == "podman0" and len({port["address"], bridge["address"], eth0["address"]}) == 3
    assert private_host.ping(None, rows["one"]["addresses"][0].partition("/")[0]) and traffic.default_routes(
        private_host, "one"
    ) == ["10.88.0.1 eth0"]
    private_host.apply({**document, "sandboxes": {"two": PAIR["two"]}})
    after = traffic.links(private_host)
    assert after["podman0"]["address"] == bridge["address"] and len(after) == len(outside) - 1
    private_host.apply({"networks": {}, "sandboxes": {}})
    assert set(traffic.links(private_host)) == {"lo", "eth0"}


def test_links_follow_the_order_of_declaration(private_host):
    """Two networks are lo and two links; the first declared has the first index and the first name."""
    networks = {"a": network("172.20.0.0/24"), "b": network("172.21.0.0/24")}
    private_host.apply(
        {"networks": networks, "sandboxes": {"one": {"networks": ["a", "b"]}, "two": {"networks": ["b", "a"]}}}
    )
    for sandbox, order in (("one", ["172.20.", "172.21."]), ("two", ["172.21.", "172.20."])):
        found = sorted(
            (link for name, link in traffic.links(private_host, sandbox).items() if name != "lo"),
            key=lambda link: link["ifindex"],
        )
        assert [link["cidrs"][0][:7] for link in found] == order and [link["ifname"] for link in found] == [
            "eth0",
            "eth1",
        ]
        assert sum(bool(link["cidrs"]) for link in traffic.links(private_host, sandbox).values()) == 3


def mtus(host, sandbox="one"):
    """Return the sizes of a bridge, its one port and the link inside."""
    bridge = bridge_of(host)
    found = traffic.links(host)
    port = next(link for link in found.values() if link.get("master") == bridge)
    return found[bridge]["mtu"], port["mtu"], traffic.links(host, sandbox)["eth0"]["mtu"]


ONE = {"one": {"networks": ["front"]}}


def test_mtu_defaults_and_options(private_host):
    """1500, the host's default, Docker's option and dockless's. A packet that fits passes, one byte more does not."""
    document = {"networks": {"front": network("172.20.0.0/24 fd00:20::/64")}, "sandboxes": ONE}
    private_host.apply(document)
    assert mtus(private_host) == (1500, 1500, 1500)
    document["networks"]["front"]["mtu"] = 1400
    private_host.apply(document)
    assert mtus(private_host) == (1400, 1400, 1400)
    for address in ("172.20.0.1", FAR4, "fd00:20::1", FAR6):
        assert traffic.fits(private_host, "one", address, 1400) and not traffic.fits(private_host, "one", address, 1401)
    document["networks"]["front"] = {
        **network("172.20.0.0/24 fd00:20::/64"),
        "driver_opts": {"com.docker.network.driver.mtu": "1300"},
    }
    private_host.apply({**document, "defaults": {"mtu": 1450}})
    assert mtus(private_host) == (1300, 1300, 1300)
    del document["networks"]["front"]["driver_opts"]
    private_host.apply(document)
    assert mtus(private_host) == (1450, 1450, 1450)
    assert not private_host.apply(document)["changed"]


@pytest.mark.parametrize("mtu", [1400, 9000])
def test_mtu_of_the_default_routes_interface(private_host, mtu):
    """Packets of that size leave the host whole."""
    resize = "ip link set eth0 mtu {}"
    private_host.sh(resize.format(mtu))
    private_host.neighbour().sh(resize.format(mtu))
    private_host.apply({"networks": {"front": network("172.20.0.0/24")}, "sandboxes": ONE})
    assert mtus(private_host) == (mtu,) * 3
    assert traffic.fits(private_host, "one", FAR4, mtu) and not traffic.fits(private_host, "one", FAR4, mtu + 1)
    private_host.sh(resize.format(1500))


def test_mtu_ignores_default_routes_of_other_tables(private_host):
    """The main table's device gives the size."""
    private_host.sh("""
        for n in 10 20 30; do
            ip link add up$n type veth peer name down$n
            ip link set up$n up mtu ${n}00
            ip address add 10.0.$n.1/24 dev up$n
        done
        ip route add default via 10.0.10.9 dev up10 table 10; ip route add default via 10.0.30.9 dev up30 table 900
        ip route replace default via 10.0.20.9 dev up20""")
    private_host.apply({"networks": {"front": network("172.20.0.0/24")}, "sandboxes": ONE})
    assert mtus(private_host) == (2000,) * 3
    private_host.sh("ip route replace default via 192.0.2.3; for n in 10 20 30; do ip link del up$n; done")


FOREIGN = {
    # The mode first: the kernel may choose an address as soon as the link is up.
    "a bridge": "ip link add mine type bridge && ip link set mine addrgenmode none && ip link set mine up mtu 1400",
    "another kind of link": "ip link add mine type veth peer name other",
}


@pytest.mark.parametrize("make", FOREIGN.values(), ids=FOREIGN.keys())
def test_existing_link_with_the_bridge_name_is_refused(private_host, make):
    """It is neither taken over nor changed; the message names it."""
    private_host.sh(make)
    before = private_host.snapshot()
    told = private_host.refusal(
        {"networks": {"front": network("172.20.0.0/24", bridge_name="mine", mtu=9002)}, "sandboxes": ONE}
    )
    assert "mine" in told
    private_host.assert_back_to(before)
    private_host.sh("ip link del mine")


def test_interface_names(private_host):
    """Both spellings, and a prefix of the network; kept over runs; the lowest free number goes to the rest."""
    named = {
        "a": {"interface_name": "foobar"},
        "b": {"driver_opts": {"com.docker.network.endpoint.ifname": "eth0"}},
        "c": None,
        "d": None,
    }
    networks = {name: network(f"172.2{i}.0.0/24") for i, name in enumerate("abc")}
    networks["d"] = {**network("172.23.0.0/24"), "driver_opts": {"com.docker.network.container_iface_prefix": "net"}}
    document = {"networks": networks, "sandboxes": {"one": {"networks": named}}}
    names = {row["network"]: row["interface"] for row in private_host.apply(document)["endpoints"]}
    assert (names["a"], names["b"], names["c"]) == ("foobar", "eth0", "eth1") and names["d"].startswith("net")
    assert set(traffic.links(private_host, "one")) == {"lo", *names.values()}
    assert not private_host.apply(document)["changed"]
    assert private_host.ping(None, "172.20.0.2")
    document["sandboxes"]["one"]["networks"] = {name: named[name] for name in "bc"}
    private_host.apply(document)
    assert set(traffic.links(private_host, "one")) == {"lo", "eth0", "eth1"}


def test_one_interface_name_for_two_networks_is_refused(private_host):
    """Before anything is made."""
    networks = {"a": network("172.20.0.0/24"), "b": network("172.21.0.0/24")}
    both = {"a": {"interface_name": "eth0"}, "b": {"interface_name": "eth0"}}
    told = private_host.refusal({"networks": networks, "sandboxes": {"one": {"networks": both}}})
    assert "sandboxes.one.networks.b.interface_name: interface name eth0 is taken" in told
    private_host.assert_back_to(private_host.birth)


@pytest.mark.parametrize("spelling", ["IFNAME", "ifname"])
def test_endpoint_sysctls(private_host, spelling):
    """Read back inside; the other interface keeps its own."""
    sysctls = f"net.ipv4.conf.{spelling}.forwarding=1,net.ipv4.conf.{spelling}.log_martians=1"
    endpoint = {"interface_name": "foobar", "driver_opts": {"com.docker.network.endpoint.sysctls": sysctls}}
    networks = {"a": network("172.20.0.0/24"), "b": network("172.21.0.0/24")}
    document = {"networks": networks, "sandboxes": {"one": {"networks": {"a": endpoint, "b": None}}}}
    private_host.apply(document)
    conf = "/proc/sys/net/ipv4/conf"
    read = f"cat {conf}/foobar/{{forwarding,log_martians}} {conf}/eth0/log_martians"
    assert private_host.sh(read, netns="one").split() == ["1", "1", "0"]
    assert not private_host.apply(document)["changed"]


def test_point_to_point_subnet(private_host):
    """Both addresses of an IPv4 /31 are sandboxes' where the bridge has none."""
    document = {
        "networks": {
            "front": {
                **network("192.168.135.0/31"),
                "internal": True,
                "driver_opts": {"com.docker.network.bridge.inhibit_ipv4": "true"},
            }
        },
        "sandboxes": PAIR,
    }
    given = sorted(row["addresses"][0] for row in private_host.apply(document)["endpoints"])
    assert given == ["192.168.135.0/31", "192.168.135.1/31"]
    assert private_host.ping("one", "192.168.135.0") and private_host.ping("one", "192.168.135.1")
    assert traffic.links(private_host)[bridge_of(private_host)]["cidrs"] == []


def test_inhibit_ipv4_keeps_the_gateway_free(private_host):
    """The bridge has no address and sandboxes no default route.

    The gateway's stays reserved unless the network is internal.
    """
    options = {"driver_opts": {"com.docker.network.bridge.inhibit_ipv4": True}}
    answer = private_host.apply({"networks": {"front": {**network("172.20.0.0/24"), **options}}, "sandboxes": PAIR})
    assert sorted(row["addresses"][0] for row in answer["endpoints"]) == ["172.20.0.2/24", "172.20.0.3/24"]
    assert (
        traffic.links(private_host)[bridge_of(private_host)]["cidrs"] == []
        and traffic.default_routes(private_host, "one") == []
    )
    assert private_host.ping("one", "172.20.0.2") and private_host.ping("one", "172.20.0.3")


def test_bridge_keeps_its_mac(private_host):
    """Whatever ports come and go, so that neighbours' caches stay right."""
    document = {"networks": {"front": network("172.20.0.0/24")}, "sandboxes": {}}
    macs = set()
    for names in ([], ["a"], ["a", "b", "c"], ["c"], []):
        document["sandboxes"] = {name: {"networks": ["front"]} for name in names}
        private_host.apply(document)
        macs.add(traffic.links(private_host)[bridge_of(private_host)]["address"])
    assert len(macs) == 1


def test_gw_priority_chooses_the_default_route_of_each_family(private_host):
    """The highest wins, ties by name; a network of one family moves that family only, ports included; and back."""
    networks = {
        "a": network("172.20.0.0/24 fd00:20::/64"),
        "b": network("172.21.0.0/24 fd00:21::/64"),
        "six": network("fd00:22::/64", enable_ipv4=False),
    }
    document = {"networks": networks, "sandboxes": {"one": {"networks": {"b": None, "a": None}, "ports": ["8080:80"]}}}
    private_host.apply(document)
    private_host.serve_http("one", 80, "one")

    def ways(endpoints):
        document["sandboxes"]["one"]["networks"] = endpoints
        private_host.apply(document)
        assert private_host.neighbour().fetch(None, "http://192.0.2.2:8080/") and private_host.neighbour().fetch(
            None, "http://[2001:db8:1::2]:8080/"
        )
        assert private_host.ping("one", FAR4) and private_host.ping("one", FAR6)
        return [via.split()[0] for via in traffic.default_routes(private_host, "one")]

    assert ways({"b": None, "a": None}) == ["172.20.0.1", "fd00:20::1"]
    assert ways({"b": {"gw_priority": 1}, "a": None}) == ["172.21.0.1", "fd00:21::1"]
    assert ways({"b": {"gw_priority": 1}, "a": None, "six": {"gw_priority": 2}}) == ["172.21.0.1", "fd00:22::1"]
    assert ways({"b": {"gw_priority": -1}, "a": None}) == ["172.20.0.1", "fd00:20::1"]
    assert ways({"b": None}) == ["172.21.0.1", "fd00:21::1"]
    assert not private_host.apply(document)["changed"]


def test_disabled_forwarding_is_refused_by_sysctl_name(private_host):
    """A network with egress needs it, an internal one does not."""
    document = {"networks": {"front": network("172.20.0.0/24 fd00:20::/64")}, "sandboxes": ONE}
    for key, name in (
        ("ipv4/ip_forward", "net.ipv4.ip_forward"),
        ("ipv6/conf/all/forwarding", "net.ipv6.conf.all.forwarding"),
    ):
        with traffic.sysctls(private_host, {key: 0}):
            before = private_host.snapshot()
            told = private_host.refusal(document)
            assert f"{name} is 0" in told and f"Set {name} to 1" in told
            private_host.assert_back_to(before)
            private_host.apply(
                {**document, "networks": {"front": {**document["networks"]["front"], "internal": True}}},
                project="inside",
            )
            private_host.apply({}, project="inside", absent=True)
    private_host.apply(document)
    assert private_host.ping("one", FAR4)


def test_read_only_proc_with_correct_sysctls(private_host):
    """A second run, and a removal, write nothing under /proc/sys."""
    document = {"networks": {"front": network("172.20.0.0/24 fd00:20::/64")}, "sandboxes": PAIR}
    private_host.apply(document)
    private_host.sh(
        "mount --bind /proc/sys /proc/sys && mount -o remount,ro,bind /proc/sys && ! touch "
        "/proc/sys/net/ipv4/ip_forward 2>/dev/null"
    )
    assert not private_host.apply(document)["changed"]
    private_host.apply({**document, "sandboxes": {"one": PAIR["one"]}})
    assert private_host.ping("one", FAR4)
    private_host.apply({}, absent=True)
    private_host.sh("umount /proc/sys")


def test_read_only_proc_with_wrong_sysctls(private_host):
    """What cannot be set is named, and nothing is left."""
    private_host.sh("mount --bind /proc/sys /proc/sys && mount -o remount,ro,bind /proc/sys")
    told = private_host.refusal({"networks": {"front": network("172.20.0.0/24")}, "sandboxes": ONE})
    assert "Read-only file system" in told and "Make /proc/sys writable" in told
    private_host.assert_back_to(sorted_mount(private_host.birth, "/proc/sys"))
    private_host.sh("umount /proc/sys")


def sorted_mount(snapshot, point):
    """Return a snapshot with one mount more."""
    return {**snapshot, "mount": sorted([*snapshot["mount"], point])}


def test_new_links_forward_whatever_the_default_of_the_host_is(private_host):
    """Some hosts turn forwarding on link by link: a new link does not forward there. Later it is drift."""
    defaults = "/proc/sys/net/ipv{4,6}/conf/default/forwarding"
    document = {
        "networks": {"front": network("172.20.0.0/24 fd00:20::/64", bridge_name="br-front")},
        "sandboxes": {"web": {"networks": ["front"]}},
    }
    private_host.sh(f"for f in {defaults}; do echo 0 >$f; done")
    try:
        private_host.apply(document)
        assert [private_host.ping("web", address) for address in FAR_ADDRESSES] == [True, True]
        private_host.sh("for v in 4 6; do echo 0 >/proc/sys/net/ipv$v/conf/br-front/forwarding; done")
        assert not private_host.ping("web", FAR_ADDRESSES[0])  # the control
        assert private_host.apply(document)["changed"]
        assert [private_host.ping("web", address) for address in FAR_ADDRESSES] == [True, True]
        assert not private_host.apply(document)["changed"]
    finally:
        private_host.sh(f"for f in {defaults}; do echo 1 >$f; done")
