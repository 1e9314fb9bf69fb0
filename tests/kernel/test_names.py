# SPDX-License-Identifier: GPL-3.0-or-later
"""Names over whole runs: declared, changed, taken away, as programs in the sandboxes look them up."""

from __future__ import annotations

import copy

import pytest

from support.dns_questions import dig, until
from support.invariants import address, hooked, steps

SHOP = {
    "networks": {"front": {}, "back": {"internal": True}},
    "sandboxes": {
        "web": {"networks": {"front": {"aliases": ["www"]}, "back": {}}},
        "cli": {"networks": ["front"]},
        "db": {
            "networks": ["back"],
            "extra_hosts": ["mirror:192.0.2.3"],
            "hostname": "store",
            "dns_search": ["shop.example"],
        },
    },
}


def test_names_follow_the_declaration(private_host):
    """Connect, disconnect and replace; a second run changes nothing."""
    first = private_host.apply(SHOP)
    web_front, web_back, db = (
        address(first, "web", "front"),
        address(first, "web", "back"),
        address(first, "db", "back"),
    )
    assert private_host.lookup("cli", "web") == private_host.lookup("cli", "www.front") == [web_front]
    assert private_host.lookup("web", "store.back") == [db] and private_host.lookup("cli", "db") == []
    assert private_host.ping("db", "web") and private_host.lookup("db", "web") == [web_back]
    assert private_host.lookup("db", "mirror") == ["192.0.2.3"]
    rows = private_host.dockless("show", "--project", "shop", "--json")["sandboxes"]
    short_id = next(row["id"] for row in rows if row["name"] == "web")
    assert len(short_id) == 12
    assert private_host.lookup("cli", short_id) == private_host.lookup("cli", f"{short_id}.front") == [web_front]
    assert private_host.lookup("db", short_id) == [web_back]
    assert private_host.apply(SHOP)["changed"] is False
    changed = copy.deepcopy(SHOP)
    changed["sandboxes"]["cli"]["networks"] = ["front", "back"]
    private_host.apply(changed)
    assert private_host.lookup("cli", "db") == [db] and private_host.lookup("cli", "web") == sorted(
        [web_front, web_back]
    )
    private_host.apply(SHOP)
    assert private_host.lookup("cli", "db") == [] and private_host.lookup("cli", "web") == [web_front]
    less = copy.deepcopy(SHOP)
    del less["sandboxes"]["web"]
    private_host.apply(less)
    assert dig(private_host, "cli", "web")[0] == "NXDOMAIN" and dig(private_host, "db", "www")[0] == "NXDOMAIN"
    assert private_host.apply(less)["changed"] is False


def test_a_name_that_two_records_gave_stays_with_the_other(private_host):
    """dnsmasq keeps one of two equal records: the link's name was lost with the alias of the same name, and an alias
    with the link.
    """

    def document(aliases, links, records=()):
        return {
            "networks": {"front": {"ipam": {"config": [{"subnet": "172.18.0.0/24"}]}, "records": list(records)}},
            "sandboxes": {
                "web": {"networks": {"front": {"ipv4_address": "172.18.0.9", "aliases": aliases}}},
                "cli": {"networks": {"front": {"links": links}}},
            },
        }

    told, absent = ("NOERROR", ["172.18.0.9"]), ("NXDOMAIN", [])
    record = {"name": "db", "type": "A", "value": "172.18.0.9"}
    for before, after in (
        (document(["db"], ["web:db"]), document([], ["web:db"])),
        (document(["DB"], ["web:db"]), document(["db"], [])),
        (document(["db"], [], [record]), document([], [], [record])),
        (document(["db"], [], [record]), document(["db"], [])),
        (document(["db"], ["web:db", "web:w"]), document(["db"], ["web:w"])),
    ):
        before["sandboxes"]["web"]["networks"]["front"]["aliases"].append("marker")
        private_host.apply(before)
        assert (
            until(lambda: dig(private_host, "cli", "db"), told)
            == until(lambda: dig(private_host, "cli", "marker"), told)
            == told
        )
        private_host.apply(after)
        assert until(lambda: dig(private_host, "cli", "marker"), absent) == absent
        assert until(lambda: dig(private_host, "cli", "db"), told) == told
    private_host.apply(document([], []))
    assert until(lambda: dig(private_host, "cli", "db"), absent) == absent


def _document(blue, green, links):
    joins = {"blue": {"aliases": blue}, "green": {"aliases": green}, "cli": {"links": links}}
    return {
        "networks": {"front": {}},
        "sandboxes": {name: {"networks": {"front": join}} for name, join in joins.items()},
    }


