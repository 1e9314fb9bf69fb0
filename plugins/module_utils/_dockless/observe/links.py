# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Links, addresses and routes as they were read -> objects, told in the terms of what is wanted."""

from __future__ import annotations

import typing as t

from .. import names
from ..names import LINK_GROUP, PAIR_GROUP
from ..state.objects import HOST, Address, ForwardingEntry, Key, Link, Neighbour, Route, State, Veth
from .snapshot import IFF_UP, LinkSnapshot, NetnsSnapshot

Keys = t.AbstractSet[Key]


def observe(
    host: NetnsSnapshot, inside: dict[str, NetnsSnapshot], wanted: State, kept: Keys, state: State, conflicts: list[str]
) -> None:
    """Add to state what is ours of links, addresses and routes, and to conflicts what foreign links are in the way."""
    distinct: dict[int, NetnsSnapshot] = {}
    for space in (host, *inside.values()):
        distinct.setdefault(space.inode, space)
    everywhere = list(distinct.values())
    strays = _strays(host, wanted, kept)
    inner = {
        row.peer: (space, row)
        for space in everywhere
        for row in space.links.values()
        if row.kind == "veth" and row.group == LINK_GROUP and (space is not host or row.index in strays)
    }
    for row in host.links.values():
        if row.group == LINK_GROUP and row.index != 1 and row.index not in strays:
            thing = _endpoint(row, host, inner, wanted) if row.kind == "veth" else _single(row, host, host, wanted)
            if thing.key not in kept:
                state[thing.key] = thing
    for space in distinct.values():
        for row in () if space is host else space.links.values():
            if row.group == LINK_GROUP and row.index != 1 and row.kind != "veth":
                thing = _single(row, space, host, wanted)
                if thing.key not in kept:
                    state[thing.key] = thing
    for thing in _plain_pairs(everywhere, wanted):
        state[thing.key] = thing
    for space in everywhere:
        _contents(space, wanted, kept, state)
    _foreign(host, inside, wanted, state, conflicts)


def _strays(host: NetnsSnapshot, wanted: State, kept: Keys) -> set[int]:
    """Return inner ends that somebody has moved to the host: of a pair that is there whole, the one that nobody wants by name."""
    found = set()
    for row in host.links.values():
        other = host.links.get(row.peer)
        if (
            row.kind == "veth"
            and row.group == LINK_GROUP
            and other is not None
            and other.peer == row.index
            and not (row.away or other.away)
        ):
            first, second = (("veth", HOST, end.name) for end in (row, other))
            known = second in wanted or second in kept
            if first not in wanted and first not in kept and (known or row.index > other.index):
                found.add(row.index)
    return found


def _endpoint(
    row: LinkSnapshot, host: NetnsSnapshot, inner: t.Mapping[int, tuple[NetnsSnapshot, LinkSnapshot]], wanted: State
) -> Veth:
    space, peer = inner.get(row.index, (None, None))
    if peer is not None and peer.index != row.peer:
        space, peer = None, None
    return _veth(host, row, space, peer, wanted, "")


def _veth(
    space: NetnsSnapshot,
    row: LinkSnapshot,
    peer_space: NetnsSnapshot | None,
    peer: LinkSnapshot | None,
    wanted: State,
    label: str,
) -> Veth:
    want = wanted.get(("veth", space.netns, row.name))
    want = want if isinstance(want, Veth) else None
    common = {
        "mac": "" if want and not want.mac else row.mac,
        "mtu": row.mtu,
        "master": _name(space, row.master),
        "up": bool(row.flags & IFF_UP),
        "isolated": row.isolated,
        "hairpin": row.hairpin,
        "learning": row.learning,
        "label": label,
        "conf": row.conf(want.conf) if want else row.settings(),
    }
    if peer is None or peer_space is None:
        return Veth(space.netns, row.name, "", "", **common)
    return Veth(
        space.netns,
        row.name,
        peer_space.netns,
        peer.name,
        peer_mac="" if want and not want.peer_mac else peer.mac,
        peer_mtu=peer.mtu,
        peer_master=_name(peer_space, peer.master),
        peer_up=bool(peer.flags & IFF_UP),
        peer_conf=peer.conf(want.peer_conf) if want else peer.settings(),
        **common,
    )


def _name(space: NetnsSnapshot, index: int) -> str:
    return space.links[index].name if index in space.links else ""


