# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Reads namespaces: each is entered once, dumped once, and left.

The answer of a run without changes imports this file, so it imports neither the model nor pyroute2.
"""

from __future__ import annotations

import os
import typing as t

from ..linux import addresses, links, neighbours, netlink, routes
from ..linux.links import LinkRow
from ..linux.neighbours import ForwardingRow, NeighbourRow
from ..linux.netlink import (
    ADDRESSES,
    FORWARDS,
    LINKS,
    NEIGHBOURS,
    RTM_GETADDR,
    RTM_GETLINK,
    RTM_GETNEIGH,
    RTM_GETROUTE,
    Socket,
)
from ..linux.netns import enter, inode_of, open_named, open_own
from ..linux.routes import RouteRow
from ..names import LINK_GROUP, PAIR_GROUP, ROUTE_PROTOCOL, TUNNEL_GROUP

OWN_GROUPS = frozenset((LINK_GROUP, PAIR_GROUP, TUNNEL_GROUP))
_REQUESTS = ((RTM_GETLINK, LINKS), (RTM_GETADDR, ADDRESSES), (RTM_GETROUTE, netlink.routes_of(ROUTE_PROTOCOL)))


class NetnsSnapshot(t.NamedTuple):
    """The dumps of one namespace. Two names with the same inode are one namespace.

    Routes and neighbours are those with dockless's protocol number. Forwarding entries are read where there is a bridge
    of dockless, neighbours where there is an overlay network's vxlan device.
    """

    netns: str
    inode: int
    links: dict[int, LinkRow]  # by interface index
    addresses: list[tuple[int, str]]  # interface index, CIDR
    routes: list[RouteRow]
    neighbours: t.Sequence[NeighbourRow] = ()
    forwarding: t.Sequence[ForwardingRow] = ()

    def by_name(self) -> dict[str, LinkRow]:
        """Return the interfaces by name."""
        return {row.name: row for row in self.links.values()}

    def name_of(self, index: int) -> str:
        """Return the name of the interface with this index, "" if there is none in this namespace."""
        return self.links[index].name if index in self.links else ""


class HostSnapshot(t.NamedTuple):
    """A snapshot of a host: its own namespace, those of sandboxes, and nft's generation in each that has a table."""

    host: NetnsSnapshot
    sandboxes: dict[str, NetnsSnapshot]
    generations: dict[str, int]


def read(name: str, inode: int, sock: Socket) -> NetnsSnapshot:
    """Return the dumps of the namespace in which the socket was opened."""
    link_rows, address_rows, route_rows = (sock.dump(*request) for request in _REQUESTS)
    found = [links.decode(*row) for row in link_rows]
    snapshot = NetnsSnapshot(
        name,
        inode,
        {row.ifindex: row for row in found},
        [addresses.decode(*row) for row in address_rows],
        [routes.decode(*row) for row in route_rows],
    )
    # The bridges and vxlan devices of dockless are on the host. Those that a sandbox's root makes are not dockless's.
    own_kinds = {row.kind for row in found if row.group == LINK_GROUP} if not name else set()
    if "vxlan" in own_kinds:
        snapshot = snapshot._replace(neighbours=neighbours.decode_neighbours(sock.dump(RTM_GETNEIGH, NEIGHBOURS)))
    if own_kinds & {"bridge", "vxlan"}:
        snapshot = snapshot._replace(forwarding=neighbours.decode_forwarding(sock.dump(RTM_GETNEIGH, FORWARDS)))
    return snapshot


def read_host() -> NetnsSnapshot:
    """Return the dumps of the calling thread's namespace."""
    fd = open_own()
    try:
        with Socket() as sock:
            return read("", inode_of(fd), sock)
    finally:
        os.close(fd)


def _visit_nothing(name: str) -> None:
    pass


def read_named(wanted: t.Iterable[str], visit: t.Callable[[str], None] = _visit_nothing) -> dict[str, NetnsSnapshot]:
    """Return the namespaces that exist of those wanted; visit is called inside each.

    A name that is no namespace (any file may lie in /run/netns) is left out.
    """
    found = {}
    home = open_own()
    try:
        for name in wanted:
            snapshot = _read_one(name, visit)
            if snapshot is not None:
                found[name] = snapshot
    finally:
        enter(home)
        os.close(home)
    return found


def _read_one(name: str, visit: t.Callable[[str], None]) -> NetnsSnapshot | None:
    """Enter a namespace and return what it holds. The caller leaves it."""
    try:
        fd = open_named(name)
    except OSError:
        return None
    try:
        enter(fd)
        with Socket() as sock:
            snapshot = read(name, inode_of(fd), sock)
        visit(name)
        return snapshot
    except OSError:
        return None
    finally:
        os.close(fd)
