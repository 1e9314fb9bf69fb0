# SPDX-License-Identifier: GPL-3.0-or-later
"""Names of a project as objects: golden texts, and what is refused."""

from __future__ import annotations

import hashlib
import ipaddress

import pytest

# pylint: disable=wrong-import-position
from _dockless import names
from _dockless.desired import dns
from _dockless.dns import dnsmasq_config
from _dockless.errors import DocklessError
from _dockless.model import topology
from _dockless.model.facts import Facts
from _dockless.model.host import Defaults, Host, Project
from _dockless.model.network import DnsRecord, Network, Subnet
from _dockless.model.sandbox import MODE_CONTAINER, MODE_HOST, MODE_NONE, Endpoint, LegacyLink, Sandbox
from _dockless.state.objects import File, Resolver

FACTS = Facts(nameservers=("127.0.0.53", "::1", "fe80::1%eth0", "192.0.2.53"), search=("corp.example",))
FRONT = Network(
    "shop",
    "front",
    subnets=(
        Subnet(ipaddress.ip_network("172.20.0.0/16"), 4, gateway=ipaddress.ip_address("172.20.0.1")),
        Subnet(ipaddress.ip_network("fd00:20::/64"), 6, gateway=ipaddress.ip_address("fd00:20::1")),
    ),
)
BACK = Network(
    "shop",
    "back",
    internal=True,
    subnets=(Subnet(ipaddress.ip_network("172.21.0.0/16"), 4, gateway=ipaddress.ip_address("172.21.0.1")),),
)
BRIDGE = Network(
    "",
    "bridge",
    dns_enabled=False,
    subnets=(Subnet(ipaddress.ip_network("172.17.0.0/16"), 4, gateway=ipaddress.ip_address("172.17.0.1")),),
)


def on(name, *joins, project="shop", **options):
    """Return a sandbox; each join is (network key, addresses) and more fields of Endpoint."""
    endpoints = tuple(
        Endpoint(project, name, key, addresses=tuple(addresses), **more[0] if more else {})
        for key, addresses, *more in joins
    )
    return Sandbox(project, name, endpoints=endpoints, path=f"sandboxes.{name}", **options)


def realized(*sandboxes, networks=(FRONT, BACK), others=(), defaults=Defaults(), known=FACTS):
    """Return (texts by path, the other objects) of project shop."""
    project = Project("shop", tuple(networks), sandboxes)
    host = Host((project, Project("", (BRIDGE,)), *others), defaults)
    objects = dns.dns_objects(project, topology.read_topology(host), known, host.defaults)
    files = {o.path: o.text for o in objects if isinstance(o, File)}
    modes = {o.path.endswith(".conf") and "/resolvers/" in o.path: o.mode for o in objects if isinstance(o, File)}
    assert modes.get(True, 0o600) == 0o600 and modes.get(False, 0o644) == 0o644
    assert len(files) == sum(isinstance(o, File) for o in objects)
    return files, [o for o in objects if not isinstance(o, File)]


WEB = on(
    "web",
    (("shop", "front"), ("172.20.0.2/16", "fd00:20::2/64"), {"aliases": ("www", "app.example")}),
    hostname="w1",
    domainname="shop.example",
)
DB = on("db", (("shop", "back"), ("172.21.0.3/16",)))

RECORDS = """\
# dockless: project shop
172.20.0.2 web.front web w1 www app.example d1c6511cd58c w1.front www.front app.example.front d1c6511cd58c.front
fd00:20::2 web.front web w1 www app.example d1c6511cd58c w1.front www.front app.example.front d1c6511cd58c.front
"""
CONFIGURATION = """\
# dockless: sandbox shop/web
port=10053
listen-address=127.0.0.11
bind-interfaces
no-hosts
resolv-file=/run/dockless/dns/upstreams/web/resolv.conf
domain-needed
local=//
local-ttl=0
cache-size=0
dns-forward-max=1024
pid-file=/run/dockless/dns/pids/web.pid
hostsdir=/run/dockless/dns/networks/shop.front
servers-file=/run/dockless/dns/zones
local=/front/
local=/20.172.in-addr.arpa/
local=/0.0.0.0.0.0.0.0.0.2.0.0.0.0.d.f.ip6.arpa/
local=/app.example/
server=/*.app.example/#
"""
UPSTREAMS = """\
# dockless: sandbox shop/web
nameserver 192.0.2.53
"""
RESOLV_CONF = """\
# dockless: sandbox shop/web
# forwards to: 192.0.2.53
nameserver 127.0.0.11
search corp.example
options ndots:0
"""
HOSTS = """\
# dockless: sandbox shop/web
127.0.0.1    localhost
::1    localhost ip6-localhost ip6-loopback
fe00::    ip6-localnet
ff00::    ip6-mcastprefix
ff02::1    ip6-allnodes
ff02::2    ip6-allrouters
172.20.0.2    w1.shop.example w1 web
fd00:20::2    w1.shop.example w1 web
""".replace("    ", "\t")


