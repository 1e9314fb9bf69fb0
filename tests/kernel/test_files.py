# SPDX-License-Identifier: GPL-3.0-or-later
"""Managed files: written whole and atomically, within their roots only, never through a symlink."""

from __future__ import annotations

import json

import pytest

HEAD = "import json, os, sys\nfrom _dockless.linux import files\nfrom _dockless.errors import DocklessError\n"
pytestmark = pytest.mark.leaves_behind("files are what is tested; the private host ends with the test")


def ask(host, code, *args):
    """Run code with files imported and return what it prints as JSON."""
    return json.loads(host.python(HEAD + code, *args).stdout)


def refusal(host, code, *args):
    """Return the message of the DocklessError that code ends with."""
    return ask(host, f"try:\n {code}\n print(0)\nexcept DocklessError as error: print(json.dumps(str(error)))", *args)


def test_file_is_written_read_listed_and_removed(private_host):
    told = ask(
        private_host,
        """
os.umask(0o077)
seen = [files.read("/etc/netns/web/hosts"), files.listed("/etc/netns"), files.listed("/run/dockless/dns")]
files.write("/etc/netns/web/hosts", "one\\n", 0o644)
files.write("/run/dockless/dns/a/b", "", 0o600)
files.write("/run/dockless/dns/a.conf", "é" * 100000, 0o640)
files.write("/etc/netns/web/hosts", "two\\n", 0o644)
seen += [files.read("/etc/netns/web/hosts"), files.observed("/run/dockless/dns/a/b")]
seen.append(len(files.read("/run/dockless/dns/a.conf")))
seen += [files.listed("/run/dockless"), files.listed("/etc/netns/web")]
files.remove("/run/dockless/dns/a/b"); files.remove("/run/dockless/dns/a/b"); files.remove("/run/dockless/none/b")
files.remove_empty_directory("/run/dockless/dns")
files.remove_empty_directory("/run/dockless/dns/a"); files.remove_empty_directory("/run/dockless/dns/a")
seen.append(files.listed("/run/dockless"))
print(json.dumps(seen))""",
    )
    assert told == [
        None,
        [],
        [],
        "two\n",
        ["", 0o600],
        100000,
        ["/run/dockless/dns/a.conf", "/run/dockless/dns/a/b"],
        ["/etc/netns/web/hosts"],
        ["/run/dockless/dns/a.conf"],
    ]
    assert private_host.sh("stat -c '%a' /etc/netns/web /etc/netns/web/hosts /run/dockless/dns/a.conf").split() == [
        "755",
        "644",
        "640",
    ]
    assert private_host.sh("find /run/dockless /etc/netns -name '.*'") == ""


def test_roots_themselves_are_removed_only_when_empty(private_host):
    told = ask(
        private_host,
        """
files.write("/etc/netns/web/hosts", "", 0o644)
files.remove_empty_directory("/etc/netns")
seen = [os.path.isdir("/etc/netns")]
files.remove("/etc/netns/web/hosts")
files.remove_empty_directory("/etc/netns/web"); files.remove_empty_directory("/etc/netns")
print(json.dumps(seen + [os.path.isdir("/etc/netns")]))""",
    )
    assert told == [True, False]


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd",
        "/etc/netns",
        "/etc/netns/",
        "/etc/netns/../passwd",
        "/etc/netns/web/../../passwd",
        "/etc/netns/./x",
        "/etc/netns//x",
        "/etc/netnsx/y",
        "etc/netns/x",
        "",
        "/run/dockless/x/",
        "/run/dockless/\0",
        "/run/dockless/" + "x" * 256,
        "/run/systemd/system",
        "/run/lock/x",
    ],
)
def test_paths_outside_the_allowed_roots_are_refused(private_host, path):
    """Refused before anything is touched."""
    before = private_host.sh("find /run /etc -printf '%p %i %s %T@\\n' | sort")
    told = ask(
        private_host,
        """
messages = []
for call in (files.read, files.remove, files.observed, lambda path: files.write(path, "x", 0o644)):
    try:
        call(json.loads(sys.argv[1])); messages.append("done")
    except DocklessError as error:
        messages.append(str(error))
print(json.dumps(messages))""",
        json.dumps(path),
    )
    assert all("is not below /run/dockless" in message for message in told)
    assert private_host.sh("find /run /etc -printf '%p %i %s %T@\\n' | sort") == before


