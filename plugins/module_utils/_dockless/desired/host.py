# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""The desired state of a host: every object that its projects need in the kernel and in files."""
from __future__ import annotations

import typing as t

from .. import names
from ..firewall import coexistence, host_table
from ..model import gateways, macvlan, topology
from ..model import overlay as model_overlay
from ..model.facts import Facts
from ..model.gateways import Networks
from ..model.host import MODE_CONTAINER, MODE_HOST, Endpoint, Host, Network, PortMapping, Project, Sandbox, VethEnd, VethPair
from ..names import ALIAS_LIMIT
from ..state.objects import HOST, Address, Conf, Link, Netns, NftTable, Object, Route, State, Sysctl, Veth
from . import dns, host_names, host_resolvers, overlay

States = t.Dict[str, State]  # by project; "" is what the host has but once
# Duplicates are looked for by nobody, since addresses are ours to give. While that search for a bridge's link-local address
# lasts, up to two seconds, the kernel asks for no neighbour there: what a new network forwards was lost.
_SETTLED6 = [("ipv6/accept_dad", 0), ("ipv6/accept_ra", 0)]


def realize(host: Host, facts: Facts) -> States:
    """Return what each project of a resolved host needs in the kernel and in files."""
    known = topology.read(host)
    networks = known.networks
    looped = _reached_from_loopback(host, networks)
    states: States = {"": {}}
    for project in host.projects:
        objects: t.List[Object] = []
        for network in project.networks:
            objects += _network(network, network.key in looped, facts)
        for sandbox in project.sandboxes:
            objects += _sandbox(project, sandbox, networks, facts)
        for pair in project.veth_pairs:
            objects += _veth_pair(pair)
        objects += dns.realize_names(project, known, facts, host.defaults)
        states[project.name] = {thing.key: thing for thing in objects}
    if networks:
        states[""].update((thing.key, thing) for thing in macvlan.shared(host, networks, facts))
        asked = host_resolvers.gateways(host, known, facts)
        states[""].update((thing.key, thing) for thing in host_resolvers.realize(asked, facts, known.host_zones))
        states[""].update((thing.key, thing) for thing in host_names.realize(host, known, facts))
        table = NftTable(HOST, host_table.table(host, networks, _no_transit(host, facts), asked))
        states[""][table.key] = table
        states[""].update((thing.key, thing) for thing in model_overlay.realize(host, facts))
        states[""].update((thing.key, thing) for thing in coexistence.wanted(host, networks, facts))
    return states


def _no_transit(host: Host, facts: Facts) -> t.List[int]:
    """Return the families that are forwarded for our sake alone: a host that was no router must not become one for its neighbours."""
    if host.defaults.ip_forward_no_drop:
        return []
    return [version for version, ours in ((4, facts.forwarding4_is_ours), (6, facts.forwarding6_is_ours)) if ours]


def _network(network: Network, looped: bool, facts: Facts) -> t.Iterator[Object]:
    if network.macvlan is not None:
        yield from macvlan.bridge(network, facts)
        return
    conf = [("ipv4/accept_redirects", 0), ("ipv4/route_localnet", int(looped)), ("ipv4/send_redirects", 0)]
    if facts.ipv6:
        absent = not network.enable_ipv6 or not gateways.has_host_address(network, 6)
        conf += [*_SETTLED6, ("ipv6/disable_ipv6", int(absent))]
    yield Link(
        HOST, network.bridge_name, "bridge", names.bridge_mac(network.project, network.name),
        network.mtu or facts.mtu, names.label(network.project, network.name), conf=tuple(conf))
    for subnet in network.subnets:
        if subnet.gateway is not None and gateways.has_host_address(network, subnet.version):
            yield Address(HOST, network.bridge_name, f"{subnet.gateway}/{_length(subnet.network)}")
    if network.overlay is not None:
        yield from overlay.realize(network, facts)


def _length(network: t.Any) -> int:
    return int(network.prefixlen)