def test_one_sandbox_on_one_network():
    """All files of a sandbox; the host's loopback servers are left out."""
    files, others = realized(WEB)
    digest = names.text_digest(CONFIGURATION)
    assert files == {
        "/run/dockless/dns/networks/shop.front/shop@57": RECORDS,
        "/run/dockless/dns/resolvers/web.conf": CONFIGURATION + f"txt-record=config.dockless.invalid,{digest}\n",
        "/run/dockless/dns/upstreams/web/resolv.conf": UPSTREAMS,
        "/etc/netns/web/resolv.conf": RESOLV_CONF,
        "/etc/netns/web/hosts": HOSTS,
        "/etc/netns/web/hostname": "w1\n",
    }
    table, resolver = others
    assert resolver == Resolver("web", "web", "/run/dockless/dns/resolvers/web.conf", digest)
    assert table.netns == "web" and table.text.count("dnat ip to 127.0.0.11:10053") == 2


def test_networks_without_egress_forward_nothing():
    """An internal network forwards nothing, with or without servers of its own.

    With another network it does not matter.
    """
    both = on("app", (("shop", "back"), ("172.21.0.4/16",)), (("shop", "front"), ("172.20.0.4/16",)))
    only = on("db", (("shop", "back"), ("172.21.0.3/16",)), dns=(ipaddress.ip_address("192.0.2.1"),))
    files, others = realized(only, both)
    assert (
        "local=/#/" in files["/run/dockless/dns/resolvers/db.conf"]
        and "no-resolv" in files["/run/dockless/dns/resolvers/db.conf"]
    )
    assert "/run/dockless/dns/upstreams/db/resolv.conf" not in files
    assert "# forwards nothing" in files["/etc/netns/db/resolv.conf"]
    assert (
        "nameserver 192.0.2.53" in files["/run/dockless/dns/upstreams/app/resolv.conf"]
        and "/#/" not in files["/run/dockless/dns/resolvers/app.conf"]
    )


