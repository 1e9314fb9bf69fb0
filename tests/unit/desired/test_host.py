# SPDX-License-Identifier: GPL-3.0-or-later
"""What a network, a sandbox and a pair are made of, for each mode and setting."""

from __future__ import annotations

import pytest

from _dockless import names
from _dockless.desired.host import desired_state
from _dockless.model.facts import Facts
from _dockless.state.firewall import Firewall
from _dockless.state.objects import Address, File, Link, Netns, Resolver, Route, Sysctl, Veth
from support.pipeline import of_kind, resolved, state, states

NET = {"n": {"bridge_name": "br-n", "ipam": {"config": [{"subnet": "10.1.0.0/24"}]}}}
SIX = {"n": {"bridge_name": "br-n", "ipam": {"config": [{"subnet": "10.1.0.0/24"}, {"subnet": "fd00:1::/64"}]}}}


def found(document, known=Facts(), **more):
    """Return the objects of a document."""
    return state(resolved(document, known, **more), known)


def one(objects, kind):
    """Return the only object of a kind."""
    (thing,) = of_kind(objects, kind)
    return thing


def paths(objects):
    """Return the paths of all files."""
    return [thing.path for thing in of_kind(objects, File)]


# ---- networks --------------------------------------------------------------


def test_a_network_is_a_bridge_with_its_gateways():
    objects = found({"networks": SIX})
    assert one(objects, Link) == Link(
        "",
        "br-n",
        "bridge",
        names.bridge_mac("shop", "n"),
        1500,
        "dockless shop/n",
        conf=(
            ("ipv4/accept_redirects", 0),
            ("ipv4/arp_announce", 2),
            ("ipv4/arp_ignore", 1),
            ("ipv4/forwarding", 1),
            ("ipv4/route_localnet", 0),
            ("ipv4/send_redirects", 0),
            ("ipv6/accept_dad", 0),
            ("ipv6/accept_ra", 0),
            ("ipv6/disable_ipv6", 0),
            ("ipv6/forwarding", 1),
        ),
    )
    assert [(a.link, a.cidr) for a in of_kind(objects, Address)] == [("br-n", "10.1.0.1/24"), ("br-n", "fd00:1::1/64")]
    assert ("not_internal", '"br-n"') in one(objects, Firewall).elements


def test_ipv6_is_off_on_a_network_without_it_and_not_mentioned_on_a_kernel_without_it():
    assert ("ipv6/disable_ipv6", 1) in one(found({"networks": NET}), Link).conf
    assert not any(key.startswith("ipv6") for key, value in one(found({"networks": NET}, Facts(ipv6=False)), Link).conf)


@pytest.mark.parametrize(
    ("port", "looped"),
    [("80:80", 1), ("127.0.0.1:80:80", 1), ("0.0.0.0:80:80", 1), ("192.0.2.1:80:80", 0), ("[::]:80:80", 0)],
)
def test_a_bridge_is_reached_from_loopback_only_where_a_port_asks_for_it(port, looped):
    """Only route_localnet is set."""
    objects = found({"networks": SIX, "sandboxes": {"web": {"networks": ["n"], "ports": [port]}}})
    assert dict(one(objects, Link).conf)["ipv4/route_localnet"] == looped


def test_a_network_without_addresses_has_none():
    """The pair is there, and nothing on it."""
    objects = found({"networks": {"n": {"ipam": {"driver": "none"}}}, "sandboxes": {"a": {"networks": ["n"]}}})
    assert not of_kind(objects, Address) and not of_kind(objects, Route) and not of_kind(objects, Resolver)
    assert one(objects, Veth).peer_name == "eth0"


def test_inhibited_gateway_address_is_assigned_to_nobody():
    spec = {"n": {"internal": True, "driver_opts": {"com.docker.network.bridge.inhibit_ipv4": "true"}, **NET["n"]}}
    objects = found({"networks": spec, "sandboxes": {"a": {"networks": ["n"]}}})
    assert [(a.netns, a.cidr) for a in of_kind(objects, Address)] == [("a", "10.1.0.1/24")]


def test_an_external_network_is_made_by_its_own_project():
    host = resolved(
        shop={"networks": NET},
        blog={"networks": {"n": {"external": True, "name": "shop/n"}}, "sandboxes": {"b": {"networks": ["n"]}}},
    )
    parts = states(host)
    assert not of_kind(parts["blog"], Link) and one(parts["shop"], Link).name == "br-n"
    assert one(parts["blog"], Veth).master == "br-n"
    assert list(parts[""]) == [("file", "/run/dockless/dns/zones"), ("firewall", "host")]


