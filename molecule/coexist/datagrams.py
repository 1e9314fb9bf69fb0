# SPDX-License-Identifier: GPL-3.0-or-later
"""Send or count datagrams: datagrams.py send ADDRESS PORT SECONDS, or datagrams.py receive PORT SECONDS.

A sender sends one every 5 ms, even if the kernel reports errors. Both end after SECONDS and print their count.
"""

from __future__ import annotations

import socket
import sys
import time


def send(address: str, port: int, seconds: float) -> int:
    """Send for some time. Return how many datagrams the kernel accepted."""
    count = 0
    end = time.monotonic() + seconds
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as connection:
        while time.monotonic() < end:
            try:
                connection.sendto(b"x", (address, port))
                count += 1
            except OSError:  # a firewall rejected an earlier datagram, or this one
                pass
            time.sleep(0.005)
    return count


def receive(port: int, seconds: float) -> int:
    """Return how many datagrams arrive within some time."""
    count = 0
    end = time.monotonic() + seconds
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as connection:
        connection.bind(("0.0.0.0", port))
        while end > time.monotonic():
            connection.settimeout(max(0.001, end - time.monotonic()))
            try:
                connection.recv(64)
                count += 1
            except TimeoutError:
                break
    return count


if __name__ == "__main__":
    action, *arguments = sys.argv[1:]
    if action == "send":
        print(send(arguments[0], int(arguments[1]), float(arguments[2])))
    else:
        print(receive(int(arguments[0]), float(arguments[1])))