@pytest.mark.parametrize(
    "sandbox_dns, network, defaults, known, servers",
    [
        (("192.0.2.1", "2001:db8::1"), {"dns": "192.0.2.2"}, "192.0.2.3", FACTS, ["192.0.2.1", "2001:db8::1"]),
        ((), {"dns": "192.0.2.2"}, "192.0.2.3", FACTS, ["192.0.2.2"]),
        ((), {}, "192.0.2.3", FACTS, ["192.0.2.3"]),
        ((), {}, "", FACTS, ["192.0.2.53"]),
        ((), {"forward": "servers"}, "", FACTS, []),
        ((), {"forward": "servers", "dns": "192.0.2.2"}, "", FACTS, ["192.0.2.2"]),
        (("192.0.2.1",), {"forward": "none"}, "192.0.2.3", FACTS, []),
        ((), {}, "", Facts(nameservers=("127.0.0.53",)), ["172.20.0.1#10053"]),
        ((), {}, "", Facts(nameservers=("0.0.0.0",)), ["172.20.0.1#10053"]),
        ((), {"subnets": FRONT.subnets[:1]}, "", Facts(nameservers=("2001:db8::1",)), ["172.20.0.1#10053"]),
        ((), {"subnets": FRONT.subnets[1:]}, "", Facts(nameservers=("192.0.2.53",)), ["fd00:20::1#10053"]),
        (
            (),
            {"subnets": FRONT.subnets[:1], "dns": "192.0.2.2"},
            "",
            Facts(nameservers=("2001:db8::1",)),
            ["192.0.2.2"],
        ),
        (
            (),
            {"subnets": FRONT.subnets[:1]},
            "",
            Facts(nameservers=("2001:db8::1", "192.0.2.53")),
            ["2001:db8::1", "192.0.2.53"],
        ),
        ((), {"egress": False}, "192.0.2.3", FACTS, []),
        (("192.0.2.1",), {"egress": False}, "", FACTS, []),
    ],
)
def test_order_of_servers(sandbox_dns, network, defaults, known, servers):
    """The sandbox's own before the network's, the host's defaults, and the host's; never an invented one."""

    def parsed(text):
        return tuple(ipaddress.ip_address(one) for one in text.split())

    net = FRONT._replace(
        forward=network.get("forward", "host"),
        egress=network.get("egress", True),
        dns=parsed(network.get("dns", "")),
        subnets=network.get("subnets", FRONT.subnets),
    )
    files, others = realized(
        WEB._replace(dns=parsed(" ".join(sandbox_dns))),
        networks=(net,),
        defaults=Defaults(dns=parsed(defaults)),
        known=known,
    )
    lines = files["/run/dockless/dns/resolvers/web.conf"].splitlines()
    listed = files.get("/run/dockless/dns/upstreams/web/resolv.conf", "").splitlines()[1:]
    asked = [line[7:] for line in lines if line.startswith("server=") and "*" not in line]
    assert asked + [line[11:] for line in listed] == servers
    assert ("local=/#/" in lines) == (not servers)


def test_a_server_of_the_network_does_not_ask_itself():
    """What a network's dns names is a sandbox on it, whose own resolver leaves that address out."""
    net = FRONT._replace(dns=(ipaddress.ip_address("172.20.0.2"), ipaddress.ip_address("192.0.2.9")))
    files, others = realized(WEB, on("cli", (("shop", "front"), ("172.20.0.9/16",))), networks=(net,))
    assert files["/run/dockless/dns/upstreams/web/resolv.conf"].endswith("shop/web\nnameserver 192.0.2.9\n")
    assert files["/run/dockless/dns/upstreams/cli/resolv.conf"].endswith(
        "shop/cli\nnameserver 172.20.0.2\nnameserver 192.0.2.9\n"
    )


def test_the_hosts_file_is_followed_where_each_of_its_servers_can_be_reached():
    """Then a change of it changes nothing here; loopback servers and zones are nothing that a sandbox could follow."""
    known = FACTS._replace(nameservers=("192.0.2.53",), resolv_conf="/etc/resolv.conf")
    files, others = realized(WEB, known=known)
    text = files["/run/dockless/dns/resolvers/web.conf"]
    assert (
        "resolv-file=/etc/resolv.conf\n" in text
        and "server=" not in text.replace("server=/*.app.example/#", "")
        and "no-resolv" not in text
        and "no-poll" not in text
    )
    assert realized(WEB, known=known._replace(nameservers=("192.0.2.54",))) == (files, others)
    files, others = realized(WEB, known=FACTS._replace(resolv_conf="/etc/resolv.conf"))
    assert (
        files["/run/dockless/dns/upstreams/web/resolv.conf"] == UPSTREAMS
        and "/etc" not in files["/run/dockless/dns/resolvers/web.conf"]
    )


@pytest.mark.parametrize("path", ["/etc/resolv.conf", ""], ids=["followed", "not-followed"])
def test_without_a_server_of_the_host_other_names_are_refused(path):
    """They are not denied, and the file is followed only if dnsmasq can."""
    files, _others = realized(WEB, known=Facts(resolv_conf=path))
    lines = files["/run/dockless/dns/resolvers/web.conf"].splitlines()
    assert "local=/#/" not in lines
    assert [line for line in lines if line.startswith(("resolv-file=", "no-resolv"))] == (
        [f"resolv-file={path}"] if path else ["no-resolv"]
    )
    assert "/run/dockless/dns/upstreams/web/resolv.conf" not in files


