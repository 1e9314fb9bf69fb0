# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""A netlink socket of one network namespace (netlink(7), rtnetlink(7)): dumps, and flights of acknowledged messages.

Dumps are decoded here and not by a library, and only the attributes that are used: a host with 1,000 sandboxes answers
with 6,000 rows, and most runs only read.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
import sys
import typing as t

from ..errors import DocklessError

FLIGHT = 128  # messages at a time: more than 250 acknowledgements overflow a default receive buffer (ENOBUFS)
RTM_GETLINK, RTM_GETADDR, RTM_GETROUTE, RTM_GETNEIGH, RTM_GETNEXTHOP = 18, 22, 26, 30, 106
NETLINK_NETFILTER = 12  # linux/netlink.h; Python's socket does not name it
_NETNS_COOKIE = 71  # SO_NETNS_COOKIE, asm-generic/socket.h
_SOL_NETLINK, _CAP_ACK, _EXT_ACK, _STRICT = 270, 10, 11, 12  # NETLINK_*, linux/netlink.h, as the next three lines
_ERROR, _DONE = 2, 3  # NLMSG_*
_REQUEST, _DUMP, _DUMP_INTR = 0x1, 0x300, 0x10  # NLM_F_*
_CAPPED, _ACK_TLVS = 0x100, 0x200
_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
_SKIP_STATISTICS = 1 << 3  # RTEXT_FILTER_SKIP_STATS
_DUMP_ATTEMPTS = 20
_BOUNDED_ATTEMPTS = 3
_RECEIVE_SIZE = 1 << 18  # bytes
Attributes = dict[int, bytes]
Row = tuple[bytes, Attributes]  # fixed part, attributes
_LITTLE = struct.pack("=H", 1) == b"\x01\0"
_NEWLINK = 16
# IFLA_ADDRESS, IFNAME, MTU, LINK, MASTER, LINKINFO, IFALIAS, AF_SPEC, GROUP, LINK_NETNSID (linux/if_link.h)
_LINK_ATTRIBUTES = frozenset((1, 3, 4, 5, 10, 18, 20, 26, 27, 37))
_FIXED = {16: 16, 20: 8, 24: 12, 28: 12, 104: 8, 256: 4}  # struct ifinfomsg, ifaddrmsg, rtmsg, ndmsg, nhmsg; nfgenmsg
_NFTABLES = 10  # NFNL_SUBSYS_NFTABLES: its messages begin with nfgenmsg


class Rows(t.NamedTuple):
    """Rows of a dump. is_whole: the table did not change during the dump, and the dump was not cut."""

    rows: list[Row]
    is_whole: bool
    is_cut: bool = False


class Refusal(t.NamedTuple):
    """A message of a flight that the kernel refused."""

    place: int  # in the flight
    errno: int
    text: str  # the kernel's message, "" if it gives none


LINKS = struct.pack("=BxHiIIHHI", 0, 0, 0, 0, 0, 8, 29, _SKIP_STATISTICS)
ADDRESSES = struct.pack("=BBBBI", 0, 0, 0, 0, 0)
NEIGHBOURS = struct.pack("=BBHiHBB", 0, 0, 0, 0, 0, 0, 0)
FORWARDS = struct.pack("=BBHiHBB", 7, 0, 0, 0, 0, 0, 0)  # AF_BRIDGE: of every bridge and VXLAN device
ALL_ROUTES = struct.pack("=BBBBBBBBI", 0, 0, 0, 0, 0, 0, 0, 0, 0)
ALL_NEXT_HOPS = struct.pack("=BBBBI", 0, 0, 0, 0, 0)


def routes_of(protocol: int) -> bytes:
    """Return the body of a request for the routes of the main table with one protocol number."""
    return struct.pack("=BBBBBBBBIHHI", 0, 0, 0, 0, 0, protocol, 0, 0, 0, 8, 15, 254)


