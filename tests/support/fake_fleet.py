# SPDX-License-Identifier: GPL-3.0-or-later
"""A fleet without kernels: hosts that remember what they were given, read and planned for as by the role overlay.

Each slice passes the engine's parser, checks and resolver, so that a plan which a host would refuse fails here.
"""

from __future__ import annotations

import copy
import ipaddress
import json
import typing as t

from _dockless.allocate.host import resolve_host
from _dockless.allocate.leases import NO_LEASES, Leases
from _dockless.document.project import parse_project
from _dockless.engine import fleet_files
from _dockless.fleet import host_report, ledger
from _dockless.fleet.host_documents import with_peers
from _dockless.fleet.model import FleetHost, FleetPlan, Ledger
from _dockless.fleet.plan import plan_fleet
from _dockless.model import external_networks
from _dockless.model.facts import Facts, UnderlayAddress
from _dockless.model.host import Host
from _dockless.validate.host import check_host

Inventory = dict[str, dict[str, t.Any]]


class SimulatedHost:
    """A host with one address on the underlay; documents are what it was given, leases what its engine chose."""

    def __init__(self, address: str, mtu: int = 1500) -> None:
        self.facts = Facts(
            uplink="eth0",
            mtu=mtu,
            underlay=(UnderlayAddress(ipaddress.ip_address(address), "eth0", mtu),),
            routes=(ipaddress.ip_network("192.0.2.0/24"),),
        )
        self.documents: dict[str, dict[str, t.Any]] = {}
        self.leases: dict[str, Leases] = {}
        self.keys: dict[str, str] = {}  # public ones

    def report(self, vtep: str, peers: bool) -> t.Any:
        """Return what the module overlay_member would, by way of JSON."""
        both = {name: (document, self.leases.get(name, NO_LEASES)) for name, document in self.documents.items()}
        return json.loads(
            json.dumps({**host_report.host_report(both, self.facts, vtep, peers), "public_keys": self.keys})
        )

    def converge(self, documents: t.Sequence[dict[str, t.Any]]) -> None:
        """Take the documents as the engine would. Raises DocklessError where it refuses."""
        for document in documents:
            parts = {kind: document[kind] for kind in ("networks", "sandboxes") if kind in document}
            before = self.documents.get(document["project"], {})
            if document.get("purge") is False:
                parts = {"networks": {**before.get("networks", {}), **parts["networks"]}}
            self.documents[document["project"]] = {**before, **parts}
        host = Host(tuple(parse_project(name, one) for name, one in sorted(self.documents.items())))
        host = external_networks.resolve_externals(host)
        check_host(host, self.facts)
        host = resolve_host(host, self.leases, self.facts)
        self.leases = {project.name: Leases.from_project(project) for project in host.projects}


class SimulatedFleet:
    """An inventory and its hosts, and the ledger that is kept between runs."""

    def __init__(
        self, networks: t.Mapping[str, t.Any], hosts: t.Mapping[str, t.Any], keeps_ledger: bool = True
    ) -> None:
        self.inventory: Inventory = {}
        self.hosts: dict[str, SimulatedHost] = {}
        self.ledger = Ledger()
        self.keeps_ledger = keeps_ledger
        self.networks = dict(networks)
        self.made = 0
        for name, sandboxes in hosts.items():
            self.add(name, sandboxes)

    def add(self, name: str, sandboxes: t.Any = None, **variables: t.Any) -> None:
        """Add a host to the inventory."""
        self.made += 1
        number = self.made
        self.hosts[name] = SimulatedHost(
            f"192.0.2.{number}" if number < 250 else f"198.51.{number // 250}.{number % 250}"
        )
        listed = (
            sandboxes
            if isinstance(sandboxes, dict)
            else {one: {"networks": list(self.networks)[:1]} for one in sandboxes or ()}
        )
        self.inventory[name] = {"project": "shop", "networks": self.networks, "sandboxes": dict(listed), **variables}

    def remove(self, name: str) -> None:
        """Take a host out of the inventory."""
        del self.inventory[name], self.hosts[name]

    def plan(self, limit: t.Collection[str] | None = None, **options: t.Any) -> FleetPlan:
        """Return the plan of a run over some hosts, or all."""
        hosts = []
        for name, variables in copy.deepcopy(self.inventory).items():
            reached = limit is None or name in limit
            report = None
            if reached:
                written = self.hosts[name].report(variables.get("vtep", ""), not self.keeps_ledger)
                report = host_report.parse_host_report(written, name)
            hosts.append(FleetHost(name, report=report, **variables))
        return plan_fleet(hosts, self.ledger, **options)

    def run(self, limit: t.Collection[str] | None = None, **options: t.Any) -> FleetPlan:
        """Plan, write the ledger and converge the hosts of the run."""
        plan = self.plan(limit, **options)
        if self.keeps_ledger:
            self.ledger = ledger.parse_ledger(ledger.ledger_text(plan.ledger), "ledger")
            assert self.ledger == plan.ledger
        for name in self.inventory if limit is None else limit:
            self.hosts[name].converge(documents_with_peers(plan, name))
        return plan

    def addresses(self, network: str = "") -> dict[str, list[str]]:
        """Return what each sandbox has on the hosts, whatever any plan says, by sandbox.

        Fails where two have one address.
        """
        found: dict[str, list[str]] = {}
        owners: dict[tuple[str, str], str] = {}
        for host in self.hosts.values():
            for leases in host.leases.values():
                for sandbox, endpoints in leases.endpoints.items():
                    for key, lease in endpoints.items():
                        if network in ("", key[1]):
                            found.setdefault(sandbox, []).extend(cidr.partition("/")[0] for cidr in lease.addresses)
                            for cidr in lease.addresses:
                                assert owners.setdefault((key, cidr), sandbox) == sandbox, f"{cidr} is given out twice"
        return found

    def peers(self, name: str, network: str, project: str = "shop") -> dict[str, t.Any]:
        """Return whom a host knows on a network: host -> its sandboxes' names."""
        return {
            peer: sorted(row["sandboxes"])
            for peer, row in self.hosts[name].documents[project]["networks"][network]["peers"].items()
        }


def documents_with_peers(plan: FleetPlan, host: str) -> list[dict[str, t.Any]]:
    """Return the documents of one host with the peers of its networks, as fleet_files.read_host_documents() does."""
    found = [dict(document) for document in plan.documents[host]]
    for index, local_name, key in plan.positions[host]:
        networks = found[index]["networks"]
        spec = with_peers(networks[local_name], plan.peer_tables[key], host)
        found[index]["networks"] = {**networks, local_name: spec}
    return found


def through_files(plan: FleetPlan, directory: str) -> dict[str, t.Any]:
    """Return every host's documents by way of the plan's directory."""
    written = fleet_files.write_plan(plan, directory)
    return {name: fleet_files.read_host_documents(written, name) for name in plan.documents}
