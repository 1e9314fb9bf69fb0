# SPDX-License-Identifier: GPL-3.0-or-later
"""Documents and the host-wide lock, on a real file system and between real processes."""

from __future__ import annotations

import json
import os

import pytest

from support.private_host import PYTHON, SUPPORT

HEAD = """
import json, os, sys
from _dockless.engine import documents, fitting, recovery, store, transaction
from _dockless.engine.request import Request
from _dockless.errors import DocklessError
from _dockless.linux import lock

def save(*projects, host=store.HostDocument(), request=Request(None)):
    before = store.load_all()
    after = before._replace(projects={one.project: one for one in projects}, host=host)
    lines, changes = documents.changes(before, after, request)
    with transaction.Transaction(transaction.Record(tuple(after.projects), "update", changes)) as change:
        change.commit()
    return change.warnings

def at_boot():
    choice = fitting.choose(recovery.start(Request(None, boot=True)).entries, Request(None, boot=True))
    return choice.present.projects, choice.present.host, choice.problems
"""
SHOP = (
    "store.Document('shop', {'networks': {'front': {'labels': {'a': 'é'}}}}, {'networks': {'front': ['10.0.0.0/24']}})"
)
HOST = "store.HostDocument({'mtu': 1400}, {'networks': {}})"
FILES = ("projects/shop.json", "last-good/projects/shop.json", "host.json", "last-good/host.json")
pytestmark = pytest.mark.leaves_behind("documents are what is tested; the private host ends with the test")


def ask(host, code, *args):
    """Run code with store imported and return what it prints as JSON."""
    return json.loads(host.python(HEAD + code, *args).stdout)


def refusal(host, code, *args):
    """Return the message of the DocklessError that code ends with."""
    return ask(
        host,
        "try:\n "
        + code.replace("\n", "\n ")
        + "\n print(0)\nexcept DocklessError as error: print(json.dumps(str(error)))",
        *args,
    )


def stored(host):
    """Store a project and the host's defaults."""
    ask(host, f"save({SHOP}, host={HOST}); print(0)")


def test_documents_come_back_as_they_were_written(private_host):
    assert ask(private_host, "print(json.dumps(store.load_all()[:2]))") == [{}, [{}, {}]]
    assert private_host.sh("ls -d /etc/dockless /run/dockless 2>/dev/null || true") == ""
    stored(private_host)
    told = ask(private_host, "print(json.dumps(store.load_all()[:2]))")
    assert told == [
        {
            "shop": [
                "shop",
                {"networks": {"front": {"labels": {"a": "é"}}}},
                {"networks": {"front": ["10.0.0.0/24"]}},
            ]
        },
        [{"mtu": 1400}, {"networks": {}}],
    ]
    # a lone surrogate cannot be in UTF-8, and comes back as the escape that JSON has for it
    ask(private_host, "save(store.Document('x', {'note': 'é\\ud800'}, {})); print(0)")
    assert ask(private_host, "print(json.dumps(store.load_all().projects['x'].declaration))") == {"note": "é\ud800"}
    stored(private_host)
    shape = json.loads(private_host.read("/etc/dockless/projects/shop.json"))
    assert sorted(shape) == ["declaration", "format", "leases", "project"] and shape["format"] == 1
    assert sorted(json.loads(private_host.read("/etc/dockless/host.json"))) == ["defaults", "format", "leases"]


def test_modes_do_not_depend_on_the_umask(private_host):
    ask(private_host, f"os.umask(0); save({SHOP}); print(0)")
    modes = private_host.sh("find /etc/dockless -printf '%y %m\\n' | sort | uniq -c").split()
    assert modes == ["4", "d", "700", "4", "f", "600"]


def test_nothing_is_written_when_nothing_differs(private_host):
    stored(private_host)
    look = "find /etc/dockless -printf '%p %i %T@ %C@\\n' | sort"
    before = private_host.sh(look)
    stored(private_host)
    assert private_host.sh(look) == before
    ask(private_host, "save(store.Document('shop', {}, {})); print(0)")
    assert private_host.sh(look) != before


