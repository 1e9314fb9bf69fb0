# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""A network's bridge and the host's addresses on it."""

from __future__ import annotations

import typing as t

from .. import names
from ..model import gateways
from ..model.facts import Facts
from ..model.host import Host, Network, PortMapping
from ..model.topology import Networks
from ..state.objects import HOST, Address, Link, Object
from . import macvlan, overlay

# Duplicates are looked for by nobody, since addresses are ours to give. While that search for a bridge's link-local address
# lasts, up to two seconds, the kernel asks for no neighbour there: what a new network forwards was lost.
SETTLED6 = [("ipv6/accept_dad", 0), ("ipv6/accept_ra", 0)]


def network_objects(network: Network, looped: bool, facts: Facts) -> t.Iterator[Object]:
    if network.macvlan is not None:
        yield from macvlan.bridge_objects(network, facts)
        return
    conf = [("ipv4/accept_redirects", 0), ("ipv4/route_localnet", int(looped)), ("ipv4/send_redirects", 0)]
    if facts.ipv6:
        absent = not network.enable_ipv6 or not gateways.has_host_address(network, 6)
        conf += [*SETTLED6, ("ipv6/disable_ipv6", int(absent))]
    yield Link(
        HOST,
        network.bridge_name,
        "bridge",
        names.bridge_mac(network.project, network.name),
        network.mtu,
        names.label(network.project, network.name),
        conf=tuple(conf),
    )
    for subnet in network.subnets:
        if subnet.gateway is not None and gateways.has_host_address(network, subnet.version):
            yield Address(HOST, network.bridge_name, f"{subnet.gateway}/{subnet.network.prefixlen}")
    if network.overlay is not None:
        yield from overlay.overlay_objects(network, facts)


def reached_from_loopback(host: Host, networks: Networks) -> set[tuple[str, str]]:
    """Return the networks with a port that 127.0.0.0/8 reaches: answers come back in by their bridges."""
    return {
        endpoint.network
        for p in host.projects
        for s in p.sandboxes
        for m in s.ports
        if _on_loopback(m)
        for endpoint in (gateways.publishing_endpoint(s, networks, 4),)
        if endpoint is not None
    }


def _on_loopback(mapping: PortMapping) -> bool:
    address = mapping.host_ip
    return address is None or address.version == 4 and (address.is_unspecified or address.is_loopback)
