# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""How messages and plans call an object."""
from __future__ import annotations

import typing as t

from .objects import Address, Barrier, File, Forward, Link, Neighbour, Netns, NftTable, Object, Passage, Route, Sysctl, Tunnel, TunnelKey, TunnelPeer, Veth


def title(thing: t.Optional[Object]) -> str:
    """Return how messages call an object: its kind and what identifies it."""
    if isinstance(thing, Veth):
        inner = f"{thing.peer_name} of {thing.peer_netns}" if thing.peer_netns else thing.peer_name
        return f"veth pair {thing.name} - {inner}" if inner else f"veth pair {thing.name}"
    if isinstance(thing, Link):
        return _at(f"{thing.kind} {thing.name}", thing.netns)
    if isinstance(thing, Netns):
        return f"namespace {thing.name}"
    if isinstance(thing, Address):
        return f"address {thing.cidr} on {_at(thing.link, thing.netns)}"
    if isinstance(thing, Route):
        return f"route {thing.destination} on {_at(thing.link, thing.netns)}"
    if isinstance(thing, Neighbour):
        return f"neighbour {thing.address} on {_at(thing.link, thing.netns)}"
    if isinstance(thing, Forward):
        return f"forwarding entry {thing.mac} on {_at(thing.link, thing.netns)}"
    if isinstance(thing, TunnelKey):
        return f"key of tunnel {thing.slot}"
    if isinstance(thing, Tunnel):
        return f"tunnel {thing.name}"
    if isinstance(thing, TunnelPeer):
        return f"host {thing.allowed} behind tunnel {thing.link}"
    if isinstance(thing, Barrier):
        return f"barrier before {thing.destination}"
    if isinstance(thing, Sysctl):
        return f"sysctl {_at(thing.name, thing.netns)}"
    if isinstance(thing, NftTable):
        return _at("nft table inet dockless", thing.netns)
    if isinstance(thing, Passage):
        return f"passage through {thing.firewall}"
    if isinstance(thing, File):
        return f"file {thing.path}"
    return f"resolver of {thing.sandbox}" if thing else "nothing"


def _at(what: str, netns: str) -> str:
    return f"{what} in {netns}" if netns else what