def _single(row: LinkSnapshot, space: NetnsSnapshot, host: NetnsSnapshot, wanted: State) -> Link:
    """Return a link that is none of a pair; what one in a sandbox sits on is the host's."""
    want = wanted.get(("link", space.netns, row.name))
    want = want if isinstance(want, Link) else None
    conf = row.conf(want.conf) if want else row.settings()
    mac = "" if want and not want.mac else row.mac  # that of what it sits on
    return Link(
        space.netns,
        row.name,
        row.kind,
        mac,
        row.mtu,
        row.alias,
        _name(space, row.master),
        bool(row.flags & IFF_UP),
        conf,
        row.data,
        _name(host, row.peer) if row.peer else "",
        row.port,
    )


def _plain_pairs(everywhere: t.Sequence[NetnsSnapshot], wanted: State) -> t.Iterator[Veth]:
    """Pairs outside any network are found by the alias on both ends, which says where the first end is."""
    ends: dict[str, list[tuple[NetnsSnapshot, LinkSnapshot]]] = {}
    for space in everywhere:
        for row in space.links.values():
            if row.group == PAIR_GROUP and row.kind == "veth":
                ends.setdefault(row.alias, []).append((space, row))
    for label, pair in ends.items():
        pair.sort(key=lambda end: names.pair_label(end[0].netns, end[1].name) != label)
        (space, row), rest = pair[0], pair[1:]
        yield _veth(space, row, rest[0][0] if rest else None, rest[0][1] if rest else None, wanted, label)


def _contents(space: NetnsSnapshot, wanted: State, kept: Keys, state: State) -> None:
    ours = {
        row.index: row.name
        for row in space.links.values()
        if row.group in (LINK_GROUP, PAIR_GROUP) and row.name != "lo"
    }
    for index, cidr in space.addresses:
        if index in ours:
            thing = Address(space.netns, ours[index], cidr)
            by_kernel = cidr.startswith("fe80:") and thing.key not in wanted
            if not by_kernel and thing.key not in kept:
                state[thing.key] = thing
    for index, destination, via, metric, onlink in space.routes:
        route = Route(space.netns, destination, _name(space, index), via, metric, onlink)
        if route.key not in kept:
            state[route.key] = route
    found = [
        Neighbour(space.netns, ours[index], address, mac) for index, address, mac in space.neighbours if index in ours
    ]
    for thing in (*found, *_forwards(space, ours, wanted)):
        if thing.key not in kept:
            state[thing.key] = thing


def _forwards(space: NetnsSnapshot, ours: t.Mapping[int, str], wanted: State) -> t.Iterator[ForwardingEntry]:
    """Yield the static forwarding entries of ports; that of a vxlan device and its bridge's are one.

    A routing daemon takes over what it finds, and says so in the bridge's entry only. What it has taken over is
    its own to remove, and as good as ours where we want the same.
    """
    bridged = {(index, mac): learned for index, mac, vtep, is_bridged, learned in space.forwards if is_bridged}
    tunnelled = {(index, mac): vtep for index, mac, vtep, is_bridged, learned in space.forwards if not is_bridged}
    for index, mac in {**dict.fromkeys(bridged), **dict.fromkeys(tunnelled)}:
        if index not in ours:
            continue
        thing = ForwardingEntry(space.netns, ours[index], mac, tunnelled.get((index, mac), ""), (index, mac) in bridged)
        if thing.key in wanted or not bridged.get((index, mac)):
            yield thing


def _foreign(
    host: NetnsSnapshot, inside: dict[str, NetnsSnapshot], wanted: State, state: State, conflicts: list[str]
) -> None:
    links = {"": host.by_name(), **{name: space.by_name() for name, space in inside.items()}}
    for key, thing in wanted.items():
        if key in state:
            continue
        if isinstance(thing, Link):
            ends = [(thing.netns, thing.name)]
        elif isinstance(thing, Veth):
            ends = [(thing.netns, thing.name), (thing.peer_netns, thing.peer_name)]
        else:
            continue
        for place, name in ends:
            row = links.get(place, {}).get(name)
            if row is not None and row.group not in (LINK_GROUP, PAIR_GROUP):
                where = f"in network namespace {place}" if place else "on this host"
                conflicts.append(f"interface {name} exists {where} and is not ours (group {row.group})")
