"""A run that changes nothing may be answered from a note, and only then."""

from __future__ import annotations

import json

import pytest

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
