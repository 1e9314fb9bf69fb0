# SPDX-License-Identifier: GPL-3.0-or-later
"""Measures how long the plan of a simulated fleet takes.

    python3 tests/bench/fleet.py [--hosts 500] [--sandboxes 20] [--networks 4] [--ansible]

Half of the sandboxes are on the first network, which spans all hosts. The others are on networks that span some of the
hosts each. Nothing is connected to. With --ansible, the task fleet_plan is measured too, as ansible-playbook runs it.
"""

from __future__ import annotations

import argparse
import ipaddress
import json
import pathlib
import subprocess
import sys
import tempfile
import time
import typing as t

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "plugins" / "module_utils"), str(ROOT / "tests")]

# pylint: disable=wrong-import-position
from _dockless.allocate.leases import Leases
from _dockless.engine import fleet_files
from _dockless.fleet import host_report
from _dockless.fleet.host_report import parse_host_report
from _dockless.fleet.ledger import ledger_text, parse_ledger
from _dockless.fleet.model import FleetHost, Ledger
from _dockless.fleet.plan import plan_fleet
from _dockless.model.facts import Facts, UnderlayAddress
from support.collection import environment
from support.fake_fleet import documents_with_peers

PLAY = """
- hosts: {first}
  gather_facts: false
  tasks:
    - dockless.network.fleet_plan: {{ledger: {ledger}}}
"""


def variables(arguments: argparse.Namespace) -> dict[str, dict[str, t.Any]]:
    """Return what each host declares."""
    found = {}
    for number in range(arguments.hosts):
        part = f"n{1 + number * (arguments.networks - 1) // arguments.hosts}"
        networks = {name: {"driver": "overlay"} for name in ("n0", part)}
        sandboxes = {
            f"s{number}x{one}": {"networks": {"n0" if one % 2 else part: {"aliases": [f"a{one}"]}}}
            for one in range(arguments.sandboxes)
        }
        found[f"h{number:04}"] = {
            "dockless_project": "shop",
            "dockless_networks": networks,
            "dockless_sandboxes": sandboxes,
            "dockless_vtep": str(ipaddress.IPv4Address("198.18.0.1") + number),
        }
    return found


def report(declared: t.Mapping[str, t.Any], documents: t.Sequence[t.Any]) -> t.Any:
    """Return what a host reports when it has these documents."""
    address = ipaddress.ip_address(declared["dockless_vtep"])
    facts = Facts(
        uplink="eth0",
        underlay=(UnderlayAddress(address, "eth0", 1500),),
        routes=(ipaddress.ip_network("198.18.0.0/15"),),
    )
    leases = {
        name: {f"shop/{network}": {"addresses": [spec["ipv4_address"]]} for network, spec in one["networks"].items()}
        for document in documents
        for name, one in document["sandboxes"].items()
    }
    both = {}
    if documents:
        networks = {name: [] for name in documents[0]["networks"]}
        both["shop"] = (documents[0], Leases.from_json({"networks": networks, "endpoints": leases}))
    return json.loads(json.dumps(host_report.host_report(both, facts, "", False)))


def hosts(declared: t.Mapping[str, t.Any], documents: t.Mapping[str, t.Sequence[t.Any]]) -> list[FleetHost]:
    """Return the hosts as they are planned for, read with what they have."""
    return [
        FleetHost(
            name,
            one["dockless_project"],
            one["dockless_networks"],
            one["dockless_sandboxes"],
            vtep=one["dockless_vtep"],
            report=parse_host_report(report(one, documents.get(name, ())), name),
        )
        for name, one in declared.items()
    ]


class Clock:
    """Prints how long each step took."""

    def __init__(self) -> None:
        self._start = time.perf_counter()

    def step(self, what: str) -> None:
        """Print the time since the last step."""
        now = time.perf_counter()
        print(f"{now - self._start:7.2f} s  {what}", flush=True)
        self._start = time.perf_counter()

    def skip(self) -> None:
        """Leave out what happened since the last step."""
        self._start = time.perf_counter()


def plans(declared: t.Mapping[str, t.Any], directory: str) -> Ledger:
    """Measure the plan of a new fleet, and that of one that has everything already."""
    new = hosts(declared, {})
    clock = Clock()
    plan = plan_fleet(new)
    clock.step("plan of a new fleet")
    text = ledger_text(plan.ledger)
    clock.step(f"ledger as text ({len(text) >> 10} KiB)")
    written = fleet_files.write_plan(plan, directory)
    clock.step("every host's part written")
    first = next(iter(declared))
    size = len(json.dumps(fleet_files.read_host_documents(written, first)))
    clock.step(f"one host's part read ({size >> 10} KiB)")
    old = hosts(declared, {name: documents_with_peers(plan, name) for name in declared})
    clock.skip()
    ledger = parse_ledger(text, "ledger")
    clock.step("ledger read")
    again = plan_fleet(old, ledger)
    clock.step("plan of the same fleet again")
    assert again.ledger == plan.ledger and again.peer_tables == plan.peer_tables
    return again.ledger


def task(declared: t.Mapping[str, t.Any], ledger: Ledger, directory: str) -> None:
    """Measure the task as Ansible runs it."""
    place = pathlib.Path(directory)
    (place / "hosts.json").write_text(json.dumps({"all": {"hosts": declared}}), encoding="utf-8")
    fleet_files.write_ledger(str(place / "ledger"), ledger)
    (place / "play.yml").write_text(PLAY.format(first=next(iter(declared)), ledger=place / "ledger"), encoding="utf-8")
    argv = [
        str(ROOT / ".cache/venv/bin/ansible-playbook"),
        "--inventory",
        str(place / "hosts.json"),
        str(place / "play.yml"),
    ]
    clock = Clock()
    subprocess.run(argv, env=environment(), check=True, stdout=subprocess.DEVNULL)
    clock.step("ansible-playbook with that task only, from its start to its end")


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    for option, default in (("hosts", 500), ("sandboxes", 20), ("networks", 4)):
        parser.add_argument(f"--{option}", type=int, default=default)
    parser.add_argument("--ansible", action="store_true", help="measure the task as well")
    arguments = parser.parse_args()
    declared = variables(arguments)
    print(f"{arguments.hosts} hosts with {arguments.sandboxes} sandboxes each on {arguments.networks} networks")
    with tempfile.TemporaryDirectory() as directory:
        ledger = plans(declared, directory)
        if arguments.ansible:
            task(declared, ledger, directory)


if __name__ == "__main__":
    main()
