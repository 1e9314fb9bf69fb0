# SPDX-License-Identifier: GPL-3.0-or-later
"""Encrypted networks over private hosts: their documents, keys, and recorders on every wire that could carry data in
clear.
"""

from __future__ import annotations

import base64
import contextlib
import os
import signal
import typing as t

from support import private_fleet
from support.private_host import SYSTEM_PYTHON, PrivateHost, Result, Server

_RECORDER = """
import socket, struct, sys
link, port = sys.argv[1], int(sys.argv[2])
wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
wire.setsockopt(socket.SOL_SOCKET, 33, 64 << 20)
wire.bind((link, 0))
clear = sealed = size = 0
print("ready", flush=True)
while True:
    frame = wire.recv(65536)
    kind = frame[12:14]
    if kind == b"\\x88\\xb5":
        dropped = struct.unpack("II", wire.getsockopt(263, 6, 8))[1]
        print("mark", clear, sealed, size, dropped, flush=True)
        continue
    head = 14 + (20 if kind == b"\\x08\\0" else 40)
    protocol = frame[23] if kind == b"\\x08\\0" else frame[20] if kind == b"\\x86\\xdd" else 0
    to = struct.unpack("!H", frame[head + 2:head + 4])[0] if protocol == 17 and len(frame) > head + 4 else 0
    if b"marker" in frame or protocol == 17 and to == port:
        clear += 1
    elif to in (51820, 51821):
        sealed += 1
        size += len(frame)
"""
_DRAIN = """
import socket
server = socket.create_server(("0.0.0.0", 7002))
print("ready", flush=True)
connection, buffer, total = server.accept()[0], bytearray(1 << 18), 0
while size := connection.recv_into(buffer):
    total += size
print(total, flush=True)
"""
_POUR = """
import socket, sys
rest, chunk = int(sys.argv[2]), b"marker" * 40_000
with socket.create_connection((sys.argv[1], 7002), 10) as connection:
    while rest > 0:
        rest -= connection.send(chunk[:rest])
"""
_FLOW = """
import select, signal, socket, struct, sys, time
wire = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
sent, answered, stop, gap = 0, set(), [], 0
last = tick = time.monotonic()
signal.signal(signal.SIGINT, lambda *a: stop.append(1))
def total(data):
    value = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    while value >> 16: value = (value & 0xffff) + (value >> 16)
    return ~value & 0xffff
def hear(wait):
    global last, gap
    while select.select([wire], [], [], wait)[0]:
        packet, now = wire.recv(2048), time.monotonic()
        if packet[20] == 0 and packet[24:26] == b"do":
            answered.add(struct.unpack("!I", packet[28:32])[0])
            last, gap = now, max(gap, now - last)
        wait = max(0, tick - now)
print("ready", flush=True)
while not stop:
    tick += 0.01
    body = struct.pack("!2sHI", b"do", 1, sent) + b"marker" * 8
    try:
        wire.sendto(b"\\x08\\0" + struct.pack("!H", total(b"\\x08\\0\\0\\0" + body)) + body, (sys.argv[1], 0))
    except OSError:
        pass
    sent += 1
    hear(max(0, tick - time.monotonic()))
tick = time.monotonic() + 3
while len(answered) < sent and time.monotonic() < tick:
    hear(0.1)
print(sent, len(answered), round(gap * 1000), flush=True)
"""
_MARK = """
import socket, sys
wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
wire.bind((sys.argv[1], 0))
wire.send(b"\\xff" * 6 + b"\\x02\\0\\0\\0\\0\\x42" + b"\\x88\\xb5" + b"mark")
"""


class Wires:
    """Recorders on the underlay of two hosts, and on the links that their default routes lead to."""

    def __init__(self, fleet: private_fleet.Fleet, port: int = 4787) -> None:
        self._taps: list[tuple[PrivateHost, str, Server]] = []
        for number, host in enumerate(fleet.hosts[:2], 1):
            for place, link, own in ((fleet.switch, f"port{number}", "under0"), (host.neighbour(), "eth0", "eth0")):
                server = place.popen([SYSTEM_PYTHON, "-c", _RECORDER, link, str(port)])
                assert server.readline() == "ready"
                self._taps.append((host, own, server))

    def seen(self) -> tuple[int, int]:
        """Return how many packets were in clear so far, and how many WireGuard's.

        Each wire says so when a last frame has passed it.
        """
        counts = self._counts()
        return sum(clear for clear, sealed, size in counts), sum(sealed for clear, sealed, size in counts)

    def captured(self) -> int:
        """Return how many bytes of WireGuard's went over the first host's wire so far, each packet counted once."""
        return self._counts()[0][2]

    def _counts(self) -> list[tuple[int, int, int]]:
        """Return for each wire packets in clear, packets of WireGuard's, and bytes of these."""
        found = []
        for host, link, server in self._taps:
            host.run([SYSTEM_PYTHON, "-c", _MARK, link])
            word, clear, sealed, size, dropped = server.readline().split()
            assert (word, dropped) == ("mark", "0"), "the recorder missed packets"
            found.append((int(clear), int(sealed), int(size)))
        return found


