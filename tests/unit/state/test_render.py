# SPDX-License-Identifier: GPL-3.0-or-later
"""A plan as people read it, and what a run gives back to them."""

from __future__ import annotations

from _dockless.errors import DocklessError
from _dockless.report import rows
from _dockless.state import plan, render
from _dockless.state.firewall import Firewall
from _dockless.state.objects import Address, File, Link, Netns, NftTable, Resolver, Route, Sysctl, Veth
from _dockless.state.plan import Plan
from support.pipeline import resolved, state

WEB = {
    "networks": {
        "front": {
            "bridge_name": "br-front",
            "dns_enabled": False,
            "ipam": {"config": [{"subnet": "10.1.0.0/24"}, {"subnet": "fd00:1::/64"}]},
        }
    },
    "sandboxes": {
        "web": {
            "networks": {"front": {"mac_address": "02:00:00:00:00:09", "aliases": ["www"]}},
            "ports": ["8080:80", "127.0.0.1:5353:53/udp"],
        }
    },
}

CHANGES = {"link": {"mtu": 1400}, "veth": {"mtu": 1400}, "firewall": {"rules": "x"}}


def changed(**wanted):
    """Return the plan that changes one bridge."""
    bridge = Link(
        "", "br-n", "bridge", "02:00:00:00:00:01", 1500, "dockless shop/n", conf=(("ipv4/route_localnet", 0),)
    )
    return plan.make_plan({bridge.key: bridge._replace(**wanted)}, {bridge.key: bridge})


def test_a_change_shows_what_changes_and_nothing_else():
    work = changed(mtu=1400)
    assert render.operations(work) == ["update bridge br-n (mtu is 1500, wanted 1400)"]
    assert render.before(work) == "bridge br-n:\n  mtu: 1500\n"
    assert render.after(work) == "bridge br-n:  # mtu is 1500, wanted 1400\n  mtu: 1400\n"


def test_settings_are_shown_line_by_line():
    assert render.after(changed(conf=(("ipv4/route_localnet", 1),))).endswith("\n  ipv4/route_localnet: 1\n")


def test_making_shows_all_that_is_not_empty_and_removal_all_that_was():
    space = Netns("web", "dockless shop/web", defaults=(("ipv4/arp_notify", 1),))
    made, gone = plan.make_plan({space.key: space}, {}), plan.make_plan({}, {space.key: space})
    text = "  name: web\n  label: dockless shop/web\n  inode: 0\n  up: True\n"
    assert (render.before(made), render.after(made)) == ("", "namespace web:  # missing\n" + text)
    assert (render.before(gone), render.after(gone)) == ("namespace web:\n" + text, "")
    assert render.operations(gone) == ["delete namespace web (nothing declares it)"]


def test_texts_are_blocks():
    file = File("/etc/netns/web/hosts", "127.0.0.1 localhost\n10.1.0.2 web\n")
    work = plan.make_plan({file.key: file}, {file.key: file._replace(text="old\ntext\n")})
    assert render.operations(work) == ["update file /etc/netns/web/hosts (content differs)"]
    assert render.before(work) == "file /etc/netns/web/hosts:\n  text: |\n    old\n    text\n"
    assert (
        render.after(work)
        == "file /etc/netns/web/hosts:  # content differs\n  text: |\n    127.0.0.1 localhost\n    10.1.0.2 web\n"
    )


def test_before_and_after_are_in_one_order():
    """A diff of the two lines up, whatever the order of execution."""
    host = state(resolved(WEB))
    changed_host = {
        key: thing._replace(**CHANGES.get(key[0], {"text": "x"}))
        for key, thing in host.items()
        if key[0] in ("link", "veth", "file", "firewall")
    }
    work = plan.make_plan({**host, **changed_host}, host)
    titles = [
        [line.partition(":")[0] for line in text.splitlines() if line[0] != " "]
        for text in (render.before(work), render.after(work))
    ]
    assert titles[0] == titles[1] and len(titles[0]) == len(changed_host) >= 3


