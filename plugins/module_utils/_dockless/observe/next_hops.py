# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Decodes the next hops of routes: a route's own, several of one route (ECMP), and those of nexthop objects.

A route may name a nexthop object, or a group of them, by its number alone: ip-nexthop(8). The kernel adds the next hops
to such a route only as long as net.ipv4.nexthop_compat_mode is 1, and routing daemons set it to 0.
"""

from __future__ import annotations

import ipaddress
import socket
import struct
import typing as t

from ..linux import netlink
from ..linux.netlink import ALL_NEXT_HOPS, RTM_GETNEXTHOP, Socket

if t.TYPE_CHECKING:
    from ..model.addresses import IPAddress

    Hop = tuple[int, "IPAddress | None"]  # (interface index, gateway)
    NextHopObjects = t.Mapping[int, tuple[Hop, ...]]  # of each nexthop object and group, by number

# linux/rtnetlink.h
_RTA_OIF, _RTA_GATEWAY, _RTA_MULTIPATH, _RTA_VIA, _RTA_NH_ID = 4, 5, 9, 18, 30
_NEXT_HOP = struct.Struct("=HBBi")  # struct rtnexthop: length, flags, weight, interface index
# linux/nexthop.h
_NHA_ID, _NHA_GROUP, _NHA_OIF, _NHA_GATEWAY = 1, 2, 5, 6
_GROUP_MEMBER = struct.Struct("=IBBH")  # struct nexthop_grp: number, weight, high byte of the weight, reserved


def read_next_hop_objects(sock: Socket, routes: t.Iterable[netlink.Row]) -> NextHopObjects:
    """Return the nexthop objects of the host. They are read only if a route names one, because few hosts have any."""
    if not any(_RTA_NH_ID in attributes for _fixed, attributes in routes):
        return {}
    return next_hop_objects(sock.dump(RTM_GETNEXTHOP, ALL_NEXT_HOPS))


def next_hop_objects(rows: t.Iterable[netlink.Row]) -> NextHopObjects:
    """Return the next hops of each nexthop object, of a group those of its members."""
    found: dict[int, tuple[Hop, ...]] = {}
    groups: dict[int, list[int]] = {}
    for fixed, attributes in rows:
        number = netlink.number(attributes.get(_NHA_ID))
        if _NHA_GROUP in attributes:
            groups[number] = [member[0] for member in _GROUP_MEMBER.iter_unpack(attributes[_NHA_GROUP])]
        elif _NHA_OIF in attributes:  # without: a blackhole
            gateway = _address(fixed[0], attributes[_NHA_GATEWAY]) if _NHA_GATEWAY in attributes else None
            found[number] = ((netlink.number(attributes[_NHA_OIF]), gateway),)
    for number, members in groups.items():  # the kernel has no groups of groups
        found[number] = tuple(hop for member in members for hop in found.get(member, ()))
    return found


def hops_of(family: int, attributes: netlink.Attributes, objects: NextHopObjects) -> tuple[Hop, ...]:
    """Return the next hops of a route."""
    named = objects.get(netlink.number(attributes.get(_RTA_NH_ID)))
    if named is not None:
        return named
    if _RTA_MULTIPATH in attributes:
        return tuple(_multipath_hops(family, attributes[_RTA_MULTIPATH]))
    return ((netlink.number(attributes.get(_RTA_OIF)), _gateway(family, attributes)),)


def _multipath_hops(family: int, rest: bytes) -> t.Iterator[Hop]:
    """Yield the next hops of RTA_MULTIPATH, each with attributes of its own."""
    while len(rest) >= _NEXT_HOP.size:
        length, _flags, _weight, index = _NEXT_HOP.unpack_from(rest)
        yield index, _gateway(family, netlink.nested(rest[_NEXT_HOP.size : length]))
        rest = rest[(max(length, _NEXT_HOP.size) + 3) & ~3 :]


def _gateway(family: int, attributes: netlink.Attributes) -> IPAddress | None:
    """Return RTA_GATEWAY, or RTA_VIA, which is of another family than the route."""
    if _RTA_GATEWAY in attributes:
        return _address(family, attributes[_RTA_GATEWAY])
    if _RTA_VIA in attributes:
        via_family = int(struct.unpack_from("=H", attributes[_RTA_VIA])[0])
        return _address(via_family, attributes[_RTA_VIA][2:])
    return None


def _address(family: int, packed: bytes) -> IPAddress:
    return ipaddress.ip_address(socket.inet_ntop(family, packed))
