# SPDX-License-Identifier: GPL-3.0-or-later
"""A plan says what a run will do and does nothing."""

from __future__ import annotations

import pytest

from support import strace
from support.invariants import QUIET, SHOP, assert_same, changed, full

CHANGES = {
    "from nothing": ({}, SHOP),
    "nothing": (SHOP, SHOP),
    "a port": (SHOP, changed(SHOP, sandboxes__web__ports=["8081:80", "127.0.0.1:9000:90/udp"])),
    "an MTU and a family": (SHOP, changed(SHOP, networks__back__mtu=1400, networks__back__enable_ipv6=True)),
    "another sandbox": (SHOP, changed(SHOP, sandboxes__more={"networks": ["back", "front"]})),
    "a sandbox less": (SHOP, changed(SHOP, sandboxes__cli=None, veth_pairs={})),
    "moved to the other network": (SHOP, changed(SHOP, sandboxes__cli__networks=["back"])),
    "everything gone": (SHOP, {"networks": {}, "sandboxes": {}, "veth_pairs": {}}),
}


@pytest.mark.parametrize("start, end", CHANGES.values(), ids=CHANGES.keys())
def test_plan_predicts_the_run(private_host, start, end):
    """The same operations and diff, no message and no file in the plan, and after is then what is before."""
    if start:
        private_host.apply(start)
    before = full(private_host)
    traced = strace.run(private_host, "plan", "--project", "shop", "--diff", "--json", "-", document=end)
    assert traced.changes == [] and traced.questions > 3
    assert_same(before, private_host)
    real = private_host.apply(end, diff=True)
    assert traced.answer["operations"] == real["operations"] and traced.answer["changed"] is real["changed"] is (
        start != end
    )
    assert traced.answer["diff"] == real["diff"] and traced.answer["endpoints"] == real["endpoints"]
    assert private_host.plan(end)["changed"] is False
    assert not missing(traced.answer["diff"]["after"], full(private_host))


def missing(text, present):
    """Return the namespaces, links, addresses and files that a diff lists and that do not exist."""
    found = []
    for title in (line.partition("  #")[0].rstrip(":") for line in text.splitlines() if not line.startswith(" ")):
        if title == "firewall":  # it has no name
            continue
        kind, name, *rest = title.split()
        kept = f" of netns {rest[-1]}" if rest[-2:-1] in (["in"], ["of"]) else ""
        line = {
            "namespace": name,
            "bridge": f"ifname={name} ",
            "address": f"{rest[1] if len(rest) > 1 else ''} {name}",
            "file": name,
        }.get(kind)
        place = {"namespace": "netns", "bridge": "link", "address": "address" + kept, "file": "file"}.get(kind, "")
        if kind == "veth":  # veth pair NAME - INNER of NETNS
            line, place = f"ifname={rest[-3]} ", "link" + kept
        if line is not None and not any(row.startswith(line) for row in present.get(place, ())):
            found.append(title)
    return found


def test_missing_sees_what_is_missing(private_host):
    """The positive control: what the diff of an apply lists is missing after the removal."""
    after = private_host.apply(SHOP, diff=True)["diff"]["after"]
    assert missing(after, full(private_host)) == []
    private_host.apply({}, absent=True)
    gone = {title.split()[0] for title in missing(after, full(private_host))}
    assert gone == {"namespace", "bridge", "address", "file", "veth"}


@pytest.mark.smoke
def test_check_mode_creates_no_file_on_a_new_host(private_host):
    """Not even a directory for the lock."""
    places = "find /run /etc/dockless /etc/netns /var/lib/dockless 2>/dev/null | sort || true"
    before = private_host.sh(places)
    assert private_host.plan(SHOP)["changed"] is True
    assert private_host.sh(places) == before and "dockless" not in before
    private_host.apply(QUIET)
    assert private_host.sh(places) != before


def test_check_mode_refuses_as_the_run_does(private_host):
    """A refusal in check mode is that of the real run."""
    wrong = changed(QUIET, sandboxes__lab={"networks": ["fornt"]})
    done = private_host.run(
        ["/usr/bin/python3", "-m", "_dockless.cli", "plan", "--project", "shop", "--json", "-"], input="{}", check=False
    )
    assert done.returncode == 0
    message = private_host.refusal(wrong)
    assert "fornt" in message and private_host.sh("ls /run/netns 2>/dev/null || true") == ""
