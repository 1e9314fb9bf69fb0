# SPDX-License-Identifier: GPL-3.0-or-later
"""Other firewalls of the host that would drop our traffic, and the rules that coexist adds to them: proved by
packets, and removed back without a trace.

Docker's chains are laid by iptables as Docker 20 to 27 lay them, IPv6 included; ufw and firewalld are the real ones.
"""

from __future__ import annotations

import contextlib
from concurrent import futures

import pytest

from support import traffic
from support.invariants import hooked, steps
from support.traffic import network

DOCUMENT = {
    "networks": {
        "front": network("172.20.0.0/24 fd00:20::/64", bridge_name="br-front"),
        "back": network("172.21.0.0/24", bridge_name="br-back", internal=True),
    },
    "sandboxes": {
        "one": {"networks": ["front"]},
        "two": {"networks": ["front"], "ports": ["8080:80"]},
        "three": {"networks": ["back"]},
        "four": {"networks": ["back"]},
    },
}
FAR = ("http://198.51.100.1:99/", "http://[2001:db8:2::1]:99/")
PUBLISHED = ("http://192.0.2.2:8080/", "http://[2001:db8:1::2]:8080/")
SOON = 0.5  # seconds, within which an answer is there if it comes at all
DOCKER = """
for family in iptables ip6tables; do
    $family -P FORWARD DROP
    for chain in DOCKER DOCKER-USER DOCKER-ISOLATION-STAGE-1; do $family -N $chain; done
    $family -A DOCKER-USER -j RETURN
    $family -A DOCKER-ISOLATION-STAGE-1 -j RETURN
    $family -A FORWARD -j DOCKER-USER
    $family -A FORWARD -j DOCKER-ISOLATION-STAGE-1
    for bridge in docker0 web0; do
        $family -A FORWARD -o $bridge -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
        $family -A FORWARD -o $bridge -j DOCKER
        $family -A FORWARD -i $bridge ! -o $bridge -j ACCEPT
        $family -A FORWARD -i $bridge -o $bridge -j ACCEPT
    done
done
iptables -A DOCKER -d 172.30.0.2/32 ! -i web0 -o web0 -p tcp --dport 81 -j ACCEPT
"""
CONTAINER = """
ip netns add container
ip link add web0 type bridge
ip address add 172.30.0.1/24 dev web0
ip link set web0 up
ip link add vethc master web0 type veth peer name eth0 netns container
ip link set vethc up
ip -n container address add 172.30.0.2/24 dev eth0
ip -n container link set eth0 up
ip -n container route add default via 172.30.0.1
"""


def told(*firewalls):
    """Return the document with what the host is to coexist with."""
    return {**DOCUMENT, "defaults": {"coexist": list(firewalls)}}


def rules(host):
    """Return every rule of iptables, in the order that packets meet them."""
    return host.sh("iptables -S; ip6tables -S; iptables -t nat -S")


def serve(host):
    """Start what the questions are put to."""
    host.neighbour().serve_http(None, 99, "far")
    host.serve_http("two", 80, "two")


def reached(host):
    """Return which requests are answered: egress and ingress, of both families."""
    asked = [*((host, "one", url) for url in FAR), *((host.neighbour(), None, url) for url in PUBLISHED)]
    with futures.ThreadPoolExecutor(len(asked)) as pool:  # those that get no answer wait side by side
        return list(pool.map(lambda each: each[0].fetch(each[1], each[2]) is not None, asked))


@contextlib.contextmanager
def docker(host):
    """Create Docker's chains, and check at the end that no rule of dockless is left in them."""
    host.sh(DOCKER)
    before = rules(host)
    yield
    host.apply({}, absent=True)
    assert rules(host) == before
    host.sh("nft delete table ip filter; nft delete table ip6 filter; nft delete table ip nat 2>/dev/null || true")


