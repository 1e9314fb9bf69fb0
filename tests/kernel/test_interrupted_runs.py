# SPDX-License-Identifier: GPL-3.0-or-later
"""What is left by a run that was killed or found a disk full, and what the next run and the next boot make of it.

DOCKLESS_TEST_EVERY_STEP=1 kills at every event; without it, at every event of the commit and at a few others.
"""

from __future__ import annotations

import contextlib
import json
import os

import pytest

from support.invariants import assert_same, changed, full, hooked
from support.private_host import PYTHON, PrivateHost

SPACING = 1 if os.environ.get("DOCKLESS_TEST_EVERY_STEP") else 40
SHOP = {
    "networks": {"front": {"ipam": {"config": [{"subnet": "10.41.0.0/24"}]}, "dns_enabled": False}},
    "sandboxes": {"web": {"networks": ["front"], "ports": ["8080:80"]}},
}
MORE = changed(SHOP, sandboxes__new={"networks": ["front"]}, sandboxes__web__ports=["8081:80"])
OTHER = {"networks": {"o": {"dns_enabled": False}}, "sandboxes": {"o1": {"networks": ["o"]}}}
RUNS = {"update": (MORE, ()), "removal": ({}, ("--absent",))}


@pytest.fixture(scope="module")
def host():
    """Lend one host to all tests of this file that a process runs."""
    with PrivateHost() as found:
        yield found


def start(host):
    """Give the host two projects that are applied, and nothing else."""
    host.sh("umount /etc/dockless 2>/dev/null || true; umount /run/dockless 2>/dev/null || true")
    host.apply({}, absent=True)
    host.apply(OTHER, project="other")
    host.apply(SHOP)


