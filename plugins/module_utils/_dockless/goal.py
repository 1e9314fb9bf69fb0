# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Documents -> what the host should have, in both vocabularies."""
from __future__ import annotations

import typing as t

from . import (
    attach, checks, checks_names, ipam, kernel, macvlan, model, overlay, parents, parse, passages,
    realize, report, resolve, sockets, spaces, store, tunnels, underlay, values, wireguard)
from .errors import DocklessError
from .facts import Facts, Underlay
from .gather import gather


class Goal(t.NamedTuple):
    """What is wanted: the resolved host, its realization by project, and what people should be told."""

    host: model.Host
    states: realize.States
    facts: Facts
    warnings: t.Tuple[str, ...]
    present: spaces.Space  # the host's own namespace, as it was read for the facts

    def state_of(self, project: t.Optional[str]) -> kernel.State:
        """Return what a run over one project (None: over all) converges, the host's own things included."""
        wanted = dict(self.states.get("", {}))
        for name, state in self.states.items():
            if project is None or name == project:
                wanted.update(state)
        return wanted

    def kept(self, project: t.Optional[str]) -> t.Set[kernel.Key]:
        """Return the keys of what other projects want."""
        if project is None:
            return set()
        own = self.state_of(project)
        return {key for name, state in self.states.items() if name != project for key in state if key not in own}

    def leases_of(self, project: str) -> t.Dict[str, t.Any]:
        """Return what to remember of a project."""
        found = [p for p in self.host.projects if p.name == project]
        return resolve.leases_of(found[0]) if found else {}

    def endpoints(self, project: t.Optional[str]) -> t.List[report.Row]:
        """Return the endpoints of a project, or of all."""
        return report.endpoints(self.host, project)

    def ports(self, project: t.Optional[str]) -> t.List[report.Row]:
        """Return the published ports of a project, or of all."""
        return report.ports(self.host, project)


def set_goal(documents: store.Documents, project: t.Optional[str], boot: bool = False) -> Goal:
    """Return the goal. Raises DocklessError for anything that cannot be meant; nothing has been touched by then."""
    if project is not None:  # one that is to be removed, or read, is not parsed
        values.name(project, "project", "project's name")
    projects = [parse.parse_project(name, document.declaration) for name, document in sorted(documents.projects.items())]
    host = model.Host(tuple(projects), parse.parse_defaults(documents.host.defaults))
    host, attached, warnings = _attached(host, project, boot)
    if boot:
        underlay.await_ends(host)
    present = spaces.read_host()
    uplink = spaces.uplink(present)
    facts = gather(routes=uplink.routes, addresses=uplink.addresses, mtu=uplink.mtu, uplink=uplink.link,
                   underlay=tuple(Underlay(*each) for each in uplink.underlay), attached=attached)
    if boot:
        facts, late = underlay.assumed(facts, host)
        warnings += late
    host = checks.resolve_externals(host)
    if tunnels.encrypted(host):
        facts = facts._replace(tunnel_keys=tuple(sorted(wireguard.public_keys().items())))
    facts = parents.known(facts, host, present)
    if host.defaults.coexist:
        facts = facts._replace(firewalls=passages.look(host.defaults.coexist))
    leases = {name: document.leases for name, document in documents.projects.items()}
    checks.check_host(host, facts, _kept_ports(leases), sockets.owner_of)
    host = resolve.resolve(host, {**leases, "": documents.host.leases}, facts)
    resolve.refuse_missing_families(host, facts)
    checks_names.refuse_loops(host)
    _refuse_without_forwarding(host, facts)
    possible, absent = _on_parents(host, facts, project, boot)
    warnings += absent
    states = realize.realize(possible, facts)
    return Goal(host, states, facts, tuple(warnings + _warnings(host, states, facts, project)), present)


def _attached(host: model.Host, project: t.Optional[str], boot: bool) -> t.Tuple[
        model.Host, t.Tuple[t.Tuple[str, int, str], ...], t.List[str]]:
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


