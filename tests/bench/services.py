# SPDX-License-Identifier: GPL-3.0-or-later
"""Measures services in one sandbox: the time to create, load and list their table, and to connect through it.

    unshare --net --mount --pid --fork --mount-proc --kill-child python3 tests/bench/services.py [SERVICES [SANDBOXES]]

Everything happens in the namespace that unshare makes: its lo has all the addresses.
"""

from __future__ import annotations

import ipaddress
import pathlib
import socket
import statistics
import subprocess
import sys
import threading
import time
import typing as t

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "plugins" / "module_utils"))

# pylint: disable=wrong-import-position
from _dockless.firewall import sandbox_table
from _dockless.linux import nft
from _dockless.model.network import Service, ServicePort

CONNECTIONS = 5000
FIRST, BEHIND = ipaddress.ip_address("10.99.0.1"), ipaddress.ip_address("10.98.0.1")


def seconds(call: t.Callable[[], t.Any]) -> tuple[float, t.Any]:
    """Return how long a call takes and what it returns."""
    start = time.monotonic()
    found = call()
    return time.monotonic() - start, found


def services(number: int, size: int) -> list[t.Any]:
    """Return services with a port each and the sandboxes behind them, sixteen thousand addresses at most."""
    ports = (ServicePort(80, 80),)
    return [
        (
            ("shop", "front"),
            [
                (
                    Service(f"service{n}", vips=(FIRST + n,), ports=ports),
                    [(f"sandbox{n}-{m}", (str(BEHIND + (n * size + m) % 16000),), 1) for m in range(size)],
                )
                for n in range(number)
            ],
        )
    ]


def connect(address: str) -> float:
    """Return the microseconds that a connection takes, the median of five rounds.

    Each call needs another address, because closed connections stay in the connection table.
    """
    rounds = []
    for _round in range(5):
        start = time.monotonic()
        for _number in range(CONNECTIONS // 5):
            with socket.create_connection((address, 80)):
                pass
        rounds.append((time.monotonic() - start) / (CONNECTIONS // 5) * 1e6)
    return statistics.median(rounds)


def listen() -> None:
    """Accept connections on port 80 of every address, and close them."""
    server = socket.create_server(("0.0.0.0", 80), backlog=4096)

    def accept() -> None:
        while True:
            server.accept()[0].close()

    threading.Thread(target=accept, daemon=True).start()


def main(number: int, size: int) -> None:
    """Measure and print a line for each figure."""
    subprocess.run(
        "ip link set lo up; ip address add 10.98.0.1/15 dev lo; mount -t tmpfs none /run", shell=True, check=True
    )
    listen()
    print(f"{number} services, {size} sandboxes behind each")
    nft.replace(sandbox_table.sandbox_table((), 0, True))
    plain = connect("10.99.255.1")
    took, text = seconds(lambda: sandbox_table.sandbox_table(services(number, size), 0, True))
    print(f"making the text    {took:.2f} s, {len(text) / 1e6:.2f} MB")
    took, form = seconds(lambda: nft.canonical(text))
    print(f"nft's own form     {took:.2f} s (once for all sandboxes that share the text)")
    took, _none = seconds(lambda: nft.replace(text))
    print(f"loading            {took:.2f} s")
    took, listed = seconds(nft.listing)
    print(f"listing            {took:.2f} s")
    assert listed == form
    took, _none = seconds(lambda: nft.replace(text))
    print(f"replacing          {took:.2f} s")
    took, _none = seconds(nft.generation)
    print(f"asking for changes {took * 1e6:.0f} µs")
    beside, through = connect("10.99.255.2"), connect(str(FIRST + number - 1))
    print(
        f"a connection       {plain:.0f} µs before, {beside:.0f} µs beside the services, {through:.0f} µs through one"
    )


if __name__ == "__main__":
    main(*(int(argument) for argument in (sys.argv[1:] + ["1000", "10"][len(sys.argv) - 1 :])[:2]))
