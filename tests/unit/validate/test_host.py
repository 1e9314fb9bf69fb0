# SPDX-License-Identifier: GPL-3.0-or-later
"""What is declared beside each other: what may stand (the refusals are in validate/bad_input), and whose network is
whose.
"""

from __future__ import annotations

import itertools

import pytest

from _dockless.errors import DocklessError
from _dockless.model.facts import Listener, VxlanDevice
from _dockless.validate import overlay
from support.documents import host_of

FRONT = {"networks": {"front": {"ipam": {"config": [{"subnet": "10.1.0.0/24"}, {"subnet": "fd00:1::/64"}]}}}}
ADDRESSES = ["", "0.0.0.0", "192.0.2.1", "192.0.2.2", "[::]", "[fd00::1]"]


def published(*addresses):
    """Return the host of sandboxes that publish one port on an address each."""
    sandboxes = {
        f"s{i}": {"networks": ["front"], "ports": [f"{address}:80:80" if address else "80:80"]}
        for i, address in enumerate(addresses)
    }
    return host_of({**FRONT, "sandboxes": sandboxes})


@pytest.mark.parametrize(("one", "other"), list(itertools.product(ADDRESSES, repeat=2)))
def test_ports_meet_as_the_kernel_has_it(one, other):
    """The same address, or a wildcard of the same family; no address is both wildcards."""
    families = [{4, 6} if not address else {6} if "[" in address else {4} for address in (one, other)]
    wild = any(address in ("", "0.0.0.0", "[::]") for address in (one, other))
    meet = one == other or (wild and families[0] & families[1])
    if not meet:
        published(one, other)
        return
    with pytest.raises(
        DocklessError, match="s1 cannot publish host port 80/tcp on .*, because shop/s0 publishes it on"
    ):
        published(one, other)


def test_each_protocol_has_ports_of_its_own():
    host_of(
        {"sandboxes": {"a": {"ports": ["53:53/udp"]}, "b": {"ports": ["53:53/tcp"]}, "c": {"ports": ["53:53/sctp"]}}}
    )


def test_free_ports_never_collide():
    host_of({"sandboxes": {name: {"ports": ["80", "8000-8001:81"]} for name in "abcd"}})


def test_port_already_published_by_dockless_is_no_conflict():
    """Only ports that a run would newly publish are compared with listeners."""
    document = {"sandboxes": {"web": {"ports": ["80:80"]}}}
    listeners = [Listener("tcp", "0.0.0.0", 80, "nginx")]
    with pytest.raises(DocklessError, match="nginx"):
        host_of(document, listeners=listeners)
    host_of(document, listeners=listeners, kept=[("tcp", "", 80)])


@pytest.mark.parametrize(
    "listener", [Listener("udp", "0.0.0.0", 80), Listener("tcp", "0.0.0.0", 81), Listener("tcp", "192.0.2.2", 80)]
)
def test_listeners_elsewhere_are_no_conflict(listener):
    host_of(
        {**FRONT, "sandboxes": {"web": {"networks": ["front"], "ports": ["192.0.2.1:80:80"]}}}, listeners=[listener]
    )


def test_the_default_publish_address_is_what_is_compared():
    document = {
        "networks": {"a": {"default_publish_address": "192.0.2.1"}, "b": {"default_publish_address": "192.0.2.2"}},
        "sandboxes": {"one": {"networks": ["a"], "ports": ["80:80"]}, "two": {"networks": ["b"], "ports": ["80:80"]}},
    }
    host_of(document)
    host_of(
        {"sandboxes": {"web": {"ports": ["80:80"]}}},
        defaults={"ip": "127.0.0.1"},
        listeners=[Listener("tcp", "192.0.2.9", 80)],
    )


def test_an_internal_network_beside_another_publishes():
    host_of(
        {
            "networks": {"in": {"internal": True}, "out": {}},
            "sandboxes": {"web": {"networks": ["in", "out"], "ports": ["80:80"]}},
        }
    )


def test_foreign_vxlan_devices_of_other_numbers_and_ports_are_no_conflict():
    network = {"driver": "overlay", "vni": 300, "vtep": "203.0.113.1", "ipam": {"config": [{"subnet": "10.60.0.0/16"}]}}
    devices = [VxlanDevice("swarm", 4097, 4789), VxlanDevice("flannel.1", 300, 8472), VxlanDevice("cilium", 0, 8473)]
    host_of({"networks": {"fleet": network}}, vxlan_devices=devices)


