# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Rows of links, addresses, routes, neighbours and forwarding entries become objects of the actual state.

Where a wanted object leaves a value open (a MAC address, settings that it does not name), the actual one leaves it open
too.
"""

from __future__ import annotations

import typing as t

from .. import names
from ..linux.links import IFF_UP, LinkRow
from ..names import LINK_GROUP, PAIR_GROUP
from ..state.keys import Key
from ..state.objects import HOST, Address, ForwardingEntry, Link, Neighbour, Object, Route, State, Veth
from .snapshot import NetnsSnapshot

Keys = t.AbstractSet[Key]
Sandboxes = t.Mapping[str, NetnsSnapshot]
End = tuple[NetnsSnapshot, LinkRow]  # one end of a veth pair, and the namespace that it is in


def observe(host: NetnsSnapshot, sandboxes: Sandboxes, wanted: State, keys_of_others: Keys) -> t.Iterator[Object]:
    """Yield the managed links, and the addresses, routes and entries on them.

    keys_of_others: of objects that only other projects declare, which are left out.
    """
    distinct: dict[int, NetnsSnapshot] = {}
    for snapshot in (host, *sandboxes.values()):
        distinct.setdefault(snapshot.inode, snapshot)
    everywhere = list(distinct.values())
    yield from (obj for obj in _links(host, everywhere, wanted, keys_of_others) if obj.key not in keys_of_others)
    yield from _plain_pairs(everywhere, wanted)
    for snapshot in everywhere:
        yield from (obj for obj in _contents(snapshot, wanted) if obj.key not in keys_of_others)


class Conflict(t.NamedTuple):
    """An unmanaged interface has the name of a wanted link. netns "" is the host's."""

    netns: str
    key: Key  # of the wanted link
    sentence: str


def conflicts(host: NetnsSnapshot, sandboxes: Sandboxes, wanted: State, actual: State) -> t.Iterator[Conflict]:
    """Yield a conflict for each unmanaged interface that has the name of a desired link."""
    by_place = {HOST: host.by_name(), **{name: snapshot.by_name() for name, snapshot in sandboxes.items()}}
    for key, obj in wanted.items():
        for netns, name in _interfaces(obj) if key not in actual else ():
            row = by_place.get(netns, {}).get(name)
            if row is not None and row.group not in (LINK_GROUP, PAIR_GROUP):
                where = f"in network namespace {netns}" if netns else "on this host"
                text = f"interface {name} exists {where} and is not managed by dockless (link group {row.group})"
                yield Conflict(netns, key, text)


def _interfaces(obj: Object) -> t.Sequence[tuple[str, str]]:
    if isinstance(obj, Link):
        return [(obj.netns, obj.name)]
    if isinstance(obj, Veth):
        return [(obj.netns, obj.name), (obj.peer_netns, obj.peer_name)]
    return []


# ---- links -------------------------------------------------------------------


def _links(
    host: NetnsSnapshot, everywhere: t.Sequence[NetnsSnapshot], wanted: State, keys_of_others: Keys
) -> t.Iterator[Link | Veth]:
    """Yield the links of LINK_GROUP: the host's links, endpoints' veth pairs, sandboxes' macvlan and ipvlan links."""
    moved_ends = _moved_ends(host, wanted, keys_of_others)
    peers = _peers(host, everywhere, moved_ends)
    for row in host.links.values():
        if _is_managed(row) and row.ifindex not in moved_ends:
            yield _endpoint(row, host, peers, wanted) if row.kind == "veth" else _single(row, host, host, wanted)
    for snapshot in everywhere:
        if snapshot is host:
            continue
        for row in snapshot.links.values():
            if _is_managed(row) and row.kind != "veth":
                yield _single(row, snapshot, host, wanted)


def _is_managed(row: LinkRow) -> bool:
    """Return whether dockless made the link. lo (index 1) has the group as the mark of its namespace."""
    return row.group == LINK_GROUP and row.ifindex != 1


def _peers(host: NetnsSnapshot, everywhere: t.Sequence[NetnsSnapshot], moved_ends: set[int]) -> dict[int, End]:
    """Return the inner ends of endpoints' pairs by the index of the host's end."""
    ends: dict[int, End] = {}
    for snapshot in everywhere:
        for row in snapshot.links.values():
            is_inner_end = snapshot is not host or row.ifindex in moved_ends
            if row.kind == "veth" and row.group == LINK_GROUP and is_inner_end:
                ends[row.peer] = (snapshot, row)
    return ends


def _moved_ends(host: NetnsSnapshot, wanted: State, keys_of_others: Keys) -> set[int]:
    """Return the indexes of inner ends that were moved to the host.

    Both ends of such a pair are on the host. The inner one is the one whose name is not declared.
    """
    found = set()
    for row in host.links.values():
        peer = host.links.get(row.peer)
        if peer is None or not _are_one_pair(row, peer):
            continue
        own_key, peer_key = ("veth", HOST, row.name), ("veth", HOST, peer.name)
        is_declared = own_key in wanted or own_key in keys_of_others
        peer_is_declared = peer_key in wanted or peer_key in keys_of_others
        if not is_declared and (peer_is_declared or row.ifindex > peer.ifindex):
            found.add(row.ifindex)
    return found


def _are_one_pair(row: LinkRow, peer: LinkRow) -> bool:
    """Return whether two links of one namespace are each other's peer; an index alone may be of another namespace."""
    is_own_veth = row.kind == "veth" and row.group == LINK_GROUP
    is_elsewhere = row.peer_is_elsewhere or peer.peer_is_elsewhere
    return is_own_veth and peer.peer == row.ifindex and not is_elsewhere


