# SPDX-License-Identifier: GPL-3.0-or-later
"""Names as programs in a sandbox see them: real namespaces, a real dnsmasq in each, dig(1) and getent(1)."""

from __future__ import annotations

import json

import pytest

from support.dns_questions import DOCUMENT, UPSTREAM, act, asked_upstream, dig, until
from support.private_host import SUPPORT, SYSTEM_PYTHON, Failed

pytestmark = pytest.mark.leaves_behind("links are made by hand here; what the engine leaves is checked by each test")


@pytest.fixture(name="named")
def _named(private_host):
    upstream = private_host.popen([SYSTEM_PYTHON, str(SUPPORT / "dns_upstream.py"), UPSTREAM])
    assert upstream.readline() == "ready"
    done = act(private_host, "up")
    assert done["running"] == done["wanted"] and len(done["wanted"]) == 4
    private_host.upstream = upstream
    return private_host


def test_names_aliases_and_hostname_over_udp_and_tcp(named):
    """Own and others' names, TTL 0, both transports."""
    for options in ((), ("+tcp",)):
        for name in ("web", "web.front", "www1", "app.example", "WEB"):
            assert dig(named, "cli", name, "A", *options) == ("NOERROR", ["172.20.0.10"])
    said = named.run(["dig", "@127.0.0.11", "web"], netns="web").stdout
    assert " ra" in said.split("flags:")[1].split(";")[0]
    assert [line.split()[1] for line in said.splitlines() if line.startswith("web.")] == ["0", "0"]
    assert named.lookup("cli", "web") == ["172.20.0.10"]


@pytest.mark.smoke
def test_name_qualified_by_network(named):
    """name.network resolves, with something appended it goes to the world and not to us."""
    assert dig(named, "cli", "web2.front") == ("NOERROR", ["172.20.0.11"])
    assert dig(named, "cli", "www.front") == ("NOERROR", ["172.20.0.10", "172.20.0.11"])
    assert dig(named, "cli", "missing.front") == ("NXDOMAIN", [])
    assert dig(named, "cli", "web2.front.example.org") == ("NOERROR", ["203.0.113.7"])


def test_names_of_other_networks_do_not_exist(named):
    """Each sandbox sees the names of its own networks only; one on both sees the union."""
    assert dig(named, "cli", "db")[0] == "NXDOMAIN"
    assert dig(named, "db", "web2")[0] == "NXDOMAIN"
    assert dig(named, "db", "web") == ("NOERROR", ["172.21.0.10"])
    assert dig(named, "web", "db") == ("NOERROR", ["172.21.0.20"])
    assert dig(named, "web", "web") == ("NOERROR", ["172.20.0.10", "172.21.0.10"])


def test_ipv4_only_name_has_an_empty_aaaa_that_never_goes_upstream(named):
    """The upstream would answer it with an address of its own."""
    for name in ("web2", "web2.front", "app.example"):
        assert dig(named, "cli", name, "AAAA") == ("NOERROR", [])
    assert dig(named, "web", "db", "AAAA") == ("NOERROR", ["fd00:21::20"])
    assert asked_upstream(named, named.upstream) == []


def test_reverse_names(named):
    """One PTR an address, name.network first; addresses of our subnets never go upstream."""
    assert dig(named, "cli", "10.0.20.172.in-addr.arpa", "PTR") == ("NOERROR", ["web.front."])
    assert dig(named, "web", "0.2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.1.2.0.0.0.0.d.f.ip6.arpa", "PTR") == (
        "NOERROR",
        ["db.back."],
    )
    assert dig(named, "cli", "99.0.20.172.in-addr.arpa", "PTR") == ("NXDOMAIN", [])
    assert asked_upstream(named, named.upstream) == []


def test_shared_alias_is_a_round_robin(named):
    both = ["172.20.0.10", "172.20.0.11"]
    assert dig(named, "cli", "www") == ("NOERROR", both)
    firsts = {named.run(["dig", "@127.0.0.11", "+short", "www"], netns="cli").stdout.split()[0] for turn in range(8)}
    assert sorted(firsts) == both


