# SPDX-License-Identifier: GPL-3.0-or-later
"""Measures hosts whose sandboxes all use services: whole runs of the engine, and the nft part of them.

    .cache/venv/bin/python tests/bench/clients.py [CLIENTS [SERVICES [SANDBOXES]]]

A private host has one network with CLIENTS sandboxes and SERVICES services, each with SANDBOXES of them behind it
(tests/support/private_host.py; the machine is not touched, root is needed). services.py measures the parts of one
sandbox's table.
"""

from __future__ import annotations

import json
import pathlib
import sys
import typing as t

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

# pylint: disable=wrong-import-position
import engine

from support.private_host import PrivateHost


def document(clients: int, services: int, behind: int) -> dict[str, t.Any]:
    """Return a network, its services and its sandboxes."""
    names = [f"c{number}" for number in range(clients)]
    declared = {
        f"s{number}": {
            "ports": [80],
            "sandboxes": [names[(number + each) % clients] for each in range(min(behind, clients))],
        }
        for number in range(services)
    }
    network = {"dns_enabled": False, "ipam": {"config": [{"subnet": "10.60.0.0/16"}]}, "services": declared}
    return {"networks": {"front": network}, "sandboxes": {name: {"networks": ["front"]} for name in names}}


def run(host: PrivateHost, declared: dict[str, t.Any]) -> str:
    """Converge and return what it took, in words."""
    done = host.run(
        [engine.PYTHON, str(HERE / "measure.py"), engine.PYTHON, "-m", "_dockless.cli", *engine.arguments()],
        input=engine.text(declared),
        env=engine.environment(),
        timeout=1800,
    )
    taken, changes = json.loads(done.stderr.strip().splitlines()[-1]), json.loads(done.stdout)["operations"]
    tables = sum(" nft table " in change for change in changes)
    processor = taken["user"] + taken["system"]
    return f"{taken['wall']:.1f} s ({processor:.1f} s of a processor), {len(changes)} changes, {tables} of them tables"


def main(clients: int = 100, services: int = 1000, behind: int = 10) -> None:
    """Measure and print a line for each run."""
    print(f"{clients} sandboxes, {services} services, {behind} sandboxes behind each")
    declared = document(clients, services, behind)
    with PrivateHost() as host:
        print("from nothing         ", run(host, declared))
        print("that changes nothing ", run(host, declared))
        declared["networks"]["front"]["services"]["s0"]["ports"] = [81]
        print("one service changed  ", run(host, declared))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