# ---- sandboxes -------------------------------------------------------------


def test_sandbox_is_a_namespace_a_veth_pair_addresses_and_a_default_route():
    """Both ends with their names, MACs, MTU and bridge; one default route a family."""
    objects = found({"networks": {"n": {**SIX["n"], "mtu": 1400}}, "sandboxes": {"web": {"networks": ["n"]}}})
    identity = "shop", ("shop", "n"), "web"
    assert one(objects, Netns) == Netns(
        "web",
        "dockless shop/web",
        defaults=(("ipv4/arp_notify", 1), ("ipv6/accept_dad", 0), ("ipv6/accept_ra", 0), ("ipv6/disable_ipv6", 0)),
    )
    pair = one(objects, Veth)
    assert pair == Veth(
        "",
        names.veth_link(*identity),
        "web",
        "eth0",
        names.host_end_mac(*identity),
        names.endpoint_mac(*identity),
        1400,
        1400,
        "br-n",
        learning=False,
        arp=False,
        conf=(("ipv6/disable_ipv6", 1),),
        peer_conf=(("ipv4/arp_notify", 1), ("ipv6/accept_dad", 0), ("ipv6/accept_ra", 0), ("ipv6/disable_ipv6", 0)),
    )
    assert [a.cidr for a in of_kind(objects, Address) if a.netns == "web"] == ["10.1.0.2/24", "fd00:1::2/64"]
    assert [(r.destination, r.link, r.via) for r in of_kind(objects, Route)] == [
        ("0.0.0.0/0", "eth0", "10.1.0.1"),
        ("::/0", "eth0", "fd00:1::1"),
    ]


def test_internal_network_has_no_default_route():
    objects = found({"networks": {"n": {**NET["n"], "internal": True}}, "sandboxes": {"db": {"networks": ["n"]}}})
    assert not of_kind(objects, Route)


@pytest.mark.parametrize(("priorities", "winner"), [((0, 0), "10.1.0.1"), ((0, 1), "10.2.0.1"), ((-1, -2), "10.1.0.1")])
def test_default_route_is_by_the_highest_priority_then_the_first_name(priorities, winner):
    networks = {name: {"ipam": {"config": [{"subnet": f"10.{i}.0.0/24"}]}} for i, name in enumerate("ab", 1)}
    joined = {name: {"gw_priority": priority} for name, priority in zip("ab", priorities)}
    objects = found({"networks": networks, "sandboxes": {"web": {"networks": joined}}})
    assert one(objects, Route).via == winner
    assert all(("ipv4/rp_filter", 2) in pair.peer_conf for pair in of_kind(objects, Veth))


def test_icc_false_isolates_bridge_ports():
    """icc: false is a property of the port, below any protocol."""
    assert one(found({"networks": {"n": {"icc": False}}, "sandboxes": {"a": {"networks": ["n"]}}}), Veth).isolated
    assert not one(found({"networks": {"n": None}, "sandboxes": {"a": {"networks": ["n"]}}}), Veth).isolated


def test_the_host_has_nothing_for_host_mode():
    assert not found({"sandboxes": {"agent": {"network_mode": "host"}}})


def test_none_is_a_namespace_with_lo_and_files():
    objects = found({"sandboxes": {"lab": {"network_mode": "none"}}})
    assert one(objects, Netns) == Netns("lab", "dockless shop/lab")
    assert {key[0] for key in objects} == {"netns", "file"}


def test_container_mode_is_a_second_name_of_the_partners_namespace():
    objects = found(
        {
            "networks": NET,
            "sandboxes": {"web": {"networks": ["n"], "netns": "blue"}, "probe": {"network_mode": "container:web"}},
        }
    )
    assert {space.name: space.partner for space in of_kind(objects, Netns)} == {"blue": "", "probe": "blue"}
    assert not any(key[1:2] == ("probe",) and key[0] != "netns" for key in objects)


def test_an_attached_namespace_is_known_by_its_inode_and_gets_no_defaults():
    """Its own settings stay: what the endpoint needs is written for its interface alone."""
    known = Facts(attached=(("web", 4026531999, "/proc/812/ns/net"),))
    host = resolved({"networks": NET, "sandboxes": {"web": {"networks": ["n"], "attach": {"pid": 812}}}}, known)
    objects = {k: v for part in desired_state(host, known).values() for k, v in part.items()}
    assert one(objects, Netns) == Netns("web", "dockless shop/web", 4026531999, (), "", "/proc/812/ns/net")
    assert one(objects, Veth).peer_conf


