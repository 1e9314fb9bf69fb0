# SPDX-License-Identifier: GPL-3.0-or-later
"""A run that fails goes back to what was there; one that is killed leaves a state that the next run repairs.

DOCKLESS_TEST_EVERY_STEP=1 fails and kills at every event, which takes long; without it at every
sixtieth of them, the first and the last included: always the same ones.
"""

from __future__ import annotations

import os

import pytest

from support.invariants import SHOP, assert_same, changed, full, hooked, steps

EVERY_STEP = bool(os.environ.get("DOCKLESS_TEST_EVERY_STEP"))
SPACING, PARTS = (
    (1, 4) if EVERY_STEP else (60, 2)
)  # parts: tests for each kind of run, so that several workers share them

MORE = changed(
    SHOP,
    networks__front__mtu=1400,
    networks__back__enable_ipv6=True,
    sandboxes__cli=None,
    veth_pairs={},
    sandboxes__new={"networks": ["front", "back"], "ports": ["9090:90"]},
    sandboxes__db__networks={"back": {"aliases": ["store"]}},
    sandboxes__web__ports=["8081:80"],
)
RUNS = {  # what is there, what is asked for, options of the run
    "first": (None, SHOP, ()),
    "update": (SHOP, MORE, ()),
    "removal": (SHOP, {}, ("--absent",)),
}


def sample(events, part):
    """Return the numbers of events to stop at, a part of them."""
    numbers = sorted({*range(0, len(events), SPACING), len(events) - 1})
    return numbers[part::PARTS]


def prepare(host, start):
    """Bring the host to the start of a run."""
    if start is None:
        host.apply({}, absent=True)
    else:
        host.apply(start)


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("start, end, options", RUNS.values(), ids=RUNS.keys())
def test_failed_step_is_rolled_back(private_host, start, end, options, part):
    """Whatever step or message fails, every link, rule, file and process is as before; then the same run succeeds."""
    prepare(private_host, start)
    before = full(private_host)
    counted = count(private_host, start, end, options)
    assert len(counted) > 40
    before_commit = counted[: counted.index("before rename of document intent.json") + 1]
    for number in sample(before_commit, part):
        told = hooked(private_host, "raise", number, end, *options)
        assert told["failed"] == "Fault" and "a fault at event" in told["msg"], (number, told)
        assert_same(before, private_host, f"after a failure at event {number}, {counted[number]}")
    assert private_host.apply(end, absent=True)["changed"] if options else private_host.apply(end)["changed"]


def count(host, start, end, options):
    """Do a run to its end, noting its events, and bring the host back."""
    events = hooked(host, "count", 0, end, *options)["events"]
    host.apply({}, absent=True)
    if start is not None:
        host.apply(start)
    return events


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("start, end, options", RUNS.values(), ids=RUNS.keys())
def test_next_run_repairs_after_a_killed_run(private_host, start, end, options, part):
    """After SIGKILL the next run makes what is asked for, the one after has nothing to do, and nothing is left over."""
    prepare(private_host, start)
    counted = count(private_host, start, end, options)
    absent = {"absent": True} if options else {}
    private_host.apply(end, **absent)
    wanted = full(private_host)
    for number in sample(counted, part):
        private_host.apply({}, absent=True)
        prepare(private_host, start)
        assert hooked(private_host, "kill", number, end, *options) == {"killed": True}
        private_host.apply(end, **absent)
        assert private_host.apply(end, **absent)["changed"] is False, f"killed at event {number}, {counted[number]}"
        assert_same(wanted, private_host, f"killed at event {number}, {counted[number]}")


@pytest.mark.parametrize("what", ["raise", "kill"])
def test_namespace_is_marked_before_it_is_named(private_host, what):
    """Between the first namespace and the next no run's end leaves one that nobody knows as ours."""
    made = [
        number
        for number, event in enumerate(hooked(private_host, "count", 0, SHOP)["events"])
        if "create namespace" in event
    ]
    private_host.apply({}, absent=True)
    before = full(private_host)
    for number in (made[1], made[1] + 1):
        told = hooked(private_host, what, number, SHOP)
        assert told == {"killed": True} if what == "kill" else told["failed"] == "Fault"
        private_host.apply({}, absent=True)
        assert_same(before, private_host, f"after {what} at event {number}")