def test_intent_is_synced_first_and_committed_by_one_rename(private_host):
    """Each file is synced before it is renamed, and its directory after; intent, commit, then the documents."""
    if private_host.run(["sh", "-c", "command -v strace"], check=False).returncode:
        pytest.skip("strace is not installed")
    trace = private_host.run(
        [
            "strace",
            "-f",
            "-e",
            "trace=fsync,rename,renameat,renameat2",
            "/usr/bin/python3",
            "-c",
            HEAD + f"save({SHOP})",
        ],
        env={"PYTHONDONTWRITEBYTECODE": "1"},
    ).stderr
    calls = [line.partition("] ")[2] or line for line in trace.splitlines() if "(" in line]
    order = [
        "fsync" if call.startswith("fsync") else call.split('"')[3]
        for call in calls
        if call.startswith(("fsync", "rename")) and "pyc" not in call
    ]
    written = ["fsync", "shop.json", "fsync"] * 2 + ["fsync", "host.json", "fsync"] * 2
    assert order == ["fsync", "intent.json", "fsync", "commit.json", "fsync", *written, "fsync"]


@pytest.mark.smoke
def test_every_failing_file_operation_leaves_all_documents_old_or_all_new(private_host):
    """ENOSPC, EROFS and EIO, once and from then on, and a kill, at each system call that reads or writes a document.

    A change that fails has changed nothing. After each, the next run has the same documents, completed, with copies.
    """
    spacing = 1 if os.environ.get("DOCKLESS_TEST_EVERY_STEP") else 7
    done = private_host.run([PYTHON, str(SUPPORT / "store_faults.py"), str(spacing)], timeout=900)
    told = json.loads(done.stdout)
    assert told["trials"] > 2500 / spacing  # the control: faults were injected
    assert not told["problems"], "\n".join(told["problems"])


def test_removed_project_is_gone_with_its_copy(private_host):
    stored(private_host)
    ask(private_host, f"save({SHOP}, store.Document('other', {{}}, {{}}), host={HOST}); print(0)")
    ask(private_host, f"save({SHOP}, host={HOST}); print(0)")
    assert private_host.sh("cd /etc/dockless; find . -type f | sort").split() == sorted(f"./{name}" for name in FILES)
    ask(private_host, "save(); save(); print(0)")
    assert private_host.sh("ls -d /etc/dockless 2>/dev/null || true") == ""


BROKEN = {
    "not JSON": ('{\n "format": 1,\n "project" "shop"}', "line 3: not JSON: Expecting ':' delimiter"),
    "half written": ('{\n "format": 1,\n', "line 3: not JSON"),
    "empty": ("", "line 1: not JSON"),
    "not an object": ("[1]", "line 1: the document must be an object, not list"),
    "unknown format": (
        '{\n "leases": {}, "declaration": {},\n "format": 2, "project": "shop"}',
        "line 3: format 2 is unknown",
    ),
    "a key of another version": (
        '{"format": 1, "project": "shop", "declaration": {}, "leases": {},\n "later": 1}',
        "line 2: unknown key 'later'",
    ),
    "leases of another shape": (
        '{"format": 1, "project": "shop", "declaration": {},\n "leases": {\n  "networks": {"front": ["10.0.0.0/99"]}}}',
        "line 3: leases.networks.front[0]: '10.0.0.0/99' is not a subnet",
    ),
    "wrong shape": (
        '{"format": 1,\n "project": "shop",\n\n "declaration": [], "leases": {}}',
        "line 4: declaration must be an object",
    ),
    "another's": (
        '{"format": 1,\n "project": "other", "declaration": {}, "leases": {}}',
        "line 2: the document is of project 'other'",
    ),
}