def test_docker_lets_pass_what_our_table_lets_pass_and_only_while_it_is_asked_to(private_host):
    """Blocked and named without coexist.

    With it traffic flows, dockless's own rules hold, and everything is removed with the last network.
    """
    with docker(private_host), traffic.bridge_calls_iptables(private_host, 1):
        blocked = private_host.apply(DOCUMENT)["warnings"]
        serve(private_host)
        assert reached(private_host) == [False] * 4 and not private_host.ping("one", "172.20.0.3", wait=1)
        assert len(blocked) == 2 and all("Add docker to coexist" in text for text in blocked)
        before = rules(private_host)
        planned = private_host.plan(told("docker"), diff=True)
        assert "create rules for docker (missing)" in planned["operations"] and planned["warnings"] == []
        assert (
            "iptables -m devgroup --src-group 25707 --dst-group 25707 -j ACCEPT" in planned["diff"]["after"]
            and rules(private_host) == before
        )

        assert private_host.apply(told("docker"))["warnings"] == []
        assert (
            reached(private_host) == [True] * 4
            and private_host.ping("one", "172.20.0.3")
            and private_host.ping("three", "172.21.0.3")
        )
        assert not private_host.ping("one", "172.21.0.2", wait=1) and not private_host.ping(
            "three", "198.51.100.1", wait=1
        )
        assert without_ours(rules(private_host)) == before.splitlines()
        # Small modules say nothing of defaults.
        assert not private_host.apply(DOCUMENT)["changed"]
        private_host.apply({}, project="other")
        assert reached(private_host)[0]
        assert "delete rules for docker (nothing declares it)" in private_host.apply(told())["operations"]
        assert rules(private_host) == before and reached(private_host)[:1] == [False]


def without_ours(listing):
    """Return the rules that don't bear our comment."""
    return [line for line in listing.splitlines() if "--comment dockless" not in line]


def test_what_docker_and_its_users_forbid_stays_forbidden(private_host):
    """Docker's containers are as closed to sandboxes as to others, and a rule that a user put into
    DOCKER-USER comes first.
    """
    private_host.sh(CONTAINER)
    with docker(private_host):
        private_host.apply(told("docker"))
        for port in (81, 82):
            private_host.serve_http("container", port, "container")
        assert private_host.fetch("one", "http://172.30.0.2:81/") and not private_host.fetch(
            "one", "http://172.30.0.2:82/", SOON
        )
        serve(private_host)
        assert private_host.fetch("container", "http://172.30.0.1:8080/")
        private_host.sh("iptables -I DOCKER-USER -d 198.51.100.1 -p tcp --dport 99 -j DROP")
        assert reached(private_host) == [False, True, True, True] and not private_host.apply(told("docker"))["changed"]
        private_host.sh("iptables -D DOCKER-USER -d 198.51.100.1 -p tcp --dport 99 -j DROP")
        assert reached(private_host)[0]
        private_host.sh("iptables -I DOCKER-USER -d 192.0.2.9 -j DROP; iptables -D DOCKER-USER -d 192.0.2.9 -j DROP")
    private_host.sh("ip netns delete container; ip link delete web0")


def test_what_others_do_to_our_rules_is_repaired(private_host):
    """A rule that is gone, or behind one that returns, is put where it is met; so at boot, by the document alone."""
    with docker(private_host):
        private_host.apply(told("docker"))
        serve(private_host)
        for damage in (
            "iptables -F DOCKER-USER; iptables -A DOCKER-USER -j RETURN",
            "iptables -I DOCKER-USER -j RETURN; iptables -D DOCKER-USER 11",
        ):
            private_host.sh(damage)
            assert not reached(private_host)[0]
            assert "rules for docker" in "".join(private_host.dockless("apply", "--boot", "--json")["operations"])
            assert reached(private_host) == [True] * 4 and not private_host.apply(told("docker"))["changed"]


def test_a_run_that_fails_gives_back_what_it_took_away(private_host):
    """A removal that stops at its last event leaves Docker's chain with our rules in it, and the table that guards
    what they let through.
    """
    with docker(private_host):
        private_host.apply(told("docker"))
        events = hooked(private_host, "count", 0, {}, "--absent")["events"]
        last = events.index(steps(events)[-1])
        assert "--comment dockless" not in rules(private_host)
        private_host.apply(told("docker"))
        serve(private_host)
        before = rules(private_host)
        assert "The host is as it was before" in hooked(private_host, "raise", last, {}, "--absent")["msg"]
        assert rules(private_host) == before and private_host.ping("one", "198.51.100.1")


