# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Reading namespaces: each is entered once, asked once, and left."""

from __future__ import annotations

import os
import socket
import struct
import typing as t

from ..linux import link_attributes, netlink
from ..linux.netlink import (
    ADDRESSES,
    FORWARDS,
    LINKS,
    NEIGHBOURS,
    RTM_GETADDR,
    RTM_GETLINK,
    RTM_GETNEIGH,
    RTM_GETROUTE,
    Attributes,
    Socket,
)
from ..linux.netns import enter, inode_of, open_named, open_own
from ..names import LINK_GROUP, PAIR_GROUP, ROUTE_PROTOCOL, TUNNEL_GROUP

if t.TYPE_CHECKING:
    from ..state.objects import Conf, Data

IFF_UP = 0x1
_NUD_NOARP, _NTF_EXT_LEARNED = 0x40, 0x10  # linux/neighbour.h
_OUR_PROTOCOL = bytes((ROUTE_PROTOCOL,))
_RTNH_F_ONLINK = 0x4
OUR_GROUPS = frozenset((LINK_GROUP, PAIR_GROUP, TUNNEL_GROUP))
# Places in the kernel's arrays of per-interface settings: linux/ip.h counts from 1, linux/ipv6.h from 0.
_CONF4 = {
    "forwarding": 0,
    "accept_redirects": 3,
    "send_redirects": 5,
    "rp_filter": 7,
    "arp_notify": 21,
    "route_localnet": 25,
}
_CONF6 = {"forwarding": 0, "accept_ra": 3, "autoconf": 5, "disable_ipv6": 26, "accept_dad": 27}

ADDRESS_MODE = "ipv6/addr_gen_mode"  # 1: no link-local address by itself
_EVERY_SETTING = tuple(
    sorted([(f"ipv4/{name}", 0) for name in _CONF4] + [(f"ipv6/{name}", 0) for name in _CONF6] + [(ADDRESS_MODE, 0)])
)


_NONE: Attributes = {}


class LinkSnapshot(t.NamedTuple):
    """One interface as the kernel shows it. peer and master are interface numbers; away: peer is one of another namespace."""

    index: int
    flags: int
    name: str
    mac: str
    mtu: int
    peer: int
    master: int
    group: int
    alias: str
    kind: str
    isolated: bool
    hairpin: bool
    learning: bool
    data: Data
    port: Conf
    specific: bytes
    away: bool = False

    def conf(self, wanted: Conf) -> Conf:
        """Return the present values of the settings that wanted names; -1 where the kernel has none."""
        if not wanted:
            return ()
        families = netlink.nested(self.specific)
        return tuple((key, _setting(families, key)) for key, value in wanted)

    def settings(self) -> Conf:
        """Return all settings that we ever write, for going back to a link that nothing wants any more."""
        found = self.conf(_EVERY_SETTING)
        return tuple((key, value) for key, value in found if value >= 0)

    def lasting(self) -> tuple[t.Any, ...]:
        """Return all that stays as it is while nobody changes it: carriers settle, counters and timers run."""
        families = netlink.nested(self.specific)
        settings = [netlink.nested(families.get(family, b"")).get(kind) for family, kind in ((2, 1), (10, 2))]
        return (self.index, self.flags & IFF_UP, *self[2:-2], self.away, settings)


class NetnsSnapshot(t.NamedTuple):
    """What one namespace holds. inode tells whether two names are one namespace."""

    netns: str
    inode: int
    links: dict[int, LinkSnapshot]
    addresses: list[tuple[int, str]]  # interface number, CIDR
    routes: list[tuple[int, str, str, int, bool]]  # interface number, destination, via, metric, onlink; ours only
    neighbours: t.Sequence[tuple[int, str, str]] = ()  # interface number, address, MAC; ours only
    # interface number, MAC, VTEP, whether it is the bridge's row, whether a routing daemon has taken that over
    forwards: t.Sequence[tuple[int, str, str, bool, bool]] = ()

    def by_name(self) -> dict[str, LinkSnapshot]:
        """Return the interfaces by name."""
        return {row.name: row for row in self.links.values()}


_REQUESTS = ((RTM_GETLINK, LINKS), (RTM_GETADDR, ADDRESSES), (RTM_GETROUTE, netlink.routes_of(ROUTE_PROTOCOL)))


def read(name: str, inode: int, sock: Socket) -> NetnsSnapshot:
    """Return what the socket's namespace holds."""
    links, addresses, routes = (sock.dump(*request) for request in _REQUESTS)
    rows = [_link(fixed, attributes) for fixed, attributes in links]
    overlaid = any(row.kind == "vxlan" and row.group == LINK_GROUP for row in rows)
    return NetnsSnapshot(
        name,
        inode,
        {row.index: row for row in rows},
        [_address(*row) for row in addresses],
        [_route(*row) for row in routes],
        *(_entries(sock) if overlaid else ()),
    )


