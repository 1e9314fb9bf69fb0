# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""A sandbox's namespace, its links, addresses, routes and settings."""

from __future__ import annotations

import typing as t

from .. import names
from ..model import gateways, topology
from ..model.facts import Facts
from ..model.host import MODE_CONTAINER, MODE_HOST, Endpoint, Network, Project, Sandbox
from ..model.topology import Networks
from ..names import ALIAS_LIMIT
from ..state.objects import HOST, Address, Conf, Netns, Object, Route, Sysctl, Veth
from . import macvlan, overlay
from .bridge import SETTLED6


def sandbox_objects(project: Project, sandbox: Sandbox, networks: Networks, facts: Facts) -> t.Iterator[Object]:
    if sandbox.mode == MODE_HOST:
        return
    name = sandbox.netns or sandbox.name
    label = names.label(
        project.name, name
    )  # with the handle's name: an attached namespace has others, which are not ours
    if sandbox.mode == MODE_CONTAINER:
        others = {s.name: s for s in project.sandboxes}
        yield Netns(name, label, partner=topology.effective_netns(others, sandbox))
        return
    several = len(sandbox.endpoints) > 1
    joined = [networks[e.network] for e in sandbox.endpoints]
    if topology.turns_ipv6_off(sandbox):
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
            yield macvlan.sandbox_link(endpoint, name, network, conf, facts)
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
        conf += SETTLED6 if network.enable_ipv6 else []
        conf.append(("ipv6/disable_ipv6", int(not network.enable_ipv6)))
    return tuple(conf)


def _endpoint(endpoint: Endpoint, netns: str, network: Network, conf: Conf, published: bool, facts: Facts) -> Veth:
    """A published sandbox's port reflects frames: with br_netfilter its own published port is bridged back to it."""
    identity = endpoint.project, network.key, endpoint.sandbox
    return Veth(
        HOST,
        names.veth_link(*identity),
        netns,
        endpoint.interface_name,
        mac=names.host_end_mac(*identity),
        peer_mac=endpoint.mac_address,
        mtu=network.mtu,
        peer_mtu=network.mtu,
        master=network.bridge_name,
        isolated=not network.icc,
        hairpin=published,
        learning=network.overlay is None,
        conf=(("ipv6/addr_gen_mode", 1),) if facts.ipv6 else (),
        peer_conf=conf,
    )


def _inside(endpoint: Endpoint, netns: str) -> t.Iterator[Object]:
    for cidr in endpoint.addresses:
        yield Address(netns, endpoint.interface_name, cidr)
    for key, value in endpoint.sysctls:
        yield Sysctl(netns, key.replace("IFNAME", endpoint.interface_name), value)
