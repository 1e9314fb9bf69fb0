# SPDX-License-Identifier: GPL-3.0-or-later
"""Kill a sandbox's resolver repeatedly: ip netns exec SANDBOX kill_resolvers.py SANDBOX TIMES.

Each time it waits until the resolver answers the sandbox's own name again. RestartSec of the unit is a tenth of a
second; after ten seconds the test fails. Prints the times as JSON: {"longest": SECONDS, "median": SECONDS}.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import statistics
import struct
import subprocess
import sys
import time

SERVER = ("127.0.0.11", 53)
TIMEOUT = 10.0  # seconds


def query(name: str) -> bytes:
    """Return an A query (RFC 1035 4.1)."""
    labels = b"".join(bytes((len(label),)) + label.encode() for label in name.split("."))
    return struct.pack("!6H", 7, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!2H", 1, 1)


def answers(name: str) -> bool:
    """Return whether the resolver answers with an address now."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as connection:
        connection.settimeout(0.2)
        connection.connect(SERVER)
        try:
            connection.send(query(name))
            return struct.unpack_from("!H", connection.recv(4096), 6)[0] > 0
        except OSError:
            return False


def main_pid(sandbox: str) -> int:
    """Return the resolver's process id, 0 while it does not run."""
    done = subprocess.run(
        ["systemctl", "show", "--property=MainPID", "--value", f"dockless-dns@{sandbox}.service"],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return int(done.stdout)


def kill_once(sandbox: str, pid: int) -> tuple[int, float]:
    """Kill the resolver. Return the id of its successor, and the seconds until that answered."""
    start = time.monotonic()
    os.kill(pid, signal.SIGKILL)
    while not answers(sandbox):
        if time.monotonic() - start > TIMEOUT:
            raise SystemExit(f"the resolver of {sandbox} does not answer {TIMEOUT:g} s after it was killed")
        time.sleep(0.005)
    took = time.monotonic() - start
    while main_pid(sandbox) in (0, pid):
        time.sleep(0.005)
    return main_pid(sandbox), took


def main() -> None:
    """Kill the resolver TIMES times and print the times."""
    sandbox, times = sys.argv[1], int(sys.argv[2])
    pid, took = main_pid(sandbox), []
    if not answers(sandbox):
        raise SystemExit(f"the resolver of {sandbox} does not answer before the first kill")
    for _turn in range(times):
        pid, seconds = kill_once(sandbox, pid)
        took.append(seconds)
    print(json.dumps({"longest": round(max(took), 3), "median": round(statistics.median(took), 3)}))


if __name__ == "__main__":
    main()
