# SPDX-License-Identifier: GPL-3.0-or-later
"""Our nft tables: replaced, read and compared in real namespaces, and foreign chains found that drop real packets."""

from __future__ import annotations

import json

import pytest

TABLE = """table inet dockless {
    map publish4 {
        type inet_proto . inet_service : ipv4_addr . inet_service
        elements = { tcp . 8080 : 10.0.0.2 . 80, udp . 53 : 10.0.0.3 . 5353 }
    }
    chain published {
        dnat ip to meta l4proto . th dport map @publish4
    }
    chain incoming {
        type nat hook prerouting priority dstnat
        fib daddr type local jump published
    }
}
"""
FOREIGN = "table ip admin { chain c { ip saddr 10.1.1.1 counter; }; }"


def ask(place, code, *args, netns=None):
    """Run code with nft imported and return what it prints as JSON."""
    head = (
        "import json, sys\nfrom _dockless import names\n"
        "from _dockless.linux import foreign_chains, netns, nft, nft_dump, programs\n"
        "from _dockless.linux.nft import Ruleset\nfrom _dockless.errors import DocklessError\n"
        "def present(): return nft_dump.fingerprint(('inet', 'bridge'))\n"
        "def wanted(text): return nft.reference(Ruleset(text, ('inet', 'bridge')))\n"
    )
    return json.loads(place.python(head + code, *args, netns=netns).stdout)


def test_table_is_replaced_as_a_whole_and_has_the_fingerprint_of_its_text(private_host):
    private_host.run(["nft", "-f", "-"], input=FOREIGN)
    foreign = private_host.sh("nft list table ip admin")
    told = ask(
        private_host,
        """
text, other = sys.argv[1], "table inet dockless { chain only { accept; }; }"
seen = [present()]
nft.replace(other); seen.append(present() == wanted(other) != "")
nft.replace(text); seen.append(present() == wanted(text) != wanted(other))
print(json.dumps(seen))""",
        TABLE,
    )
    assert told == ["", True, True]
    assert "only" not in private_host.sh("nft list table inet dockless")
    private_host.sh("nft add element inet dockless publish4 '{ tcp . 81 : 10.0.0.9 . 81 }'")
    assert ask(private_host, "print(json.dumps(present() == wanted(sys.argv[1])))", TABLE) is False
    assert private_host.sh("nft list table ip admin") == foreign
    assert ask(private_host, "nft.replace(''); nft.replace(''); print(json.dumps(present()))") == ""
    private_host.sh("nft delete table ip admin")


def test_the_fingerprint_is_that_of_the_namespace_of_the_thread(private_host):
    private_host.sh("ip netns add web")
    ask(private_host, "fd = netns.open_named('web')\nwith netns.entered(fd): nft.replace(sys.argv[1])\nprint(0)", TABLE)
    told = ask(
        private_host,
        """
outside = present()
with netns.entered_named('web'): inside = present()
print(json.dumps([outside, inside == wanted(sys.argv[1])]))""",
        TABLE,
    )
    assert told == ["", True]
    private_host.sh("ip netns delete web")


def test_error_contains_nft_output_and_the_lines_it_refers_to(private_host):
    """A refused table changes nothing."""
    ask(private_host, "nft.replace(sys.argv[1]); print(0)", TABLE)
    before = private_host.sh("nft list ruleset")
    told = ask(
        private_host,
        """
errors = []
unknown_chain = "table inet dockless {\\n chain a {\\n jump nowhere\\n }\\n}\\n"
for broken in (sys.argv[1].replace("dnat ip to", "dnat nowhere"), unknown_chain):
    for call in (nft.replace, wanted):
        try:
            call(broken)
        except DocklessError as error:
            errors.append(str(error))
print(json.dumps(errors))""",
        TABLE,
    )
    assert len(told) == 4
    for message in told[:2]:
        assert "syntax error" in message
        assert "dnat nowhere meta l4proto" in message.split("Lines of the script:")[1]
    assert "   10  " in told[0] and "chain published {" in told[0]
    assert "No such file or directory" in told[2] and "jump nowhere" in told[2]
    assert private_host.sh("nft list ruleset") == before
    private_host.sh("nft delete table inet dockless")