def test_names_switched_off_cost_nothing():
    silent = FRONT._replace(dns_enabled=False)
    plain = on("web", (("shop", "front"), ("172.20.0.2/16",)))
    assert realized(plain, networks=(silent,)) == ({}, [])
    files, others = realized(plain._replace(dns=(ipaddress.ip_address("192.0.2.9"),)), networks=(silent,))
    assert others == [] and "nameserver 192.0.2.9\n" in files["/etc/netns/web/resolv.conf"]
    assert not any(path.startswith("/run") for path in files)


@pytest.mark.parametrize(
    "option",
    [
        {"hostname": "w1"},
        {"domainname": "x.example"},
        {"dns_search": ("x.example",)},
        {"dns_opt": ("timeout:1",)},
        {"extra_hosts": (("a", "192.0.2.1"),)},
    ],
)
def test_a_wish_of_the_sandbox_brings_its_files_without_names(option):
    plain = on("web", (("shop", "front"), ("172.20.0.2/16",)), **option)
    files, others = realized(plain, networks=(FRONT._replace(dns_enabled=False),))
    assert (
        sorted(files) == ["/etc/netns/web/hostname", "/etc/netns/web/hosts", "/etc/netns/web/resolv.conf"]
        and others == []
    )


def test_default_bridge_has_links_in_one_direction_and_no_resolver():
    """Names on the default bridge are those of links, in the file of the one that links."""
    one = on("one", (("", "bridge"), ("172.17.0.2/16",), {"links": (LegacyLink("two", "db"), LegacyLink("gone", "x"))}))
    two = on("two", (("", "bridge"), ("172.17.0.3/16",)))
    files, others = realized(one, two)
    assert others == [] and not any(path.startswith("/run") for path in files)
    assert "172.17.0.3\tdb two\n" in files["/etc/netns/one/hosts"] and "\tx" not in files["/etc/netns/one/hosts"]
    assert "one" not in files["/etc/netns/two/hosts"].partition("\n")[2]
    assert (
        files["/etc/netns/two/resolv.conf"]
        == "# dockless: sandbox shop/two\nnameserver 192.0.2.53\nsearch corp.example\n"
    )


def test_without_a_reachable_server_the_file_says_so():
    one = on("one", (("", "bridge"), ("172.17.0.2/16",)))
    files, others = realized(one, known=Facts(nameservers=("127.0.0.1",)))
    assert files["/etc/netns/one/resolv.conf"] == (
        "# dockless: sandbox shop/one\n# No server: those of the host cannot be reached from here. Set dns.\n"
    )


@pytest.mark.parametrize(
    "mode, paths",
    [
        (MODE_HOST, []),
        (MODE_CONTAINER, []),
        (MODE_NONE, ["/etc/netns/x/hostname", "/etc/netns/x/hosts", "/etc/netns/x/resolv.conf"]),
    ],
)
def test_modes(mode, paths):
    """A partner's namespace has its partner's files; the host's needs none."""
    files, others = realized(Sandbox("shop", "x", mode=mode, partner="web"))
    assert sorted(files) == paths and others == []


def test_links_have_a_directory_of_their_own():
    """A link to what does not exist yet leaves an empty file that is watched."""
    cli = on(
        "cli",
        (("shop", "front"), ("172.20.0.9/16",), {"links": (LegacyLink("web", "site"), LegacyLink("later", "l8"))}),
    )
    files, others = realized(WEB, cli)
    assert files["/run/dockless/dns/links/cli/private"] == (
        "# dockless: sandbox shop/cli\n172.20.0.2 site site.front\nfd00:20::2 site site.front\n"
    )
    assert "hostsdir=/run/dockless/dns/links/cli\n" in files["/run/dockless/dns/resolvers/cli.conf"]
    assert "links" not in files["/run/dockless/dns/resolvers/web.conf"]