def _entries(sock: Socket) -> tuple[list[tuple[int, str, str]], list[tuple[int, str, str, bool, bool]]]:
    """Return our permanent neighbours and the static forwarding entries, with the bridge's of those that a routing daemon took over.

    What a routing daemon has made by itself is left out: it is many, and changes all the time.
    """
    neighbours = [
        (struct.unpack_from("=i", fixed, 4)[0], _text(attributes[1]), attributes[2].hex(":"))
        for fixed, attributes in sock.dump(RTM_GETNEIGH, NEIGHBOURS)
        if attributes.get(12) == _OUR_PROTOCOL and 2 in attributes
    ]
    forwards, learned = [], []
    for fixed, attributes in sock.dump(RTM_GETNEIGH, FORWARDS):
        index, state, flags = struct.unpack_from("=iHB", fixed, 4)
        bridged, is_learned = 9 in attributes, bool(flags & _NTF_EXT_LEARNED)
        if is_learned and bridged:
            learned.append((index, attributes[2].hex(":"), "", True, True, state))
        elif state & _NUD_NOARP and not is_learned:
            forwards.append((index, attributes[2].hex(":"), _text(attributes.get(1)), bridged, False))
    tunnelled = {row[:2] for row in forwards if not row[3]}
    return neighbours, forwards + [row[:5] for row in learned if row[5] & _NUD_NOARP or row[:2] in tunnelled]


def _text(address: bytes | None) -> str:
    if not address:
        return ""
    return socket.inet_ntop(socket.AF_INET if len(address) == 4 else socket.AF_INET6, address)


def read_host() -> NetnsSnapshot:
    """Return what the calling thread's namespace holds."""
    fd = open_own()
    try:
        with Socket() as sock:
            return read("", inode_of(fd), sock)
    finally:
        os.close(fd)


def read_named(wanted: t.Iterable[str], also: t.Callable[[str], None] = lambda name: None) -> dict[str, NetnsSnapshot]:
    """Return the namespaces that exist of those wanted; also is called inside each.

    A handle that is no namespace (any file may lie in /run/netns) is left out.
    """
    found = {}
    home = open_own()
    try:
        for name in wanted:
            try:
                fd = open_named(name)
            except OSError:
                continue
            try:
                enter(fd)
                with Socket() as sock:
                    found[name] = read(name, inode_of(fd), sock)
                also(name)
            except OSError:
                continue
            finally:
                os.close(fd)
    finally:
        enter(home)
        os.close(home)
    return found


def _link(fixed: bytes, attributes: Attributes) -> LinkSnapshot:
    index, flags = struct.unpack_from("=iI", fixed, 4)
    info = netlink.nested(attributes[18]) if 18 in attributes else _NONE
    kind = netlink.text(info.get(1))
    data = link_attributes.data(kind, netlink.nested(info[2])) if kind != "veth" and 2 in info else ()
    port = netlink.nested(info[5]) if 5 in info and info.get(4) == b"bridge\0" else _NONE
    number = netlink.number
    return LinkSnapshot(
        index,
        flags,
        netlink.text(attributes.get(3)),
        attributes.get(1, b"").hex(":"),
        number(attributes.get(4)),
        number(attributes.get(5)),
        number(attributes.get(10)),
        number(attributes.get(27)),
        netlink.text(attributes.get(20)),
        kind,
        port.get(33) == b"\1",
        port.get(4) == b"\1",
        port.get(8) != b"\0",
        data,
        link_attributes.port(port) if kind == "vxlan" else (),
        attributes.get(26, b""),
        37 in attributes,
    )


def _address(fixed: bytes, attributes: Attributes) -> tuple[int, str]:
    family, length, flags, scope, index = struct.unpack_from("=BBBBI", fixed)
    return index, f"{socket.inet_ntop(family, attributes.get(2) or attributes[1])}/{length}"


def _route(fixed: bytes, attributes: Attributes) -> tuple[int, str, str, int, bool]:
    family, length = fixed[0], fixed[1]
    size = 4 if family == socket.AF_INET else 16
    destination = f"{socket.inet_ntop(family, attributes.get(1) or bytes(size))}/{length}"
    via = socket.inet_ntop(family, attributes[5]) if 5 in attributes else ""
    metric = netlink.number(attributes.get(6))
    # The kernel gives IPv6 routes without a metric 1024.
    metric = 0 if family == socket.AF_INET6 and metric == 1024 else metric
    onlink = bool(struct.unpack_from("=I", fixed, 8)[0] & _RTNH_F_ONLINK)
    return netlink.number(attributes.get(4)), destination, via, metric, onlink


def _setting(families: Attributes, key: str) -> int:
    family, slash, name = key.partition("/")
    number, places, inner = (2, _CONF4, 1) if family == "ipv4" else (10, _CONF6, 2)
    attributes = netlink.nested(families.get(number, b""))
    if key == ADDRESS_MODE:
        return netlink.number(attributes.get(8), -1)
    values = attributes.get(inner)
    if values is None or len(values) < 4 * places[name] + 4:
        return -1
    return int(struct.unpack_from("=i", values, 4 * places[name])[0])


class HostSnapshot(t.NamedTuple):
    """What was read of a host: its own namespace, those of sandboxes, and nft's generation where we have a table."""

    host: NetnsSnapshot
    inside: dict[str, NetnsSnapshot]
    generations: dict[str, int]