@pytest.mark.parametrize(
    "text",
    [
        "flush ruleset",
        "table ip admin { chain c { drop; }; }",
        TABLE + "flush ruleset\n",
        TABLE + 'include "/etc/nftables.conf"\n',
        "flush ruleset\n" + TABLE,
        TABLE[:-2],
        "table inet dockless {\n}\ndelete table ip admin\ntable inet dockless {\n}\n",
        "table inet docklessx {\n}\n",
        'table inet dockless {\n comment "}"\n}\ndelete table ip admin\n',
        "table inet dockless {\n # {\n}\nflush ruleset # }\n",
    ],
)
def test_text_that_changes_another_table_is_not_loaded(private_host, text):
    """Whatever got into the text, foreign tables stay byte for byte."""
    private_host.run(["nft", "-f", "-"], input=FOREIGN)
    ask(private_host, "nft.replace(sys.argv[1]); print(0)", TABLE)
    before = private_host.sh("nft list ruleset")
    for call in ("nft.replace", "wanted"):
        told = ask(
            private_host,
            f"try: {call}(sys.argv[1]); print(0)\nexcept DocklessError as error: print(json.dumps(str(error)))",
            text,
        )
        assert str(told).startswith("a firewall text that is not exactly table inet dockless was not loaded")
    assert private_host.sh("nft list ruleset") == before
    private_host.sh("nft delete table ip admin; nft delete table inet dockless")


def test_braces_in_comments_and_strings_are_part_of_the_table(private_host):
    text = 'table inet dockless {\n comment "}} {" # }\n chain a {\n }\n}\n'
    assert (
        ask(
            private_host,
            "nft.replace(sys.argv[1]); print(json.dumps(present() == wanted(sys.argv[1])))",
            text,
        )
        is True
    )
    private_host.sh("nft delete table inet dockless")


def test_missing_nft_is_named(private_host):
    private_host.sh("mkdir /run/nothing; mount --bind /run/nothing /usr/sbin")
    try:
        done = private_host.python("from _dockless.linux import nft; nft.load('')", check=False)
    finally:
        private_host.sh("umount /usr/sbin; rmdir /run/nothing")
    assert "the program nft is not installed. Install the package nftables." in done.stderr


def test_generation_rises_with_each_change_and_only_then(private_host):
    told = ask(
        private_host,
        """
seen = [nft.generation()]
present(); wanted(sys.argv[1]); seen.append(nft.generation())
nft.replace(sys.argv[1]); seen.append(nft.generation())
with netns.temporary_namespace(): nft.replace(sys.argv[1])
seen.append(nft.generation())
print(json.dumps(seen))""",
        TABLE,
    )
    assert told[0] == told[1] < told[2] == told[3]
    private_host.sh("nft delete table inet dockless")


def test_check_reads_the_cached_fingerprint_and_writes_nothing(private_host):
    """A check writes nothing; a remembered fingerprint costs no process."""
    ask(private_host, "wanted(sys.argv[1]); print(0)", TABLE)
    assert private_host.sh("ls -A /run/dockless 2>/dev/null || true") == ""
    told = ask(
        private_host,
        """
found = wanted(sys.argv[1])
nft.cache_fingerprint(sys.argv[1], found)
programs.DIRECTORIES = ("/nowhere",)  # whatever asks nft now fails
print(json.dumps([found, wanted(sys.argv[1])]))""",
        TABLE,
    )
    assert told[0] == told[1] != ""
    kept = ask(
        private_host,
        """
for number in range(40): nft.cache_fingerprint(str(number), "x")
from _dockless.linux import files
print(json.dumps([len(files.listed(nft.FINGERPRINT_DIRECTORY)), wanted("39")]))""",
    )
    assert kept == [32, "x"]
    private_host.sh("rm -r /run/dockless")


BRIDGE = """
ip link add br0 type bridge
ip link set br0 group 25707 up
ip address add 10.0.0.1/24 dev br0
for n in 2 3; do
  ip netns add box$n
  ip link add port$n master br0 type veth peer name eth0 netns box$n
  ip link set port$n up
  ip -n box$n address add 10.0.0.$n/24 dev eth0
  ip -n box$n link set eth0 up
  ip -n box$n route add default via 10.0.0.1
done
"""
CALL = "/proc/sys/net/bridge/bridge-nf-call-iptables"
# ports first: with their namespace they would go a moment later
NO_BRIDGE = "ip link delete port2; ip link delete port3; ip netns delete box2; ip netns delete box3; ip link delete br0"


