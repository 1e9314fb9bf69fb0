# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Veth pairs outside any network, with the addresses and routes of both ends."""

from __future__ import annotations

import typing as t

from .. import names
from ..model.facts import Facts
from ..model.host import VethEnd, VethPair
from ..state.keys import Conf
from ..state.objects import Address, Object, Route, Veth
from .attachment import NO_ARP_ANSWERS, NO_IPV6


def veth_pair_objects(pair: VethPair, bridged: t.Container[str], facts: Facts) -> t.Iterator[Object]:
    """Yield a pair and what is on its ends. bridged: ends that are ports of dockless's bridges, and take no packets."""
    end, peer = pair.end, pair.peer
    yield Veth(
        end.netns,
        end.name,
        peer.netns,
        peer.name,
        mac=end.mac_address,
        peer_mac=peer.mac_address,
        mtu=end.mtu,
        peer_mtu=peer.mtu,
        master=end.master,
        peer_master=peer.master,
        up=end.up,
        peer_up=peer.up,
        label=names.pair_label(end.netns, end.name),
        conf=_conf(end, bridged, facts),
        peer_conf=_conf(peer, bridged, facts),
    )
    for each in (end, peer):
        yield from _on_end(each)


def _conf(end: VethEnd, bridged: t.Container[str], facts: Facts) -> Conf:
    is_bridged = not end.netns and end.name in bridged
    if not is_bridged:
        return ()
    return NO_ARP_ANSWERS + (NO_IPV6 if facts.ipv6 else ())


def _on_end(end: VethEnd) -> t.Iterator[Object]:
    for cidr in end.addresses:
        yield Address(end.netns, end.name, cidr)
    for destination, via in end.routes:
        yield Route(end.netns, destination, end.name, via)