@pytest.mark.parametrize("text, message", BROKEN.values(), ids=BROKEN.keys())
def test_broken_document_is_named_with_its_line(private_host, text, message):
    stored(private_host)
    private_host.run(["tee", "/etc/dockless/projects/shop.json"], input=text)
    told = refusal(private_host, "store.load_all()")
    assert told.startswith("/etc/dockless/projects/shop.json, " + message)
    projects, _host, problems = ask(private_host, "print(json.dumps(at_boot()))")
    assert projects["shop"][2] == {"networks": {"front": ["10.0.0.0/24"]}}
    assert len(problems) == 1 and message in problems[0] and problems[0].endswith("Its last good copy is used.")
    assert problems[0].startswith("The document of project shop is not used: /etc/dockless/projects/shop.json, line ")


def test_document_without_a_good_copy_is_left_out_at_boot(private_host):
    stored(private_host)
    private_host.sh(
        r"cd /etc/dockless; printf '\n\xff' | tee projects/shop.json last-good/projects/shop.json host.json >/dev/null"
    )
    assert "line 2: not UTF-8" in refusal(private_host, "store.load_all()")
    projects, host, problems = ask(private_host, "print(json.dumps(at_boot()))")
    assert projects == {} and host == [{"mtu": 1400}, {"networks": {}}]
    assert problems[0].endswith("Its last good copy is used.")
    assert "the project is left out" in problems[1]


@pytest.mark.smoke
def test_files_that_are_no_documents_are_ignored(private_host):
    stored(private_host)
    private_host.sh("cd /etc/dockless/projects; touch .shop.json.0123 notes.txt .json ./-x.json")
    assert list(ask(private_host, "print(json.dumps(store.load_all().projects))")) == ["shop"]


@pytest.mark.parametrize("name", [".", "..", "../x", "a/b", "/abs", "-rf", "a\nb", "a" * 64, "\u0430b", "a\\0b"])
def test_project_name_cannot_leave_the_directory(private_host, name):
    code = "store.path_of(sys.argv[1].replace('\\\\0', chr(0)))"
    assert "is not a project name" in refusal(private_host, code, name)
    refusal(private_host, "save(store.Document(sys.argv[1].replace('\\\\0', chr(0)), {}, {}))", name)
    assert private_host.sh("find /etc/dockless 2>/dev/null || true") == ""


LINKS = {
    "the document": ("mkdir -p -m 700 /etc/dockless/projects", "/etc/dockless/projects/shop.json"),
    "its directory": ("mkdir -p -m 700 /etc/dockless", "/etc/dockless/projects"),
    "our directory": ("true", "/etc/dockless"),
    "the good copy": ("mkdir -p -m 700 /etc/dockless/last-good/projects", "/etc/dockless/last-good/projects/shop.json"),
}


@pytest.mark.parametrize("prepare, link", LINKS.values(), ids=LINKS.keys())
@pytest.mark.parametrize("kind", ["file", "directory", "dangling"])
def test_symlink_instead_of_the_directory_is_refused(private_host, prepare, link, kind):
    """Neither followed nor replaced in silence; what it points to stays as it was."""
    target = {"file": "/run/canary/file", "directory": "/run/canary", "dangling": "/run/canary/new"}[kind]
    private_host.sh(f"mkdir /run/canary; echo alive >/run/canary/file; umask 077; {prepare}; ln -s {target} {link}")
    if "last-good" in link:  # written after the commit, so that it stops nothing
        told = ask(private_host, f"print(json.dumps(save({SHOP})[0]))")
        assert "commit.json has their content" in told
        assert "shop" in ask(private_host, "print(json.dumps(store.load_all()[0]))")
    else:
        told = refusal(private_host, f"save({SHOP})")
    assert link in told and "symbolic link" in told
    assert private_host.sh("ls -A /run/canary; cat /run/canary/file").split() == ["file", "alive"]
    private_host.sh(f"rm {link}")
    ask(private_host, f"recovery.start(Request(None)); save({SHOP}); print(0)")
    assert sorted(private_host.sh("cd /etc/dockless; find . -type f").split()) == sorted(f"./{name}" for name in FILES)


