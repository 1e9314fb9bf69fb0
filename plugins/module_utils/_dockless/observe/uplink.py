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
from .snapshot import OWN_GROUPS, NetnsSnapshot

if t.TYPE_CHECKING:
    from ..model.addresses import IPAddress, IPNetwork

_DEFAULT_MTU = 1500  # of a host without a default route
_MANAGED_GROUPS = (LINK_GROUP, TUNNEL_GROUP)
# linux/rtnetlink.h
_UNICAST, _MAIN_TABLE = 1, 254
_RTA_DST, _RTA_OIF, _RTA_PRIORITY, _RTA_TABLE = 1, 4, 6, 15
_LAST_METRIC = 1 << 32


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


def read_uplink(host: NetnsSnapshot) -> Uplink:
    """Return the host's unmanaged routes and addresses, and the interface of its best default route."""
    with Socket() as sock:
        rows = sock.dump(RTM_GETROUTE, ALL_ROUTES)
    routes: set[IPNetwork] = set()
    default = (_LAST_METRIC, 0)  # (metric, index of the interface)
    for fixed, attributes in rows:
        family, length, _source_length, _tos, table, _protocol, _scope, kind = struct.unpack_from("=8B", fixed)
        link = host.links.get(netlink.number(attributes.get(_RTA_OIF)))
        if kind != _UNICAST or link is None or link.group in _MANAGED_GROUPS:
            continue
        is_in_main_table = netlink.number(attributes.get(_RTA_TABLE), table) == _MAIN_TABLE
        if length > 1:  # 0.0.0.0/1 and 128.0.0.0/1 are a default route in two parts
            routes.add(_network(family, length, attributes.get(_RTA_DST)))
        elif length == 0 and is_in_main_table:
            default = min(default, (netlink.number(attributes.get(_RTA_PRIORITY)), link.ifindex))
    uplink = host.links.get(default[1])
    return Uplink(
        routes=tuple(sorted(routes, key=str)),
        addresses=tuple(sorted(_unmanaged_addresses(host), key=str)),
        mtu=uplink.mtu if uplink else _DEFAULT_MTU,
        link=uplink.name if uplink else "",
        underlay=_underlay(host),
    )


def _unmanaged_addresses(host: NetnsSnapshot) -> set[IPAddress]:
    managed = {row.ifindex for row in host.links.values() if row.group in _MANAGED_GROUPS}
    return {_address(cidr) for index, cidr in host.addresses if index not in managed}


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
