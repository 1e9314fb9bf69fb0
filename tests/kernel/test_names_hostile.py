# SPDX-License-Identifier: GPL-3.0-or-later
"""A live resolver under malformed messages, idle connections and a flood: it goes on answering, and so does its
neighbour's.
"""

from __future__ import annotations

import os

import pytest

from support.dns_questions import dig, until
from support.private_host import SYSTEM_PYTHON

MESSAGES = int(os.environ.get("DOCKLESS_TEST_MESSAGES", "3000"))
DOCUMENT = {
    "networks": {"front": {"ipam": {"config": [{"subnet": "172.20.0.0/24"}]}}},
    "sandboxes": {
        "web": {"networks": {"front": {"ipv4_address": "172.20.0.10"}}, "dns": ["172.20.0.99"]},
        "cli": {"networks": ["front"]},
    },
}
KNOWN = ("NOERROR", ["172.20.0.10"])
# Messages cut, stretched and turned over at random, by UDP and by TCP, where lengths lie and connections end by a
# reset.
_GARBAGE = """
import random, socket, struct, sys
chance, count = random.Random(int(sys.argv[1])), int(sys.argv[2])
good = struct.pack("!6H", 7, 0x100, 1, 0, 0, 0) + b"\\3web\\0" + struct.pack("!2H", 1, 1)
def bad():
    data = bytearray(good)
    for turn in range(chance.randint(0, 6)):
        data[chance.randrange(len(data))] = chance.randrange(256)
    if chance.random() < 0.3:
        data = data[:chance.randrange(len(data))]
    if chance.random() < 0.2:
        data += bytes(chance.randrange(256) for turn in range(chance.randrange(600)))
    if chance.random() < 0.1:
        data[4:6] = struct.pack("!H", chance.choice((0, 2, 65535)))
    return bytes(data)
wire = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for turn in range(count):
    wire.sendto(bad(), ("127.0.0.11", 53))
    if turn % 10 == 0:
        with socket.create_connection(("127.0.0.11", 53), timeout=5) as stream:
            data = bad()
            length = chance.choice((len(data), 0, 60, 65535, 1))
            stream.sendall(struct.pack("!H", length) + data)
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", chance.randrange(2), 0))
print("sent")
"""
_IDLE = """
import resource, socket, sys
kept = []
for turn in range(int(sys.argv[1])):
    stream = socket.socket()
    stream.settimeout(5)
    try:
        stream.connect(("127.0.0.11", 53))
        stream.send(b"\\0")
    except OSError:
        break
    kept.append(stream)
print("ready", len(kept), flush=True)
sys.stdin.read()
import signal; signal.pause()
"""
_FLOOD = """
import socket, struct, sys
wire = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
print("ready", flush=True)
number = 0
while True:
    number += 1
    name = b"%08d" % number
    header = struct.pack("!6H", number & 65535, 0x100, 1, 0, 0, 0)
    question = bytes((8,)) + name + b"\\7example\\0" + struct.pack("!2H", 1, 1)
    wire.sendto(header + question, ("127.0.0.11", 53))
"""


# An upstream that is told on, as one off the path would be at best: it knows the question, its port and its number, and
# sends
# forgeries before the true answer, each a guess at one of them. With all three right a forgery is an answer.
_FORGER = """
import socket, struct, sys
wire = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
wire.bind((sys.argv[1], 53))
print("ready", flush=True)
def answer(query, number, address, name=None):
    question = name or query[12:]
    record = b"\\xc0\\x0c\\0\\1\\0\\1\\0\\0\\0\\0\\0\\4" + socket.inet_aton(address)
    return struct.pack("!6H", number, 0x8180, 1, 1, 0, 0) + question[:question.index(0) + 5] + record
while True:
    query, asker = wire.recvfrom(999)
    number, kind = int.from_bytes(query[:2], "big"), query[13:13 + query[12]]
    if kind == b"numbers":
        for guess in range(65536):
            if guess != number:
                wire.sendto(answer(query, guess, "203.0.113.66"), asker)
    elif kind == b"ports":
        for guess in range(1024, 65536):
            if guess != asker[1]:
                wire.sendto(answer(query, number, "203.0.113.66"), (asker[0], guess))
    elif kind == b"questions":
        for letter in set(range(1, 256)) - set(b"qQ"):
            wire.sendto(answer(query, number, "203.0.113.66", bytes((9, letter)) + query[14:]), asker)
    elif kind == b"all":
        wire.sendto(answer(query, number, "203.0.113.66"), asker)
    wire.sendto(answer(query, number, "203.0.113.7"), asker)
"""