def _endpoint(row: LinkRow, host: NetnsSnapshot, peers: t.Mapping[int, End], wanted: State) -> Veth:
    peer = peers.get(row.ifindex)
    if peer is not None and peer[1].ifindex != row.peer:
        peer = None
    return _veth((host, row), peer, wanted, "")


def _veth(end: End, peer: End | None, wanted: State, label: str) -> Veth:
    """Return a pair, or what is left of one whose other end is not found."""
    snapshot, row = end
    desired = wanted.get(("veth", snapshot.netns, row.name))
    desired = desired if isinstance(desired, Veth) else None
    pair = Veth(
        snapshot.netns,
        row.name,
        "",
        "",
        mac="" if desired and not desired.mac else row.mac,
        mtu=row.mtu,
        master=snapshot.name_of(row.master),
        up=bool(row.flags & IFF_UP),
        isolated=row.isolated,
        hairpin=row.hairpin,
        learning=row.learning,
        arp=row.arp or bool(label),
        label=label,
        conf=row.conf(desired.conf) if desired else row.settings(),
    )
    if peer is None:
        return pair
    peer_snapshot, peer_row = peer
    return pair._replace(
        peer_netns=peer_snapshot.netns,
        peer_name=peer_row.name,
        peer_mac="" if desired and not desired.peer_mac else peer_row.mac,
        peer_mtu=peer_row.mtu,
        peer_master=peer_snapshot.name_of(peer_row.master),
        peer_up=bool(peer_row.flags & IFF_UP),
        peer_conf=peer_row.conf(desired.peer_conf) if desired else peer_row.settings(),
    )


def _single(row: LinkRow, snapshot: NetnsSnapshot, host: NetnsSnapshot, wanted: State) -> Link:
    """Return a link that is not one of a pair. The parent of one in a sandbox is an interface of the host."""
    desired = wanted.get(("link", snapshot.netns, row.name))
    desired = desired if isinstance(desired, Link) else None
    is_parent_on_host = snapshot is host or row.peer_is_elsewhere
    return Link(
        snapshot.netns,
        row.name,
        row.kind,
        "" if desired and not desired.mac else row.mac,
        row.mtu,
        row.alias,
        master=snapshot.name_of(row.master),
        up=bool(row.flags & IFF_UP),
        conf=row.conf(desired.conf) if desired else row.settings(),
        data=row.data,
        parent=host.name_of(row.peer) if row.peer and is_parent_on_host else "",
        port=row.port,
        arp=row.arp or snapshot is not host,
    )


def _plain_pairs(everywhere: t.Sequence[NetnsSnapshot], wanted: State) -> t.Iterator[Veth]:
    """Yield the pairs outside of networks. The alias of both ends has the namespace and name of the first end."""
    by_label: dict[str, list[End]] = {}
    for snapshot in everywhere:
        for row in snapshot.links.values():
            if row.group == PAIR_GROUP and row.kind == "veth":
                by_label.setdefault(row.alias, []).append((snapshot, row))
    for label, ends in by_label.items():
        ends.sort(key=lambda end: names.pair_label(end[0].netns, end[1].name) != label)
        yield _veth(ends[0], ends[1] if len(ends) > 1 else None, wanted, label)


# ---- addresses, routes and entries on links ----------------------------------


def _contents(snapshot: NetnsSnapshot, wanted: State) -> t.Iterator[Object]:
    """Yield addresses, neighbours and forwarding entries of managed links, and routes with dockless's protocol."""
    managed = {
        row.ifindex: row.name
        for row in snapshot.links.values()
        if row.group in (LINK_GROUP, PAIR_GROUP) and row.name != "lo"
    }
    yield from _addresses(snapshot, managed, wanted)
    for route in snapshot.routes:
        link = snapshot.name_of(route.ifindex)
        yield Route(snapshot.netns, route.destination, link, route.via, route.metric, route.onlink)
    for neighbour in snapshot.neighbours:
        if neighbour.ifindex in managed:
            yield Neighbour(snapshot.netns, managed[neighbour.ifindex], neighbour.address, neighbour.mac)
    yield from _forwarding_entries(snapshot, managed, wanted)


def _addresses(snapshot: NetnsSnapshot, managed: t.Mapping[int, str], wanted: State) -> t.Iterator[Address]:
    """Yield addresses. Link-local IPv6 addresses that nothing declares are the kernel's own."""
    for index, cidr in snapshot.addresses:
        if index not in managed:
            continue
        address = Address(snapshot.netns, managed[index], cidr)
        if not cidr.startswith("fe80:") or address.key in wanted:
            yield address


def _forwarding_entries(
    snapshot: NetnsSnapshot, managed: t.Mapping[int, str], wanted: State
) -> t.Iterator[ForwardingEntry]:
    """Yield the static forwarding entries of ports. That of a vxlan device and the bridge's for it are one object.

    A routing daemon takes over the entries that it finds, and marks only the bridge's entry. Only the
    daemon removes them. Such an entry counts as the declared one if the declaration has the same.
    """
    on_bridge = {(row.ifindex, row.mac): row for row in snapshot.forwarding if row.is_bridged}
    on_device = {(row.ifindex, row.mac): row.vtep for row in snapshot.forwarding if not row.is_bridged}
    for index, mac in dict.fromkeys((*on_bridge, *on_device)):
        if index not in managed:
            continue
        vtep = on_device.get((index, mac), "")
        bridged = on_bridge.get((index, mac))
        is_sticky = bridged is not None and bridged.is_sticky
        entry = ForwardingEntry(snapshot.netns, managed[index], mac, vtep, bridged is not None, is_sticky)
        is_taken_over = bridged is not None and bridged.is_learned
        if entry.key in wanted or not is_taken_over:
            yield entry