def test_links_are_private_to_their_sandbox(named):
    """A link to what is not there yet is no obstacle; others do not see it."""
    assert dig(named, "cli", "site") == ("NOERROR", ["172.20.0.10"])
    assert dig(named, "cli", "site.front") == ("NOERROR", ["172.20.0.10"])
    assert dig(named, "cli", "later")[0] == "NXDOMAIN"
    assert dig(named, "web2", "site")[0] == "NXDOMAIN"
    assert dig(named, "cli", "10.0.20.172.in-addr.arpa", "PTR") == ("NOERROR", ["web.front."])


def test_unknown_single_labels_are_not_forwarded(named):
    """No type of query for a plain name leaves; a qualified one does, with the search list."""
    for kind in ("A", "AAAA", "MX", "TXT"):
        assert dig(named, "cli", "nobody", kind) == ("NXDOMAIN", [])
    assert dig(named, "cli", "web2", "MX") == ("NOERROR", [])
    assert asked_upstream(named, named.upstream) == []
    assert dig(named, "cli", "example.org") == ("NOERROR", ["203.0.113.7"])
    assert asked_upstream(named, named.upstream) == ["example.org 1"]
    assert named.lookup("cli", "printer") == ["2001:db8::7", "203.0.113.7"]  # printer.corp.example


@pytest.mark.parametrize("transport", ["+notcp", "+tcp"])
def test_internal_network_never_forwards(named, transport):
    """Even with servers of its own; a sandbox that also has egress does forward."""
    for name, kind in (
        ("example.org", "A"),
        ("example.org", "TXT"),
        ("8.8.8.8.in-addr.arpa", "PTR"),
        ("example.org", "ANY"),
    ):
        assert dig(named, "db", name, kind, transport)[0] == "NXDOMAIN"
    assert dig(named, "db", "db", "A", transport) == ("NOERROR", ["172.21.0.20"])
    assert asked_upstream(named, named.upstream) == []


def test_application_may_bind_port_53(named):
    """The resolver is on another port, and queries to 127.0.0.11 still reach it."""
    named.serve_udp("cli", 53, "mine")
    named.serve_http("cli", 53, "mine")
    assert named.ask_udp("cli", "172.20.0.12", 53) == "mine\n172.20.0.12\n"
    assert dig(named, "cli", "web2") == ("NOERROR", ["172.20.0.11"])
    assert dig(named, "cli", "web2", "A", "+tcp") == ("NOERROR", ["172.20.0.11"])


def test_changed_names_are_served_without_a_restart(named):
    """A sandbox and an alias come and go by one renamed file; the processes stay."""
    before = act(named, "running")
    more = json.loads(json.dumps(DOCUMENT))
    more["sandboxes"]["late"] = {"networks": {"front": {"ipv4_address": "172.20.0.30", "aliases": ["www"]}}}
    del more["sandboxes"]["web2"]
    act(named, "write", more)
    assert until(lambda: dig(named, "cli", "late"), ("NOERROR", ["172.20.0.30"])) == ("NOERROR", ["172.20.0.30"])
    assert until(lambda: dig(named, "cli", "web2"), ("NXDOMAIN", [])) == ("NXDOMAIN", [])
    assert dig(named, "cli", "www") == ("NOERROR", ["172.20.0.10", "172.20.0.30"])
    assert dig(named, "cli", "11.0.20.172.in-addr.arpa", "PTR") == ("NXDOMAIN", [])
    assert act(named, "running") == before


def test_changed_configuration_has_another_digest(named):
    """What runs is asked, not believed: files that changed since the start are noticed, a restart settles it."""
    changed = json.loads(json.dumps(DOCUMENT))
    changed["sandboxes"]["cli"]["networks"]["front"]["aliases"] = ["shop.example"]
    found = act(named, "write", changed)
    assert found["running"].keys() == found["wanted"].keys()
    assert found["running"]["cli"] != found["wanted"]["cli"] and found["running"]["db"] == found["wanted"]["db"]
    found = act(named, "start", changed)
    assert found["running"] == found["wanted"]
    assert {len(pids) for pids in found["processes"].values()} == {1}
    assert dig(named, "web2", "shop.example") == ("NOERROR", ["172.20.0.12"])


