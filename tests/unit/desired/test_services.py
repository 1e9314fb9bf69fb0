# SPDX-License-Identifier: GPL-3.0-or-later
"""Services as texts: the table of a client, the names, the addresses that are chosen and kept."""

from __future__ import annotations

import collections
import ipaddress
import json
import re

import pytest

from _dockless.allocate.host import resolve_host
from _dockless.desired.services import Services
from _dockless.document.project import parse_project
from _dockless.errors import DocklessError
from _dockless.firewall import sandbox_table
from _dockless.firewall.sandbox_table import LARGEST_OFFSET
from _dockless.model import topology
from _dockless.model.facts import UnderlayAddress
from _dockless.model.host import Host
from _dockless.report.services import service_rows
from _dockless.state.objects import File, NftTable
from _dockless.validate.host import check_host
from support.pipeline import FACTS, leases_of, of_kind, resolved, state


def document(service=None, network=None, **sandboxes):
    """Return a project with a service on a network of both families, and sandboxes by name with their aliases."""
    return {
        "networks": {
            "front": {
                "ipam": {"config": [{"subnet": "10.0.0.0/24"}, {"subnet": "fd00::/64"}]},
                "services": {"web": service or {}},
                **(network or {}),
            }
        },
        "sandboxes": {
            name: {"networks": {"front": {"aliases": aliases}}}
            for name, aliases in (sandboxes or {"cli": [], "w1": ["web"], "w2": ["web"], "w3": ["web"]}).items()
        },
    }


def tables(project):
    """Return the tables of a document's sandboxes by name."""
    return {table.netns: table.text for table in of_kind(state(resolved(project)), NftTable) if table.netns}


def files(project):
    """Return the files of a document by path."""
    return {file.path: file.text for file in of_kind(state(resolved(project)), File)}


def records(found):
    """Return the lines of all record files of the network front, by name."""
    texts = [text for path, text in found.items() if path.startswith("/run/dockless/dns/networks/shop.front/")]
    lines = [line for text in texts for line in text.splitlines() if not line.startswith("#")]
    return "".join(
        line + "\n" for line in sorted(lines, key=lambda line: (line.split()[1].partition(".")[0], ":" in line))
    )


def maps(text):
    """Return what the rules of the service's chains lead to, by the order of the chains."""
    return re.findall(r"chain to_\S+ \{\n\t\t(.*)\n", text)


TABLE = """\
table inet dockless {
    chain names {
        type nat hook output priority -100; policy accept;
        ip daddr 127.0.0.11 udp dport 53 dnat ip to 127.0.0.11:10053
        ip daddr 127.0.0.11 tcp dport 53 dnat ip to 127.0.0.11:10053
    }
    set virtual4 {
        type ipv4_addr
        elements = { 10.0.0.254 }
    }
    map ports4 {
        type ipv4_addr . inet_proto . inet_service : verdict
        elements = { 10.0.0.254 . tcp . 80 : goto to_web_9404e76181e4,
            10.0.0.254 . udp . 53 : goto to_web_e43ab9f2805f }
    }
    map whole4 {
        type ipv4_addr : verdict
    }
    map echo4 {
        type ipv4_addr : ipv4_addr
        elements = { 10.0.0.254 : 10.0.0.4 }
    }
    chain services {
        type nat hook output priority -100; policy accept;
        ip daddr . meta l4proto . th dport vmap @ports4
        ip daddr vmap @whole4
        icmp type echo-request dnat ip to ip daddr map @echo4
    }
    chain to_web_9404e76181e4 {
        dnat ip to numgen inc mod 3 map { 0 : 10.0.0.4, 1-2 : 10.0.0.3 }
    }
    chain to_web_e43ab9f2805f {
        meta l4proto { tcp, udp, sctp } dnat ip to numgen inc mod 3 map { 0 : 10.0.0.4 . 5353, 1-2 : 10.0.0.3 . 5353 }
    }
    chain unserved {
        type filter hook output priority filter; policy accept;
        ip daddr @virtual4 meta l4proto tcp reject with tcp reset
        ip daddr @virtual4 reject with icmp port-unreachable
    }
}
""".replace("    ", "\t")


