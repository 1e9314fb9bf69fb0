# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""The host's own routes, addresses and default route: what subnets and MTUs are chosen by."""

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


class Uplink(t.NamedTuple):
    """What of the host is not ours: facts for choosing subnets and MTUs."""

    routes: tuple[IPNetwork, ...]
    addresses: tuple[IPAddress, ...]
    mtu: int
    link: str
    underlay: tuple[tuple[IPAddress, str, int], ...]


def read_uplink(host: NetnsSnapshot) -> Uplink:
    """Return the host's unmanaged routes and addresses, and the interface of its default route."""
    with Socket() as sock:
        rows = sock.dump(RTM_GETROUTE, ALL_ROUTES)
    routes, default = set(), (1 << 32, 0)
    for fixed, attributes in rows:
        family, length, source_length, tos, table, protocol, scope, kind = struct.unpack_from("=8B", fixed)
        out = host.links.get(netlink.number(attributes.get(4)))
        if kind != 1 or out is None or out.group in (LINK_GROUP, TUNNEL_GROUP):
            continue
        if length > 1:
            routes.add(_network(family, length, attributes.get(1)))
        elif length == 0 and netlink.number(attributes.get(15), table) == 254:
            default = min(default, (netlink.number(attributes.get(6)), out.ifindex))
    device = host.links.get(default[1])
    mine = {row.ifindex for row in host.links.values() if row.group in (LINK_GROUP, TUNNEL_GROUP)}
    addresses = {ipaddress.ip_address(cidr.partition("/")[0]) for index, cidr in host.addresses if index not in mine}
    return Uplink(
        tuple(sorted(routes, key=str)),
        tuple(sorted(addresses, key=str)),
        device.mtu if device else 1500,
        device.name if device else "",
        _underlay(host),
    )


def _underlay(host: NetnsSnapshot) -> tuple[tuple[IPAddress, str, int], ...]:
    """Return the host's addresses that another host can reach, in the kernel's order, IPv4 first."""
    found = []
    for index, cidr in host.addresses:
        row, address = host.links.get(index), ipaddress.ip_address(cidr.partition("/")[0])
        if row is not None and row.group not in OWN_GROUPS and not address.is_link_local and not address.is_loopback:
            found.append((address, row.name, row.mtu))
    return tuple(sorted(found, key=lambda each: each[0].version))


def _network(family: int, length: int, destination: bytes | None) -> IPNetwork:
    text = socket.inet_ntop(family, destination or bytes(4 if family == socket.AF_INET else 16))
    return ipaddress.ip_network(f"{text}/{length}", strict=False)
