# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""The desired state of a host: every object that its projects need in the kernel and in files."""

from __future__ import annotations

from ..firewall import host_table
from ..model import topology
from ..model.facts import Facts
from ..model.host import Host
from ..state.objects import HOST, NftTable, Object, State
from . import bridge, dns, foreign_firewalls, host_resolvers, macvlan, veth_pair, wireguard
from .sandbox import sandbox_objects

States = dict[str, State]  # by project; "" is what the host has but once


def desired_state(host: Host, facts: Facts) -> States:
    """Return what each project of a resolved host needs in the kernel and in files."""
    known = topology.read_topology(host)
    networks = known.networks
    looped = bridge.reached_from_loopback(host, networks)
    states: States = {"": {}}
    for project in host.projects:
        objects: list[Object] = []
        for network in project.networks:
            objects += bridge.network_objects(network, network.key in looped, facts)
        for sandbox in project.sandboxes:
            objects += sandbox_objects(project, sandbox, networks, facts)
        for pair in project.veth_pairs:
            objects += veth_pair.veth_pair_objects(pair)
        objects += dns.dns_objects(project, known, facts, host.defaults)
        states[project.name] = {thing.key: thing for thing in objects}
    if networks:
        states[""].update((thing.key, thing) for thing in macvlan.host_objects(host, networks, facts))
        asked = host_resolvers.forwarder_addresses(host, known, facts)
        states[""].update(
            (thing.key, thing) for thing in host_resolvers.forwarder_objects(asked, facts, known.host_zones)
        )
        states[""].update((thing.key, thing) for thing in host_resolvers.host_names_objects(host, known, facts))
        table = NftTable(HOST, host_table.host_table(host, networks, _no_transit(host, facts), asked))
        states[""][table.key] = table
        states[""].update((thing.key, thing) for thing in wireguard.wireguard_objects(host, facts))
        states[""].update(
            (thing.key, thing) for thing in foreign_firewalls.foreign_firewall_objects(host, networks, facts)
        )
    return states


def _no_transit(host: Host, facts: Facts) -> list[int]:
    """Return the families that are forwarded for our sake alone: a host that was no router must not become one for its neighbours."""
    if host.defaults.ip_forward_no_drop:
        return []
    return [version for version, managed in ((4, facts.forwarding4_managed), (6, facts.forwarding6_managed)) if managed]