def _on_parents(host: model.Host, facts: Facts, project: t.Optional[str], boot: bool) -> t.Tuple[model.Host, t.List[str]]:
    """Refuse networks that this host cannot have. At boot, and of other projects, they are left out, with what is on them."""
    absent: t.Dict[t.Tuple[str, str], DocklessError] = {}
    for network in macvlan.on_parents(host):
        error = macvlan.obstacle(network, facts)
        refused = error or macvlan.too_large(network, facts)
        if refused is not None and not boot and project in (None, network.project):
            raise refused
        if error is not None:
            absent[network.key] = error
    if not absent:
        return host, []
    projects = tuple(p._replace(
        networks=tuple(n for n in p.networks if n.key not in absent),
        sandboxes=tuple(s._replace(endpoints=tuple(e for e in s.endpoints if e.network not in absent)) for s in p.sandboxes)) for p in host.projects)
    return host._replace(projects=projects), [f"network {key[1]} is left out: {error}" for key, error in absent.items() if boot]


def _kept_ports(leases: t.Mapping[str, t.Mapping[str, t.Any]]) -> t.FrozenSet[t.Tuple[str, str, int]]:
    return frozenset((row[1], row[2], int(row[4])) for kept in leases.values() for row in kept.get("ports", ()))


def _refuse_without_forwarding(host: model.Host, facts: Facts) -> None:
    """Forwarding is the host's own setting: turning it on silently would make it a router for all its links."""
    for project in host.projects:
        for network in project.networks:
            joined = any(e.network == network.key for p in host.projects for s in p.sandboxes for e in s.endpoints)
            if network.internal or network.macvlan is not None or not joined:
                continue
            for version, on, key in ((4, facts.forwarding4, "net.ipv4.ip_forward"),
                                     (6, facts.forwarding6, "net.ipv6.conf.all.forwarding")):
                if not on and any(s.version == version for s in network.subnets):
                    raise DocklessError(
                        f"network {network.name} leads out of the host by IPv{version}, and {key} is 0",
                        f"Set {key} to 1 (the role dockless.network.prerequisites does), or make the network internal.",
                        network.path)


def _published_nowhere(host: model.Host, facts: Facts, project: t.Optional[str]) -> t.List[str]:
    """Return a sentence for each address that ports are on and the host has not: it may get it later, so that is no error."""
    own = {*facts.addresses, *(s.gateway for p in host.projects for n in p.networks for s in n.subnets)}
    asked = {(m.host_ip, s.name) for p in host.projects if project in (None, p.name) for s in p.sandboxes for m in s.ports if m.host_ip is not None}
    return [f"ports of sandbox {name} are published on {address}, which is no address of this host at present: nobody reaches them there"
            for address, name in sorted(asked, key=str) if address not in own and not address.is_loopback and not address.is_unspecified]


def _leaving_as_another(networks: t.Iterable[model.Network], facts: Facts) -> t.List[str]:
    """Return a sentence for each address that packets should leave with and the host has not; it may be led here all the same."""
    return [f"what leaves network {network.name} carries {address}, which is no address of this host at present: answers come back only if they are led here"
            for network in networks for address in (network.host_ipv4, network.host_ipv6) if address is not None and address not in facts.addresses]


def _warnings(host: model.Host, states: realize.States, facts: Facts, project: t.Optional[str]) -> t.List[str]:
    warnings = [w for p in host.projects if project in (None, p.name) for w in p.warnings]
    warnings += overlay.warnings(host.projects)
    warnings += _published_nowhere(host, facts, project)
    for each in host.projects:
        warnings += _leaving_as_another(each.networks, facts) if project in (None, each.name) else []
        for network in each.networks:
            if network.macvlan is not None:  # of the same subnet as the host's own link, as a rule
                warnings += macvlan.warnings(network, facts) if project in (None, each.name) else []
                continue
            for subnet in network.subnets:
                clash = ipam.overlaps(subnet.network, facts.routes) if subnet.network else None
                if clash is not None:
                    warnings.append(f"subnet {subnet.network} of network {network.name} overlaps the host's route to "
                                    f"{clash}: sandboxes cannot reach what is behind it")
    return warnings
