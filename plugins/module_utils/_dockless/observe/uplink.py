# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Reads the host's own routes and addresses, and its uplink: the interface of the default route."""

from __future__ import annotations

import ipaddress
import socket
import struct
import typing as t

from ..linux import netlink
from ..linux.netlink import ALL_ROUTES, RTM_GETROUTE, Socket
from ..names import LINK_GROUP, TUNNEL_GROUP
from .next_hops import hops_of, read_next_hop_objects
from .snapshot import OWN_GROUPS, NetnsSnapshot

if t.TYPE_CHECKING:
    from ..model.addresses import IPAddress, IPNetwork
    from .next_hops import NextHopObjects

_DEFAULT_MTU = 1500  # of a host without a default route
_MANAGED_GROUPS = (LINK_GROUP, TUNNEL_GROUP)
# linux/rtnetlink.h
_UNICAST, _MAIN_TABLE = 1, 254
_RTA_DST, _RTA_PRIORITY, _RTA_TABLE = 1, 6, 15


class Uplink(t.NamedTuple):
    """The unmanaged routes and addresses of a host, and the interface of its default route."""

    # Destinations, without default routes.
    routes: tuple[IPNetwork, ...]
    addresses: tuple[IPAddress, ...]
    # Bytes.
    mtu: int
    # "" if there is no default route.
    link: str
    # (address, name and MTU of its link): addresses that other hosts can reach, IPv4 first.
    underlay: tuple[tuple[IPAddress, str, int], ...]
    # Next hops of the routes, those of default routes too.
    next_hops: tuple[IPAddress, ...] = ()


class _Route(t.NamedTuple):
    """A unicast route that dockless does not manage. hops are (interface index, gateway or None), several for ECMP."""

    destination: IPNetwork
    table: int
    metric: int
    hops: tuple[tuple[int, IPAddress | None], ...]


def read_uplink(host: NetnsSnapshot) -> Uplink:
    """Return the host's unmanaged routes and addresses, and the interface of its best default route."""
    managed = {row.ifindex for row in host.links.values() if row.group in _MANAGED_GROUPS}
    with Socket() as sock:
        rows = sock.dump(RTM_GETROUTE, ALL_ROUTES)
        objects = read_next_hop_objects(sock, rows)
    routes = list(_foreign_routes(rows, objects, host, managed))
    # 0.0.0.0/1 and 128.0.0.0/1 are a default route in two parts.
    destinations = {route.destination for route in routes if route.destination.prefixlen > 1}
    addresses = {_address(cidr) for index, cidr in host.addresses if index not in managed}
    next_hops = {gateway for route in routes for _index, gateway in route.hops if gateway is not None}
    mtu, link = _default_link(routes, host)
    return Uplink(
        routes=tuple(sorted(destinations, key=str)),
        addresses=tuple(sorted(addresses, key=str)),
        mtu=mtu,
        link=link,
        underlay=_underlay(host),
        next_hops=tuple(sorted(next_hops, key=str)),
    )


def _foreign_routes(
    rows: t.Iterable[netlink.Row], objects: NextHopObjects, host: NetnsSnapshot, managed: t.Container[int]
) -> t.Iterator[_Route]:
    for fixed, attributes in rows:
        family, length, _source, _tos, table, _protocol, _scope, kind = struct.unpack_from("=8B", fixed)
        hops = tuple(
            hop for hop in hops_of(family, attributes, objects) if hop[0] in host.links and hop[0] not in managed
        )
        if kind == _UNICAST and hops:
            table = netlink.number(attributes.get(_RTA_TABLE), table)
            metric = netlink.number(attributes.get(_RTA_PRIORITY))
            yield _Route(_network(family, length, attributes.get(_RTA_DST)), table, metric, hops)


def _default_link(routes: t.Sequence[_Route], host: NetnsSnapshot) -> tuple[int, str]:
    """Return the MTU and name of the default route's interface; of several next hops, that with the lowest MTU."""
    defaults = [route for route in routes if route.destination.prefixlen == 0 and route.table == _MAIN_TABLE]
    if not defaults:
        return _DEFAULT_MTU, ""
    best = min(defaults, key=lambda route: (route.metric, route.hops[0][0]))
    link = min((host.links[index] for index, _via in best.hops), key=lambda row: row.mtu)
    return link.mtu, link.name


def _underlay(host: NetnsSnapshot) -> tuple[tuple[IPAddress, str, int], ...]:
    """Return the addresses that another host can reach, in the kernel's order, IPv4 first."""
    found = []
    for index, cidr in host.addresses:
        row = host.links.get(index)
        if row is None or row.group in OWN_GROUPS:
            continue
        address = _address(cidr)
        if not address.is_link_local and not address.is_loopback:
            found.append((address, row.name, row.mtu))
    return tuple(sorted(found, key=lambda each: each[0].version))


def _address(cidr: str) -> IPAddress:
    return ipaddress.ip_address(cidr.partition("/")[0])


def _network(family: int, length: int, destination: bytes | None) -> IPNetwork:
    unspecified = bytes(4 if family == socket.AF_INET else 16)
    text = socket.inet_ntop(family, destination or unspecified)
    return ipaddress.ip_network(f"{text}/{length}", strict=False)