LINKS = {
    "root": ("true", "/run/dockless"),
    "directory": ("mkdir /run/dockless", "/run/dockless/dns"),
    "deeper directory": ("mkdir -p /run/dockless/dns", "/run/dockless/dns/a"),
    "file": ("mkdir -p /run/dockless/dns/a", "/run/dockless/dns/a/b"),
}


@pytest.mark.parametrize("prepare, link", LINKS.values(), ids=LINKS.keys())
def test_path_with_a_symlink_component_is_refused(private_host, prepare, link):
    """Neither for reading nor for writing; what it points to stays as it was."""
    target = link.replace("/run/dockless", "/run/canary")
    private_host.sh(f"mkdir -p /run/canary/dns/a; echo alive >/run/canary/dns/a/b; {prepare}; ln -s {target} {link}")
    for call in ("files.read(sys.argv[1])", "files.write(sys.argv[1], 'x', 0o644)"):
        assert link in refusal(private_host, call, "/run/dockless/dns/a/b")
    assert private_host.sh("find /run/canary -type f -exec cat {} +") == "alive"
    private_host.sh(f"rm {link}")
    assert refusal(private_host, "files.write(sys.argv[1], 'x', 0o644)", "/run/dockless/dns/a/b") == 0


@pytest.mark.smoke
def test_symlink_is_removed_and_not_followed(private_host):
    private_host.sh(
        "mkdir -p /run/dockless/dns /run/canary; echo alive >/run/canary/file; "
        "ln -s /run/canary /run/dockless/dns/d; ln -s /run/canary/file /run/dockless/dns/f"
    )
    told = ask(
        private_host,
        "seen = files.listed('/run/dockless')\nfor path in seen: files.remove(path)\n"
        "print(json.dumps([seen, files.listed('/run/dockless')]))",
    )
    assert told == [["/run/dockless/dns/d", "/run/dockless/dns/f"], []]
    assert private_host.read("/run/canary/file") == "alive\n"


@pytest.mark.parametrize(
    "make", ["mkfifo", "mkdir", "python3 -c 'import socket, sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])'"]
)
def test_special_files_are_refused_without_blocking(private_host, make):
    private_host.sh(f"mkdir -p /run/dockless; {make} /run/dockless/x")
    assert "/run/dockless/x" in refusal(private_host, "files.read('/run/dockless/x')")
    assert "/run/dockless/x" in refusal(private_host, "files.write('/run/dockless/x', '', 0o644)")


def test_reader_sees_the_old_or_the_new_file(private_host):
    private_host.sh("mkdir /run/dockless; echo -n aaaa >/run/dockless/x")
    told = ask(
        private_host,
        """
old = open("/run/dockless/x")
files.write("/run/dockless/x", "b", 0o644)
print(json.dumps([old.read(), files.read("/run/dockless/x")]))""",
    )
    assert told == ["aaaa", "b"]


def test_failed_write_leaves_the_old_file_and_nothing_beside_it(private_host):
    private_host.sh(
        "mkdir /run/dockless; mount -t tmpfs -o size=64k,mode=755 tmpfs /run/dockless; echo -n old >/run/dockless/x"
    )
    told = ask(
        private_host,
        """
try:
    files.write("/run/dockless/x", "y" * 1000000, 0o644)
except DocklessError as error:
    print(json.dumps([str(error), files.read("/run/dockless/x"), os.listdir("/run/dockless")]))""",
    )
    private_host.sh("umount /run/dockless")
    said = "/run/dockless/x cannot be written: No space left on device. Make space on its file system."
    assert told == [said, "old", ["x"]]