@pytest.fixture
def bridged_host(private_host):
    """Return a private host with a bridge and two namespaces on it, and bridged frames going through iptables
    chains.
    """
    private_host.sh(BRIDGE)
    called = private_host.read(CALL).strip()
    private_host.sh(f"echo 1 >{CALL}")
    private_host.neighbour().sh("ip route add 10.0.0.0/24 via 192.0.2.2")
    yield private_host
    private_host.sh("nft flush ruleset")
    private_host.sh(NO_BRIDGE)
    private_host.sh(f"echo {called} >{CALL}")


def obstacles(host, families=("ip", "ip6")):
    """Return what is in the way of br0."""
    code = "print(json.dumps([o._asdict() for o in foreign_chains.blocking_chains(['br0'], sys.argv[1].split())]))"
    return ask(host, code, " ".join(families))


def reach(host):
    """Return which directions packets can go: within the bridge, out of it, in from outside."""
    return {
        flow
        for flow, passes in (
            ("within", host.ping("box2", "10.0.0.3")),
            ("out", host.ping("box2", "198.51.100.1")),
            ("in", host.neighbour().ping(None, "10.0.0.2")),
        )
        if passes
    }


def agree(host, lines):
    """Load other people's rules; what obstacles says must be what packets do. Return the flows that are blocked."""
    host.run(["nft", "-f", "-"], input="flush ruleset\n" + lines)
    found = obstacles(host)
    blocked = {flow for one in found for flow in one["flows"]}
    assert blocked == {"within", "out", "in"} - reach(host)
    return blocked, found


def forward(rules, policy="drop", family="ip", extra=""):
    """Return a foreign table."""
    body = "\n".join(rules)
    return (
        f"table {family} filter {{\n{extra}\nchain FORWARD {{\ntype filter hook forward priority filter; "
        f"policy {policy};\n{body}\n}}\n}}\n"
    )


def test_drop_policy_is_named_until_a_rule_accepts_our_bridge(bridged_host):
    assert agree(bridged_host, "") == (set(), [])
    blocked, found = agree(bridged_host, forward([]))
    assert blocked == {"within", "out", "in"}
    assert [(o["family"], o["table"], o["chain"], o["bridged"], o["bridges"]) for o in found] == [
        ("ip", "filter", "FORWARD", False, ["br0"])
    ]
    assert (
        found[0]["why"].startswith("Chain FORWARD of table ip filter drops ")
        and "its policy is drop" in found[0]["why"]
    )
    assert agree(bridged_host, forward(['iifname "br0" accept', 'oifname "br0" accept'])) == (set(), [])
    assert agree(bridged_host, forward([])) == (blocked, found)


def test_link_group_counts_as_well_as_a_name(bridged_host):
    assert agree(bridged_host, forward(["iifgroup 25707 accept", "oifgroup 25707 accept"])) == (set(), [])
    assert agree(bridged_host, forward(["iifgroup 25706 accept", "oifgroup 25706 accept"]))[0] == {
        "within",
        "out",
        "in",
    }


def test_frames_within_a_bridge_pass_where_bridges_do_not_call_iptables(bridged_host):
    bridged_host.sh(f"echo 0 >{CALL}")
    assert agree(bridged_host, forward([]))[0] == {"out", "in"}


PARTIAL = {
    "only frames within are dropped": (
        ["iifname br0 oifname != br0 accept", "iifname != br0 oifname br0 accept"],
        {"within"},
    ),
    "a rule for another bridge": (['iifname "br1" accept', 'oifname "br1" accept'], {"within", "out", "in"}),
    "a pattern": (['iifname "br*" accept', 'oifname "br*" accept'], set()),
    "answers may come in": (['iifname "br0" accept', 'oifname "br0" ct state established,related accept'], {"in"}),
    "answers may come in, by a map": (
        ["ct state vmap { established : accept, related : accept, invalid : drop }", "iifname br0 accept"],
        {"in"},
    ),
    "no answer may come in": (['iifname "br0" accept'], {"out", "in"}),
    "a drop before the accept": (
        ['iifname "br0" drop', 'iifname "br0" accept', 'oifname "br0" accept'],
        {"within", "out", "in"},
    ),
}


@pytest.mark.parametrize("rules, blocked", PARTIAL.values(), ids=PARTIAL.keys())
def test_partial_rules_are_judged_as_packets_are(bridged_host, rules, blocked):
    assert agree(bridged_host, forward(rules))[0] == blocked


