# SPDX-License-Identifier: GPL-3.0-or-later
"""Documents and the host-wide lock, on a real file system and between real processes."""

from __future__ import annotations

import json

import pytest

HEAD = (
    "import json, os, sys\nfrom _dockless.engine import store\nfrom _dockless.linux import lock\n"
    "from _dockless.errors import DocklessError\n"
)
SHOP = "store.Document('shop', {'networks': {'front': {}}, 'note': 'é\\ud800'}, {'front': ['10.0.0.0/24']})"
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
    ask(host, f"store.write({SHOP}); store.write_host(store.HostDocument({{'mtu': 1400}}, {{'bridge': []}})); print(0)")


def test_documents_come_back_as_they_were_written(private_host):
    assert ask(private_host, "print(json.dumps(store.load_all()))") == [{}, [{}, {}]]
    assert private_host.sh("ls -d /etc/dockless /run/dockless 2>/dev/null || true") == ""
    stored(private_host)
    told = ask(private_host, "print(json.dumps(store.load_all()))")
    # a lone surrogate cannot be in UTF-8, and comes back as the escape that JSON has for it
    assert told == [
        {"shop": ["shop", {"networks": {"front": {}}, "note": "é\ud800"}, {"front": ["10.0.0.0/24"]}]},
        [{"mtu": 1400}, {"bridge": []}],
    ]
    shape = json.loads(private_host.read("/etc/dockless/projects/shop.json"))
    assert sorted(shape) == ["declaration", "format", "leases", "project"] and shape["format"] == 1
    assert sorted(json.loads(private_host.read("/etc/dockless/host.json"))) == ["defaults", "format", "leases"]


def test_modes_do_not_depend_on_the_umask(private_host):
    ask(private_host, f"os.umask(0); store.write({SHOP}); store.write_host(store.HostDocument()); print(0)")
    modes = private_host.sh("find /etc/dockless -printf '%y %m\\n' | sort | uniq -c").split()
    assert modes == ["4", "d", "700", "4", "f", "600"]


def test_nothing_is_written_when_nothing_differs(private_host):
    stored(private_host)
    look = "find /etc/dockless -printf '%p %i %T@ %C@\\n' | sort"
    before = private_host.sh(look)
    stored(private_host)
    assert private_host.sh(look) == before
    ask(private_host, "store.write(store.Document('shop', {}, {})); print(0)")
    assert private_host.sh(look) != before


def test_files_are_synced_before_they_are_renamed_and_their_directory_after(private_host):
    if private_host.run(["sh", "-c", "command -v strace"], check=False).returncode:
        pytest.skip("strace is not installed")
    code = HEAD + f"store.write({SHOP})"
    trace = private_host.run(
        ["strace", "-f", "-e", "trace=fsync,rename,renameat,renameat2", "/usr/bin/python3", "-c", code],
        env={"PYTHONDONTWRITEBYTECODE": "1"},
    ).stderr
    calls = [
        line.split("(")[0].split()[-1][:6]
        for line in trace.splitlines()
        if "dockless" in line or "fsync(" in line or "shop.json" in line
    ]
    assert calls == ["fsync", "rename", "fsync"] * 2


def test_removed_project_is_gone_with_its_copy(private_host):
    stored(private_host)
    ask(private_host, "store.remove('shop'); store.remove('shop'); print(0)")
    assert private_host.sh("cd /etc/dockless; find . -type f | sort").split() == [
        "./host.json",
        "./last-good/host.json",
    ]
    ask(private_host, "store.remove_all(); store.remove_all(); print(0)")
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
    documents, warnings = ask(private_host, "print(json.dumps(store.load_all_or_last_good()))")
    assert documents[0]["shop"][2] == {"front": ["10.0.0.0/24"]}
    assert len(warnings) == 1 and message in warnings[0] and warnings[0].endswith("Its last good copy is used")


def test_document_without_a_good_copy_is_left_out_at_boot(private_host):
    stored(private_host)
    private_host.sh(
        r"cd /etc/dockless; printf '\n\xff' | tee projects/shop.json last-good/projects/shop.json host.json >/dev/null"
    )
    assert "line 2: not UTF-8" in refusal(private_host, "store.load_all()")
    documents, warnings = ask(private_host, "print(json.dumps(store.load_all_or_last_good()))")
    assert documents == [{}, [{"mtu": 1400}, {"bridge": []}]]
    assert [w.split(". ")[-1] for w in warnings] == [
        "There is no last good copy, so it is left out",
        "Its last good copy is used",
    ]


@pytest.mark.smoke
def test_files_that_are_no_documents_are_ignored(private_host):
    stored(private_host)
    private_host.sh("cd /etc/dockless/projects; touch .shop.json.0123 notes.txt .json ./-x.json")
    assert list(ask(private_host, "print(json.dumps(store.load_all().projects))")) == ["shop"]


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", "/abs", "-rf", "a\nb", "a" * 64, "\u0430b", "a\\0b"])
def test_project_name_cannot_leave_the_directory(private_host, name):
    code = "store.write(store.Document(sys.argv[1].replace('\\\\0', chr(0)), {}, {}))"
    assert "is not a project name" in refusal(private_host, code, name)
    assert "is not a project name" in refusal(private_host, "store.remove(sys.argv[1].replace('\\\\0', chr(0)))", name)
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
    told = refusal(private_host, f"store.write({SHOP})")
    assert told.startswith(link) and "symbolic link" in told
    assert private_host.sh("ls -A /run/canary; cat /run/canary/file").split() == ["file", "alive"]
    private_host.sh(f"rm {link}")
    ask(private_host, f"store.write({SHOP}); print(0)")


def test_directory_writable_by_others_is_refused(private_host):
    stored(private_host)
    private_host.sh("chmod 777 /etc/dockless/projects")
    assert "is writable by other users than root" in refusal(private_host, "store.load_all()")
    private_host.sh("chmod 700 /etc/dockless/projects; chown 65534 /etc/dockless/projects")
    assert "is writable by other users than root" in refusal(private_host, f"store.write({SHOP})")


HOLD = (
    HEAD + "with lock.{kind}(5):\n print('held', flush=True)\n sys.stdin = open('/run/go'); sys.stdin.read()\n"
    "print('left', flush=True)"
)


def held(host, kind):
    """Start a process that holds the lock until something is written to /run/go."""
    host.sh("test -p /run/go || mkfifo /run/go")
    holder = host.popen(["/usr/bin/python3", "-c", HOLD.format(kind=kind)])
    assert holder.readline() == "held"
    return holder


def test_lock_names_its_holder_and_is_taken_when_it_is_free(private_host):
    holder = held(private_host, "lock")
    pid = private_host.sh("awk '/FLOCK/ {print $5}' /proc/locks | head -1")
    for kind in ("lock", "lock_for_reading"):
        told = refusal(private_host, f"with lock.{kind}(0.1): pass")
        assert told.startswith(f"process {pid} (python3) has held /run/dockless/lock for more than 0.1 s")
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
    assert "has held /run/dockless/lock" in refusal(private_host, "with lock.lock(0.1): pass")


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
