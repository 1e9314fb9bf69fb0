# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""The driver overlay: beside the bridge, a vxlan device (RFC 7348) and entries for the sandboxes on other hosts.

The bridge learns and floods nothing: the declaration has the place of each sandbox. The gateway has the same address
and MAC address on every host, so that each sandbox's packets to other networks leave by its own host.
"""

from __future__ import annotations

import ipaddress
import typing as t

from .. import names
from ..model.addresses import IPAddress
from ..model.facts import Facts
from ..model.network import Network
from ..model.overlay import Overlay, OverlayPeer
from ..state.keys import Conf
from ..state.objects import HOST, Data, ForwardingEntry, Link, Neighbour, Object, Route
from . import bridge
from .attachment import NO_IPV6, OWN_ADDRESSES_ONLY, Attachment, forwarding

# Settings of the vxlan device as a port of the bridge: no flooding, no learning, and the bridge answers ARP and ND.
_PORT_SETTINGS: Conf = (
    ("bcast_flood", 0),
    ("isolated", 0),
    ("learning", 0),
    ("mcast_flood", 0),
    ("neigh_suppress", 1),
    ("unicast_flood", 0),
)
# The vxlan device of a routed overlay has an IP stack, for the packets between the hosts' slices. Peers are no routers
# that the host asks for its own routes.
_ROUTED_IPV4: Conf = (("ipv4/accept_redirects", 0), *OWN_ADDRESSES_ONLY)
_ROUTED_IPV6: Conf = (("ipv6/accept_ra", 0), ("ipv6/addr_gen_mode", 1))


def network_objects(network: Network, is_reached_from_loopback: bool, facts: Facts) -> t.Iterator[Object]:
    """Yield the bridge, the vxlan device, and the entries by which sandboxes on other hosts are reached."""
    yield from bridge.network_objects(network, is_reached_from_loopback, facts)
    overlay = network.overlay_options
    yield _vxlan_link(network, overlay, facts)
    for peer in network.peers:
        if network.is_routed:
            yield from _routed_peer(network, overlay, peer)
        elif overlay.control_plane == "static":
            yield from _bridged_peer(network, peer)


def endpoint_objects(attachment: Attachment, facts: Facts) -> t.Iterator[Object]:
    """Yield an endpoint's veth pair with its forwarding entry, its neighbours, and routes to remote slices."""
    yield from bridge.endpoint_objects(attachment, facts)
    if not attachment.network.is_routed:
        yield from _local_neighbours(attachment)
    yield from _routes_to_peers(attachment)


def _vxlan_link(network: Network, overlay: Overlay, facts: Facts) -> Link:
    return Link(
        HOST,
        network.vxlan_device,
        "vxlan",
        names.router_mac(overlay.vni, overlay.vtep),
        network.mtu,
        names.label(network.project, network.name),
        master="" if network.is_routed else network.bridge_name,
        conf=_device_conf(network, facts),
        data=_vxlan_settings(overlay),
        port=() if network.is_routed else _port_settings(network),
        arp=False,
    )


def _vxlan_settings(overlay: Overlay) -> Data:
    """Return the settings of a vxlan device that does not learn, with the VTEP address as its local one."""
    local = "local6" if ":" in overlay.vtep else "local"
    return ("id", overlay.vni), ("learning", 0), (local, overlay.vtep), ("port", overlay.port)


def _device_conf(network: Network, facts: Facts) -> Conf:
    if network.is_routed:
        ipv6 = (*_ROUTED_IPV6, *forwarding(facts, 6)) if facts.ipv6 else ()
        return (*_ROUTED_IPV4, *forwarding(facts, 4), *ipv6)
    return NO_IPV6 if facts.ipv6 else ()


def _port_settings(network: Network) -> Conf:
    """Return the settings of the vxlan device's port. With icc: false it is isolated, as the ports of sandboxes are."""
    is_isolated = int(not network.icc)
    return tuple((name, is_isolated if name == "isolated" else value) for name, value in _PORT_SETTINGS)


def _bridged_peer(network: Network, peer: OverlayPeer) -> t.Iterator[Object]:
    """Yield where each sandbox of a peer is: its MAC address behind the peer's VTEP, its addresses with that MAC."""
    for sandbox in peer.sandboxes:
        mac = network.peer_mac(sandbox)
        yield ForwardingEntry(HOST, network.vxlan_device, mac, str(peer.vtep))
        yield from _neighbours(network, sandbox.addresses, mac)


def _routed_peer(network: Network, overlay: Overlay, peer: OverlayPeer) -> t.Iterator[Object]:
    """Yield three objects for a whole peer: the MAC address of its router, a neighbour with that, and a route by it."""
    link, mac = network.vxlan_device, names.router_mac(overlay.vni, str(peer.vtep))
    yield ForwardingEntry(HOST, link, mac, str(peer.vtep), bridged=False, sticky=False)
    for subnet in peer.subnets:
        router = str(subnet.network_address + 1)
        yield Neighbour(HOST, link, router, mac)
        yield Route(HOST, str(subnet), link, router, onlink=True)


def _local_neighbours(attachment: Attachment) -> t.Iterator[Object]:
    """Yield the neighbours for a sandbox of this host: nothing that another one sends can claim its addresses."""
    endpoint, network = attachment.endpoint, attachment.network
    link_local = set(endpoint.link_local_ips)
    own = [ipaddress.ip_address(cidr.partition("/")[0]) for cidr in endpoint.addresses]
    yield from _neighbours(network, [address for address in own if address not in link_local], endpoint.mac_address)


def _routes_to_peers(attachment: Attachment) -> t.Iterator[Object]:
    """Yield a sandbox's routes to other hosts' slices. Its default route may use another network, or be missing."""
    network = attachment.network
    for whole in network.overlay_options.whole:
        via = next((subnet.gateway for subnet in network.subnets if subnet.version == whole.version), None)
        if via is not None:
            yield Route(attachment.netns, str(whole), attachment.endpoint.interface_name, str(via))


def _neighbours(network: Network, addresses: t.Iterable[IPAddress], mac: str) -> t.Iterator[Object]:
    for address in addresses:
        yield Neighbour(HOST, network.bridge_name, str(address), mac)