@pytest.mark.parametrize("called", ["blog/front", "blog_front", "front"])
def test_an_external_network_is_its_owners(called):
    shop = {
        "networks": {"theirs": {"external": True, "name": called}},
        "sandboxes": {"web": {"networks": {"theirs": {"aliases": ["w"]}}}},
    }
    blog, ours = host_of(blog={"networks": {"front": {}}}, shop=shop).projects
    assert [n.key for n in blog.networks] == [("blog", "front")]
    assert ours.networks == ()
    assert [(e.network, e.aliases) for e in ours.sandboxes[0].endpoints] == [(("blog", "front"), ("w",))]


def test_an_external_network_named_as_the_entry_itself():
    host = host_of(
        blog={"networks": {"front": {}}},
        shop={"networks": {"front": {"external": True}}, "sandboxes": {"web": {"networks": ["front"]}}},
    )
    assert host.projects[1].sandboxes[0].endpoints[0].network == ("blog", "front")


def test_available_fixed_addresses_and_macs_are_accepted():
    """An address outside of ip_range is still one of the subnet."""
    host_of(
        {
            "networks": {
                "front": {"ipam": {"config": [{"subnet": "10.1.0.0/24", "ip_range": "10.1.0.128/25"}]}},
                "back": {"ipam": {"config": [{"subnet": "10.2.0.0/24"}]}},
            },
            "sandboxes": {
                "web": {"networks": {"front": {"ipv4_address": "10.1.0.5", "mac_address": "02:00:00:00:00:01"}}},
                "db": {"networks": {"back": {"ipv4_address": "10.2.0.5", "mac_address": "02:00:00:00:00:01"}}},
            },
        }
    )


@pytest.mark.parametrize(
    ("subnet", "gateway"),
    [({"aux_addresses": {"a": "10.1.0.1"}}, "10.1.0.2"), ({"gateway": "10.1.0.254"}, "10.1.0.254")],
)
def test_the_gateway_is_the_one_given_or_the_first_free_address(subnet, gateway):
    document = {
        "networks": {"front": {"ipam": [{"subnet": "10.1.0.0/24", **subnet}]}},
        "sandboxes": {"web": {"networks": {"front": {"ipv4_address": gateway}}}},
    }
    with pytest.raises(DocklessError, match=f"{gateway} is the gateway of network shop/front"):
        host_of(document)
    document["sandboxes"]["web"]["networks"]["front"]["ipv4_address"] = "10.1.0.9"
    host_of(document)


def test_subnets_side_by_side():
    host_of({"networks": {name: {"ipam": [{"subnet": f"10.1.{n}.0/24"}]} for n, name in enumerate("abc")}})


def test_links_to_what_is_not_there_yet():
    """On networks of one's own the target may come later; on the default bridge it must be there."""
    host_of({"sandboxes": {"web": {"links": ["later"]}}})
    host_of({"sandboxes": {"web": {"network_mode": "bridge", "links": ["db"]}, "db": {"network_mode": "bridge"}}})


def test_two_sandboxes_may_share_a_third():
    host_of({"sandboxes": {"web": {}, "a": {"network_mode": "container:web"}, "b": {"network_mode": "service:web"}}})


def test_pairs_beside_networks():
    host_of(
        {
            "sandboxes": {"web": {}},
            "veth_pairs": {"web/eth1": {"peer": {"name": "eth1"}}, "x/eth1": {"peer": {"name": "eth1", "netns": "y"}}},
        }
    )


def spanning(vni, control_plane, mode="l2"):
    """Return a project with one overlay."""
    more = {"control_plane": control_plane} if mode == "l2" else {}
    return {
        "networks": {
            "wide": {
                "driver": "overlay",
                "vni": vni,
                "vtep": "203.0.113.1",
                "mode": mode,
                **more,
                "ipam": {"config": [{"subnet": f"10.{vni}.0.0/16", "ip_range": f"10.{vni}.1.0/24"}]},
            }
        }
    }


@pytest.mark.parametrize(
    ("one", "other", "warned"),
    [
        (spanning(1, "static"), spanning(2, "evpn"), True),
        (spanning(1, "static"), spanning(2, "static"), False),
        (spanning(1, "evpn"), spanning(2, "evpn"), False),
        (spanning(1, "static", mode="routed"), spanning(2, "evpn"), False),
    ],
    ids=["static and evpn", "static", "evpn", "routed and evpn"],
)
def test_projects_may_differ_in_their_control_plane_on_the_way_from_one_to_the_other(one, other, warned):
    said = list(overlay.warnings(host_of(shop=one, store=other).projects))
    assert said == (
        [
            "Overlay network shop/wide is static and store/wide is evpn, "
            "but FRR announces all l2 overlays of a host or "
            "none. Set the same control_plane on both."
        ]
        if warned
        else []
    )