def test_a_whole_table():
    """Golden: ports with and without another target, weights by their smallest numbers, one that is drained left
    out.
    """
    spec = {
        "vip": "10.0.0.254",
        "ports": [80, "53:5353/udp"],
        "sandboxes": {"w1": {"weight": 4}, "w2": {"weight": 2}, "w3": {"drain": True}},
    }
    assert tables(document(spec))["cli"] == TABLE


def test_without_services_the_table_is_what_it_was():
    """A sandbox that uses none has the constant table of its names, or none, whatever other networks have."""
    project = document()
    project["networks"].update(plain={}, silent={"dns_enabled": False})
    project["sandboxes"].update(one={"networks": ["plain"]}, two={"networks": ["silent"]})
    found = tables(project)
    assert found["one"] == sandbox_table.sandbox_table((), 0, True) == TABLE[: TABLE.index("\tset")] + "}\n"
    assert "two" not in found and sandbox_table.sandbox_table((), 0, False) == ""


def test_the_number_of_rules_does_not_depend_on_who_is_behind():
    """A service without ports is one chain of one rule for each family; ten sandboxes or two."""
    few, many = (
        tables(document({}, **{"cli": [], **{f"w{n}": ["web"] for n in range(size)}}))["cli"] for size in (2, 10)
    )
    assert len(few.splitlines()) == len(many.splitlines()) and "numgen inc mod 10 map" in many
    assert len(maps(many)) == 2


@pytest.mark.parametrize(
    "sandboxes, rules",
    [([], []), ({"w1": {"drain": True}}, []), (["w1"], ["dnat ip to 10.0.0.3", "dnat ip6 to fd00::3"])],
)
def test_nobody_or_one_behind(sandboxes, rules):
    found = tables(document({"sandboxes": sandboxes}))["cli"]
    assert maps(found) == rules and found.count("reject") == 4


def test_one_behind_another_port():
    found = tables(document({"sandboxes": ["w1"], "ports": ["80:8080"]}))["cli"]
    assert maps(found) == [
        "meta l4proto { tcp, udp, sctp } dnat ip to 10.0.0.3:8080",
        "meta l4proto { tcp, udp, sctp } dnat ip6 to [fd00::3]:8080",
    ]


def test_clients_begin_with_different_sandboxes_and_share_few_texts():
    """The first connection of many clients does not go to one sandbox alone; and nft need not read a text for each."""
    clients = {f"cli{n}": [] for n in range(200)}
    found = tables(document({"vip": "10.0.0.254"}, w1=["web"], w2=["web"], w3=["web"], **clients))
    first = collections.Counter(re.search(r"0 : ([0-9.]+)", found[name]).group(1) for name in clients)
    assert len(set(found.values())) <= LARGEST_OFFSET and len(first) == 3 and max(first.values()) <= 100


def owners(text):
    """Return who has each slot of a sticky service, by address."""
    found = {}
    for low, _dash, high, address in re.findall(r"(\d+)(-?)(\d*) : ([0-9.]+)", maps(text)[0]):
        found.update(dict.fromkeys(range(int(low), int(high or low) + 1), address))
    return found


def test_sticky_slots_move_only_when_their_owner_leaves_or_one_comes():
    """And in proportion to the weights, about: each has between half and twice its part."""
    names = [f"w{n}" for n in range(4)]

    def table(behind, **weights):
        spec = {
            "vip": "10.0.0.254",
            "sticky": True,
            "sandboxes": {name: {"weight": weights.get(name, 1)} for name in behind},
        }
        return owners(tables(document(spec, cli=[], **{name: [] for name in names}))["cli"])

    full, without = table(names), table(names[:3])
    gone = "10.0.0.6"
    assert len(full) == len(without) == 128 and set(full.values()) - set(without.values()) == {gone}
    assert {slot for slot in full if full[slot] != without[slot]} == {
        slot for slot, owner in full.items() if owner == gone
    }
    assert all(16 <= number <= 64 for number in collections.Counter(full.values()).values())
    heavy = collections.Counter(table(names[:2], w0=3).values())
    assert 64 < heavy["10.0.0.3"] < 120