def _sandbox(project: Project, sandbox: Sandbox, networks: Networks, facts: Facts) -> t.Iterator[Object]:
    if sandbox.mode == MODE_HOST:
        return
    name = sandbox.netns or sandbox.name
    label = names.label(project.name, name)  # with the handle's name: an attached namespace has others, which are not ours
    if sandbox.mode == MODE_CONTAINER:
        others = {s.name: s for s in project.sandboxes}
        yield Netns(name, label, partner=gateways.netns_of(others, sandbox))
        return
    several = len(sandbox.endpoints) > 1
    joined = [networks[e.network] for e in sandbox.endpoints]
    if gateways.turns_ipv6_off(sandbox):
        joined = [network._replace(enable_ipv6=False) for network in joined]
    confs = [_inner_conf(network, several, facts) for network in joined]
    # What all interfaces share is written once, as the default of the new namespace, and inherited.
    shared = tuple(sorted(set.intersection(*map(set, confs)))) if confs and sandbox.attach is None else ()
    if sandbox.attach is not None:
        label = _label_of_all(project, sandbox, name)
    inode, source = next(((i, path) for who, i, path in facts.attached if who == sandbox.name), (0, ""))
    yield Netns(name, label, inode, shared, source=source)
    for endpoint, conf in zip(sandbox.endpoints, confs):
        network = networks[endpoint.network]
        yield from _inside(endpoint, name)
        if network.macvlan is not None:
            yield macvlan.link(endpoint, name, network, conf, facts)
            yield from macvlan.inner_routes(endpoint, name, network)
            continue
        yield _endpoint(endpoint, name, network, conf, bool(sandbox.ports), facts)
        yield from overlay.local_entries(network, endpoint)
        yield from overlay.inner_routes(network, endpoint, name)
    for version in (4, 6):
        winner = gateways.gateway_endpoint(sandbox, networks, version)
        if winner is not None:
            via = gateways.next_hop(winner, networks[winner.network], version) or ""
            yield Route(name, "0.0.0.0/0" if version == 4 else "::/0", winner.interface_name, via)
    for key, value in sandbox.sysctls:
        yield Sysctl(name, key, value)


def _label_of_all(project: Project, sandbox: Sandbox, name: str) -> str:
    """Return the mark with every name that we give an attached namespace: others name it too, and theirs are not ours to remove."""
    shared = [s.netns or s.name for s in project.sandboxes if s.mode == MODE_CONTAINER and s.partner == sandbox.name]
    label = names.label(project.name, " ".join((name, *sorted(shared))))
    return label if len(label) < ALIAS_LIMIT else label[:ALIAS_LIMIT].rpartition(" ")[0]


def _inner_conf(network: Network, several: bool, facts: Facts) -> Conf:
    conf = [("ipv4/arp_notify", 1)]
    if several:  # strict filtering drops answers to what was published by way of the other network
        conf.append(("ipv4/rp_filter", 2))
    if facts.ipv6:
        conf += _SETTLED6 if network.enable_ipv6 else []
        conf.append(("ipv6/disable_ipv6", int(not network.enable_ipv6)))
    return tuple(conf)


def _endpoint(endpoint: Endpoint, netns: str, network: Network, conf: Conf, published: bool,
              facts: Facts) -> Veth:
    """A published sandbox's port reflects frames: with br_netfilter its own published port is bridged back to it."""
    identity = endpoint.project, network.key, endpoint.sandbox
    mtu = network.mtu or 1500
    return Veth(
        HOST, names.veth_link(*identity), netns, endpoint.interface_name,
        mac=names.host_end_mac(*identity), peer_mac=endpoint.mac_address, mtu=mtu, peer_mtu=mtu,
        master=network.bridge_name, isolated=not network.icc, hairpin=published, learning=network.overlay is None,
        conf=(("ipv6/addr_gen_mode", 1),) if facts.ipv6 else (), peer_conf=conf)


def _inside(endpoint: Endpoint, netns: str) -> t.Iterator[Object]:
    for cidr in endpoint.addresses:
        yield Address(netns, endpoint.interface_name, cidr)
    for key, value in endpoint.sysctls:
        yield Sysctl(netns, key.replace("IFNAME", endpoint.interface_name), value)


def _veth_pair(pair: VethPair) -> t.Iterator[Object]:
    end, peer = pair.end, pair.peer
    yield Veth(
        end.netns, end.name, peer.netns, peer.name, end.mac_address, peer.mac_address, end.mtu or 1500,
        peer.mtu or 1500, end.master, peer.master, end.up, peer.up, label=names.pair_label(end.netns, end.name))
    for each in (end, peer):
        yield from _end_addresses(each)


def _end_addresses(end: VethEnd) -> t.Iterator[Object]:
    for cidr in end.addresses:
        yield Address(end.netns, end.name, cidr)
    for destination, via in end.routes:
        yield Route(end.netns, destination, end.name, via)


def _reached_from_loopback(host: Host, networks: Networks) -> t.Set[t.Tuple[str, str]]:
    """Return the networks with a port that 127.0.0.0/8 reaches: answers come back in by their bridges."""
    return {endpoint.network for p in host.projects for s in p.sandboxes for m in s.ports if _on_loopback(m)
            for endpoint in (gateways.publishing_endpoint(s, networks, 4),) if endpoint is not None}


def _on_loopback(mapping: PortMapping) -> bool:
    address = mapping.host_ip
    return address is None or address.version == 4 and (address.is_unspecified or address.is_loopback)