def test_docker_with_its_nftables_backend_needs_nothing(private_host):
    """Its tables drop what goes to its own bridges only, so no rule is made and nothing is warned of."""
    private_host.run(
        ["nft", "-f", "-"],
        input="""
table ip docker-bridges {
    map filter-forward-in-jumps { type ifname : verdict; elements = { "docker0" : jump filter-forward-in__docker0 }; }
    chain filter-forward-in__docker0 {
        ct state established,related counter accept; iifname "docker0" accept; counter drop
    }
    chain filter-FORWARD {
        type filter hook forward priority filter; policy accept; oifname vmap @filter-forward-in-jumps
    }
}
""",
    )
    before = private_host.sh("nft -s list table ip docker-bridges")
    answer = private_host.apply(told("docker"))
    serve(private_host)
    assert (
        answer["warnings"] == []
        and "rules for" not in "".join(answer["operations"])
        and reached(private_host) == [True] * 4
    )
    assert private_host.sh("nft -s list table ip docker-bridges") == before
    private_host.sh("nft delete table ip docker-bridges")


@pytest.mark.smoke
def test_coexist_with_a_missing_firewall_changes_nothing(private_host):
    """Hosts with and without Docker may be told the same; iptables has not been used when the run ends."""
    tables = private_host.sh("nft list tables")
    answer = private_host.apply(told("docker"))
    assert answer["warnings"] == [] and private_host.sh("nft list tables | grep -v dockless || true") == tables
    assert "defaults.coexist[0]: 'podman' is not supported" in private_host.refusal(told("podman"))


def test_ufw_lets_pass_what_is_declared(private_host):
    """Routed traffic is denied without coexist.

    With it ours passes, over ufw's reload, and what a user denies before stays denied.
    """
    settings = "sysctl -a --pattern 'net.ipv[46].conf.(all|default).(accept|log|rp)' 2>/dev/null"
    found = private_host.sh(settings)  # it sets some of the whole host
    # ufw writes its files in another form than their package once it has changed them.
    private_host.sh(
        "ufw --force enable; ufw route deny out on br-front to any port 81; ufw allow 1234; ufw delete allow 1234"
    )
    saved = "cat /etc/ufw/user.rules /etc/ufw/user6.rules"
    before = private_host.sh(saved), rules(private_host)
    blocked = private_host.apply(DOCUMENT)["warnings"]
    serve(private_host)
    assert reached(private_host) == [False] * 4
    assert len(blocked) == 2 and all("Add ufw to coexist" in text for text in blocked)
    answer = private_host.apply(told("ufw"))
    assert "create rules for ufw (missing)" in answer["operations"] and answer["warnings"] == []
    for reload in ("true", "ufw reload", "ufw disable; ufw --force enable"):
        private_host.sh(reload)
        assert reached(private_host) == [True] * 4 and not private_host.apply(DOCUMENT)["changed"]
    assert not private_host.ping("three", "198.51.100.1", wait=1) and not private_host.ping("one", "172.21.0.2", wait=1)
    private_host.serve_http("two", 81, "two")
    private_host.serve_http(None, 22, "host")
    assert private_host.fetch("two", "http://127.0.0.1:81/") and private_host.fetch(None, "http://127.0.0.1:22/")
    published = {**DOCUMENT["sandboxes"], "two": {"networks": ["front"], "ports": ["8080:80", "8081:81"]}}
    private_host.apply({"sandboxes": published})
    assert (
        private_host.neighbour().fetch(None, "http://192.0.2.2:8081/", SOON) is None
        and private_host.fetch("one", "http://172.20.0.1:22/", SOON) is None
    )
    private_host.apply({}, absent=True)
    assert (private_host.sh(saved), rules(private_host)) == before
    private_host.sh(
        "ufw disable; nft delete table ip filter; nft delete table ip6 filter; "
        "nft delete table ip nat 2>/dev/null || true"
    )
    private_host.run(["sysctl", "--quiet", "--load", "-"], input=found)


@pytest.fixture
def firewalld(private_host):
    """Return the private host with firewalld at work: the uplink in the zone external, all else in public."""
    private_host.sh("mkdir -p /run/dbus")
    bus = private_host.popen(["dbus-daemon", "--system", "--nofork", "--nopidfile", "--print-address"])
    assert bus.readline()
    private_host.sh("firewall-offline-cmd --zone=external --add-interface=eth0")
    daemon = private_host.popen(["/usr/sbin/firewalld", "--nofork", "--nopid"])
    private_host.sh("until firewall-cmd --state >/dev/null 2>&1; do test -d /run/dbus; done")
    yield private_host
    private_host.apply({}, absent=True)
    daemon.stop()
    bus.stop()


