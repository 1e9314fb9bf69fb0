# SPDX-License-Identifier: GPL-3.0-or-later
"""Load for datapath.py: a server, and clients that count what gets through.

load.py serve PORT                        one byte to each connection, then reads until it ends, then closes
load.py connect ADDRESS PORT SECONDS      connections per second: opened, the byte read, reset
load.py send ADDRESS PORT SECONDS         bits per second, from the first byte to the server's end
"""

from __future__ import annotations

import socket
import struct
import sys
import time

PATIENCE_S = 10
CHUNK = bytes(1 << 18)
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: no connection waits at its end, so ports never run out


def serve(port: int) -> None:
    """Serve one connection after another."""
    server = socket.create_server(("0.0.0.0", port), backlog=1024)
    print("ready", flush=True)
    buffer = bytearray(len(CHUNK))
    while True:
        connection, _address = server.accept()
        with connection:
            try:
                connection.send(b".")
                while connection.recv_into(buffer):
                    pass
            except ConnectionError:  # how the clients of connect end
                pass


def connect(address: str, port: int, seconds: float) -> float:
    """Return connections per second."""
    done, begin = 0, time.monotonic()
    while time.monotonic() < begin + seconds:
        with socket.create_connection((address, port), PATIENCE_S) as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            assert connection.recv(1) == b"."
        done += 1
    return done / (time.monotonic() - begin)


def send(address: str, port: int, seconds: float) -> float:
    """Return bits per second."""
    with socket.create_connection((address, port), PATIENCE_S) as connection:
        assert connection.recv(1) == b"."
        total, begin = 0, time.monotonic()
        while time.monotonic() < begin + seconds:
            total += connection.send(CHUNK)
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(1) == b""
        return total * 8 / (time.monotonic() - begin)


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(int(sys.argv[2]))
    else:
        print({"connect": connect, "send": send}[sys.argv[1]](sys.argv[2], int(sys.argv[3]), float(sys.argv[4])))
