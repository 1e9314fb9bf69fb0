# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""The target of a run: documents become a resolved host and its desired state. It changes nothing."""

from __future__ import annotations

import types
import typing as t

from ..allocate.host import resolve_host
from ..allocate.leases import Leases, recorded_ports
from ..desired.host import States, desired_state
from ..document import defaults, values
from ..document.project import parse_project
from ..errors import DocklessError
from ..linux import attach, foreign_firewalls, sockets, wireguard
from ..model import external_networks
from ..model.facts import Facts, UnderlayAddress
from ..model.host import Host, Project
from ..model.network import NetworkKey
from ..model.sandbox import Sandbox
from ..names import FORWARDER
from ..observe import parents, snapshot, underlay, uplink
from ..observe.facts import read_facts
from ..observe.snapshot import NetnsSnapshot
from ..report import rows
from ..report.rows import Row
from ..resolvers import supervisor
from ..state.keys import Key
from ..state.objects import Resolver, State
from ..validate import cnames, dns, host_support, name_servers
from ..validate.host import check_host
from ..validate.macvlan import refusal, too_large
from .document_files import Json
from .store import Documents

Attached = tuple[str, int, str]  # sandbox, inode and path of the namespace that it attaches to


class Target(t.NamedTuple):
    """The result that a run must reach.

    host      the resolved host
    states    the desired state of each project; "" has what belongs to no single one
    warnings  for the person who asked for the run
    present   the host's own namespace, as it was read for the facts
    """

    host: Host
    states: States
    facts: Facts
    warnings: tuple[str, ...]
    present: NetnsSnapshot

    def state_of(self, project: str | None) -> State:
        """Return the desired state of one project (None: of all), with what belongs to no single one."""
        wanted = dict(self.states.get("", {}))
        for name, state in self.states.items():
            if project is None or name == project:
                wanted.update(state)
        return wanted

    def keys_of_others(self, project: str | None) -> set[Key]:
        """Return the keys that only other projects declare."""
        if project is None:
            return set()
        own = self.state_of(project)
        return {key for name, state in self.states.items() if name != project for key in state if key not in own}

    def leases_of(self, project: str) -> Json:
        """Return the leases of a project, as JSON for its document."""
        found = [one for one in self.host.projects if one.name == project]
        return Leases.from_project(found[0]).to_json() if found else {}

    def endpoints(self, project: str | None) -> list[Row]:
        """Return the endpoints of a project, or of all."""
        return rows.endpoints(self.host, project)

    def ports(self, project: str | None) -> list[Row]:
        """Return the published ports of a project, or of all."""
        return rows.ports(self.host, project)


def compute_target(
    documents: Documents,
    project: str | None,
    boot: bool = False,
    wait: bool = True,
    origins: t.Mapping[str, str] = types.MappingProxyType({}),
) -> Target:
    """Return the target of a run over one project (None: over all). Raises DocklessError if it is impossible.

    At boot, a sandbox or network that needs something which is not there yet is left out with a warning. wait is
    whether to wait for addresses of the host. origins are the files of projects, for messages about these.
    """
    if project is not None:  # the name of a project that is removed or read is not checked by a parser
        values.name(project, "project", "project name")
    host = _parsed(documents, origins)
    host, attached, warnings = _with_attached(host, project, boot)
    if boot and wait:
        underlay.await_vteps(host)
    present = snapshot.read_host()
    facts = _host_facts(present, attached)
    if boot:
        facts, missing = underlay.with_missing_vteps(facts, host)
        warnings += missing
    host = external_networks.resolve_externals(host)
    facts = _facts_for(host, facts, present)
    host = _resolved(host, facts, documents, project, boot)
    possible, left_out = _without_impossible_networks(host, facts, project, boot)
    warnings += left_out
    warnings += host_support.missing_forwarding(host, facts) if boot else []
    warnings += host_support.warnings(host, facts, project)
    warnings += name_servers.warnings(host, facts, project)
    warnings += cnames.check(host, project, boot)
    states = desired_state(possible, facts)
    if facts.dnsmasq_version == (0, 0) and _has_forwarder(states):
        facts = facts._replace(dnsmasq_version=supervisor.version(facts.dnsmasq))
        states = desired_state(possible, facts)
    return Target(host, states, facts, tuple(warnings), present)


def _has_forwarder(states: States) -> bool:
    """Return whether the host gets a forwarder, whose options depend on the version of dnsmasq.

    To ask every dnsmasq for its version would cost a process in each run of each host.
    """
    return any(isinstance(obj, Resolver) and obj.sandbox == FORWARDER for obj in states[""].values())