def test_another_project_writes_its_own_file_into_the_owners_network():
    other = Project(
        "blog",
        (Network("blog", "front", external="shop/front"),),
        (on("wp", (("shop", "front"), ("172.20.0.40/16",), {"aliases": ("wp.example",)}), project="blog"),),
    )
    files, others = realized(WEB, others=(other,))
    assert not any("blog" in path for path in files)
    assert "local=/wp.example/" in files["/run/dockless/dns/resolvers/web.conf"]
    host = Host((Project("shop", (FRONT,), (WEB,)), other))
    theirs = {
        o.path: o.text
        for o in dns.dns_objects(other, topology.read_topology(host), FACTS, host.defaults)
        if isinstance(o, File)
    }
    assert theirs["/run/dockless/dns/networks/shop.front/blog@62"] == (
        "# dockless: project blog\n172.20.0.40 wp.front wp wp.example 56cd32af0400 wp.example.front "
        "56cd32af0400.front\n"
    )
    assert "local=/app.example/" in theirs["/run/dockless/dns/resolvers/wp.conf"]


def test_a_network_takes_no_public_domain():
    """Of net and of example.com, exactly the names of its sandboxes; of a name that nobody else can have, all."""
    for name, is_zone in (("net", False), ("Dev", False), ("shop.example.com", False), ("back", True), ("a.lan", True)):
        network = FRONT._replace(name=name)
        web = on("web", (network.key, ("172.20.0.2/16",), {"aliases": ("www",)}), hostname="w1")
        files, others = realized(web, networks=(network,))
        lines = files["/run/dockless/dns/resolvers/web.conf"].splitlines()
        assert (f"local=/{name}/" in lines) == is_zone, name
        for own in ("web", "www", "w1", names.short_id("shop", "web")):
            exact = [f"local=/{own}.{name}/", f"server=/*.{own}.{name}/#"]
            assert [line in lines for line in exact] == [not is_zone] * 2, (own, name)


def test_a_dotted_name_takes_no_name_below_it():
    """Where queries are forwarded at all, and not in a zone that is the network's own."""
    aliases = {"aliases": ("app.example", "x.front")}
    files, others = realized(on("web", (FRONT.key, ("172.20.0.2/16",), aliases)))
    lines = files["/run/dockless/dns/resolvers/web.conf"].splitlines()
    assert "local=/app.example/" in lines and "server=/*.app.example/#" in lines
    assert not any("x.front" in line for line in lines)
    files, others = realized(on("web", (BACK.key, ("172.21.0.2/16",), aliases)))
    assert "*" not in files["/run/dockless/dns/resolvers/web.conf"]


def test_zones_of_the_host_are_those_of_all_networks_with_names_of_their_own():
    def network(name, **options):
        return Network("blog", name, subnets=FRONT.subnets, **options)

    more = (network("net"), network("silent", dns_enabled=False), network("b_1"), network("Lan"))
    host = Host((Project("shop", (FRONT, BACK), ()), Project("blog", more, ()), Project("", (BRIDGE,))))
    assert topology.read_topology(host).zones == ["Lan", "b_1", "back", "front"]


def test_directories_of_two_networks_never_meet():
    keys = [("a.b", "c"), ("a", "b.c"), ("a.", "c"), ("a", "c"), ("a..b", "c"), ("a.b.", "c")]
    assert len({dnsmasq_config.network_directory(key) for key in keys}) == len(keys)


def test_extra_hosts_and_host_gateway():
    """host-gateway is where the default route of each family goes."""
    both = on(
        "app",
        (("shop", "back"), ("172.21.0.4/16",)),
        (("shop", "front"), ("172.20.0.4/16", "fd00:20::4/64")),
        extra_hosts=(("up", "host-gateway"), ("mirror", "192.0.2.7"), ("mirror", "2001:db8::7")),
    )
    files, others = realized(both)
    assert ("172.20.0.1\tup\nfd00:20::1\tup\n192.0.2.7\tmirror\n2001:db8::7\tmirror\n172.21.0.4\tapp\n") in files[
        "/etc/netns/app/hosts"
    ]
    with pytest.raises(DocklessError, match=r"sandboxes\.db\.extra_hosts: .*host-gateway"):
        realized(DB._replace(extra_hosts=(("up", "host-gateway"),)))


