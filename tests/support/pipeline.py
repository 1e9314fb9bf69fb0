# SPDX-License-Identifier: GPL-3.0-or-later
"""The pure half of a run in one call: documents -> resolved host -> objects of the kernel."""

from __future__ import annotations

import typing as t

from _dockless.allocate.host import resolve_host
from _dockless.allocate.leases import Leases
from _dockless.desired.host import States, desired_state
from _dockless.firewall import host_table
from _dockless.firewall.nft_text import Elements
from _dockless.model import topology
from _dockless.model.facts import Facts
from _dockless.model.host import Host
from _dockless.state.objects import State
from support.documents import UNDERLAY, host_of

Document = t.Mapping[str, t.Any]
FACTS = Facts(nameservers=("192.0.2.53",), uplink="eth0", underlay=UNDERLAY)


def resolved(
    document: Document | None = None,
    known: Facts = FACTS,
    leases: Document | None = None,
    defaults: Document | None = None,
    **projects: Document,
) -> Host:
    """Return the host with every blank filled in. leases are JSON by project."""
    recorded = {name: Leases.from_json(each) for name, each in (leases or {}).items()}
    return resolve_host(host_of(document, defaults=defaults, **projects), recorded, known)


def leases_of(host: Host) -> dict[str, t.Any]:
    """Return what a run would remember of every project, the host's own things under ""."""
    return {project.name: Leases.from_project(project).to_json() for project in host.projects}


def states(host: Host, known: Facts = FACTS) -> States:
    """Return the objects by project, with a made-up namespace for each sandbox that attaches to one."""
    attached = tuple(
        (s.name, 4_026_531_000 + number, f"/proc/{number}/ns/net")
        for number, s in enumerate((s for p in host.projects for s in p.sandboxes if s.attach), 100)
    )
    return desired_state(host, known._replace(attached=attached))


def state(host: Host, known: Facts = FACTS) -> State:
    """Return the objects of all projects together."""
    return {key: thing for part in states(host, known).values() for key, thing in part.items()}


def elements(host: Host) -> Elements:
    """Return the data of the host's firewall."""
    return host_table.host_elements(host, topology.networks_by_key(host))


def of_kind(found: State, kind: type[t.Any]) -> list[t.Any]:
    """Return the objects of one class, in order of key."""
    return [thing for key, thing in sorted(found.items()) if isinstance(thing, kind)]