def _parsed(documents: Documents, origins: t.Mapping[str, str]) -> Host:
    projects = [
        parse_project(name, document.declaration, origins.get(name, ""))
        for name, document in sorted(documents.projects.items())
    ]
    return Host(tuple(projects), defaults.parse_defaults(documents.host.defaults))


def _host_facts(present: NetnsSnapshot, attached: tuple[Attached, ...]) -> Facts:
    """Return the facts that every run needs."""
    found = uplink.read_uplink(present)
    return read_facts(
        routes=found.routes,
        addresses=found.addresses,
        mtu=found.mtu,
        uplink=found.link,
        underlay=tuple(UnderlayAddress(*each) for each in found.underlay),
        next_hops=found.next_hops,
        attached=attached,
    )


def _facts_for(host: Host, facts: Facts, present: NetnsSnapshot) -> Facts:
    """Return the facts with those that only some declarations need: of WireGuard, VXLAN, parents and firewalls."""
    if any(network.is_encrypted for network in host.networks()):
        facts = facts._replace(tunnel_keys=tuple(sorted(wireguard.public_keys().items())))
    if any(network.spans_hosts for network in host.networks()):
        facts = facts._replace(vxlan_devices=underlay.foreign_vxlan_devices(present))
    facts = parents.with_parents(facts, host, present)
    if host.defaults.coexist:
        facts = facts._replace(firewalls=foreign_firewalls.detect(host.defaults.coexist))
    return facts


def _resolved(host: Host, facts: Facts, documents: Documents, project: str | None, boot: bool) -> Host:
    """Check the declared host, and return it with every choice made. Raises DocklessError."""
    leases = {name: Leases.from_json(document.leases) for name, document in documents.projects.items()}
    check_host(host, facts, recorded_ports(leases), sockets.owner_of)
    leases[""] = Leases.from_json(documents.host.leases)
    host = resolve_host(host, leases, facts)
    host_support.refuse_missing_families(host, facts)
    dns.refuse_loops(host)
    if not boot:
        host_support.refuse_without_forwarding(host, facts)
        host_support.refuse_own_addresses(host, facts, leases, project)
    return host


def _with_attached(host: Host, project: str | None, boot: bool) -> tuple[Host, tuple[Attached, ...], list[str]]:
    """Find the namespaces that sandboxes attach to. At boot, a sandbox whose namespace is missing is left out."""
    attached: list[Attached] = []
    warnings: list[str] = []
    projects = []
    for one in host.projects:
        present = []
        for sandbox in one.sandboxes:
            error = _attach(sandbox, attached)
            if error is not None and boot:
                warnings.append(f"Sandbox {sandbox.name} is left out: {error}")
                continue
            if error is not None and project in (None, one.name):
                raise error
            present.append(sandbox)
        projects.append(one._replace(sandboxes=tuple(present)))
    return host._replace(projects=tuple(projects)), tuple(attached), warnings


def _attach(sandbox: Sandbox, attached: list[Attached]) -> DocklessError | None:
    """Add the namespace that a sandbox attaches to, if it does, or return why that cannot be found."""
    if sandbox.attach is None:
        return None
    try:
        path, inode = attach.locate(sandbox.attach)
        attached.append((sandbox.name, inode, path))
    except DocklessError as error:
        return DocklessError(error.what, error.remedy, error.path or f"{sandbox.path}.attach")
    return None


def _without_impossible_networks(host: Host, facts: Facts, project: str | None, boot: bool) -> tuple[Host, list[str]]:
    """Raise DocklessError for a network that this host cannot have. At boot, and of other projects, it is left out."""
    impossible: dict[NetworkKey, DocklessError] = {}
    for network in host.networks():
        if network.passes_host:
            continue
        error = refusal(network, facts)
        refused = error or too_large(network, facts)
        if refused is not None and not boot and project in (None, network.project):
            raise refused
        if error is not None:
            impossible[network.key] = error
    if not impossible:
        return host, []
    projects = tuple(_without_networks(one, impossible) for one in host.projects)
    warnings = [f"Network {key[1]} is left out: {error}" for key, error in impossible.items() if boot]
    return host._replace(projects=projects), warnings


def _without_networks(project: Project, keys: t.Container[NetworkKey]) -> Project:
    sandboxes = [
        sandbox._replace(endpoints=tuple(one for one in sandbox.endpoints if one.network not in keys))
        for sandbox in project.sandboxes
    ]
    networks = tuple(network for network in project.networks if network.key not in keys)
    return project._replace(networks=networks, sandboxes=tuple(sandboxes))