def link_request(name: str = "", index: int = 0) -> bytes:
    """Return the body of a request for one link. The kernel also finds alternative names, which root chooses."""
    encoded = name.encode() + b"\0"
    attribute = _ATTRIBUTE.pack(4 + len(encoded), 3) + encoded + b"\0" * (-len(encoded) % 4) if name else b""
    return struct.pack("=BxHiII", 0, 0, index, 0, 0) + attribute + struct.pack("=HHI", 8, 29, _SKIP_STATISTICS)


class Socket:
    """A netlink socket. It belongs to the namespace of the thread that creates it, whichever thread uses it later."""

    def __init__(self, protocol: int = socket.NETLINK_ROUTE) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
        for option in (_CAP_ACK, _EXT_ACK, _STRICT):
            self._socket.setsockopt(_SOL_NETLINK, option, 1)
        self._sequence = 0

    def __enter__(self) -> Socket:
        """Return itself."""
        return self

    def __exit__(self, *exc: object) -> None:
        """Close the socket."""
        self._socket.close()

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def cookie(self) -> int:
        """Return the number of the socket's namespace that no other namespace gets until the next boot.

        0 on a kernel before 5.14, which does not tell it.
        """
        try:
            return int.from_bytes(self._socket.getsockopt(socket.SOL_SOCKET, _NETNS_COOKIE, 8), sys.byteorder)
        except OSError as error:
            if error.errno != errno.ENOPROTOOPT:
                raise
            return 0

    def link(self, body: bytes) -> Row | None:
        """Return the link that a request of link_request() names, None if there is none. Raises OSError."""
        self._sequence += 1
        self._socket.send(_HEADER.pack(16 + len(body), RTM_GETLINK, _REQUEST, self._sequence, 0) + body)
        while True:
            for kind, _flags, sequence, answer in _messages(self._socket.recv(_RECEIVE_SIZE)):
                if sequence != self._sequence:
                    continue
                if kind == _NEWLINK:
                    return _row(kind, answer)
                number = -struct.unpack_from("=i", answer)[0]
                if number in (errno.ENODEV, errno.EMSGSIZE):  # the second: thousands of alternative names
                    return None
                raise OSError(number, "netlink request: " + os.strerror(number))

    def dump(self, kind: int, body: bytes) -> list[Row]:
        """Return all rows of one kind. Raises DocklessError if the table changes during every attempt, and OSError."""
        for _attempt in range(_DUMP_ATTEMPTS):
            found = self._dump_once(kind, body, 0)
            if found.is_whole:
                return found.rows
        raise DocklessError(
            f"the kernel's tables changed during each of {_DUMP_ATTEMPTS} attempts to read them",
            "Run again when fewer interfaces, addresses and routes change on this host.",
        )

    def bounded_dump(self, kind: int, body: bytes, limit: int) -> Rows:
        """Return the rows of one kind, as far as limit bytes of answers hold them.

        The tables of a sandbox are as long, and change as often, as its root wants: what is read of them is bounded.
        The socket cannot be used after a dump that was cut, because the kernel continues that. Raises OSError.
        """
        found = Rows([], False)
        for _attempt in range(_BOUNDED_ATTEMPTS):
            try:
                found = self._dump_once(kind, body, limit)
            except OSError as error:
                if error.errno != errno.EMSGSIZE:  # one row is longer than a message
                    raise
                return Rows([], False, True)
            if found.is_whole or found.is_cut:
                break
        return found

    def _dump_once(self, request: int, body: bytes, limit: int) -> Rows:
        """Return the rows of one dump, and whether a change of the table interrupted it. limit 0 is none."""
        self._sequence += 1
        self._socket.send(_HEADER.pack(16 + len(body), request, _REQUEST | _DUMP, self._sequence, 0) + body)
        rows: list[Row] = []
        interrupted, received = False, 0
        while True:
            answers = self._socket.recv(_RECEIVE_SIZE)
            received += len(answers)
            for kind, flags, sequence, answer in _messages(answers):
                if sequence != self._sequence:
                    continue
                interrupted = interrupted or bool(flags & _DUMP_INTR)
                if kind == _DONE:
                    return Rows(rows, not interrupted)
                if kind == _ERROR:
                    number = -struct.unpack_from("=i", answer)[0]
                    raise OSError(number, "netlink dump: " + os.strerror(number))
                rows.append(_row(kind, answer))
            if limit and received > limit:
                return Rows(rows, False, True)

    def flight(self, messages: t.Sequence[bytearray]) -> list[Refusal]:
        """Send messages together and return the refusals. The kernel goes on after a message that it refuses."""
        refusals: list[Refusal] = []
        for start in range(0, len(messages), FLIGHT):
            refusals += self._send_batch(messages[start : start + FLIGHT], start)
        return refusals

    def _send_batch(self, batch: t.Sequence[bytearray], start: int) -> list[Refusal]:
        """Send messages and wait for an acknowledgement of each. start: the first one's place in the flight."""
        first = self._sequence + 1
        self._sequence += len(batch)
        for number, message in enumerate(batch):
            struct.pack_into("=I", message, 8, first + number)
        self._socket.send(b"".join(batch))
        refusals: list[Refusal] = []
        unacknowledged = len(batch)
        while unacknowledged:
            for kind, flags, sequence, body in _messages(self._socket.recv(_RECEIVE_SIZE)):
                if kind != _ERROR or sequence < first:
                    continue
                unacknowledged -= 1
                number = -struct.unpack_from("=i", body)[0]
                if number:
                    refusals.append(Refusal(start + sequence - first, number, _extended_message(flags, body)))
        return refusals