def key(host: PrivateHost, slot: str = "a") -> str:
    """Make a host's key unless it has one; return the public one."""
    return host.python(
        "import sys; from _dockless.linux import wireguard; print(wireguard.create_key(sys.argv[1]))", slot
    ).stdout.strip()


def private(host: PrivateHost) -> list[str]:
    """Return the secrets of a host in every form in which they might show up."""
    found = []
    for text in host.sh("cat /etc/dockless/wireguard/*").split():
        raw = base64.b64decode(text)
        found += [text, text[:-1], raw.hex(), raw.hex().upper(), ", ".join(map(str, raw))]
    return found


def tunnel_address(number: int, version: int = 4) -> str:
    """Return a host's address inside its tunnel."""
    return f"100.100.0.{number}" if version == 4 else f"fd00:100::{number:x}"


def documents(
    fleet: private_fleet.Fleet,
    version: int = 4,
    inner: int = 4,
    tunnels: t.Sequence[str] = ("a",),
    alone: bool = False,
    **options: t.Any,
) -> list[dict[str, t.Any]]:
    """Return the documents of the first two hosts: one encrypted network, and on it the sandbox s1 or s2 of each.

    Alone: only s1.
    """
    pair = fleet.hosts[:2]
    keys = {slot: [key(host, slot) for host in pair] for slot in tunnels}
    found = []
    for own, other in ((1, 2), (2, 1)):
        outer = private_fleet.address(other, version)
        peer = {
            "vtep": tunnel_address(other, inner),
            "endpoint": f"[{outer}]:51820" if version == 6 else f"{outer}:51820",
            "sandboxes": {} if alone and other == 2 else {f"s{other}": {"addresses": [f"10.60.0.{other + 1}"]}},
        }
        if len(tunnels) == 1 and tunnels[0] == "a":
            peer["public_key"] = keys["a"][other - 1]
        else:
            peer["public_keys"] = {slot: keys[slot][other - 1] for slot in tunnels}
        network = {
            "driver": "overlay",
            "vni": 300,
            "encrypted": True,
            "vtep": tunnel_address(own, inner),
            "dns_enabled": False,
            "ipam": {"config": [{"subnet": "10.60.0.0/16"}]},
            "tunnels": list(tunnels),
            "peers": {f"host{other}": peer},
            **options,
        }
        sandboxes = (
            {} if alone and own == 2 else {f"s{own}": {"networks": {"blue": {"ipv4_address": f"10.60.0.{own + 1}"}}}}
        )
        found.append({"networks": {"blue": network}, "sandboxes": sandboxes})
    return found


def apply_all(fleet: private_fleet.Fleet, found: t.Sequence[dict[str, t.Any]]) -> list[Result]:
    """Apply each host its document and return the results."""
    return [host.apply(document) for host, document in zip(fleet.hosts, found)]


def link(host: PrivateHost) -> str:
    """Return the name of a host's one tunnel."""
    found = host.run(["wg", "show", "interfaces"]).stdout.split()
    assert len(found) == 1
    return found[0]


def pour(source: PrivateHost, target: PrivateHost, size: int, timeout: float) -> int:
    """Send marked bytes from s1 to s2 by one TCP connection, and return how many arrived. timeout is in seconds."""
    server = target.popen([SYSTEM_PYTHON, "-c", _DRAIN], "s2")
    assert server.readline() == "ready"
    source.run([SYSTEM_PYTHON, "-c", _POUR, "10.60.0.3", str(size)], netns="s1", timeout=timeout)
    return int(server.readline())


@contextlib.contextmanager
def flow(host: PrivateHost, sandbox: str = "s1", address: str = "10.60.0.3") -> t.Iterator[dict[str, int]]:
    """Send marked packets from a sandbox, 100 a second, for the length of a with block.

    Then return how many were sent and answered.
    """
    server = host.popen([SYSTEM_PYTHON, "-c", _FLOW, address], sandbox)
    assert server.readline() == "ready"
    counts: dict[str, int] = {}
    yield counts
    assert server.pid, "what sends the packets has ended"
    os.kill(server.pid, signal.SIGINT)
    counts["sent"], counts["answered"], counts["longest_gap_ms"] = map(int, server.readline().split())