def test_a_sticky_service_is_the_same_for_all_clients_and_has_its_own_seed():
    found = tables(document({"sticky": True}, w1=["web"], w2=["web"], cli=[], cli2=[], cli3=[]))
    assert len(set(found.values())) == 1 and re.search(r"jhash ip6? saddr mod 128 seed 0x[0-9a-f]+ map", found["cli"])


def test_names_are_the_services():
    """The name has the virtual address alone, whatever calls itself so; those behind it are tasks.NAME."""
    project = document({"vip": ["10.0.0.254", "fd00::254"]}, cli=[], w1=["web", "www"], w2=["WEB"])
    project["sandboxes"]["w2"]["hostname"] = "web"
    found = files(project)
    assert (
        records(found)
        == """\
10.0.0.2 cli.front cli ca8367bf1c68 ca8367bf1c68.front
fd00::2 cli.front cli ca8367bf1c68 ca8367bf1c68.front
10.0.0.3 w1.front w1 www 56b8131a559a tasks.web www.front 56b8131a559a.front tasks.web.front
fd00::3 w1.front w1 www 56b8131a559a tasks.web www.front 56b8131a559a.front tasks.web.front
10.0.0.4 w2.front w2 5e15401071b9 tasks.web 5e15401071b9.front tasks.web.front
fd00::4 w2.front w2 5e15401071b9 tasks.web 5e15401071b9.front tasks.web.front
10.0.0.254 web.front web
fd00::254 web.front web
"""
    )
    assert "local=/tasks/\n" in found["/run/dockless/dns/resolvers/cli.conf"]


def test_names_alone():
    project = document(
        {"mode": "dnsrr", "sandboxes": {"w1": {}, "w2": {"drain": True}}}, cli=[], w1=[], w2=[], w3=["web"]
    )
    lines = records(files(project)).splitlines()
    assert [line.split()[1] for line in lines if "web" in line.split()] == ["w1.front", "w1.front"]
    assert tables(project)["cli"] == sandbox_table.sandbox_table((), 0, True)
    assert "local=/tasks/" not in files(project)["/run/dockless/dns/resolvers/cli.conf"]


def test_a_service_with_a_dotted_name_never_leaves_the_host():
    project = document()
    project["networks"]["front"]["services"] = {"api.shop.example": {}}
    assert "local=/api.shop.example/\n" in files(project)["/run/dockless/dns/resolvers/cli.conf"]
    assert "to_api.shop.example_" not in tables(project)["cli"]  # nobody is behind it


def vips(host, network="front"):
    """Return the addresses of a resolved host's services."""
    return {
        s.name: [str(vip) for vip in s.vips]
        for p in host.projects
        for n in p.networks
        if n.name == network
        for s in n.services
    }


def test_addresses_are_chosen_from_the_top_and_kept():
    """A service that comes later, or before it in the document, moves none; what is remembered survives JSON."""
    first = resolved(document())
    assert vips(first) == {"web": ["10.0.0.254", "fd00::ffff:ffff:ffff:ffff"]}
    kept = json.loads(json.dumps(leases_of(first)))
    assert kept["shop"]["services"] == {"front": {"web": ["10.0.0.254", "fd00::ffff:ffff:ffff:ffff"]}}
    more = document()
    more["networks"]["front"]["services"] = {"api": {}, "web": {}}
    assert vips(resolved(more, leases=kept)) == {
        "api": ["10.0.0.253", "fd00::ffff:ffff:ffff:fffe"],
        "web": ["10.0.0.254", "fd00::ffff:ffff:ffff:ffff"],
    }
    assert resolved(document(), leases=kept) == first
    assert "services" not in leases_of(resolved({"sandboxes": {"a": {}}}))["shop"]


def test_requested_addresses_come_before_kept_ones():
    """A sandbox that asks for a service's former address has it; a sandbox's address is never taken for a service."""
    kept = leases_of(resolved(document()))
    project = document()
    project["sandboxes"]["cli"]["networks"]["front"] = {"ipv4_address": "10.0.0.254"}
    assert vips(resolved(project, leases=kept))["web"][0] == "10.0.0.253"
    tiny = {
        "networks": {"front": {"ipam": {"config": [{"subnet": "10.0.0.0/30"}]}, "services": {"web": {}}}},
        "sandboxes": {},
    }
    assert vips(resolved(tiny))["web"] == ["10.0.0.2"]
    had = {"shop": {"endpoints": {"a": {"shop/front": {"addresses": ["10.0.0.2/30"], "interface": "eth0"}}}}}
    with pytest.raises(DocklessError, match="no free address left in 10.0.0.0/30 for service web"):
        resolved({**tiny, "sandboxes": {"a": {"networks": ["front"]}}}, leases=had)


