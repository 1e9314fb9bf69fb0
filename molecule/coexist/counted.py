# SPDX-License-Identifier: GPL-3.0-or-later
"""Datagrams sent and counted: counted.py send ADDRESS PORT SECONDS, or counted.py receive PORT SECONDS.

A sender sends one each 5 ms, whatever becomes of it. Both end by themselves and print how many there were.
"""

from __future__ import annotations

import socket
import sys
import time


def send(address: str, port: int, seconds: float) -> int:
    """Send for some time; return how many the kernel took."""
    count = 0
    end = time.monotonic() + seconds
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as door:
        while time.monotonic() < end:
            try:
                door.sendto(b"x", (address, port))
                count += 1
            except OSError:  # a firewall's rejection of an earlier one, or its own to let this one out
                pass
            time.sleep(0.005)
    return count


def receive(port: int, seconds: float) -> int:
    """Count what arrives within some time."""
    count = 0
    end = time.monotonic() + seconds
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as door:
        door.bind(("0.0.0.0", port))
        while end > time.monotonic():
            door.settimeout(max(0.001, end - time.monotonic()))
            try:
                door.recv(64)
                count += 1
            except TimeoutError:
                break
    return count


if __name__ == "__main__":
    action, *words = sys.argv[1:]
    print(
        send(words[0], int(words[1]), float(words[2])) if action == "send" else receive(int(words[0]), float(words[1]))
    )