def firewalld_has(host):
    """Return all that firewalld knows and has on disk."""
    return host.sh("nft -s list table inet firewalld; cd /etc/firewalld; grep -r . .")


def test_firewalld_lets_pass_what_is_declared_and_opens_nothing_of_the_host(firewalld):
    """Rejected without coexist.

    With it ours passes, over a reload, and a sandbox reaches less of the host than before.
    """
    host = firewalld
    before = firewalld_has(host)
    blocked = host.apply(DOCUMENT)["warnings"]
    serve(host)
    host.serve_http(None, 22, "host")
    assert reached(host)[:2] == [False, False] and host.fetch("one", "http://172.20.0.1:22/")
    assert len(blocked) == 1 and "Add firewalld to coexist" in blocked[0]
    host.sh("firewall-cmd --zone=public --add-port=1234/tcp")
    assert "would delete settings that exist at run time only: public ports: 1234/tcp" in host.refusal(
        told("firewalld")
    )
    host.sh("firewall-cmd --zone=public --remove-port=1234/tcp")
    answer = host.apply(told("firewalld"))
    assert "create rules for firewalld (missing)" in answer["operations"] and answer["warnings"] == []
    for reload in ("true", "firewall-cmd --reload"):
        host.sh(reload)
        assert reached(host) == [True] * 4 and not host.apply(DOCUMENT)["changed"]
        assert host.fetch("one", "http://172.20.0.1:22/", SOON) is None
    assert not host.ping("three", "198.51.100.1", wait=1) and not host.ping("one", "172.21.0.2", wait=1)
    # A bridge that comes later needs no reload, and what a user adds to the zone stays.
    host.sh(
        "firewall-cmd --permanent --zone=dockless --add-service=ssh; firewall-cmd --zone=dockless --add-port=1234/tcp"
    )
    more = {**DOCUMENT["networks"], "late": network("172.22.0.0/24", bridge_name="br-late")}
    host.apply({"networks": more, "sandboxes": {**DOCUMENT["sandboxes"], "five": {"networks": ["late"]}}})
    assert host.fetch("five", FAR[0]) and "1234/tcp" in host.sh("firewall-cmd --zone=dockless --list-ports")
    assert host.sh("firewall-cmd --permanent --zone=dockless --list-services") == "ssh"
    # What is not translated needs a policy inwards, and all of it goes when firewalld is not named any more.
    host.neighbour().sh("ip route add 172.22.0.0/24 via 192.0.2.2")
    host.serve_http("five", 80, "five")
    more["late"]["gateway_mode_ipv4"] = "routed"
    routed = {"networks": more, "sandboxes": {**DOCUMENT["sandboxes"], "five": {"networks": ["late"], "ports": ["80"]}}}
    assert host.apply(routed)["warnings"] == [] and host.neighbour().fetch(None, "http://172.22.0.2/")
    assert (
        "delete rules for firewalld (nothing declares it)"
        in host.apply({**routed, "defaults": {"coexist": []}})["operations"]
    )
    assert host.neighbour().fetch(None, "http://172.22.0.2/", SOON) is None and firewalld_has(host) == before


def test_files_of_a_firewalld_that_is_stopped_and_a_zone_of_somebody_else(private_host):
    """A firewalld that starts later finds our zone.

    One that somebody else made is a conflict, and nothing is touched.
    """
    private_host.apply(told("firewalld"))
    assert '<interface name="br-front" />' in private_host.read("/etc/firewalld/zones/dockless.xml")
    private_host.teardown()
    assert private_host.sh("ls /etc/firewalld/zones /etc/firewalld/policies | grep dockless || true") == ""
    private_host.sh("echo '<zone><short>mine</short></zone>' >/etc/firewalld/zones/dockless.xml")
    assert "/etc/firewalld/zones/dockless.xml exists, but dockless did not create it" in private_host.refusal(
        told("firewalld")
    )
    assert private_host.sh("ip link show group 25707") == ""
