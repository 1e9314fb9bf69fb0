# SPDX-License-Identifier: GPL-3.0-or-later
"""A DNS server that knows everything and prints the queries: python3 dns_upstream.py ADDRESS
[refuse|late|quiet].

An A query gets 203.0.113.7, AAAA 2001:db8::7, anything else an empty answer. Each query is a line "NAME TYPE", by TCP
"NAME TYPE tcp". Names below silent.test get neither a line nor an answer. One that is to refuse answers REFUSED to all,
one that is late takes half a second for each, one that is quiet prints no queries. A link-local ADDRESS has its link
behind it: fe80::3%eth0.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import sys
import threading

REFUSES, LATE, QUIET = (sys.argv[2:] == [what] for what in ("refuse", "late", "quiet"))
ADDRESSES = {1: bytes((203, 0, 113, 7)), 28: bytes.fromhex("20010db8000000000000000000000007")}


def name_and_end(message: bytes) -> tuple[str, int]:
    """Return the question's name and where its type begins."""
    labels, at = [], 12
    while message[at]:
        labels.append(message[at + 1 : at + 1 + message[at]].decode())
        at += 1 + message[at]
    return ".".join(labels), at + 1


def answer(message: bytes, transport: str) -> bytes:
    """Tell what is asked and return the answer."""
    name, end = name_and_end(message)
    kind = struct.unpack_from("!H", message, end)[0]
    if not QUIET:
        print(name, kind, *([transport] if transport else []), flush=True)
    found = ADDRESSES.get(kind, b"")
    record = struct.pack("!HHHIH", 0xC00C, kind, 1, 60, len(found)) + found if found else b""
    if REFUSES:
        return message[:2] + struct.pack("!5H", 0x8185, 1, 0, 0, 0) + message[12 : end + 4]
    header = message[:2] + struct.pack("!5H", 0x8180, 1, 1 if found else 0, 0, 0)
    return header + message[12 : end + 4] + record


def serve_streams(server: socket.socket) -> None:
    """Answer one query of each connection."""
    while True:
        wire, _client = server.accept()
        with wire, contextlib.suppress(OSError, struct.error):
            (length,) = struct.unpack("!H", wire.recv(2))
            said = answer(wire.recv(length), "tcp")
            wire.sendall(struct.pack("!H", len(said)) + said)


def main(address: str) -> None:
    """Serve port 53 of address, by UDP and TCP."""
    family, _type, _protocol, _name, place = socket.getaddrinfo(address, 53)[0]
    streams = socket.socket(family)
    streams.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    streams.bind(place)
    streams.listen()
    threading.Thread(target=serve_streams, args=(streams,), daemon=True).start()
    with socket.socket(family, socket.SOCK_DGRAM) as server:
        server.bind(place)
        print("ready", flush=True)
        while True:
            message, client = server.recvfrom(4096)
            if b"\6silent\4test\0" in message:
                continue
            said = answer(message, "")
            threading.Timer(0.5 if LATE else 0, server.sendto, (said, client)).start()


if __name__ == "__main__":
    main(sys.argv[1])