def test_stop_ends_every_process_and_lets_the_namespace_go(named):
    """A TCP connection that is open keeps a child of dnsmasq alive; it must go as well."""
    code = (
        "import socket, sys\ns = socket.create_connection(('127.0.0.11', 53)); s.send(b'\\0'); "
        "print('open', flush=True)\n"
        "s.recv(1); print('closed', flush=True); sys.stdin.read()"
    )
    client = named.popen([SYSTEM_PYTHON, "-c", code], netns="cli")
    assert client.readline() == "open"
    assert until(lambda: len(act(named, "running")["processes"]["cli"]), 2) == 2
    found = act(named, "stop")
    assert found["running"] == {} and found["processes"] == {}
    assert named.run(["pgrep", "dnsmasq"], check=False).stdout == ""
    assert named.sh("ls -A /run/dockless/dns/pids 2>/dev/null || true") == ""


def test_killed_resolver_is_noticed_and_others_are_not_touched(named):
    before = act(named, "running")
    named.run(["kill", "-KILL", str(before["processes"]["cli"][0])])
    found = act(named, "running")
    assert "cli" not in found["running"] and len(found["running"]) == 3
    after = act(named, "start")
    assert after["running"] == after["wanted"]


def test_hanging_resolver_is_no_answer_and_the_rest_still_counts(named):
    """One that hangs costs a bounded wait and does not hide the others; it is ended like any other."""
    before = act(named, "running")
    pid = before["processes"]["cli"][0]
    named.run(["kill", "-STOP", str(pid)])
    assert act(named, "running")["running"] == {**before["running"], "cli": ""}
    after = act(named, "start")
    assert after["running"] == after["wanted"] and pid not in after["processes"]["cli"]


def test_resolver_of_a_namespace_that_lost_its_name_is_found_and_ended(named):
    """ip netns delete does not end it, and it would hold the namespace for ever."""
    before = act(named, "running")
    named.run(["ip", "netns", "delete", "cli"])
    found = act(named, "running")
    assert found["running"]["cli"] == "" and found["processes"] == before["processes"]
    assert act(named, "stop")["processes"] == {}


def test_reload_reads_all_files_again_in_the_same_processes(named):
    """After bulk changes, which can overflow the kernel's queue of file events, nothing may stay unseen."""
    before = act(named, "running")
    named.run(["kill", "-STOP", str(before["processes"]["cli"][0])])
    more = json.loads(json.dumps(DOCUMENT))
    more["sandboxes"]["late"] = {"networks": {"front": {"ipv4_address": "172.20.0.30"}}}
    act(named, "write", more)
    named.run(["kill", "-CONT", str(before["processes"]["cli"][0])])
    assert act(named, "reload")["processes"] == before["processes"]
    assert until(lambda: dig(named, "cli", "late"), ("NOERROR", ["172.20.0.30"])) == ("NOERROR", ["172.20.0.30"])
    assert dig(named, "cli", "site") == ("NOERROR", ["172.20.0.10"])
    assert dig(named, "cli", "10.0.20.172.in-addr.arpa", "PTR") == ("NOERROR", ["web.front."])


def test_missing_dnsmasq_is_reported_with_a_remedy(private_host):
    code = (
        "from _dockless.model import facts; from _dockless.state import objects as kernel; "
        "from _dockless.resolvers import supervisor as resolver\n"
        "one = [kernel.Resolver('web', 'web', '/run/dockless/dns/resolvers/web.conf', 'x')]\n"
        "for path in ('', '/nowhere/dnsmasq'):\n"
        "    try: resolver.start(one, facts.Facts(dnsmasq=path))\n"
        "    except Exception as error: print(type(error).__name__, error)\n"
        "print(resolver.running(one), resolver.version('/nowhere/dnsmasq'), resolver.watches_files(facts.Facts()))"
    )
    private_host.run(["ip", "netns", "add", "web"])
    lines = private_host.python(code).stdout.splitlines()
    assert lines[0].startswith("DocklessError dnsmasq is not installed") and "prerequisites" in lines[0]
    assert lines[1] == (
        "DocklessError resolvers do not start: sandbox web: "
        "the program /nowhere/dnsmasq cannot be started: No such file or directory"
    )
    assert lines[2] == "{} (0, 0) True"


def test_error_names_sandbox_and_reason(named):
    """A port that is taken in the sandbox is reported with dnsmasq's message."""
    act(named, "stop")
    code = (
        "import socket\ns = socket.socket(); s.bind(('127.0.0.11', 10053)); s.listen(); "
        "print('ready', flush=True)\ns.accept()"
    )
    taker = named.popen([SYSTEM_PYTHON, "-c", code], netns="cli")
    assert taker.readline() == "ready"
    with pytest.raises(Failed, match=r"sandbox cli: .*(?i:in use).*configure another port for it"):
        act(named, "start")
    taker.stop()
    found = act(named, "start")
    assert found["running"] == found["wanted"]


