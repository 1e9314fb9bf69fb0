# SPDX-License-Identifier: GPL-3.0-or-later
"""Namespaces that others made: found by pid, path, unit and container; what is none is refused."""

from __future__ import annotations

import json

import pytest

CODE = """
import json, sys
from _dockless.linux import attach
from _dockless.errors import DocklessError
from _dockless.model.sandbox import Attach
try:
    print(json.dumps(attach.locate(Attach(sys.argv[1], sys.argv[2]))))
except DocklessError as error:
    print(json.dumps(str(error)))
"""
pytestmark = pytest.mark.leaves_behind(
    "processes and files that stand for other people's; the private host ends with the test"
)


def locate(host, kind, value):
    """Return path and inode, or the message of the refusal."""
    return json.loads(host.python(CODE, kind, value).stdout)


@pytest.fixture
def process(private_host):
    """Return the pid, as the private host sees it, of a process in a namespace of its own, and the namespace's
    inode.
    """
    private_host.popen(
        ["unshare", "--net", "sh", "-c", "echo $$ >/run/pid; readlink /proc/self/ns/net; exec sleep 600"]
    ).readline()
    pid = private_host.read("/run/pid").strip()
    return pid, int(private_host.sh(f"stat -L -c %i /proc/{pid}/ns/net"))


@pytest.mark.smoke
def test_namespace_of_a_process_by_pid_and_by_path(private_host, process):
    pid, inode = process
    assert locate(private_host, "pid", pid) == [f"/proc/{pid}/ns/net", inode]
    assert locate(private_host, "path", f"/proc/{pid}/ns/net") == [f"/proc/{pid}/ns/net", inode]
    private_host.sh(f"ip netns attach web {pid}; ln -s /run/netns/web /run/link")
    assert locate(private_host, "path", "/run/netns/web") == ["/run/netns/web", inode]
    assert locate(private_host, "path", "/run/link") == ["/run/link", inode]


REFUSED = {
    "a FIFO": ("path", "/run/fifo", "path '/run/fifo': /run/fifo is not a network namespace"),
    "a file": ("path", "/etc/hosts", "is not a network namespace"),
    "a directory": ("path", "/etc", "is not a network namespace"),
    "a device": ("path", "/dev/tty", "is not a network namespace"),
    "a socket": ("path", "/run/socket", "is not a network namespace"),
    "another kind of namespace": ("path", "/proc/1/ns/pid", "is not a network namespace"),
    "a file of procfs": ("path", "/proc/1/status", "is not a network namespace"),
    "the host's own by pid": (
        "pid",
        "1",
        "pid '1': /proc/1/ns/net is the host's own network namespace. To share the host's network, "
        "use network_mode: host.",
    ),
    "the host's own by path": ("path", "/proc/self/ns/net", "is the host's own network namespace"),
    "nothing": ("path", "/run/netns/none", "no namespace at /run/netns/none: No such file or directory"),
    "a relative path": ("path", "run/netns/web", "is not an absolute path"),
    "a path with a NUL": ("path", "/run/\\0", "is not an absolute path"),
    "no process": ("pid", "4194304", "pid 4194304: there is no such process"),
    "pid 0": ("pid", "0", "is not a process number"),
    "a word": ("pid", "self", "is not a process number"),
    "a pid that climbs": ("pid", "1/../../etc", "is not a process number"),
    "an option for systemctl": ("unit", "--all", "is not the name of a systemd unit"),
    "a unit that climbs": ("unit", "../x", "is not the name of a systemd unit"),
    "an option for docker": ("docker", "--help", "is not the name of a container"),
    "a command for podman": ("podman", "a;reboot", "is not the name of a container"),
    "an empty name": ("podman", "", "is not the name of a container"),
}


@pytest.mark.parametrize("kind, value, message", REFUSED.values(), ids=REFUSED.keys())
def test_attaching_to_something_else_than_a_namespace_is_refused(private_host, kind, value, message):
    """Without hanging (a command that hangs fails the test) and in a sentence."""
    private_host.sh("mkfifo /run/fifo; python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind(\"/run/socket\")'")
    told = json.loads(
        private_host.python("import sys; sys.argv[2] = sys.argv[2].replace('\\\\0', chr(0))" + CODE, kind, value).stdout
    )
    assert isinstance(told, str) and message in told


def test_attaching_to_an_ended_process_is_refused(private_host):
    pid = private_host.sh("sleep 600 </dev/null >/dev/null 2>&1 & echo $!; kill -9 $!; wait $! || true")
    assert "there is no such process" in locate(private_host, "pid", pid)


# Stand-ins for programs of other people: they answer as those do, and note how they were called.
PROGRAM = """#!/bin/sh
printf '%s\\n' "$@" >/run/called
case "$*" in
*{stopped}*) echo {zero} ;;
*missing*) echo no such object >&2; exit 1 ;;
*slow*) sleep 60 ;;
*) echo {answer} ;;
esac
"""
PROGRAMS = {
    "unit": ("systemctl", "MainPID={pid}", "MainPID=0", ["show", "--property=MainPID", "--", "good"]),
    "docker": ("docker", "{pid}", "0", ["container", "inspect", "--format", "{{.State.Pid}}", "--", "good"]),
    "podman": ("podman", "{pid}", "0", ["container", "inspect", "--format", "{{.State.Pid}}", "--", "good"]),
}


@pytest.mark.parametrize("kind", PROGRAMS)
def test_namespace_of_a_unit_or_container(private_host, process, kind):
    pid, inode = process
    name, answer, zero, words = PROGRAMS[kind]
    private_host.sh("mkdir /run/bin; mount --bind /run/bin /usr/local/sbin; mount --bind /run/bin /usr/local/bin")
    text = PROGRAM.format(answer=answer.format(pid=pid), zero=zero, stopped="stopped")
    install = (
        f"cat >/run/bin/{name}; chmod 755 /run/bin/{name}; "
        f"for p in /usr/bin/{name}; do test ! -e $p || mount --bind /run/bin/{name} $p; done"
    )
    private_host.run(["sh", "-c", install], input=text)
    assert locate(private_host, kind, "good") == [f"/proc/{pid}/ns/net", inode]
    assert private_host.read("/run/called").split() == words
    assert "does not run, so it has no network namespace. Start it first" in locate(private_host, kind, "stopped")
    assert "failed: no such object" in locate(private_host, kind, "missing")


def test_missing_program_is_named(private_host):
    if private_host.run(["sh", "-c", "command -v podman"], check=False).returncode == 0:
        pytest.skip("podman is installed")
    assert "podman container web: the program podman is not installed" in locate(private_host, "podman", "web")