@pytest.mark.parametrize(
    "here, there",
    [
        (_document(["active"], ["idle"], []), _document(["idle"], ["active"], [])),
        (_document(["active", "idle"], [], []), _document([], ["active", "idle"], [])),
        (_document([], ["idle"], ["blue:other", "green:active"]), _document(["active"], ["idle"], ["blue:other"])),
    ],
    ids=["exchanged", "moved", "a link, then an alias"],
)
def test_names_that_go_from_one_file_to_another_are_always_somebodys(private_host, here, there):
    """Resolvers read one file after the other: at no step of a run is a name in neither."""
    look = (
        "for name in active idle; do grep -rqsw $name /run/dockless/dns/networks /run/dockless/dns/links || echo "
        "$name; "
        "done >/run/lock/nobodys"
    )
    private_host.apply(here)
    events = [
        event for event in hooked(private_host, "count", 0, there)["events"] if "file /run/dockless/dns/" in event
    ]
    assert len(events) >= 2
    for number in range(len(steps(hooked(private_host, "count", 0, here)["events"]))):
        for end in (there, here):
            hooked(private_host, "sh:" + look, number, end)
            assert private_host.sh("cat /run/lock/nobodys 2>/dev/null; rm -f /run/lock/nobodys") == "", number
    owner = dig(private_host, "cli", "active")
    assert owner[0] == "NOERROR" and len(owner[1]) == 1


def test_another_project_on_the_network_is_found_and_finds(private_host):
    """Records stand under the network's owner; taking one project away leaves the other's names."""
    shop = private_host.apply(SHOP)
    blog = {
        "networks": {"shared": {"external": True, "name": "shop/front"}},
        "sandboxes": {"wp": {"networks": ["shared"]}},
    }
    private_host.apply(blog, project="blog")
    assert private_host.lookup("wp", "www") == [address(shop, "web", "front")]
    found = private_host.lookup("cli", "wp.front")
    assert len(found) == 1 and private_host.ping("cli", "wp")
    assert private_host.apply(SHOP)["changed"] is False
    private_host.apply({}, project="blog", absent=True)
    assert dig(private_host, "cli", "wp")[0] == "NXDOMAIN"
    assert private_host.lookup("cli", "web") == [address(shop, "web", "front")]
    assert private_host.apply(SHOP)["changed"] is False


def test_default_bridge_resolves_legacy_links_only(private_host):
    """Found by address, not by name; a link is one name in one direction; no resolver runs."""
    document = {
        "sandboxes": {"one": {"network_mode": "bridge", "links": ["two:partner"]}, "two": {"network_mode": "bridge"}}
    }
    result = private_host.apply(document)
    two, one = address(result, "two", "bridge"), address(result, "one", "bridge")
    assert private_host.ping("one", two) and private_host.ping("two", one)
    assert private_host.lookup("one", "partner") == [two] and private_host.lookup("two", "one.bridge") == []
    assert private_host.lookup("two", "partner") == []
    assert private_host.run(["pgrep", "dnsmasq"], check=False).stdout == ""
    assert "nameserver 192.0.2.3\n" in private_host.run(["cat", "/etc/resolv.conf"], netns="one").stdout


@pytest.mark.smoke
def test_dns_works_without_a_bridge_address(private_host):
    """A resolver is inside each sandbox, so an isolated network, whose bridge has no address, has names.

    Questions for others go nowhere.
    """
    network = {"internal": True, "gateway_mode_ipv4": "isolated"}
    result = private_host.apply(
        {"networks": {"cell": network}, "sandboxes": {"one": {"networks": ["cell"]}, "two": {"networks": ["cell"]}}}
    )
    bridge = private_host.dockless("show", "--project", "shop", "--json")["networks"][0]["bridge_name"]
    assert " inet" not in private_host.sh(f"ip address show dev {bridge}")
    assert (
        private_host.lookup("one", "two") == private_host.lookup("one", "two.cell") == [address(result, "two", "cell")]
    )
    assert dig(private_host, "one", "example.org")[0] == "NXDOMAIN"


def test_dead_and_hanging_resolvers_are_drift(private_host):
    """What does not answer is found by the plan; the others keep their processes."""
    private_host.apply(SHOP)
    pids = {name: private_host.sh(f"pgrep -f conf-file=.*/{name}.conf") for name in ("web", "cli", "db")}
    private_host.sh(f"kill -KILL {pids['cli']}; kill -STOP {pids['db']}")
    operations = private_host.apply(SHOP)["operations"]
    assert sorted(line.split(" (")[0] for line in operations if "resolver" in line) == [
        "create resolver of cli",
        "update resolver of db",
    ]
    assert private_host.lookup("cli", "web") and private_host.lookup("db", "web")
    assert private_host.sh("pgrep -f conf-file=.*/web.conf") == pids["web"]
    assert private_host.apply(SHOP)["changed"] is False


def test_names_switched_off_leave_no_trace(private_host):
    document = {
        "networks": {"quiet": {"driver_opts": {}, "dns_enabled": False}},
        "sandboxes": {"a": {"networks": ["quiet"]}},
    }
    private_host.apply(document)
    assert private_host.sh("ls /run/dockless/dns /etc/netns 2>/dev/null || true") == ""
    assert private_host.run(["nft", "list", "ruleset"], netns="a").stdout == ""