def test_search_and_options():
    sandbox = WEB._replace(dns_search=(".",), dns_opt=("ndots:2", "use-vc"))
    text = realized(sandbox)[0]["/etc/netns/web/resolv.conf"]
    assert text.endswith("nameserver 127.0.0.11\noptions ndots:2 use-vc\n")
    net = FRONT._replace(dns_search=("net.example",), dns_opt=("timeout:1",))
    text = realized(WEB, networks=(net,), defaults=Defaults(dns_search=("d.example",)))[0]["/etc/netns/web/resolv.conf"]
    assert text.endswith("search net.example\noptions ndots:0 timeout:1\n")


def test_names_that_dns_cannot_carry_are_left_out():
    """Namespaces may be called what DNS names may not be."""
    files, others = realized(on("a..b", (("shop", "front"), ("172.20.0.5/16",), {"aliases": ("ok",)})))
    assert files["/run/dockless/dns/networks/shop.front/shop@38"].splitlines()[1:] == [
        "172.20.0.5 ok 250d764b9122 ok.front 250d764b9122.front"
    ]
    assert "a..b/" not in files["/run/dockless/dns/resolvers/a..b.conf"].replace("upstreams/a..b", "")
    assert "172.20.0.5\tlocalhost\n" not in files["/etc/netns/a..b/hosts"]


@pytest.mark.parametrize("alias", ["a b", "a\nserver=192.0.2.1", "a/b", "", "-a", "a,b", "#", "ä"])
def test_an_alias_cannot_carry_anything_else(alias):
    """Refused here too, though it cannot come through the parser."""
    with pytest.raises(DocklessError, match="not a domain name"):
        realized(on("web", (("shop", "front"), ("172.20.0.5/16",), {"aliases": (alias,)})))


@pytest.mark.parametrize(
    "record",
    [
        ("a\nserver=192.0.2.1", "TXT", "x"),
        ("a", "TXT", "x\nserver=192.0.2.1"),
        ("a", "TXT", "x" * 1100),
        ("a,b", "CNAME", "c"),
        ("a", "CNAME", "c,60"),
        ("a", "SRV", "1 2 80"),
        ("a", "SRV", "1 2 70000 c"),
        ("a", "SRV", "1 2 x c"),
        ("a", "MX", "c"),
        ("192.0.2.1", "PTR", "c d"),
        ("a", "A", "::1"),
        ("a", "AAAA", "192.0.2.1"),
        ("a b", "A", "192.0.2.1"),
        ("a", "A", "x"),
    ],
)
def test_a_record_cannot_carry_anything_else(record):
    for networks, sandbox in (
        ((FRONT._replace(records=(DnsRecord(*record),)),), WEB),
        ((FRONT,), WEB._replace(records=(DnsRecord(*record),))),
    ):
        with pytest.raises(DocklessError, match="record of .* cannot be served"):
            realized(sandbox, networks=networks)


def test_records_of_network_and_sandbox():
    records = (
        DnsRecord("printer.lan", "A", "10.1.2.3"),
        DnsRecord("p.lan", "CNAME", "printer.lan."),
        DnsRecord("t", "TXT", 'a "b" \\' + "x" * 260),
        DnsRecord("_h._tcp.lan", "SRV", "1 2 80 printer.lan"),
        DnsRecord("10.1.2.3", "PTR", "printer.lan"),
    )
    files, others = realized(
        WEB._replace(records=(DnsRecord("mine", "AAAA", "fd00::9"),)), networks=(FRONT._replace(records=records),)
    )
    assert files["/run/dockless/dns/networks/shop.front/shop"] == "# dockless: project shop\n10.1.2.3 printer.lan\n"
    assert files["/run/dockless/dns/links/web/private"].endswith("\nfd00::9 mine\n")
    lines = files["/run/dockless/dns/resolvers/web.conf"].splitlines()
    first, rest = 'a \\"b\\" \\\\' + "x" * 248, "x" * 12
    for line in (
        "cname=p.lan,printer.lan",
        f'txt-record=t,"{first}","{rest}"',
        "srv-host=_h._tcp.lan,printer.lan,80,1,2",
        "ptr-record=3.2.1.10.in-addr.arpa,printer.lan",
        "local=/printer.lan/",
        "local=/p.lan/",
        "server=/*.p.lan/#",
    ):
        assert line in lines
    assert "local=/_h._tcp.lan/" not in lines  # its other records are not declared
    assert "local=/mine/" not in lines


