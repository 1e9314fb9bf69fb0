"""A run that changes nothing may be answered from a note, and only then."""

from __future__ import annotations

import json

import pytest
from test_drift import DRIFT

from support.invariants import SHOP, changed
from support.private_host import PYTHON, PrivateHost
from support.smoke import smoke_case

DOCUMENT = {
    "networks": {
        "front": {"ipam": {"config": [{"subnet": "172.20.0.0/24"}]}},
        "back": {"internal": True, "enable_ipv6": True},
    },
    "sandboxes": {"web": {"networks": ["front", "back"], "ports": ["8080:80"]}, "db": {"networks": ["back"]}},
}
CHANGES = {
    "host link": "ip link set $(ip -br link show type bridge | awk '/^br-/ {print $1; exit}') mtu 1400",
    "inner address": "ip -n web addr del 172.20.0.2/24 dev eth0",
    "inner settings": "ip netns exec web sysctl -qw net.ipv4.conf.eth0.rp_filter=1",
    "inner link down": "ip -n db link set eth0 down",
    "host table": "nft delete table inet dockless",
    "sandbox table": "ip netns exec db nft flush table inet dockless",
    "file": "echo >> /etc/netns/web/hosts",
    "record file": "rm /run/dockless/dns/networks/*/*",
    "namespace": "ip netns del db",
    "pair": "ip link del $(ip -br link show type veth | awk '/^veth/ {split($1, n, \"@\"); print n[1]; exit}')",
    "route": "ip -n web route del default",
    "document": "sed -i s/8080/8081/ /etc/dockless/projects/shop.json",
}


def apply(host, document=None):
    """Apply by the command line and return (answer, whether it was planned rather than answered from the note)."""
    done = host.run(
        ["/usr/bin/python3", "-X", "importtime", "-m", "_dockless.cli", "apply", "--project", "shop", "--json", "-"],
        input=json.dumps(document or DOCUMENT),
    )
    return json.loads(done.stdout), "_dockless.state.plan" in done.stderr


def answered_without_planning(host):
    """Return the first answer that needed no plan.

    A busy machine may plan once more: a resolver that answers late is a doubt, and a doubt is no answer.
    """
    for _attempt in range(5):
        answer, planned = apply(host)
        assert not answer["changed"]
        if not planned:
            return answer
    raise AssertionError("five runs in a row that changed nothing were planned")


@pytest.mark.smoke
def test_the_second_run_is_answered_from_the_note(private_host):
    first, planned = apply(private_host)
    assert first["changed"] and planned  # the control for what follows
    second = answered_without_planning(private_host)
    assert (second["changed"], second["operations"]) == (False, [])
    assert (second["endpoints"], second["ports"]) == (first["endpoints"], first["ports"])


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_whatever_is_altered_is_noticed(private_host, change):
    apply(private_host)
    answered_without_planning(private_host)
    private_host.sh(change)
    repaired, planned = apply(private_host)
    assert repaired["changed"] and planned
    assert not apply(private_host)[0]["changed"]


def test_a_resolver_that_is_gone_is_noticed(private_host):
    apply(private_host)
    private_host.sh("kill $(cat /run/dockless/dns/pids/web.pid)")
    assert apply(private_host)[0]["operations"] == ["create resolver of web (missing)"]


def test_another_document_is_another_question(private_host):
    apply(private_host)
    changed = {**DOCUMENT, "sandboxes": {**DOCUMENT["sandboxes"], "web": {"networks": ["front"], "ports": ["8080:80"]}}}
    assert apply(private_host, changed)[0]["changed"]
    assert apply(private_host)[0]["changed"]  # back again: the note is of the other one