def test_directory_writable_by_others_is_refused(private_host):
    stored(private_host)
    private_host.sh("chmod 777 /etc/dockless/projects")
    assert "is writable by other users than root" in refusal(private_host, "store.load_all()")
    private_host.sh("chmod 700 /etc/dockless/projects; chown 65534 /etc/dockless/projects")
    assert "is writable by other users than root" in refusal(private_host, f"save({SHOP})")


HOLD = (
    HEAD + "with lock.{kind}(5):\n print('held', flush=True)\n sys.stdin = open('/run/go'); sys.stdin.read()\n"
    "print('left', flush=True)"
)


def held(host, kind):
    """Start a process that holds the lock until something is written to /run/go."""
    host.sh("test -p /run/go || mkfifo /run/go")
    holder = host.popen(["/usr/bin/python3", "-c", HOLD.replace("{kind}", kind)])
    assert holder.readline() == "held"
    return holder


def test_lock_names_its_holder_and_is_taken_when_it_is_free(private_host):
    holder = held(private_host, "lock")
    pid = private_host.sh("awk '/FLOCK/ {print $5}' /proc/locks | head -1")
    for kind in ("lock", "lock_for_reading"):
        told = refusal(private_host, f"with lock.{kind}(0.1): pass")
        assert told.startswith(f"process {pid} (/usr/bin/python3 -c ") and "which started at " in told
        assert "has the lock /run/dockless/lock of this host's networks" in told and "within 0.1 s" in told
    waiting = private_host.popen(["/usr/bin/python3", "-c", HEAD + "with lock.lock(30): print('mine', flush=True)"])
    private_host.sh("echo >/run/go")
    assert holder.readline() == "left"
    assert waiting.readline() == "mine"
    assert private_host.sh("stat -c '%a %n' /run/dockless /run/dockless/lock").split("\n") == [
        "755 /run/dockless",
        "600 /run/dockless/lock",
    ]


def test_lock_ends_with_its_process(private_host):
    holder = held(private_host, "lock")
    private_host.sh("kill -9 $(awk '/FLOCK/ {print $5}' /proc/locks | head -1)")
    assert holder.readline() == ""
    assert refusal(private_host, "with lock.lock(30): pass") == 0


def test_lock_is_not_handed_to_programs_that_are_started(private_host):
    """A resolver that outlives the run must not hold its lock."""
    server = private_host.popen(
        [
            "/usr/bin/python3",
            "-c",
            HEAD
            + (
                "import subprocess\nwith lock.lock(5): child = subprocess.Popen(['sleep', '60'], close_fds=False)\n"
                "print('gone', flush=True); child.wait()"
            ),
        ]
    )
    assert server.readline() == "gone"
    assert refusal(private_host, "with lock.lock(0.1): pass") == 0


def test_readers_share_and_a_writer_waits_for_them(private_host):
    stored(private_host)
    refusal(private_host, "with lock.lock(1): pass")
    held(private_host, "lock_for_reading")
    assert refusal(private_host, "with lock.lock_for_reading(0.1): pass") == 0
    assert "has the lock /run/dockless/lock" in refusal(private_host, "with lock.lock(0.1): pass")


def test_shared_lock_creates_no_file(private_host):
    assert refusal(private_host, "with lock.lock_for_reading(1): pass") == 0
    assert private_host.sh("ls -d /run/dockless 2>/dev/null || true") == ""


def test_symlink_instead_of_the_lock_file_is_refused(private_host):
    private_host.sh("mkdir -m 700 /run/dockless; ln -s /run/canary /run/dockless/lock")
    assert "symbolic link" in refusal(private_host, "with lock.lock(1): pass")
    assert "symbolic link" in refusal(private_host, "with lock.lock_for_reading(1): pass")
    assert private_host.sh("ls /run/canary 2>/dev/null || true") == ""


def test_lock_is_released_by_an_error_inside(private_host):
    told = refusal(
        private_host, "try:\n with lock.lock(1): raise ValueError\nexcept ValueError: pass\nwith lock.lock(0): pass"
    )
    assert told == 0
