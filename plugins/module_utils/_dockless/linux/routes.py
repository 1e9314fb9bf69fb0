# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Routes of the main table: messages that set and delete them, and how a row of a dump is read (rtnetlink(7))."""

from __future__ import annotations

import functools
import ipaddress
import socket
import struct
import typing as t

from ..names import LAST_METRIC, ROUTE_PROTOCOL
from . import netlink
from .message_template import Template
from .rtnetlink import CREATE, REPLACE, RTM_NEWROUTE, encode

_MAIN_TABLE, _UNICAST, _UNREACHABLE = 254, 1, 7
_SCOPE_LINK = 253
_RTNH_F_ONLINK = 0x4
_IPV6_DEFAULT_METRIC = 1024  # what the kernel gives an IPv6 route that was added without one


class RouteRow(t.NamedTuple):
    """A route as the kernel shows it. metric 0 is the default one; onlink: via need not be in a subnet of the link."""

    ifindex: int
    destination: str
    via: str
    metric: int
    onlink: bool


def route(message_type: int, index: int, destination: str, via: str, metric: int, onlink: bool = False) -> bytearray:
    """Return a route's RTM_NEWROUTE (which replaces one of the same key) or RTM_DELROUTE."""
    return _template(message_type, destination, metric, onlink).fill(index, via)


def kill_switch(message_type: int, destination: str) -> bytes:
    """Return the RTM_NEWROUTE or RTM_DELROUTE of an unreachable route that every other route goes before."""
    network = ipaddress.ip_network(destination)
    fields = {
        "family": socket.AF_INET6 if network.version == 6 else socket.AF_INET,
        "dst_len": network.prefixlen,
        "table": _MAIN_TABLE,
        "proto": ROUTE_PROTOCOL,
        "type": _UNREACHABLE,
    }
    attributes = [("RTA_DST", str(network.network_address)), ("RTA_PRIORITY", LAST_METRIC)]
    return encode("rtmsg", message_type, _new_flags(message_type), fields, attributes)


def decode(fixed: bytes, attributes: netlink.Attributes) -> RouteRow:
    """Return a row of a route dump. The numbers are RTA_* of linux/rtnetlink.h."""
    family, length = fixed[0], fixed[1]
    size = 4 if family == socket.AF_INET else 16
    destination = f"{socket.inet_ntop(family, attributes.get(1) or bytes(size))}/{length}"
    via = socket.inet_ntop(family, attributes[5]) if 5 in attributes else ""
    metric = netlink.number(attributes.get(6))
    if family == socket.AF_INET6 and metric == _IPV6_DEFAULT_METRIC:
        metric = 0
    onlink = bool(struct.unpack_from("=I", fixed, 8)[0] & _RTNH_F_ONLINK)
    return RouteRow(netlink.number(attributes.get(4)), destination, via, metric, onlink)


@functools.cache
def _template(message_type: int, destination: str, metric: int, onlink: bool) -> Template:
    return Template(functools.partial(_encode, message_type, destination, metric, onlink), "u32", "ip")


def _encode(message_type: int, destination: str, metric: int, onlink: bool, index: int, via: str | None) -> bytes:
    network = ipaddress.ip_network(destination)
    is_ipv6 = network.version == 6
    fields = {
        "family": socket.AF_INET6 if is_ipv6 else socket.AF_INET,
        "dst_len": network.prefixlen,
        "table": _MAIN_TABLE,
        "proto": ROUTE_PROTOCOL,
        "type": _UNICAST,
        "scope": 0 if via or is_ipv6 else _SCOPE_LINK,
        "flags": _RTNH_F_ONLINK if onlink else 0,
    }
    attributes = [
        ("RTA_DST", str(network.network_address) if network.prefixlen else None),
        ("RTA_OIF", index),
        ("RTA_GATEWAY", via),
        ("RTA_PRIORITY", metric or None),
    ]
    return encode("rtmsg", message_type, _new_flags(message_type), fields, attributes)


def _new_flags(message_type: int) -> int:
    return CREATE | REPLACE if message_type == RTM_NEWROUTE else 0
