# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Veth pairs outside any network."""

from __future__ import annotations

import typing as t

from .. import names
from ..model.host import VethEnd, VethPair
from ..state.objects import Address, Object, Route, Veth


def veth_pair_objects(pair: VethPair) -> t.Iterator[Object]:
    end, peer = pair.end, pair.peer
    yield Veth(
        end.netns,
        end.name,
        peer.netns,
        peer.name,
        end.mac_address,
        peer.mac_address,
        end.mtu,
        peer.mtu,
        end.master,
        peer.master,
        end.up,
        peer.up,
        label=names.pair_label(end.netns, end.name),
    )
    for each in (end, peer):
        yield from _end_addresses(each)


def _end_addresses(end: VethEnd) -> t.Iterator[Object]:
    for cidr in end.addresses:
        yield Address(end.netns, end.name, cidr)
    for destination, via in end.routes:
        yield Route(end.netns, destination, end.name, via)
