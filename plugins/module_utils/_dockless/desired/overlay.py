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
from ..linux import link_attributes
from ..model import overlay as model_overlay
from ..model.facts import Facts, Underlay
from ..model.host import Endpoint, Network, Project, Subnet
from ..model.spans import IPAddress, IPNetwork, Overlay, Peer, PeerSandbox
from ..state.objects import HOST, Conf, Forward, Link, Neighbour, Object, Route

_VXLAN_OVERHEAD = 30  # Ethernet, VXLAN and UDP headers; the IP header is 20 or 40 more
_CLOSED = (("bcast_flood", 0), ("isolated", 0), ("learning", 0), ("mcast_flood", 0), ("neigh_suppress", 1), ("unicast_flood", 0))


def own_vtep(overlay: Overlay, facts: Facts) -> t.Optional[Underlay]:
    """Return this host's end of the tunnels: the address asked for, the first on the interface asked for, else the first on the way out."""
    if overlay.encrypted:
        return None
    for found in facts.underlay:
        if overlay.vtep in ((str(found.address), found.link) if overlay.vtep else ()) or not overlay.vtep and found.link == facts.uplink:
            return found
    return None


def resolved(network: Network, facts: Facts) -> Network:
    """Return the network with this host's end, its MTU where none is asked for, and of a routed one this host's slice as subnet."""
    overlay = network.overlay
    if overlay is None:
        return network
    own = own_vtep(overlay, facts)
    vtep = str(own.address) if own else overlay.vtep
    mtu = network.mtu or _mtu(network, own, facts)
    if overlay.mode == "l2":
        return network._replace(mtu=mtu, overlay=overlay._replace(vtep=vtep))
    whole = tuple(t.cast(IPNetwork, subnet.network) for subnet in network.subnets)
    return network._replace(mtu=mtu, overlay=overlay._replace(vtep=vtep, whole=whole), subnets=tuple(map(_slice, network.subnets)))


def _slice(subnet: Subnet) -> Subnet:
    inside = subnet.gateway is not None and subnet.gateway in t.cast(t.Any, subnet.ip_range)
    return subnet._replace(network=subnet.ip_range, ip_range=None, gateway=subnet.gateway if inside else None)


def _mtu(network: Network, own: t.Optional[Underlay], facts: Facts) -> int:
    room = own.mtu if own else model_overlay.mtu(network.peers, facts)
    return room - _VXLAN_OVERHEAD - (40 if ":" in (str(own.address) if own else t.cast(Overlay, network.overlay).vtep) else 20)


def warnings(projects: t.Iterable[Project]) -> t.Iterator[str]:
    """Yield that projects have different control planes. One is after another on the way from static to EVPN; for good, FRR announces both."""
    planes: t.Dict[str, str] = {}
    for project in projects:
        for network in project.networks:
            if network.overlay is not None and network.overlay.mode == "l2":
                planes.setdefault(network.overlay.control_plane, f"{project.name}/{network.name}")
    if len(planes) > 1:
        yield (f"the overlay network {planes['static']} is static and {planes['evpn']} is evpn, but FRR announces all l2 overlays of a host or none: "
               "give both the same control_plane")


def device(network: Network) -> str:
    """Return the name of a network's vxlan device."""
    return names.vxlan_link(network.project, network.name)


def realize(network: Network, facts: Facts) -> t.Iterator[Object]:
    """Yield the vxlan device of a resolved overlay, and what leads to its other hosts."""
    overlay = t.cast(Overlay, network.overlay)
    bridged = overlay.mode == "l2"
    yield Link(
        HOST, device(network), "vxlan", names.router_mac(overlay.vni, overlay.vtep), network.mtu or 0,
        names.label(network.project, network.name), master=network.bridge_name if bridged else "",
        conf=(("ipv6/addr_gen_mode", 1),) if facts.ipv6 else (), data=link_attributes.vxlan(overlay.vni, overlay.vtep, overlay.port),
        port=_port(network) if bridged else ())
    for peer in network.peers:
        if not bridged:
            yield from _route(network, overlay, peer)
        elif overlay.control_plane == "static":
            for sandbox in peer.sandboxes:
                yield Forward(HOST, device(network), peer_mac(network, sandbox), str(peer.vtep))
                yield from _neighbours(network, sandbox.addresses, peer_mac(network, sandbox))


def _port(network: Network) -> Conf:
    """Where sandboxes of one host may not talk to each other, those of two may not either: the way out is isolated from them."""
    return tuple((key, int(not network.icc) if key == "isolated" else value) for key, value in _CLOSED)


def local_entries(network: Network, endpoint: Endpoint) -> t.Iterator[Object]:
    """Yield what says where a sandbox of this host is, so that nothing it sends can claim to be another's."""
    if network.overlay is None or network.overlay.mode != "l2":
        return
    link = names.veth_link(endpoint.project, network.key, endpoint.sandbox)
    yield Forward(HOST, link, endpoint.mac_address)
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


def peer_mac(network: Network, sandbox: PeerSandbox) -> str:
    """Return the MAC of a sandbox on another host."""
    return sandbox.mac_address or names.endpoint_mac(sandbox.project or network.project, network.key, sandbox.name)


def _neighbours(network: Network, addresses: t.Iterable[IPAddress], mac: str) -> t.Iterator[Object]:
    for address in addresses:
        yield Neighbour(HOST, network.bridge_name, str(address), mac)


def _route(network: Network, overlay: Overlay, peer: Peer) -> t.Iterator[Object]:
    """Yield three objects for a whole host: where its router is, who that is, and a route by way of it."""
    link, mac = device(network), names.router_mac(overlay.vni, str(peer.vtep))
    yield Forward(HOST, link, mac, str(peer.vtep), bridged=False)
    for subnet in peer.subnets:
        via = str(subnet.network_address + 1)
        yield Neighbour(HOST, link, via, mac)
        yield Route(HOST, str(subnet), link, via, onlink=True)