def test_invalid_packets_do_not_stop_the_resolver(named):
    """Junk over UDP, and a TCP length that is never kept."""
    code = (
        "import os, socket\nu = socket.socket(type=socket.SOCK_DGRAM)\n"
        "for n in (0, 1, 11, 12, 13, 100, 4000): u.sendto(os.urandom(n), ('127.0.0.11', 53))\n"
        "s = socket.create_connection(('127.0.0.11', 53)); s.send(b'\\0\\x3c'); s.close()"
    )
    before = act(named, "running")
    named.run([SYSTEM_PYTHON, "-c", code], netns="cli")
    assert dig(named, "cli", "web2") == ("NOERROR", ["172.20.0.11"])
    assert dig(named, "cli", "web2", "A", "+tcp") == ("NOERROR", ["172.20.0.11"])
    assert act(named, "running")["running"] == before["running"]


def test_resolver_inherits_no_descriptors(named):
    """No descriptor of a namespace, a directory or another's pipe is inherited."""
    pid = act(named, "running")["processes"]["cli"][0]
    links = [named.sh(f"readlink /proc/{pid}/fd/{number}") for number in named.sh(f"ls /proc/{pid}/fd").split()]
    assert links and not [
        link for link in links if link.startswith(("net:", "mnt:")) or link.startswith("/") and link != "/dev/null"
    ]
    user = named.sh(f"stat -c %U /proc/{pid}")
    assert user != "root"


RECORDS = [
    {"name": "printer.lan", "type": "A", "value": "10.1.2.3"},
    {"name": "printer.lan", "type": "AAAA", "value": "fd00::3"},
    {"name": "www.lan", "type": "CNAME", "value": "printer.lan"},
    {"name": "_http._tcp.lan", "type": "SRV", "value": "1 2 80 printer.lan"},
    {"name": "t.lan", "type": "TXT", "value": 'a "q" \\x \\n, #b=;c'},
    {"name": "172.20.9.9", "type": "PTR", "value": "nine.lan"},
]


def test_declared_records(private_host):
    upstream = private_host.popen([SYSTEM_PYTHON, str(SUPPORT / "dns_upstream.py"), UPSTREAM])
    assert upstream.readline() == "ready"
    document = json.loads(json.dumps(DOCUMENT))
    document["networks"]["front"]["records"] = RECORDS
    act(private_host, "up", document)
    expected = {
        ("printer.lan", "A"): ["10.1.2.3"],
        ("printer.lan", "AAAA"): ["fd00::3"],
        ("www.lan", "A"): ["10.1.2.3", "printer.lan."],
        ("_http._tcp.lan", "SRV"): ["1 2 80 printer.lan."],
        ("t.lan", "TXT"): ['"a \\"q\\" \\\\x \\\\n, #b=;c"'],
        ("9.9.20.172.in-addr.arpa", "PTR"): ["nine.lan."],
        ("www.lan", "MX"): ["printer.lan."],
        ("nobody.lan.x", "TXT"): [],
    }
    for (name, kind), answers in expected.items():
        assert dig(private_host, "cli", name, kind) == ("NOERROR", answers), (name, kind)
    assert dig(private_host, "db", "printer.lan")[0] == "NXDOMAIN"


def test_etc_files_of_a_sandbox(named):
    """What programs read in /etc of a sandbox."""
    assert named.run(["cat", "/etc/resolv.conf"], netns="cli").stdout == (
        "# dockless: sandbox shop/cli\n# forwards to: 192.0.2.2\nnameserver 127.0.0.11\nsearch corp.example\n"
        "options ndots:0\n"
    )
    assert named.run(["cat", "/etc/hostname"], netns="web").stdout == "www1\n"
    assert named.run(["getent", "hosts", "172.21.0.10"], netns="web").stdout.split() == ["172.21.0.10", "www1", "web"]
    assert "ip6-localhost" in named.run(["cat", "/etc/hosts"], netns="db").stdout
    assert "::1" not in named.run(["cat", "/etc/hosts"], netns="cli").stdout
