# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""WireGuard links, their peers, keys and barriers as they are -> objects, told in the terms of what is wanted."""

from __future__ import annotations

import typing as t

from .. import names
from ..linux import wireguard
from ..names import LAST_METRIC, TUNNEL_GROUP
from ..state.objects import HOST, KillSwitchRoute, Object, State, WireguardKey, WireguardLink, WireguardPeer
from .snapshot import IFF_UP, LinkSnapshot, NetnsSnapshot

_KINDS = frozenset(("wireguard", "tun"))


def observe(host: NetnsSnapshot, wanted: State, state: State, conflicts: list[str]) -> None:
    """Add to state what is ours of tunnels, and take from it the routes that belong to them; a foreign link in the way is a conflict.

    A key that no tunnel has or is to have is left out: it was made beforehand, for other hosts to be told of.
    """
    slots = {thing.slot for thing in wanted.values() if isinstance(thing, WireguardKey)}
    for row in host.links.values():
        want = wanted.get(("tunnel", HOST, row.name))
        want = want if isinstance(want, WireguardLink) else None
        half_made = want is not None and row.kind in _KINDS and row.alias in ("", want.label)
        if row.group != TUNNEL_GROUP and not half_made:
            if want is not None:
                conflicts.append(f"interface {row.name} exists on this host and is not ours (group {row.group})")
            continue
        for thing in _link(row, host, want):
            state[thing.key] = thing
            if isinstance(thing, WireguardLink):
                slots.add(thing.slot)
    _routes(host, wanted, state)
    for slot in sorted(slots & set(wireguard.slots_with_key())) if slots else ():
        want_key = wanted.get(("tunnelkey", slot))
        # Whoever knows the key wants to hear that it is still that one; others only that there is one.
        asked = isinstance(want_key, WireguardKey) and want_key.public_key
        state["tunnelkey", slot] = WireguardKey(slot, wireguard.public_key(slot) or "" if asked else "")


def _link(row: LinkSnapshot, host: NetnsSnapshot, want: WireguardLink | None) -> t.Iterator[Object]:
    found = wireguard.show(row.name)
    slot = row.alias.rpartition(" ")[2] if row.alias.startswith(names.tunnel_label("")) else want.slot if want else ""
    public = found.public_key if found else ""
    if want is not None and not want.public_key and found is not None and public == wireguard.public_key(slot):
        public = ""
    addresses = [cidr for index, cidr in host.addresses if index == row.index and not cidr.startswith("fe80:")]
    yield WireguardLink(
        HOST,
        row.name,
        slot,
        public,
        found.listen_port if found else 0,
        row.mtu,
        " ".join(sorted(addresses)),
        row.alias,
        bool(row.flags & IFF_UP),
        row.conf(want.conf) if want else row.settings(),
        found is not None and row.group == TUNNEL_GROUP,
    )
    through = {destination for index, destination, via, metric, onlink in host.routes if index == row.index}
    for peer in found.peers if found else ():
        yield WireguardPeer(
            HOST, row.name, peer.public_key, peer.endpoint, " ".join(peer.allowed), through.issuperset(peer.allowed)
        )


def _routes(host: NetnsSnapshot, wanted: State, state: State) -> None:
    """Tell the routes that peers have with them, and those that lead nowhere on purpose, from routes of their own."""
    theirs = {
        (thing.link, cidr)
        for thing in (*state.values(), *wanted.values())
        if isinstance(thing, WireguardPeer)
        for cidr in thing.allowed.split()
    }
    for index, destination, via, metric, onlink in host.routes:
        if metric == LAST_METRIC:
            state.pop(("route", HOST, destination, metric), None)  # type: ignore[arg-type]
            barrier = KillSwitchRoute(HOST, destination)
            state[barrier.key] = barrier
        elif index in host.links and (host.links[index].name, destination) in theirs:
            state.pop(("route", HOST, destination, metric), None)  # type: ignore[arg-type]