# Every kind of object but sysctls: a declaration with these is always planned.
CACHED = changed(SHOP, sandboxes__web__sysctls={})
RECORDS = "/run/dockless/dns/networks/shop.front"
STRAYS = {  # what a plan reports beside the drifts of managed objects
    "records replaced by a copy": f"cp -a {RECORDS} /run/copy; rm -r {RECORDS}; mv /run/copy {RECORDS}",
    "records that resolvers cannot list": f"chmod 700 {RECORDS}",
    "directory that resolvers cannot enter": "chmod 700 /run/dockless",
    "everything restored from a copy": "cp -a /run/dockless /run/copy; rm -r /run/dockless; mv /run/copy /run/dockless",
    "stray records": f"cp {RECORDS}/shop@14 {RECORDS}/stray@14",
    "stray directory of records": f"cp -a {RECORDS} /run/dockless/dns/networks/shop.stray",
    "stray directory of a sandbox": "cp -a /etc/netns/cli /etc/netns/stray",
    "stray configuration": "cp /run/dockless/dns/resolvers/cli.conf /run/dockless/dns/resolvers/stray.conf",
    "stray namespace": "ip netns add stray; ip -n stray link set lo group 25707 alias 'dockless shop/stray'",
    "stray bridge": "ip link add br-stray type bridge; ip link set br-stray group 25707 alias 'dockless shop/stray'",
    "link of a killed run": "ip link add left0 type bridge; ip link set left0 group 25708",
    "stray route": "ip route add 10.99.0.0/24 dev eth0 proto 213",
    "a file that keeps its size": "sed -i s/localhost/LOCALHOST/ /etc/netns/cli/hosts",
    "last good copy deleted": "rm /etc/dockless/last-good/projects/shop.json",
    "last good copy changed": "echo >>/etc/dockless/last-good/projects/shop.json",
    "document that others can read": "chmod 644 /etc/dockless/projects/shop.json",
    "document": "sed -i s/8080/8089/ /etc/dockless/projects/shop.json",
    "defaults": 'sed -i \'s/"defaults": {}/"defaults": {"mtu": 1300}/\' /etc/dockless/host.json',
    "another document": "cp /etc/dockless/projects/shop.json /etc/dockless/projects/late.json",
    "name servers": "echo nameserver 192.0.2.9 >/run/resolv; mount --bind /run/resolv /etc/resolv.conf",
    "uplink": "ip link set eth0 mtu 1400",
}
AFTERWARDS = """
umount /etc/resolv.conf 2>/dev/null || true; rm -f /etc/dockless/projects/late.json
ip netns delete stray 2>/dev/null || true; ip link delete br-stray 2>/dev/null || true; rm -rf /etc/netns/stray
ip link delete left0 2>/dev/null || true; ip route flush proto 213 10.99.0.0/24 2>/dev/null || true
ip link set eth0 mtu 1500; ip -n cli link delete own0 2>/dev/null || true
rm -rf /run/gone /run/copy /run/dockless/dns/networks/shop.stray
"""


class Cached:
    """A private host whose last answer is recorded, for one drift after the other."""

    def __init__(self):
        self.host = PrivateHost()
        apply(self.host, CACHED)

    def settle(self):
        """Repair everything, and return when the answer comes from the record: the control of each test."""
        self.host.sh(AFTERWARDS)
        apply(self.host, CACHED)
        for _attempt in range(8):
            answer, planned = apply(self.host, CACHED)
            if not answer["changed"] and not planned:
                return
        raise AssertionError("every run is planned")


@pytest.fixture(scope="module")
def cached():
    """Lend one host to all tests of drift that a process runs."""
    found = Cached()
    with found.host:
        yield found


@pytest.mark.parametrize("drift", smoke_case({**DRIFT, **STRAYS}, "records replaced by a copy"))
def test_answer_is_never_given_where_a_plan_would_differ(cached, drift):
    """Whatever plan reports, or refuses, apply does not answer from the record."""
    cached.settle()
    cached.host.sh(drift)
    done = cached.host.run(
        [PYTHON, "-m", "_dockless.cli", "plan", "--project", "shop", "--json", "-"],
        input=json.dumps(CACHED),
        check=False,
    )
    if done.returncode == 0 and not json.loads(done.stdout)["changed"]:
        return  # a plan cannot see it either
    repaired = cached.host.run(
        [PYTHON, "-m", "_dockless.cli", "apply", "--project", "shop", "--json", "-"],
        input=json.dumps(CACHED),
        check=False,
    )
    assert (repaired.returncode, json.loads(repaired.stdout).get("changed", False)) == (
        done.returncode,
        not done.returncode,
    )


SEEN = ("records replaced by a copy", "records that resolvers cannot list", "everything restored from a copy")


@pytest.mark.parametrize("name", SEEN)
def test_resolvers_learn_new_names_after_their_directory_was_replaced(private_host, name):
    """A plan reports it, one run repairs it, and a name that is added later is resolved."""
    private_host.apply(CACHED)
    private_host.sh(STRAYS[name])
    assert private_host.plan(CACHED)["changed"]
    private_host.apply(CACHED)
    assert private_host.apply(CACHED)["changed"] is False
    result = private_host.apply(changed(CACHED, sandboxes__late={"networks": ["front"]}))
    address = next(row["addresses"][0] for row in result["endpoints"] if row["sandbox"] == "late")
    private_host.run(["timeout", "20", "sh", "-c", "until getent ahosts late; do sleep 0.05; done"], netns="cli")
    assert private_host.lookup("cli", "late")[0] == address.partition("/")[0]
    private_host.sh("rm -rf /run/gone /run/copy")


def test_file_with_the_name_of_an_option_value_is_not_the_document(private_host):
    """Once its content was taken for the document, and a changed document was answered as unchanged."""
    private_host.sh("mkdir /run/w; echo hello >/run/w/shop; echo hello >/run/w/apply")
    more = {**DOCUMENT, "sandboxes": {**DOCUMENT["sandboxes"], "new": {"networks": ["back"]}}}
    for arguments in (["apply", "doc.json", "--project", "shop"], ["--project", "shop", "apply", "doc.json"]):
        for document in (DOCUMENT, more):
            private_host.run(["tee", "/run/w/doc.json"], input=json.dumps(document))
            for _attempt in range(2):
                command = ["env", "-C", "/run/w", PYTHON, "-m", "_dockless.cli", *arguments, "--json"]
                told = json.loads(private_host.run(command).stdout)
                assert len({row["sandbox"] for row in told["endpoints"]}) == len(document["sandboxes"])
    private_host.sh("rm -r /run/w")
