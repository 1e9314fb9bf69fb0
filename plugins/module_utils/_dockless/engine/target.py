# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Documents -> what the host should have, in both vocabularies."""
from __future__ import annotations

import typing as t

from ..allocate import host as allocate_host
from ..allocate import ipam
from ..desired import host as desired_host
from ..desired import overlay
from ..desired.host import States
from ..document import values
from ..document.project import parse_defaults, parse_project
from ..errors import DocklessError
from ..linux import attach, foreign_firewalls, sockets, wireguard
from ..model import external_networks, macvlan
from ..model.facts import Facts, Underlay
from ..model.host import Host, Network
from ..model.overlay import encrypted
from ..observe import parents, snapshot, underlay
from ..observe.facts import gather
from ..observe.snapshot import Space
from ..report import rows
from ..report.rows import Row
from ..state.objects import Key, State
from ..validate import dns
from ..validate.host import check_host
from .store import Documents


class Goal(t.NamedTuple):
    """What is wanted: the resolved host, its realization by project, and what people should be told."""

    host: Host
    states: States
    facts: Facts
    warnings: t.Tuple[str, ...]
    present: Space  # the host's own namespace, as it was read for the facts

    def state_of(self, project: t.Optional[str]) -> State:
        """Return what a run over one project (None: over all) converges, the host's own things included."""
        wanted = dict(self.states.get("", {}))
        for name, state in self.states.items():
            if project is None or name == project:
                wanted.update(state)
        return wanted

    def kept(self, project: t.Optional[str]) -> t.Set[Key]:
        """Return the keys of what other projects want."""
        if project is None:
            return set()
        own = self.state_of(project)
        return {key for name, state in self.states.items() if name != project for key in state if key not in own}

    def leases_of(self, project: str) -> t.Dict[str, t.Any]:
        """Return what to remember of a project."""
        found = [p for p in self.host.projects if p.name == project]
        return allocate_host.leases_of(found[0]) if found else {}

    def endpoints(self, project: t.Optional[str]) -> t.List[Row]:
        """Return the endpoints of a project, or of all."""
        return rows.endpoints(self.host, project)

    def ports(self, project: t.Optional[str]) -> t.List[Row]:
        """Return the published ports of a project, or of all."""
        return rows.ports(self.host, project)


def set_goal(documents: Documents, project: t.Optional[str], boot: bool = False) -> Goal:
    """Return the goal. Raises DocklessError for anything that cannot be meant; nothing has been touched by then."""
    if project is not None:  # one that is to be removed, or read, is not parsed
        values.name(project, "project", "project's name")
    projects = [parse_project(name, document.declaration) for name, document in sorted(documents.projects.items())]
    host = Host(tuple(projects), parse_defaults(documents.host.defaults))
    host, attached, warnings = _attached(host, project, boot)
    if boot:
        underlay.await_ends(host)
    present = snapshot.read_host()
    uplink = snapshot.uplink(present)
    facts = gather(routes=uplink.routes, addresses=uplink.addresses, mtu=uplink.mtu, uplink=uplink.link,
                   underlay=tuple(Underlay(*each) for each in uplink.underlay), attached=attached)
    if boot:
        facts, late = underlay.assumed(facts, host)
        warnings += late
    host = external_networks.resolve_externals(host)
    if encrypted(host):
        facts = facts._replace(tunnel_keys=tuple(sorted(wireguard.public_keys().items())))
    facts = parents.known(facts, host, present)
    if host.defaults.coexist:
        facts = facts._replace(firewalls=foreign_firewalls.look(host.defaults.coexist))
    leases = {name: document.leases for name, document in documents.projects.items()}
    check_host(host, facts, _kept_ports(leases), sockets.owner_of)
    host = allocate_host.resolve(host, {**leases, "": documents.host.leases}, facts)
    allocate_host.refuse_missing_families(host, facts)
    dns.refuse_loops(host)
    _refuse_without_forwarding(host, facts)
    possible, absent = _on_parents(host, facts, project, boot)
    warnings += absent
    states = desired_host.realize(possible, facts)
    return Goal(host, states, facts, tuple(warnings + _warnings(host, states, facts, project)), present)


def _attached(host: Host, project: t.Optional[str], boot: bool) -> t.Tuple[
        Host, t.Tuple[t.Tuple[str, int, str], ...], t.List[str]]:
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


def _on_parents(host: Host, facts: Facts, project: t.Optional[str], boot: bool) -> t.Tuple[Host, t.List[str]]:
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


def _refuse_without_forwarding(host: Host, facts: Facts) -> None:
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


def _published_nowhere(host: Host, facts: Facts, project: t.Optional[str]) -> t.List[str]:
    """Return a sentence for each address that ports are on and the host has not: it may get it later, so that is no error."""
    own = {*facts.addresses, *(s.gateway for p in host.projects for n in p.networks for s in n.subnets)}
    asked = {(m.host_ip, s.name) for p in host.projects if project in (None, p.name) for s in p.sandboxes for m in s.ports if m.host_ip is not None}
    return [f"ports of sandbox {name} are published on {address}, which is no address of this host at present: nobody reaches them there"
            for address, name in sorted(asked, key=str) if address not in own and not address.is_loopback and not address.is_unspecified]


def _leaving_as_another(networks: t.Iterable[Network], facts: Facts) -> t.List[str]:
    """Return a sentence for each address that packets should leave with and the host has not; it may be led here all the same."""
    return [f"what leaves network {network.name} carries {address}, which is no address of this host at present: answers come back only if they are led here"
            for network in networks for address in (network.host_ipv4, network.host_ipv6) if address is not None and address not in facts.addresses]


def _warnings(host: Host, states: States, facts: Facts, project: t.Optional[str]) -> t.List[str]:
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
