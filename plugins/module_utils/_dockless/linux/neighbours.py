# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Permanent neighbours and static forwarding entries: messages that set and delete them, and how dumps are read.

rtnetlink(7); linux/neighbour.h. Both are rows of RTM_GETNEIGH: neighbours of IPv4 and IPv6, forwarding entries of
AF_BRIDGE.
"""

from __future__ import annotations

import functools
import socket
import struct
import typing as t

from ..names import ROUTE_PROTOCOL
from . import netlink
from .message_template import Template
from .rtnetlink import CREATE, REPLACE, RTM_NEWNEIGH, encode

# NTF_*. The bridge's entry; that of the vxlan device itself; the bridge's stays when a frame with its MAC comes from
# another port that learns: a static entry alone moves (Linux 4.20).
MASTER, SELF, STICKY = 0x04, 0x02, 0x40
_NUD_REACHABLE, _NUD_NOARP, _NUD_PERMANENT = 0x02, 0x40, 0x80
_NTF_EXT_LEARNED = 0x10
_NDA_PROTOCOL = 12
_AF_BRIDGE = 7
_OWN_PROTOCOL = bytes((ROUTE_PROTOCOL,))


class NeighbourRow(t.NamedTuple):
    """A permanent neighbour with dockless's protocol number."""

    ifindex: int
    address: str
    mac: str


class ForwardingRow(t.NamedTuple):
    """A static forwarding entry, of the bridge if is_bridged, otherwise of the vxlan device.

    is_learned: a routing daemon set it. is_sticky: no frame moves it.
    """

    ifindex: int
    mac: str
    vtep: str
    is_bridged: bool
    is_learned: bool
    is_sticky: bool = False


# ---- neighbours --------------------------------------------------------------


def neighbour(message_type: int, index: int, address: str, mac: str) -> bytearray:
    """Return an RTM_NEWNEIGH (replacing) or RTM_DELNEIGH of a permanent neighbour with dockless's protocol number."""
    return _neighbour_template(message_type, ":" in address).fill(index, address, mac)


def decode_neighbours(rows: t.Iterable[netlink.Row]) -> list[NeighbourRow]:
    """Return the neighbours of a dump that dockless has set."""
    return [
        NeighbourRow(struct.unpack_from("=i", fixed, 4)[0], _address(attributes[1]), attributes[2].hex(":"))
        for fixed, attributes in rows
        if attributes.get(_NDA_PROTOCOL) == _OWN_PROTOCOL and 2 in attributes
    ]


@functools.cache
def _neighbour_template(message_type: int, is_ipv6: bool) -> Template:
    return Template(functools.partial(_encode_neighbour, message_type, is_ipv6), "u32", "ip", "mac")


def _encode_neighbour(message_type: int, is_ipv6: bool, index: int, address: str, mac: str) -> bytes:
    fields = {
        "family": socket.AF_INET6 if is_ipv6 else socket.AF_INET,
        "ifindex": index,
        "state": _NUD_PERMANENT,
    }
    attributes = [("NDA_DST", address), ("NDA_LLADDR", mac)]
    message = encode("ndmsg", message_type, _new_flags(message_type), fields, attributes)
    # pyroute2 0.7.2 does not support NDA_PROTOCOL, and leaves unsupported attributes out.
    protocol = struct.pack("=HHB3x", 5, _NDA_PROTOCOL, ROUTE_PROTOCOL)
    return struct.pack("=I", len(message) + len(protocol)) + message[4:] + protocol


# ---- forwarding entries ------------------------------------------------------


def forwarding_entry(message_type: int, index: int, mac: str, vtep: str, flags: int) -> bytearray:
    """Return an RTM_NEWNEIGH (which replaces) or RTM_DELNEIGH of a static entry.

    flags are MASTER, SELF or both, with STICKY or without.
    """
    family = 0 if not vtep else 6 if ":" in vtep else 4
    return _forwarding_template(message_type, family, flags).fill(index, mac, vtep)


def decode_forwarding(rows: t.Iterable[netlink.Row]) -> list[ForwardingRow]:
    """Return the static entries of a dump, and of those that a routing daemon has taken over the bridge's.

    Entries that a routing daemon added are left out: they are many, and change all the time.
    """
    static: list[ForwardingRow] = []
    taken_over: list[tuple[ForwardingRow, int]] = []
    for fixed, attributes in rows:
        index, state, flags = struct.unpack_from("=iHB", fixed, 4)
        is_bridged = 9 in attributes
        is_learned = bool(flags & _NTF_EXT_LEARNED)
        vtep = "" if is_learned else _address(attributes.get(1))
        is_sticky = bool(flags & STICKY)
        row = ForwardingRow(index, attributes[2].hex(":"), vtep, is_bridged, is_learned, is_sticky)
        if is_learned and is_bridged:
            taken_over.append((row, state))
        elif state & _NUD_NOARP and not is_learned:
            static.append(row)
    on_device = {row[:2] for row in static if not row.is_bridged}
    return static + [row for row, state in taken_over if state & _NUD_NOARP or row[:2] in on_device]


@functools.cache
def _forwarding_template(message_type: int, family: int, flags: int) -> Template:
    """Return the template for one family of VTEPs; 0 is an entry without one, which has another shape."""
    return Template(functools.partial(_encode_forwarding, message_type, flags), "u32", "mac", "ip")


def _encode_forwarding(message_type: int, flags: int, index: int, mac: str, vtep: str | None) -> bytes:
    # Neither entry ages: a bridge needs NOARP for that, a vxlan device REACHABLE too. PERMANENT is the bridge's own
    # MAC.
    fields = {"family": _AF_BRIDGE, "ifindex": index, "state": _NUD_NOARP | _NUD_REACHABLE, "flags": flags}
    attributes = [("NDA_LLADDR", mac), ("NDA_DST", vtep)]
    return encode("ndmsg", message_type, _new_flags(message_type), fields, attributes)


def _new_flags(message_type: int) -> int:
    return CREATE | REPLACE if message_type == RTM_NEWNEIGH else 0


def _address(packed: bytes | None) -> str:
    if not packed:
        return ""
    return socket.inet_ntop(socket.AF_INET if len(packed) == 4 else socket.AF_INET6, packed)