def engine(host, *argv, document=None, wrap=()):
    """Run the engine and return its status, its answer, and what it wrote to standard error."""
    done = host.run(
        [*wrap, PYTHON, "-m", "_dockless.cli", *argv, "--json"],
        input=None if document is None else json.dumps(document),
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, json.loads(done.stdout)


def as_declared(host):
    """Return whether everything on the host is as the documents declare it."""
    return host.dockless("plan", "--json")["operations"] == []


def kill_points(host, document, options):
    """Return the events of a run to kill it at, with their numbers."""
    events = hooked(host, "count", 0, document, *options)["events"]
    sample = {number for number, event in enumerate(events) if "of document" in event}
    return [(number, events[number]) for number in sorted(sample | set(range(0, len(events), SPACING)))]


@pytest.mark.parametrize("document, options", RUNS.values(), ids=RUNS.keys())
def test_next_run_of_another_project_takes_back_or_completes(host, document, options):
    """A run that was killed before its rename is taken back, after it completed; by whoever comes next."""
    start(host)
    old = full(host)
    points = kill_points(host, document, options)
    new = full(host)
    assert any("rename of document intent.json" in event for _number, event in points)
    is_committed = False
    for number, event in points:
        start(host)
        assert hooked(host, "kill", number, document, *options) == {"killed": True}
        host.apply(OTHER, project="other")
        what = f"killed at event {number}, {event}"
        assert_same(new if is_committed else old, host, what)
        assert as_declared(host) and host.apply(OTHER, project="other")["changed"] is False, what
        is_committed = is_committed or "rename of document" in event


def test_boot_takes_back_or_completes(host):
    """As above, by the unit at boot; a check in between reads the same documents and writes nothing."""
    start(host)
    old = full(host)
    points = [point for point in kill_points(host, MORE, ()) if "of document" in point[1]]
    new = full(host)
    is_committed = False
    for number, event in points:
        start(host)
        assert hooked(host, "kill", number, MORE) == {"killed": True}
        before = host.sh("find /etc/dockless -printf '%p %i %T@\\n' | sort")
        ports = [row["host_port"] for row in host.dockless("show", "--project", "shop", "--json")["ports"]]
        assert ports == ([8081] if is_committed else [8080]), event
        assert host.sh("find /etc/dockless -printf '%p %i %T@\\n' | sort") == before
        host.dockless("apply", "--boot", "--json")
        assert_same(new if is_committed else old, host, f"killed at event {number}, {event}")
        is_committed = is_committed or "rename of document" in event


def test_check_mode_tells_of_the_interrupted_run(host):
    start(host)
    points = {event: number for number, event in kill_points(host, MORE, ())}
    start(host)
    hooked(host, "kill", points["before rename of document intent.json"], MORE)
    line = "take back the interrupted run of project shop"
    assert line in host.plan(OTHER, project="other")["operations"]
    assert line in host.apply(OTHER, project="other")["operations"]
    assert host.plan(OTHER, project="other")["operations"] == []


BIG = changed(MORE, sandboxes__web__labels={f"label{number}": "x" * 200 for number in range(200)})


@contextlib.contextmanager
def full_disk(host, directory, left, options=""):
    """Put a file system with this space left, in KiB, in place of a directory."""
    host.sh(
        f"rm -rf /run/lock/keep; cp -a {directory} /run/lock/keep; mount -t tmpfs -o size=4m,mode=755 tmpfs {directory}"
    )
    host.sh(f"chmod 700 {directory}; cp -a /run/lock/keep/. {directory}/")
    if left is not None:
        used = f"$(df -k --output=used {directory} | tail -1)"
        host.sh(f"dd if=/dev/zero of={directory}/filler bs=1k count=$((4096 - {used} - {left})) status=none")
    if options:
        host.sh(f"mount -o remount,{options} {directory}")
    yield
    host.sh(f"mount -o remount,rw {directory}; rm -rf /run/lock/after; cp -a {directory} /run/lock/after")
    host.sh(f"umount {directory}; cp -a /run/lock/after/. {directory}/; rm -rf /run/lock/after {directory}/filler")


@pytest.mark.parametrize("left", (0, 8, 40, 52, 100))
def test_full_disk_changes_kernel_and_documents_or_neither(host, left):
    """A document of 45 kB on a disk with more and more space: for the intent, for one document, for a copy."""
    start(host)
    with full_disk(host, "/etc/dockless", left):
        status, answer = engine(host, "apply", "--project", "shop", "-", document=BIG)
        names = host.sh("ls /run/netns").split()
        if status:
            assert "No space left on device" in answer["msg"] and "Nothing was changed" in answer["msg"]
            assert names == ["o1", "web"]
        else:
            assert names == ["new", "o1", "web"] and (left >= 100 or "Not all documents" in answer["warnings"][0])
        assert as_declared(host)
    assert engine(host, "apply", "--boot")[0] == 0
    assert host.sh("ls /run/netns").split() == names and as_declared(host)


def test_read_only_disk_refuses_changes_and_lets_drift_be_repaired(host):
    start(host)
    with full_disk(host, "/etc/dockless", None, "ro"):
        status, answer = engine(host, "apply", "--project", "shop", "-", document=MORE)
        assert status == 1 and "Read-only file system" in answer["msg"] and "Nothing was changed" in answer["msg"]
        host.sh("ip netns delete web")
        assert host.apply(SHOP)["changed"] and as_declared(host)
        host.sh("ip netns delete web")
        assert host.dockless("apply", "--boot", "--json")["changed"] and as_declared(host)


def test_cache_that_cannot_be_written_is_a_warning(host):
    """The file system of /run is full: the run has succeeded, and says so."""
    start(host)
    with full_disk(host, "/run/dockless", 0):
        host.sh("ip -n web link set eth0 mtu 1400")
        status, answer = engine(host, "apply", "--project", "shop", "-", document=SHOP)
        assert status == 0 and answer["changed"]
        assert "cannot be changed in /run/dockless: " in answer["warnings"][0]
    assert as_declared(host)


SHAPES = (
    "[]",
    "1",
    "null",
    '"x"',
    '{"question": 1}',
    "{",
    "",
    "[" * 100_000,
    '{"1": 2}',
    '{"x": [1, "a"]}',
    '{"1": []}',
)


@pytest.mark.parametrize("path", ("/run/dockless/unchanged", "/run/dockless/generations.json"))
def test_cache_of_any_shape_is_no_reason_to_fail(host, path):
    """A file, a link or a directory in place of a cache; text that is no JSON, and JSON of other shapes."""
    start(host)
    for text in SHAPES:
        host.run(["tee", path], input=text + "\n{}")
        assert engine(host, "apply", "--project", "shop", "-", document=SHOP)[0] == 0, text[:20]
    first, _newline, answer_before = host.read("/run/dockless/unchanged").partition("\n")
    note = json.loads(first)
    for key in note:
        for value in (5, [1], ["../x"], {"": ""}, None, "x"):
            host.run(["tee", "/run/dockless/unchanged"], input=json.dumps({**note, key: value}) + "\n" + answer_before)
            status, answer = engine(host, "apply", "--project", "shop", "-", document=SHOP)
            assert status == 0 and "endpoints" in answer, (key, value)
    host.sh(f"rm {path}; ln -s /etc/passwd {path}")
    assert engine(host, "apply", "--project", "shop", "-", document=SHOP)[0] == 0
    host.sh(f"rm -f {path}; mkfifo {path}")
    assert engine(host, "apply", "--project", "shop", "-", document=SHOP)[0] == 0
    host.sh(f"rm -rf {path}")


def test_missing_descriptors_are_one_sentence(host):
    """At each limit of open files the run succeeds or fails with a message, and the next run has the host as before."""
    start(host)
    before = full(host)
    messages = set()
    for limit in range(4, 24):
        wrap = ["prlimit", f"--nofile={limit}:{limit}"]
        if host.run([*wrap, PYTHON, "-c", "import json, socket"], check=False).returncode:
            continue  # not enough for Python itself
        status, answer = engine(host, "apply", "--project", "shop", "-", document=MORE, wrap=wrap)
        if status == 0:
            break
        messages.add(answer["msg"])
        # without descriptors, a rollback can fail as well: then the message says so, and the next run repairs
        operations = host.apply(SHOP)["operations"]
        assert operations == [] or "The rollback failed too" in answer["msg"], answer["msg"]
        assert_same(before, host, f"{limit} descriptors: {answer['msg']}")
    assert any("Too many open files" in message for message in messages), messages


def test_nft_that_cannot_be_run_is_one_sentence(host):
    start(host)
    nft = host.sh("readlink -f $(command -v nft)")
    for text, mode, words in (("", 0o644, "nft is not installed"), ("nonsense", 0o755, "nft cannot be started")):
        host.sh(f"rm -f /run/fake; echo '{text}' >/run/fake; chmod {mode:o} /run/fake; mount --bind /run/fake {nft}")
        status, answer = engine(host, "apply", "--project", "shop", "-", document=MORE)
        host.sh(f"umount {nft}")
        assert status == 1 and words in answer["msg"], answer
    assert as_declared(host)


HOLDER = """
import os, signal
from _dockless.linux import lock
with lock.lock(5):
    print("held", flush=True)
    os.kill(os.getpid(), signal.SIGSTOP)
"""


def test_run_that_waits_says_for_whom(host):
    """A stopped process holds the lock, and the question is one that the cache knows the answer to."""
    start(host)
    engine(host, "apply", "--project", "shop", "-", document=SHOP)
    # a child of the shell, because nsenter stops when its own child does
    holder = host.popen(["sh", "-c", f"{PYTHON} -c '{HOLDER}' & wait"])
    assert holder.readline() == "held"
    for command in (("apply", "--project", "shop", "-"), ("plan", "--project", "shop", "-"), ("show",)):
        document = SHOP if "-" in command else None
        status, answer = engine(host, *command, "--wait", "0.2", document=document)
        assert status == 1 and "is stopped by a signal" in answer["msg"] and "--wait" in answer["msg"], answer
    host.sh("kill -CONT $(awk '/FLOCK/ {print $5}' /proc/locks | head -1)")
    holder.stop()
    assert engine(host, "apply", "--project", "shop", "-", document=SHOP)[0] == 0


def test_document_that_a_user_names_is_bounded(host):
    """A pipe is a document, as in <(command); a device without end and a missing file are sentences."""
    start(host)
    text = json.dumps(SHOP)
    done = host.run(
        ["bash", "-c", f"{PYTHON} -m _dockless.cli plan --project shop --json <(echo '{text}')"], check=False
    )
    assert json.loads(done.stdout)["changed"] is False
    for path, words in (("/dev/zero", "is larger than 64 MiB"), ("/none", "No such file"), ("/etc", "Is a directory")):
        status, answer = engine(host, "plan", "--project", "shop", path)
        assert status == 1 and words in answer["msg"], answer
