# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""The VTEP, MTU and subnet slice of an overlay network on this host."""

from __future__ import annotations

import typing as t

from ..model import overlay as model_overlay
from ..model.facts import Facts, UnderlayAddress
from ..model.host import IPNetwork, Network, Overlay, Subnet


def own_vtep(overlay: Overlay, facts: Facts) -> UnderlayAddress | None:
    """Return this host's end of the tunnels: the address asked for, the first on the interface asked for, else the first on the way out."""
    if overlay.encrypted:
        return None
    for found in facts.underlay:
        if (
            overlay.vtep in ((str(found.address), found.link) if overlay.vtep else ())
            or not overlay.vtep
            and found.link == facts.uplink
        ):
            return found
    return None


def resolve_network(network: Network, facts: Facts) -> Network:
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
    return network._replace(
        mtu=mtu, overlay=overlay._replace(vtep=vtep, whole=whole), subnets=tuple(map(_slice, network.subnets))
    )


def _slice(subnet: Subnet) -> Subnet:
    inside = subnet.gateway is not None and subnet.gateway in t.cast(t.Any, subnet.ip_range)
    return subnet._replace(network=subnet.ip_range, ip_range=None, gateway=subnet.gateway if inside else None)


def _mtu(network: Network, own: UnderlayAddress | None, facts: Facts) -> int:
    link_mtu = own.mtu if own else model_overlay.mtu(network.peers, facts)
    vtep = str(own.address) if own else t.cast(Overlay, network.overlay).vtep
    return link_mtu - model_overlay.VXLAN_OVERHEAD[6 if ":" in vtep else 4]
