# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""CNAME records that no resolver could answer with an address."""

from __future__ import annotations

import typing as t

from ..dns.cnames import CIRCLE, DUPLICATE, Aliases, comparable
from ..errors import DocklessError
from ..model import topology
from ..model.host import Host
from ..model.network import DnsRecord
from ..model.topology import TASKS, Topology

_REFUSALS = {
    DUPLICATE: ("name", "{} has two CNAME records", "Keep one of them."),
    CIRCLE: ("value", "the CNAME records of {} lead back to it", "Let the last of them name a sandbox."),
}


def check(host: Host, project: str | None, boot: bool) -> list[str]:
    """Raise DocklessError for a CNAME record of the project of a run. Return those of a run over all as warnings.

    Whether a name is one of this host depends on all its projects. So one project must not stop the others, nor what
    was declared stop the boot: a resolver runs without such a record.
    """
    if not any(record.kind == "CNAME" for _name, _path, records in _declared(host) for record in records):
        return []
    known = _local_names(host, topology.read_topology(host))
    warnings = []
    for name, path, records in _declared(host):
        for error in _errors(records, path, known):
            if project == name and not boot:
                raise error
            if project is None:
                warnings.append(f"Project {name}: {error}")
    return warnings


def _declared(host: Host) -> t.Iterator[tuple[str, str, tuple[DnsRecord, ...]]]:
    """Yield (project, path of the option, records) of each network and sandbox that has a resolver here."""
    members = {endpoint.network for endpoint in host.endpoints()}
    for project in host.projects:
        for network in project.networks:
            if network.key in members and not network.external:
                yield project.name, f"{network.path or network.name}.records", network.records
        for sandbox in project.sandboxes:
            yield project.name, f"{sandbox.path or sandbox.name}.records", sandbox.records


def _errors(records: t.Sequence[DnsRecord], path: str, known: _LocalNames) -> t.Iterator[DocklessError]:
    aliases = Aliases()
    for index, record in enumerate(records):
        if record.kind != "CNAME":
            continue
        problem = aliases.add(record)
        if problem:
            key, what, remedy = _REFUSALS[problem]
            yield DocklessError(what.format(record.name), remedy, f"{path}[{index}].{key}")
        elif known.excludes(record.value):
            yield DocklessError(
                f"{record.value} is no name of this host's networks, so the CNAME record of {record.name} would have "
                "no address",
                "Use its address in an A or AAAA record, or let clients query the name itself.",
                f"{path}[{index}].value",
            )


class _LocalNames(t.NamedTuple):
    """Names that resolvers of this host have records for, and zones of its networks."""

    names: frozenset[str]
    zones: frozenset[str]

    def excludes(self, target: str) -> bool:
        """Return whether a name is of the outside. One without a dot can be a sandbox that is declared later."""
        name = comparable(target)
        parents = name.split(".")[1:]
        if not parents or name in self.names or name.startswith(TASKS + "."):
            return False
        return not any(".".join(parents[first:]) in self.zones for first in range(len(parents)))


def _local_names(host: Host, known: Topology) -> _LocalNames:
    found = [name for names in known.dotted.values() for name in names]
    for _project, _path, records in _declared(host):
        found += [record.name for record in records if record.kind in ("A", "AAAA", "CNAME")]
    for endpoint in host.endpoints():
        found += [link.alias for link in endpoint.links]
    return _LocalNames(frozenset(map(comparable, found)), frozenset(map(comparable, known.zones)))
