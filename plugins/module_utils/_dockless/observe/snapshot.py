# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Reads namespaces: each is entered once, dumped once, and left.

Root in a sandbox chooses how much there is to read. What is read of one is bounded; the interfaces that the caller
names are read by their names where the bound cuts the list off.

The answer of a run without changes imports this file, so it imports neither the model nor pyroute2.
"""

from __future__ import annotations

import errno
import os
import typing as t

from ..errors import DocklessError
from ..linux import addresses, links, neighbours, netlink, netns, routes
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
# Bytes of each dump in a sandbox: 1,500 links, 3,000 addresses, 5,000 routes of dockless.
_LIMITS = {RTM_GETLINK: 1 << 21, RTM_GETADDR: 1 << 18, RTM_GETROUTE: 1 << 18}
# There is no namespace: no such file, a broken link, or something that is no namespace (setns(2), open(2)).
_ABSENT = frozenset((errno.ENOENT, errno.ELOOP, errno.ENXIO, errno.EINVAL))
_REQUESTS = ((RTM_GETLINK, LINKS), (RTM_GETADDR, ADDRESSES), (RTM_GETROUTE, netlink.routes_of(ROUTE_PROTOCOL)))


class NetnsSnapshot(t.NamedTuple):
    """The dumps of one namespace. Two names with the same inode are one namespace.

    cookie is the kernel's number of the namespace (Socket.cookie). is_whole is False where there is more than what was
    read. Routes and neighbours are those with dockless's protocol number. Forwarding entries are read where there is a
    bridge of dockless, neighbours where there is an overlay network's vxlan device.
    """

    netns: str
    inode: int
    links: dict[int, LinkRow]  # by interface index
    addresses: list[tuple[int, str]]  # interface index, CIDR
    routes: list[RouteRow]
    neighbours: t.Sequence[NeighbourRow] = ()
    forwarding: t.Sequence[ForwardingRow] = ()
    cookie: int = 0
    is_whole: bool = True

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


def read_host() -> NetnsSnapshot:
    """Return the dumps of the calling thread's namespace. Raises DocklessError if it cannot be read."""
    try:
        fd = open_own()
        try:
            with Socket() as sock:
                return _read_host(inode_of(fd), sock)
        finally:
            os.close(fd)
    except OSError as error:
        raise _unreadable("the host's network namespace", error) from error


def _read_host(inode: int, sock: Socket) -> NetnsSnapshot:
    snapshot = _snapshot("", inode, *(sock.dump(*request) for request in _REQUESTS))
    snapshot = snapshot._replace(cookie=sock.cookie())
    # The bridges and vxlan devices of dockless are on the host. Those that a sandbox's root makes are not dockless's.
    own_kinds = {row.kind for row in snapshot.links.values() if row.group == LINK_GROUP}
    if "vxlan" in own_kinds:
        snapshot = snapshot._replace(neighbours=neighbours.decode_neighbours(sock.dump(RTM_GETNEIGH, NEIGHBOURS)))
    if own_kinds & {"bridge", "vxlan"}:
        snapshot = snapshot._replace(forwarding=neighbours.decode_forwarding(sock.dump(RTM_GETNEIGH, FORWARDS)))
    return snapshot


def _snapshot(
    name: str, inode: int, link_rows: list[netlink.Row], address_rows: list[netlink.Row], route_rows: list[netlink.Row]
) -> NetnsSnapshot:
    found = [links.decode(*row) for row in link_rows]
    return NetnsSnapshot(
        name,
        inode,
        {row.ifindex: row for row in found},
        [addresses.decode(*row) for row in address_rows],
        [routes.decode(*row) for row in route_rows],
    )


def _visit_nothing(name: str) -> None:
    pass


def read_named(
    wanted: t.Mapping[str, t.Collection[str]],
    optional: t.Iterable[str] = (),
    visit: t.Callable[[str], None] = _visit_nothing,
) -> dict[str, NetnsSnapshot]:
    """Return the namespaces that exist of those wanted and of the optional ones; visit is called inside each wanted.

    wanted has the names of the interfaces that the caller must know in each. A name that is no namespace (any file may
    lie in /run/netns) is left out, and so is an optional one that cannot be read. Raises DocklessError for a wanted one
    that cannot be read: nobody then knows what is in it, or whether it exists.
    """
    found = {}
    with netns.returning():
        for name, link_names in wanted.items():
            try:
                snapshot = _read_one(name, link_names, visit)
            except OSError as error:
                raise _unreadable(f"network namespace {name}", error) from error
            if snapshot is not None:
                found[name] = snapshot
        for name in optional:
            try:
                snapshot = _read_one(name, (), _visit_nothing)
            except OSError:
                continue
            if snapshot is not None:
                found[name] = snapshot
    return found


def _read_one(name: str, link_names: t.Collection[str], visit: t.Callable[[str], None]) -> NetnsSnapshot | None:
    """Enter a namespace and return what it holds, None if there is none. The caller leaves it. Raises OSError."""
    try:
        fd = open_named(name)
    except OSError as error:
        if error.errno in _ABSENT:
            return None
        raise
    try:
        try:
            enter(fd)
        except OSError as error:
            if error.errno in _ABSENT:
                return None
            raise
        snapshot = _read_sandbox(name, inode_of(fd), link_names)
        visit(name)
        return snapshot
    finally:
        os.close(fd)


def _read_sandbox(name: str, inode: int, link_names: t.Collection[str]) -> NetnsSnapshot:
    """Return what a namespace holds that others control, as far as the limits let it be read."""
    dumps = [_bounded_dump(*request) for request in _REQUESTS]
    snapshot = _snapshot(name, inode, *(found.rows for found in dumps))
    with Socket() as sock:
        snapshot = snapshot._replace(cookie=sock.cookie(), is_whole=not any(found.is_cut for found in dumps))
        if not dumps[0].is_whole:
            requests = [netlink.link_request(index=1), *(netlink.link_request(each) for each in link_names)]
            for row in filter(None, map(sock.link, requests)):
                one = links.decode(*row)
                snapshot.links[one.ifindex] = one
    return snapshot


def _bounded_dump(kind: int, body: bytes) -> netlink.Rows:
    with Socket() as sock:  # a socket of its own: one whose dump was cut cannot be used any more
        return sock.bounded_dump(kind, body, _LIMITS[kind])


def _unreadable(subject: str, error: OSError) -> DocklessError:
    number = error.errno or 0
    return DocklessError(
        f"{subject} cannot be read: {os.strerror(number)} ({errno.errorcode.get(number, number)})",
        "Nothing was changed, because what cannot be read is unknown. Run again when the host has enough memory and "
        "file descriptors.",
    )
