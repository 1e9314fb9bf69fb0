# SPDX-License-Identifier: GPL-3.0-or-later
"""Ask a sandbox's resolver for a name, over and over, and print the outcome: python3 dns_client.py END NAME [HOW].

It says "ready", asks until the file END is there, and prints how many questions were answered, refused, or met with
three seconds of silence. HOW is "each" (a UDP socket for each question, the default), "kept" (one for all of them,
without a pause between questions) or "stream" (a TCP connection for each question).
"""

from __future__ import annotations

import json
import os
import socket
import struct
import sys
import time

SERVER = ("127.0.0.11", 53)
_SECONDS = 3.0  # longer than that is silence


def query(name: str) -> bytes:
    """Return a question for an IPv4 address (RFC 1035 4.1)."""
    labels = b"".join(bytes((len(label),)) + label.encode() for label in name.split("."))
    return struct.pack("!6H", 7, 0x100, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!2H", 1, 1)


def wire(how: str) -> socket.socket:
    """Return a socket that asks the resolver."""
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM if how == "stream" else socket.SOCK_DGRAM)
    made.settimeout(_SECONDS)
    made.connect(SERVER)
    return made


def ask(asking: socket.socket, question: bytes) -> bytes:
    """Return the answer to a question, b"" if the other end closed the connection instead."""
    if asking.type == socket.SOCK_DGRAM:
        asking.send(question)
        return asking.recv(999)
    asking.sendall(struct.pack("!H", len(question)) + question)
    with asking.makefile("rb") as answers:
        return answers.read(int.from_bytes(answers.read(2), "big"))


def main(end: str, name: str, how: str) -> dict[str, int]:
    """Ask, and return the counts."""
    said = {"answered": 0, "refused": 0, "silent": 0}
    asking, question = wire("kept"), query(name)
    print("ready", flush=True)
    while not os.path.exists(end):
        try:
            asking = asking if how == "kept" else wire(how)
            answer = ask(asking, question)
            said["answered" if answer and answer[7] else "refused"] += 1  # the count of answers
        except (ConnectionRefusedError, ConnectionResetError):
            said["refused"] += 1
        except socket.timeout:
            said["silent"] += 1
        time.sleep(0 if how == "kept" else 0.005)
    return said


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], sys.argv[2], (sys.argv[3:] or ["each"])[0])))
