# SPDX-License-Identifier: GPL-3.0-or-later
"""Listening sockets of a host and whose they are, with real processes."""

from __future__ import annotations

import json

import pytest

HEAD = (
    "import json, socket, sys\nfrom _dockless.linux import netns, sockets\n"
    "from _dockless.observe import facts as gather\nfrom _dockless.model.facts import Listener\n"
)
SERVER = """
import os, socket
open("/proc/self/comm", "w").write("ngi\\nnx")
def bound(family, kind, address, port, protocol=0):
    s = socket.socket(family, kind, protocol); s.bind((address, port)); return s
v4, v6 = socket.AF_INET, socket.AF_INET6
keep = [bound(v4, socket.SOCK_STREAM, "127.0.0.1", 81), bound(v6, socket.SOCK_STREAM, "::", 82),
        bound(v4, socket.SOCK_STREAM, "0.0.0.0", 83),
        bound(v6, socket.SOCK_STREAM, "::ffff:192.0.2.2", 84), bound(v6, socket.SOCK_STREAM, "2001:db8:1::2", 85)]
for s in keep: s.listen()
keep += [bound(v4, socket.SOCK_STREAM, "0.0.0.0", 90)]  # bound only
keep += [bound(v4, socket.SOCK_DGRAM, "192.0.2.2", 91), bound(v6, socket.SOCK_DGRAM, "::", 92)]
keep.append(bound(v4, socket.SOCK_DGRAM, "0.0.0.0", 93))
keep[-1].connect(("127.0.0.1", 9))  # a client
try:
    sctp = bound(v4, socket.SOCK_SEQPACKET, "127.0.0.1", 94, 132); sctp.listen(); keep.append(sctp)
except OSError:
    sctp = None
print("sctp" if sctp else "ready", flush=True)
input() if False else __import__("signal").pause()
"""
LISTENING = [
    ["tcp", "0.0.0.0", 83],
    ["tcp", "127.0.0.1", 81],
    ["tcp", "192.0.2.2", 84],
    ["tcp", "2001:db8:1::2", 85],
    ["tcp", "::", 82],
    ["udp", "192.0.2.2", 91],
    ["udp", "::", 92],
]


@pytest.mark.smoke
def test_listeners_and_their_owner(private_host):
    server = private_host.popen(["/usr/bin/python3", "-c", SERVER])
    with_sctp = server.readline() == "sctp"
    code = (
        HEAD
        + "found = sockets.listeners()\nprint(json.dumps([[l[:3] for l in found], sorted({l.owner for l in found}), "
        "sockets.owner_of(found[0])]))"
    )
    found, owners, owner = json.loads(private_host.python(code).stdout)
    assert sorted(found) == sorted(LISTENING + ([["sctp", "127.0.0.1", 94]] if with_sctp else []))
    assert owners == [""]
    pid = private_host.sh("ss -Hltnp sport = 81 | grep -o 'pid=[0-9]*' | tr -dc 0-9")
    assert owner == f"ngi?nx (pid {pid})"
    server.stop()
    assert json.loads(private_host.python(HEAD + "print(json.dumps(sockets.listeners()))").stdout) == []
    gone = private_host.python(HEAD + "print(sockets.owner_of(Listener('tcp', '127.0.0.1', 81)))").stdout
    assert gone == "an unknown process\n"


def test_sockets_are_those_of_the_thread_not_of_its_process(private_host):
    private_host.sh("ip netns add web")
    code = (
        HEAD
        + """
import threading
own = socket.create_server(("127.0.0.1", 81))
seen = []
def work():
    fd = netns.open_named("web")
    with netns.entered(fd):
        theirs = socket.socket(); theirs.bind(("0.0.0.0", 82)); theirs.listen()
        seen.append([sockets.listeners(), gather.read_facts().forwarding4])
thread = threading.Thread(target=work); thread.start(); thread.join()
print(json.dumps([seen[0], sockets.listeners(), gather.read_facts().forwarding4]))"""
    )
    seen = json.loads(private_host.python(code).stdout)
    assert seen == [[[["tcp", "0.0.0.0", 82, ""]], False], [["tcp", "127.0.0.1", 81, ""]], True]
    private_host.sh("ip netns delete web")
