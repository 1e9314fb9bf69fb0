# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Addresses of interfaces: messages that add and delete them, and how a row of a dump is read (rtnetlink(7))."""

from __future__ import annotations

import functools
import socket
import struct

from . import netlink
from .message_template import Template
from .rtnetlink import CREATE, EXCL, RTM_NEWADDR, encode

_IFA_F_NODAD = 0x02  # linux/if_addr.h
_SCOPE_LINK = 253


def address(message_type: int, index: int, cidr: str) -> bytearray:
    """Return an RTM_NEWADDR or RTM_DELADDR. IPv6 addresses are usable immediately: duplicates are not searched for."""
    text, _slash, length = cidr.partition("/")
    is_link_local = text.startswith(("fe80:", "169.254."))
    return _template(message_type, int(length), ":" in text, is_link_local).fill(index, text)


def decode(fixed: bytes, attributes: netlink.Attributes) -> tuple[int, str]:
    """Return the interface index and the address as CIDR. IFA_LOCAL (2) is the own end where IFA_ADDRESS is a peer."""
    family, length, _flags, _scope, index = struct.unpack_from("=BBBBI", fixed)
    return index, f"{socket.inet_ntop(family, attributes.get(2) or attributes[1])}/{length}"


@functools.cache
def _template(message_type: int, length: int, is_ipv6: bool, is_link_local: bool) -> Template:
    return Template(functools.partial(_encode, message_type, length, is_ipv6, is_link_local), "u32", "ip")


def _encode(message_type: int, length: int, is_ipv6: bool, is_link_local: bool, index: int, text: str) -> bytes:
    fields = {
        "family": socket.AF_INET6 if is_ipv6 else socket.AF_INET,
        "prefixlen": length,
        "index": index,
        "flags": _IFA_F_NODAD if is_ipv6 else 0,
        "scope": _SCOPE_LINK if is_link_local else 0,
    }
    flags = CREATE | EXCL if message_type == RTM_NEWADDR else 0
    attributes = [("IFA_ADDRESS", text), ("IFA_LOCAL", None if is_ipv6 else text)]
    return encode("ifaddrmsg", message_type, flags, fields, attributes)
