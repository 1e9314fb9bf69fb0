# SPDX-License-Identifier: GPL-3.0-or-later
"""Ask a sandbox's resolver for a name, over and over, and print the outcome: python3 dns_client.py END NAME [kept].

It says "ready", asks until the file END is there, by a socket for each question or with kept by one for all, and prints
how many questions were answered, refused, or met with three seconds of silence.
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


def wire() -> socket.socket:
    """Return a socket that asks the resolver."""
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.settimeout(_SECONDS)
    made.connect(SERVER)
    return made


def main(end: str, name: str, kept: bool) -> dict[str, int]:
    """Ask, and return the counts."""
    said = {"answered": 0, "refused": 0, "silent": 0}
    asking, question = wire(), query(name)
    print("ready", flush=True)
    while not os.path.exists(end):
        asking = asking if kept else wire()
        try:
            asking.send(question)
            said["answered" if asking.recv(999)[7] else "refused"] += 1  # the count of answers
        except ConnectionRefusedError:
            said["refused"] += 1
        except socket.timeout:
            said["silent"] += 1
        time.sleep(0.05 if kept else 0.005)
    return said


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], sys.argv[2], sys.argv[3:] == ["kept"])))