def text(value: bytes | None) -> str:
    """Return an attribute as text, "" if it is absent."""
    return value.rstrip(b"\0").decode(errors="replace") if value else ""


def number(value: bytes | None, default: int = 0) -> int:
    """Return an attribute as a number in the machine's byte order."""
    return int.from_bytes(value, "little" if _LITTLE else "big") if value else default


def nested(value: bytes) -> Attributes:
    """Return the attributes in a nested attribute."""
    return _attributes(value, 0, len(value))


def _messages(data: bytes) -> t.Iterator[tuple[int, int, int, bytes]]:
    offset, end = 0, len(data)
    while offset + 16 <= end:
        length, kind, flags, sequence, _port = _HEADER.unpack_from(data, offset)
        if length < 16:
            break
        yield kind, flags, sequence, data[offset + 16 : offset + length]
        offset += (length + 3) & ~3


def _row(kind: int, body: bytes) -> Row:
    fixed = _FIXED.get(kind, 4 if kind >> 8 == _NFTABLES else 0)
    if kind == _NEWLINK:
        return body[:fixed], _link_attributes(body, fixed, len(body))
    return body[:fixed], _attributes(body, fixed, len(body))


def _link_attributes(data: bytes, offset: int, end: int) -> Attributes:
    """Return the attributes of a link that are used, a quarter of those that the kernel sends."""
    found = {}
    unpack = _ATTRIBUTE.unpack_from
    while offset < end:
        length, kind = unpack(data, offset)
        if kind & 0x3FFF in _LINK_ATTRIBUTES:
            found[kind & 0x3FFF] = data[offset + 4 : offset + length]
        offset += (length + 3) & ~3 or end
    return found


def _attributes(data: bytes, offset: int, end: int) -> Attributes:
    found = {}
    unpack = _ATTRIBUTE.unpack_from
    while offset + 4 <= end:
        length, kind = unpack(data, offset)
        if length < 4:
            break
        found[kind & 0x3FFF] = data[offset + 4 : offset + length]
        offset += (length + 3) & ~3
    return found


def _extended_message(flags: int, body: bytes) -> str:
    """Return the kernel's message in an extended acknowledgement (NLMSGERR_ATTR_MSG), "" if it gives none."""
    if not flags & _ACK_TLVS:
        return ""
    length = struct.unpack_from("=I", body, 4)[0]
    start = 20 if flags & _CAPPED else 4 + ((length + 3) & ~3)
    return text(_attributes(body, start, len(body)).get(1))