BEHIND = {  # what something else does while a run is under way, and the object that the error names
    "a link set down": ("ip link set $(basename $(ls -d /sys/class/net/br-* | tail -n 1)) down", "bridge br-"),
    "a namespace taken away": ("ip netns delete db", "namespace db"),
    "a file changed": ("echo nonsense >>/etc/netns/cli/hosts", "file /etc/netns/cli/hosts"),
}
INSIDE = {  # what root in a sandbox does while a run is under way
    "an address taken away": "ip -n cli address delete 10.41.0.9/24 dev eth0",
    "a link taken away": "ip -n cli link delete eth0",
    "a rule added": "ip netns exec cli nft add rule inet dockless names counter",
    "a mark taken away": "ip -n cli link set lo alias ''",
}
FIXED = changed(SHOP, sandboxes__cli__networks={"front": {"ipv4_address": "10.41.0.9"}})


STARTS = {"update": changed(SHOP, sandboxes__cli=None, sandboxes__db=None, veth_pairs={})}
if EVERY_STEP:
    STARTS["first"] = None


@pytest.mark.parametrize("command, named", BEHIND.values(), ids=BEHIND.keys())
@pytest.mark.parametrize("start", STARTS.values(), ids=STARTS.keys())
def test_failed_verification_is_rolled_back(private_host, start, command, named):
    """Verification reads everything again; what is not as asked for is named, and the host is as before."""
    prepare(private_host, start)
    before = full(private_host)
    last = late_step(private_host)
    private_host.apply({}, absent=True)
    prepare(private_host, start)
    told = hooked(private_host, f"sh:{command}", last, FIXED)
    assert told.get("failed") in ("VerifyError", "DocklessError", "KernelError"), told
    if told["failed"] == "VerifyError":
        assert named in told["msg"], told["msg"]
    assert_same(before, private_host, told["msg"][:600])
    private_host.apply(FIXED)
    assert private_host.apply(FIXED)["changed"] is False


def late_step(host):
    """Do a run to its end, and return the number of a step before which nearly everything is made."""
    steps = [event for event in hooked(host, "count", 0, FIXED)["events"] if event.startswith("before")]
    return next(number for number, event in enumerate(steps) if "resolver of" in event)


def test_verification_repairs_what_root_in_a_sandbox_did(private_host):
    """The run ends well, and everything is as declared."""
    last = late_step(private_host)
    wanted = full(private_host)
    for act, command in INSIDE.items():
        private_host.apply({}, absent=True)
        told = hooked(private_host, f"sh:{command}", last, FIXED)
        assert told["changed"], (act, told)
        assert_same(wanted, private_host, act)
        assert private_host.apply(FIXED)["changed"] is False, act


@pytest.mark.parametrize("damage", ["nft flush chain inet dockless guard", ":"], ids=["a chain is emptied", "control"])
def test_rules_that_others_change_during_a_run_are_noticed(private_host, damage):
    """In the moment before the run loads its elements: what it has loaded is not taken for all that is there."""
    private_host.apply(SHOP)
    ports = {"web": {**SHOP["sandboxes"]["web"], "ports": ["8099:80"]}}
    document = {**SHOP, "sandboxes": {**SHOP["sandboxes"], **ports}}
    passed = steps(hooked(private_host, "count", 0, document)["events"])
    private_host.apply(SHOP)
    number = max(number for number, event in enumerate(passed) if event.endswith("firewall"))
    told = hooked(private_host, "sh:" + damage, number, document)
    assert ("failed" in told) is (damage != ":"), told
    assert "The rollback failed" not in told.get("msg", "")
    assert "drop" in private_host.sh("nft list chain inet dockless guard")
    assert not private_host.apply(SHOP if "failed" in told else document)["changed"]