@pytest.mark.parametrize(
    "subnet, zones",
    [
        ("172.20.0.0/16", ["20.172.in-addr.arpa"]),
        ("10.0.0.0/8", ["10.in-addr.arpa"]),
        ("10.1.2.0/23", ["2.1.10.in-addr.arpa", "3.1.10.in-addr.arpa"]),
        ("10.1.2.4/31", ["4.2.1.10.in-addr.arpa", "5.2.1.10.in-addr.arpa"]),
        ("fd00:20::/63", ["0.0.0.0.0.0.0.0.0.2.0.0.0.0.d.f.ip6.arpa", "1.0.0.0.0.0.0.0.0.2.0.0.0.0.d.f.ip6.arpa"]),
    ],
)
def test_reverse_zones_are_exactly_the_subnets(subnet, zones):
    assert dnsmasq_config.reverse_zones(ipaddress.ip_network(subnet)) == zones


def test_systemd_unit_comes_with_resolvers_only():
    known = FACTS._replace(systemd=True)
    files, others = realized(WEB, known=known)
    unit = files["/run/systemd/system/dockless-dns@.service"]
    assert "NetworkNamespacePath=/run/netns/%i\n" in unit and unit.startswith("# dockless: ")
    assert "CapabilityBoundingSet=CAP_SETUID CAP_SETGID\n" in unit
    files, others = realized(on("one", (("", "bridge"), ("172.17.0.2/16",))), known=known)
    assert not any("systemd" in path for path in files)


def test_a_change_elsewhere_does_not_change_a_configuration():
    """A new plain name is one record file more or one that changes, of 64, not a restart of every resolver."""
    crowd = [on(f"s{number}", (("shop", "front"), (f"172.20.1.{number}/16",))) for number in range(250)]
    alone, others = realized(WEB)
    before, others = realized(WEB, *crowd)
    after, others = realized(WEB, *crowd, on("new", (("shop", "front"), ("172.20.0.77/16",))))
    assert {path for path in alone if alone[path] != before[path]} == {"/run/dockless/dns/networks/shop.front/shop@57"}
    assert {path for path in before if before[path] != after[path]} == {"/run/dockless/dns/networks/shop.front/shop@21"}
    assert len([path for path in after if path.startswith("/run/dockless/dns/networks/")]) in range(50, 65)


def test_an_id_is_a_name_of_its_own():
    """As a container's short id: twelve hex digits, not of decimal ones alone, the same at each time and another for
    each sandbox.
    """
    found = [names.short_id("shop", f"s{number}") for number in range(2000)]
    assert len(set(found)) == 2000 and found[7] == names.short_id("shop", "s7") != names.short_id("blog", "s7")
    assert all(len(one) == 12 and int(one, 16) >= 0 and not one.isdigit() for one in found)
    assert any(
        hashlib.sha256(f"sandbox\0shop\0s{number}\0000".encode()).hexdigest()[:12].isdigit() for number in range(2000)
    )  # some would have been


def test_contradicting_cnames_of_several_networks_leave_the_first():
    """dnsmasq would not start, and the networks do not know of each other. The sandbox's own come first."""
    front = FRONT._replace(records=(DnsRecord("data", "CNAME", "db"), DnsRecord("a", "CNAME", "b")))
    back = BACK._replace(records=(DnsRecord("DATA", "CNAME", "web"), DnsRecord("b", "CNAME", "a")))
    both = on("app", (("shop", "front"), ("172.20.0.4/16",)), (("shop", "back"), ("172.21.0.4/16",)))

    def found(sandbox):
        files, _others = realized(sandbox, networks=(front, back))
        lines = files["/run/dockless/dns/resolvers/app.conf"].splitlines()
        return [line for line in lines if line.startswith("cname=")]

    assert found(both) == ["cname=data,db", "cname=a,b"]
    assert found(both._replace(records=(DnsRecord("data", "CNAME", "own"),))) == ["cname=data,own", "cname=a,b"]