def test_no_sandbox_gets_a_services_address():
    project = document({"vip": ["10.0.0.2", "fd00::2"]}, a=[], b=[])
    found = {e.sandbox: e.addresses for p in resolved(project).projects for s in p.sandboxes for e in s.endpoints}
    assert found == {"a": ("10.0.0.3/24", "fd00::3/64"), "b": ("10.0.0.4/24", "fd00::4/64")}


UNDERLAY = UnderlayAddress(ipaddress.ip_address("192.0.2.2"), "eth0", 1500)
OVERLAY = {
    "driver": "overlay",
    "vni": 300,
    "vtep": "192.0.2.2",
    "ipam": {"config": [{"subnet": "10.0.0.0/24"}]},
    "peers": {"hostb": {"vtep": "192.0.2.3", "sandboxes": {"w9": {"addresses": ["10.0.0.9"], "aliases": ["web"]}}}},
}


def overlay_host(service, **more):
    """Return the checked and resolved host of an overlay with a service and one local sandbox behind it."""
    project = parse_project(
        "shop",
        {
            "networks": {"wide": {**OVERLAY, "services": {"web": service}, **more}},
            "sandboxes": {"w1": {"networks": {"wide": {"ipv4_address": "10.0.0.4", "aliases": ["web"]}}}},
        },
    )
    known = FACTS._replace(underlay=(UNDERLAY,))
    host = Host((project,))
    check_host(host, known)
    return resolve_host(host, {}, known)


def test_sandboxes_of_other_hosts_are_behind_a_service_as_well():
    host = overlay_host({"vip": "10.0.0.254"})
    served = Services(topology.read_topology(host))
    assert maps(served.table(host.projects[0].sandboxes[0], True)) == [
        "dnat ip to numgen inc mod 2 map { 0 : 10.0.0.9, 1 : 10.0.0.4 }"
    ]
    assert service_rows(served.of["shop", "wide"])["web"] == {
        "mode": "vip",
        "vip": ["10.0.0.254"],
        "sticky": False,
        "ports": [],
        "sandboxes": {
            "w1": {"project": "shop", "addresses": ["10.0.0.4"], "weight": 1, "drain": False},
            "w9": {"project": "shop", "addresses": ["10.0.0.9"], "weight": 1, "drain": False},
        },
    }
    assert overlay_host({"vip": "10.0.0.254", "sandboxes": ["w1", "later"]})


@pytest.mark.parametrize(
    "service, message",
    [
        (
            {},
            "networks.wide.services.web.vip: service web has no address on overlay network wide, and this host cannot "
            "know which ones are free on the other hosts",
        ),
        ({"vip": "10.0.0.9"}, "networks.wide.services.web.vip: 10.0.0.9 is taken by sandbox w9 on host hostb"),
        (
            {"vip": "10.0.0.4"},
            "networks.wide.services.web.vip: 10.0.0.4 is taken by sandbox shop/w1 (sandboxes.w1.networks.wide)",
        ),
    ],
)
def test_what_an_overlay_refuses(service, message):
    with pytest.raises(DocklessError) as refusal:
        overlay_host(service)
    assert str(refusal.value).startswith(message) and refusal.value.remedy


def test_the_name_of_a_sandbox_elsewhere_is_taken():
    peers = {"hostb": {"vtep": "192.0.2.3", "sandboxes": {"web": {"addresses": ["10.0.0.9"]}}}}
    with pytest.raises(DocklessError, match="the name web on network shop/wide is taken by sandbox web on host hostb"):
        overlay_host({"vip": "10.0.0.254"}, peers=peers)


def test_a_host_with_a_slice_chooses_from_it():
    assert vips(overlay_host({}, ipam={"config": [{"subnet": "10.0.0.0/24", "ip_range": "10.0.0.64/26"}]}), "wide") == {
        "web": ["10.0.0.127"]
    }
