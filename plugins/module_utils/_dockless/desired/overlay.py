# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""What an overlay is made of beside its bridge: a vxlan device (RFC 7348) and an entry for each sandbox elsewhere.

Nothing is learned and nothing is flooded: what is where is known beforehand. The gateway has the same address and MAC on
every host, so that each sandbox leaves by its own host.
"""

from __future__ import annotations

import ipaddress
import typing as t

from .. import names
from ..model.facts import Facts
from ..model.host import Endpoint, IPAddress, Network, Overlay, OverlayPeer
from ..model.overlay import peer_mac, vxlan_device
from ..state import objects
from ..state.objects import HOST, Conf, ForwardingEntry, Link, Neighbour, Object, Route

_CLOSED = (
    ("bcast_flood", 0),
    ("isolated", 0),
    ("learning", 0),
    ("mcast_flood", 0),
    ("neigh_suppress", 1),
    ("unicast_flood", 0),
)


def overlay_objects(network: Network, facts: Facts) -> t.Iterator[Object]:
    """Yield the vxlan device of a resolved overlay, and what leads to its other hosts."""
    overlay = t.cast(Overlay, network.overlay)
    bridged = overlay.mode == "l2"
    yield Link(
        HOST,
        vxlan_device(network),
        "vxlan",
        names.router_mac(overlay.vni, overlay.vtep),
        network.mtu,
        names.label(network.project, network.name),
        master=network.bridge_name if bridged else "",
        conf=(("ipv6/addr_gen_mode", 1),) if facts.ipv6 else (),
        data=objects.vxlan_data(overlay.vni, overlay.vtep, overlay.port),
        port=_port(network) if bridged else (),
    )
    for peer in network.peers:
        if not bridged:
            yield from _route(network, overlay, peer)
        elif overlay.control_plane == "static":
            for sandbox in peer.sandboxes:
                yield ForwardingEntry(HOST, vxlan_device(network), peer_mac(network, sandbox), str(peer.vtep))
                yield from _neighbours(network, sandbox.addresses, peer_mac(network, sandbox))


def _port(network: Network) -> Conf:
    """Where sandboxes of one host may not talk to each other, those of two may not either: the way out is isolated from them."""
    return tuple((key, int(not network.icc) if key == "isolated" else value) for key, value in _CLOSED)


def local_entries(network: Network, endpoint: Endpoint) -> t.Iterator[Object]:
    """Yield what says where a sandbox of this host is, so that nothing it sends can claim to be another's."""
    if network.overlay is None or network.overlay.mode != "l2":
        return
    link = names.veth_link(endpoint.project, network.key, endpoint.sandbox)
    yield ForwardingEntry(HOST, link, endpoint.mac_address)
    local = set(endpoint.link_local_ips)
    addresses = (ipaddress.ip_address(cidr.partition("/")[0]) for cidr in endpoint.addresses)
    yield from _neighbours(network, [address for address in addresses if address not in local], endpoint.mac_address)


def inner_routes(network: Network, endpoint: Endpoint, netns: str) -> t.Iterator[Object]:
    """Yield a sandbox's way to the slices of other hosts: its default route may lead elsewhere, or there is none."""
    if network.overlay is None:
        return
    for whole in network.overlay.whole:
        via = next((s.gateway for s in network.subnets if s.version == whole.version), None)
        if via is not None:
            yield Route(netns, str(whole), endpoint.interface_name, str(via))


def _neighbours(network: Network, addresses: t.Iterable[IPAddress], mac: str) -> t.Iterator[Object]:
    for address in addresses:
        yield Neighbour(HOST, network.bridge_name, str(address), mac)


def _route(network: Network, overlay: Overlay, peer: OverlayPeer) -> t.Iterator[Object]:
    """Yield three objects for a whole host: where its router is, who that is, and a route by way of it."""
    link, mac = vxlan_device(network), names.router_mac(overlay.vni, str(peer.vtep))
    yield ForwardingEntry(HOST, link, mac, str(peer.vtep), bridged=False)
    for subnet in peer.subnets:
        via = str(subnet.network_address + 1)
        yield Neighbour(HOST, link, via, mac)
        yield Route(HOST, str(subnet), link, via, onlink=True)