def test_trailing_reject_under_a_policy_of_accept(bridged_host):
    blocked, found = agree(
        bridged_host,
        forward(["ct state established,related accept", "reject with icmpx admin-prohibited"], "accept", "inet"),
    )
    assert blocked == {"within", "out", "in"}
    assert found[0]["family"] == "inet" and "one of its rules drops them" in found[0]["why"]
    rules = ["ct state established,related accept", "tcp dport 22 drop"]
    assert agree(bridged_host, forward(rules, "accept", "inet")) == (set(), [])


def test_rules_in_chains_that_are_jumped_to_count(bridged_host):
    user = "chain DOCKER-USER {\niifname br0 counter accept\noifname br0 counter accept\n}"
    assert agree(bridged_host, forward(["counter jump DOCKER-USER"], extra=user)) == (set(), [])
    user = "chain DOCKER-USER {\nreturn\n}"
    assert agree(bridged_host, forward(["counter jump DOCKER-USER"], extra=user))[0] == {"within", "out", "in"}


def test_chain_of_the_bridge_family_hits_frames_only(bridged_host):
    blocked, found = agree(bridged_host, forward([], family="bridge"))
    assert blocked == {"within"} and found[0]["bridged"]
    assert (
        agree(bridged_host, forward(['iifname "port*" accept', 'iifname "veth*" accept'], family="bridge"))[0] == set()
    )


def test_iptables_nft_shows_up(bridged_host):
    if bridged_host.run(["sh", "-c", "command -v iptables-nft"], check=False).returncode:
        pytest.skip("iptables-nft is not installed")
    bridged_host.sh("iptables-nft -P FORWARD DROP")
    assert [(o["table"], o["chain"]) for o in obstacles(bridged_host)] == [("filter", "FORWARD")]
    assert obstacles(bridged_host, ["ip6"]) == []
    bridged_host.sh(
        "iptables-nft -A FORWARD -i br0 -m comment --comment 'ours { first' -j ACCEPT; "
        "iptables-nft -A FORWARD -o br0 -j ACCEPT"
    )
    assert obstacles(bridged_host) == []
    assert reach(bridged_host) == {"within", "out", "in"}


@pytest.mark.smoke
def test_our_own_table_is_no_obstacle(bridged_host):
    bridged_host.run(["nft", "-f", "-"], input=forward([], family="inet").replace("filter {", "dockless {", 1))
    assert obstacles(bridged_host) == []


STAND_IN = """#!/bin/sh
case "$*" in "{crash}"*) kill -SEGV $$;; esac
exec /run/nft "$@"
"""


@pytest.mark.parametrize(
    "crash, words",
    [
        (
            "list chains",
            "nft cannot read the chains of other tables, "
            "so it is unknown whether packets are dropped there: exit status -11.",
        ),
        (
            "list chain ip filter FORWARD",
            "nft cannot read chain FORWARD of table ip filter, "
            "so it is unknown whether packets are dropped there: exit status -11.",
        ),
        (
            "list chain ip filter user",
            "nft cannot read chain FORWARD of table ip filter, "
            "so it is unknown whether packets are dropped there: exit status -11.",
        ),
    ],
)
def test_nft_crash_over_foreign_rules_is_a_warning(private_host, crash, words):
    private_host.run(["nft", "-f", "-"], input=forward(["jump user"], extra="chain user {\n}"))
    private_host.run(
        [
            "sh",
            "-c",
            "cp /usr/sbin/nft /run/nft; cat >/run/stand-in; chmod 755 /run/stand-in; "
            "mount --bind /run/stand-in /usr/sbin/nft",
        ],
        input=STAND_IN.format(crash=crash),
    )
    try:
        found = obstacles(private_host)
    finally:
        private_host.sh("umount /usr/sbin/nft; rm /run/nft /run/stand-in; nft flush ruleset")
    assert [one["why"] for one in found] == [words]


def test_what_is_read_of_a_sandboxs_tables_is_bounded(private_host):
    """Root in a sandbox fills a table without end; of the dump a run reads as much as its limit."""
    elements = ", ".join(f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}" for n in range(50_000))
    text = f"table inet dockless {{\n set s {{\n type ipv4_addr\n elements = {{ {elements} }}\n }}\n}}\n"
    private_host.run(["nft", "-f", "-"], input=text)
    told = ask(
        private_host,
        """
limited = [nft_dump.fingerprint(("inet",), limit=size) for size in (100_000, 100_000_000)]
print(json.dumps([limited[0] == nft_dump.TOO_LARGE, limited[1] == nft_dump.fingerprint(("inet",))]))""",
    )
    assert told == [True, True]
    private_host.sh("nft delete table inet dockless")
