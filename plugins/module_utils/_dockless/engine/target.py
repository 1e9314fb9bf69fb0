# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Documents -> what the host should have, in both vocabularies."""

from __future__ import annotations

import typing as t

from ..allocate.host import resolve_host
from ..allocate.leases import Leases, recorded_ports
from ..desired.host import States, desired_state
from ..document import defaults, values
from ..document.project import parse_project
from ..errors import DocklessError
from ..linux import attach, foreign_firewalls, sockets, wireguard
from ..model import external_networks, macvlan, overlay
from ..model.facts import Facts, UnderlayAddress
from ..model.host import Host
from ..observe import parents, snapshot, underlay, uplink
from ..observe.facts import read_facts
from ..observe.snapshot import NetnsSnapshot
from ..report import rows
from ..report.rows import Row
from ..state.objects import Key, State
from ..validate import dns, host_support
from ..validate.host import check_host
from ..validate.macvlan import refusal, too_large
from .store import Documents


class Target(t.NamedTuple):
    """What is wanted: the resolved host, its realization by project, and what people should be told."""

    host: Host
    states: States
    facts: Facts
    warnings: tuple[str, ...]
    present: NetnsSnapshot  # the host's own namespace, as it was read for the facts

    def state_of(self, project: str | None) -> State:
        """Return what a run over one project (None: over all) converges, the host's own things included."""
        wanted = dict(self.states.get("", {}))
        for name, state in self.states.items():
            if project is None or name == project:
                wanted.update(state)
        return wanted

    def kept(self, project: str | None) -> set[Key]:
        """Return the keys of what other projects want."""
        if project is None:
            return set()
        own = self.state_of(project)
        return {key for name, state in self.states.items() if name != project for key in state if key not in own}

    def leases_of(self, project: str) -> dict[str, t.Any]:
        """Return what to remember of a project."""
        found = [p for p in self.host.projects if p.name == project]
        return Leases.from_project(found[0]).to_json() if found else {}

    def endpoints(self, project: str | None) -> list[Row]:
        """Return the endpoints of a project, or of all."""
        return rows.endpoints(self.host, project)

    def ports(self, project: str | None) -> list[Row]:
        """Return the published ports of a project, or of all."""
        return rows.ports(self.host, project)


def compute_target(documents: Documents, project: str | None, boot: bool = False) -> Target:
    """Return the goal. Raises DocklessError for anything that cannot be meant; nothing has been touched by then."""
    if project is not None:  # one that is to be removed, or read, is not parsed
        values.name(project, "project", "project name")
    projects = [parse_project(name, document.declaration) for name, document in sorted(documents.projects.items())]
    host = Host(tuple(projects), defaults.parse_defaults(documents.host.defaults))
    host, attached, warnings = _attached(host, project, boot)
    if boot:
        underlay.await_vteps(host)
    present = snapshot.read_host()
    way_out = uplink.read_uplink(present)
    facts = read_facts(
        routes=way_out.routes,
        addresses=way_out.addresses,
        mtu=way_out.mtu,
        uplink=way_out.link,
        underlay=tuple(UnderlayAddress(*each) for each in way_out.underlay),
        attached=attached,
    )
    if boot:
        facts, late = underlay.with_missing_vteps(facts, host)
        warnings += late
    host = external_networks.resolve_externals(host)
    if overlay.encrypted_networks(host):
        facts = facts._replace(tunnel_keys=tuple(sorted(wireguard.public_keys().items())))
    facts = parents.with_parents(facts, host, present)
    if host.defaults.coexist:
        facts = facts._replace(firewalls=foreign_firewalls.detect(host.defaults.coexist))
    leases = {name: Leases.from_json(document.leases) for name, document in documents.projects.items()}
    check_host(host, facts, recorded_ports(leases), sockets.owner_of)
    host = resolve_host(host, {**leases, "": Leases.from_json(documents.host.leases)}, facts)
    host_support.refuse_missing_families(host, facts)
    dns.refuse_loops(host)
    host_support.refuse_without_forwarding(host, facts)
    possible, absent = _on_parents(host, facts, project, boot)
    warnings += absent
    states = desired_state(possible, facts)
    return Target(host, states, facts, tuple(warnings + host_support.warnings(host, facts, project)), present)


def _attached(host: Host, project: str | None, boot: bool) -> tuple[Host, tuple[tuple[str, int, str], ...], list[str]]:
    """Find the namespaces to attach to. At boot, a sandbox whose process is not there is left out and told of."""
    found, warnings, projects = [], [], []
    for each in host.projects:
        present = []
        for sandbox in each.sandboxes:
            if sandbox.attach is not None:
                try:
                    path = attach.locate(sandbox.attach)
                    found.append((sandbox.name, attach.inode(path), path))
                except DocklessError as error:
                    if not boot and project in (None, each.name):
                        raise DocklessError(error.what, error.remedy, error.path or f"{sandbox.path}.attach") from None
                    if boot:
                        warnings.append(f"sandbox {sandbox.name} is left out: {error}")
                        continue
            present.append(sandbox)
        projects.append(each._replace(sandboxes=tuple(present)))
    return host._replace(projects=tuple(projects)), tuple(found), warnings


def _on_parents(host: Host, facts: Facts, project: str | None, boot: bool) -> tuple[Host, list[str]]:
    """Refuse networks that this host cannot have. At boot, and of other projects, they are left out, with what is on them."""
    absent: dict[tuple[str, str], DocklessError] = {}
    for network in macvlan.parented_networks(host):
        error = refusal(network, facts)
        refused = error or too_large(network, facts)
        if refused is not None and not boot and project in (None, network.project):
            raise refused
        if error is not None:
            absent[network.key] = error
    if not absent:
        return host, []
    projects = tuple(
        p._replace(
            networks=tuple(n for n in p.networks if n.key not in absent),
            sandboxes=tuple(
                s._replace(endpoints=tuple(e for e in s.endpoints if e.network not in absent)) for s in p.sandboxes
            ),
        )
        for p in host.projects
    )
    return host._replace(projects=projects), [
        f"network {key[1]} is left out: {error}" for key, error in absent.items() if boot
    ]
