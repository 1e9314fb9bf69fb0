# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""The VTEP address, MTU and subnet slice of an overlay network on this host."""

from __future__ import annotations

from ..model import overlay as model_overlay
from ..model.facts import Facts, UnderlayAddress
from ..model.network import Network, SubnetRequest
from ..model.overlay import Overlay


def own_vtep(overlay: Overlay, facts: Facts) -> UnderlayAddress | None:
    """Return this host's VTEP address, None if the host has none such, or the overlay is encrypted.

    vtep may be an address or an interface, of which the first address is taken; without vtep it is the uplink.
    """
    if overlay.encrypted:
        return None
    for candidate in facts.underlay:
        identifiers = (str(candidate.address), candidate.link)
        is_wanted = overlay.vtep in identifiers if overlay.vtep else candidate.link == facts.uplink
        if is_wanted:
            return candidate
    return None


def resolve_network(network: Network, facts: Facts) -> Network:
    """Return the network with this host's VTEP address. A routed one requests this host's slice as its subnet."""
    overlay = network.overlay
    if overlay is None:
        return network
    own = own_vtep(overlay, facts)
    vtep = str(own.address) if own is not None else overlay.vtep
    if overlay.mode == "l2":
        return network._replace(overlay=overlay._replace(vtep=vtep))
    return network._replace(
        overlay=overlay._replace(vtep=vtep, whole=tuple(subnet.network for subnet in network.fixed_subnets)),
        subnet_requests=tuple(_slice(request) for request in network.subnet_requests),
    )


def default_mtu(network: Network, overlay: Overlay, facts: Facts) -> int:
    """Return the largest packet in bytes that fits into a VXLAN packet on the underlay, or inside the host's tunnel."""
    own = own_vtep(overlay, facts)
    vtep = str(own.address) if own is not None else overlay.vtep
    underlay_mtu = own.mtu if own is not None else model_overlay.wireguard_mtu(network.peers, facts)
    return underlay_mtu - model_overlay.VXLAN_OVERHEAD[6 if ":" in vtep else 4]


def _slice(request: SubnetRequest) -> SubnetRequest:
    """Return this host's slice of a routed subnet, with the gateway only if it lies in the slice."""
    host_slice = request.ip_range
    has_gateway = request.gateway is not None and host_slice is not None and request.gateway in host_slice
    return request._replace(network=host_slice, ip_range=None, gateway=request.gateway if has_gateway else None)