def test_an_object_with_several_steps_is_shown_as_it_was_first_and_as_it_is_last():
    """The last table is emptied before links go and deleted after them; a pair that is rebuilt is deleted and made."""
    firewall = Firewall("v1", frozenset([("published4", "tcp . 80 : 10.0.0.2 . 80")]))
    work = plan.make_plan({}, {firewall.key: firewall})
    assert len(work.steps) == 2
    assert render.before(work).count("firewall:") == 1 and render.after(work) == ""
    old = Veth("", "veth1", "web", "eth0")
    rebuilt = plan.make_plan({old.key: old._replace(peer_name="lan0")}, {old.key: old})
    assert render.before(rebuilt).startswith("veth pair veth1 - eth0 of web:\n")
    assert render.after(rebuilt).startswith("veth pair veth1 - lan0 of web:  # rebuilt\n")


def test_an_empty_plan_is_silent():
    assert (render.operations(Plan()), render.before(Plan()), render.after(Plan())) == ([], "", "")
    assert not Plan() and Plan(removal=changed(mtu=1400).building)


def test_every_kind_has_a_title():
    things = [
        Netns("web", ""),
        Link("", "br-n", "bridge", "", 1500, ""),
        Veth("", "veth1", "web", "eth0"),
        Veth("", "veth1", "", ""),
        Address("web", "eth0", "10.1.0.2/24"),
        Address("", "br-n", "10.1.0.1/24"),
        Route("web", "0.0.0.0/0", "eth0"),
        Sysctl("web", "net/ipv4/ip_forward", "1"),
        Firewall("x", frozenset()),
        NftTable("web", "x"),
        File("/run/dockless/x", ""),
        Resolver("web", "web", "", ""),
    ]
    assert [str(thing) for thing in things] == [
        "namespace web",
        "bridge br-n",
        "veth pair veth1 - eth0 of web",
        "veth pair veth1",
        "address 10.1.0.2/24 on eth0 in web",
        "address 10.1.0.1/24 on br-n",
        "route 0.0.0.0/0 on eth0 in web",
        "sysctl net/ipv4/ip_forward in web",
        "firewall",
        "nft table inet dockless in web",
        "file /run/dockless/x",
        "resolver of web",
    ]


def test_endpoints_and_ports_have_one_shape_everywhere():
    host = resolved(WEB)
    assert rows.endpoints(host) == [
        {
            "project": "shop",
            "network": "front",
            "sandbox": "web",
            "interface": "eth0",
            "addresses": ["10.1.0.2/24", "fd00:1::2/64"],
            "mac_address": "02:00:00:00:00:09",
            "gateway": "10.1.0.1",
            "aliases": ["www"],
        }
    ]
    assert rows.ports(host) == [
        {"sandbox": "web", "host_ip": "0.0.0.0", "host_port": 8080, "protocol": "tcp", "target_port": 80},
        {"sandbox": "web", "host_ip": "::", "host_port": 8080, "protocol": "tcp", "target_port": 80},
        {"sandbox": "web", "host_ip": "127.0.0.1", "host_port": 5353, "protocol": "udp", "target_port": 53},
    ]


def test_rows_of_one_project():
    host = resolved(shop=WEB, blog={"networks": {"n": {"internal": True}}, "sandboxes": {"press": {"networks": ["n"]}}})
    assert {row["project"] for row in rows.endpoints(host)} == {"shop", "blog"}
    (only,) = rows.endpoints(host, "blog")
    assert (only["sandbox"], only["gateway"]) == ("press", "")
    assert not rows.ports(host, "blog") and len(rows.ports(host, "shop")) == 3


def test_what_the_host_calls_its_objects_cannot_write_to_the_terminal():
    hostile = "dockless shop/n\nupdate nothing\x1b]0;owned\x07\x9b31m\u202e"
    bridge = Link("", "br-\x1b[1m", "bridge", "02:00:00:00:00:01", 1500, hostile)
    work = plan.make_plan({bridge.key: bridge._replace(label="dockless shop/n")}, {bridge.key: bridge})
    assert work
    assert [line for line in render.operations(work) if not line.isprintable()] == []
    for diff in (render.before(work), render.after(work)):
        assert "br-\\x1b[1m" in diff
        assert [line for line in diff.split("\n") if not line.isprintable()] == []
        assert "\nupdate nothing" not in diff


def test_an_error_is_one_line_of_printable_text():
    error = DocklessError("link a\x1b[31m\nb exists", "Remove it.", "networks.x\u202e")
    assert str(error) == "networks.x\\u202e: link a\\x1b[31m\\nb exists. Remove it."
