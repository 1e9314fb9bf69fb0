# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""The desired state of a host: every object that its projects need in the kernel and in files."""

from __future__ import annotations

import typing as t

from ..firewall import host_table
from ..firewall.descriptions import Names
from ..firewall.host_firewall import RULES_VERSION
from ..model import topology
from ..model.facts import Facts
from ..model.host import Host, Project
from ..model.network import NetworkKey
from ..model.topology import Topology
from ..state.firewall import Firewall
from ..state.firewall_names import names_in
from ..state.objects import Object, Resolver, State
from . import bridge, dns, foreign_firewalls, host_resolvers, macvlan, wireguard
from .drivers import DRIVERS
from .sandbox import sandbox_objects
from .veth_pair import veth_pair_objects

States = dict[str, State]  # by project; "" has what belongs to no single one


def desired_state(host: Host, facts: Facts) -> States:
    """Return the desired state of each project of a resolved host, by the name of the project."""
    known = topology.read_topology(host)
    loopback = bridge.reached_from_loopback(host, known.networks)
    states: States = {"": {}}
    for project in host.projects:
        states[project.name] = _by_key(_project_objects(project, host, known, loopback, facts))
    if known.networks:
        objects = [obj for state in states.values() for obj in state.values()]
        if any(isinstance(obj, Resolver) for obj in objects):
            states[""].update(_by_key([host_resolvers.zones_file(known)]))
        names = names_in(objects)
        states[""].update(_by_key(_host_objects(host, known, facts, names)))
    return states


def _by_key(found: t.Iterable[Object]) -> State:
    return {obj.key: obj for obj in found}


def _project_objects(
    project: Project, host: Host, known: Topology, loopback: t.Container[NetworkKey], facts: Facts
) -> t.Iterator[Object]:
    for network in project.networks:
        yield from DRIVERS[network.driver].network(network, network.key in loopback, facts)
    for sandbox in project.sandboxes:
        yield from sandbox_objects(project, sandbox, known.networks, facts)
    bridged = topology.bridged_ends(host) if project.veth_pairs else ()
    for pair in project.veth_pairs:
        yield from veth_pair_objects(pair, bridged, facts)
    yield from dns.dns_objects(project, known, facts, host.defaults)


def _host_objects(host: Host, known: Topology, facts: Facts, names: Names) -> t.Iterator[Object]:
    """Yield objects of no single project: VLANs, the host's resolvers, firewall and WireGuard links, foreign rules."""
    yield from macvlan.host_objects(host, known.networks, facts)
    clients = host_resolvers.forwarder_clients(host, known, facts)
    yield from host_resolvers.forwarder_objects(clients, facts, known.host_zones)
    yield from host_resolvers.host_names_objects(host, known, facts)
    elements = host_table.host_elements(host, known.networks, clients)
    yield Firewall(RULES_VERSION, elements, names)
    yield from wireguard.wireguard_objects(host, facts)
    yield from foreign_firewalls.foreign_firewall_objects(host, known.networks, facts)