@pytest.fixture(name="named")
def _named(private_host):
    private_host.apply(DOCUMENT)
    return private_host


def pid(host, sandbox="web"):
    """Return the resolver's process id."""
    return host.sh(f"cat /run/dockless/dns/pids/{sandbox}.pid")


def test_malformed_dns_messages_do_not_stop_the_resolver(named):
    """The same process answers afterwards, by UDP and TCP; more by DOCKLESS_TEST_MESSAGES=100000."""
    before = pid(named)
    assert dig(named, "web", "web") == KNOWN
    for seed in range(2):
        assert (
            named.run([SYSTEM_PYTHON, "-c", _GARBAGE, str(seed), str(MESSAGES // 2)], netns="web", timeout=600).stdout
            == "sent\n"
        )
    assert dig(named, "web", "web") == dig(named, "web", "web", "A", "+tcp") == KNOWN
    assert pid(named) == before and named.apply(DOCUMENT)["changed"] is False
    # It sleeps, and so does each process that it made for a connection, or has gone: none goes on reading what has
    # ended.
    assert until(
        lambda: {line.strip()[0] for line in named.sh(f"ps -o stat= --pid {before} --ppid {before}").splitlines()},
        {"S"},
    ) == {"S"}


def test_idle_tcp_clients_do_not_block_others(named):
    """Two hundred clients that say half a word.

    Others are answered by UDP and TCP, in the sandbox and in its neighbour.
    """
    idle = named.popen([SYSTEM_PYTHON, "-c", _IDLE, "200"], "web")
    word, kept = idle.readline().split()
    assert word == "ready" and int(kept) >= 20  # the rest wait in the queue of a server that serves twenty at once
    assert dig(named, "web", "web") == dig(named, "cli", "web") == dig(named, "cli", "web", "A", "+tcp") == KNOWN


@pytest.mark.smoke
def test_dns_flood_does_not_delay_other_sandboxes(named):
    """One sandbox asks a dead server for names without end; its neighbour's hundred questions are all answered."""
    flood = named.popen([SYSTEM_PYTHON, "-c", _FLOOD], "web")
    assert flood.readline() == "ready"
    said = named.sh(
        "for n in $(seq 100); do echo 'web A'; done >/run/lock/questions; "
        "dig @127.0.0.11 +noall +comments +tries=2 +time=3 -f /run/lock/questions; rm /run/lock/questions",
        netns="cli",
    )
    assert said.count("status: NOERROR") == 100 and "SERVFAIL" not in said


def test_forged_upstream_answers_are_ignored(private_host):
    """Forgeries of all other numbers, from all other ports, and to other questions.

    The control is one that guesses all of it right.
    """
    server = "192.0.2.2"
    forger = private_host.popen([SYSTEM_PYTHON, "-c", _FORGER, server])
    assert forger.readline() == "ready"
    private_host.apply({**DOCUMENT, "sandboxes": {"web": {"networks": ["front"], "dns": [server]}}})
    assert dig(private_host, "web", "all.example") == ("NOERROR", ["203.0.113.66"])
    for guessed in ("numbers", "ports", "questions"):
        assert dig(private_host, "web", f"{guessed}.example", "A", "+time=5", "+tries=3") == (
            "NOERROR",
            ["203.0.113.7"],
        ), guessed