def test_mark_of_an_attached_namespace_lists_managed_names():
    """Others name it too; with more names than an alias holds, whole ones are left out."""
    for partners, expected in (
        (["probe", "log"], "dockless shop/web log probe"),
        ([c * 63 for c in "abcde"], "dockless shop/web " + " ".join(c * 63 for c in "abc")),
    ):
        document = {
            "sandboxes": {
                "web": {"networks": [], "attach": {"pid": 812}},
                **{p: {"network_mode": "container:web"} for p in partners},
            }
        }
        assert [space.label for space in of_kind(found(document), Netns) if space.inode] == [expected]


def test_the_default_bridge_has_no_names():
    objects = found({"sandboxes": {"a": {"network_mode": "bridge"}}})
    assert one(objects, Link).name == "dockless0" and one(objects, Link).label == "dockless bridge"
    assert not of_kind(objects, Resolver) and not any(path.startswith("/run") for path in paths(objects))


def test_a_user_defined_network_has_names():
    objects = found({"networks": NET, "sandboxes": {"web": {"networks": ["n"]}}})
    assert one(objects, Resolver).netns == "web"
    assert paths(objects) == [
        "/etc/netns/web/hostname",
        "/etc/netns/web/hosts",
        "/etc/netns/web/resolv.conf",
        "/run/dockless/dns/networks/shop.n/shop@57",
        "/run/dockless/dns/resolvers/web.conf",
        "/run/dockless/dns/zones",
    ]
    assert ("nft_table", "web") in objects


def test_sysctls_of_sandboxes_and_of_endpoints():
    objects = found(
        {
            "networks": NET,
            "sandboxes": {
                "web": {
                    "sysctls": {"net.ipv4.ip_unprivileged_port_start": 0},
                    "networks": {
                        "n": {
                            "driver_opts": {"com.docker.network.endpoint.sysctls": "net.ipv4.conf.IFNAME.forwarding=1"}
                        }
                    },
                }
            },
        }
    )
    assert of_kind(objects, Sysctl) == [
        Sysctl("web", "net/ipv4/conf/eth0/forwarding", "1"),
        Sysctl("web", "net/ipv4/ip_unprivileged_port_start", "0"),
    ]


def test_a_veth_pair_outside_any_network():
    objects = found(
        {
            "sandboxes": {"a": {"network_mode": "none"}},
            "veth_pairs": {
                "out0": {
                    "addresses": ["10.5.0.1/30"],
                    "routes": ["10.6.0.0/16 via 10.5.0.2"],
                    "mtu": 1400,
                    "peer": {
                        "name": "in0",
                        "netns": "a",
                        "addresses": ["10.5.0.2/30", "fd00::2/64"],
                        "routes": ["default via 10.5.0.1", "10.7.0.0/16"],
                        "up": False,
                    },
                }
            },
        }
    )
    assert one(objects, Veth) == Veth("", "out0", "a", "in0", mtu=1400, peer_up=False, label="dockless pair -/out0")
    assert {(r.netns, r.destination, r.link, r.via) for r in of_kind(objects, Route)} == {
        ("", "10.6.0.0/16", "out0", "10.5.0.2"),
        ("a", "0.0.0.0/0", "in0", "10.5.0.1"),
        ("a", "10.7.0.0/16", "in0", ""),
    }
    assert len(of_kind(objects, Address)) == 3


def test_a_published_sandbox_gets_its_own_frames_back():
    """Its own published port, from inside, where br_netfilter hands the frame back to the bridge."""
    objects = found(
        {"networks": NET, "sandboxes": {"web": {"networks": ["n"], "ports": ["80:80"]}, "db": {"networks": ["n"]}}}
    )
    assert {pair.peer_netns: pair.hairpin for pair in of_kind(objects, Veth)} == {"web": True, "db": False}


@pytest.mark.parametrize(("forwards4", "forwards6"), [(True, True), (True, False), (False, True), (False, False)])
@pytest.mark.parametrize("ipv6", [True, False])
def test_a_bridge_forwards_by_a_setting_of_its_own(forwards4, forwards6, ipv6):
    """The default of new links may be 0. Where the host does not forward a family, no link of it does."""
    known = Facts(forwarding4=forwards4, forwarding6=forwards6)
    conf = dict(one(found({"networks": {"lan": {"enable_ipv6": ipv6}}}, known), Link).conf)
    assert conf.get("ipv4/forwarding") == (1 if forwards4 else None)
    assert conf.get("ipv6/forwarding") == (1 if forwards6 and ipv6 else None)
