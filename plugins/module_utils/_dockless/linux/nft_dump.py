# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Reads nft tables from the kernel: a fingerprint of their rules, and the elements of their sets.

By netlink (linux/netfilter/nf_tables.h) and not by nft: nft prints the same table differently from version to version,
and some versions print what they cannot read. All functions read the namespace of the calling thread.
"""

from __future__ import annotations

import hashlib
import ipaddress
import struct
import typing as t

from ..firewall.nft_text import Element, NftSet
from ..names import TABLE
from . import netlink
from .netlink import NETLINK_NETFILTER, Attributes, Socket

FAMILY_NUMBERS = {"inet": 1, "bridge": 7}  # NFPROTO_*, linux/netfilter.h
_SUBSYSTEM = 10 << 8  # NFNL_SUBSYS_NFTABLES
_GET_TABLE, _GET_CHAIN, _GET_RULE, _GET_SET, _GET_ELEMENTS, _GET_OBJECT = (
    _SUBSYSTEM | n for n in (1, 4, 7, 10, 13, 19)
)
_TABLE_NAME, _TABLE_OF, _ELEMENTS_SET, _ELEMENTS = 1, 1, 2, 3
# What identifies each kind of object: no handles, use counts, counters and times. NFTA_TABLE_*, NFTA_CHAIN_* and so on.
_TABLE_IDENTITY = (1, 2, 6)  # name, flags, user data
_CHAIN_IDENTITY = (3, 4, 5, 7, 10, 12)  # name, hook, policy, type, flags, user data
_RULE_IDENTITY = (2, 4, 7)  # chain, expressions, user data
# Name, flags, types, policy, sizes, timeouts, user data, and what each new element does, such as a limit.
_SET_IDENTITY = (2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 15, 17, 18)
_OBJECT_IDENTITY = (2, 3)  # name, type
_ELEMENT_IDENTITY = (1, 2, 3, 9, 10)  # key, data, flags, object, end of the key
_SET_NAME, _SET_FLAGS = 2, 3
_CHANGES_BY_TRAFFIC = 0x10 | 0x20  # NFT_SET_TIMEOUT, NFT_SET_EVAL
_KEY, _DATA, _ELEMENT_FLAGS, _KEY_END = 1, 2, 3, 10  # NFTA_SET_ELEM_*
_VALUE = 1  # NFTA_DATA_VALUE
TOO_LARGE = "too large"
_INTERVAL_END = 1  # NFT_SET_ELEM_INTERVAL_END
_PROTOCOLS = {1: "icmp", 6: "tcp", 17: "udp", 58: "ipv6-icmp", 132: "sctp"}
_ETHER_TYPES = {0x0800: "ip", 0x0806: "arp", 0x86DD: "ip6"}
_NF_PROTO = {2: "ipv4", 10: "ipv6"}


class _Reader:
    """Dumps of one namespace, up to a number of bytes. limit: 0 for none."""

    def __init__(self, sock: Socket, limit: int = 0) -> None:
        self._sock = sock
        self._limit = limit
        self._left = limit

    def dump(self, request: int, family: int, attributes: bytes = b"") -> list[Attributes]:
        """Return the rows. Raises _TooLarge at the limit, or if the tables change all the time, and OSError."""
        body = struct.pack("=BBH", family, 0, 0) + attributes  # struct nfgenmsg
        if not self._limit:
            return [found for _fixed, found in self._sock.dump(request, body)]
        rows, is_whole, _is_cut = self._sock.bounded_dump(request, body, self._left)
        self._left -= sum(len(value) for _fixed, found in rows for value in found.values())
        if not is_whole or self._left <= 0:
            raise _TooLarge
        return [found for _fixed, found in rows]


class _TooLarge(Exception):
    """A namespace has more tables than a run reads."""


def fingerprint(families: t.Collection[str], data_sets: t.Collection[str] = (), limit: int = 0) -> str:
    """Return a digest of dockless's tables of these families, "" if there are none.

    Elements of the sets named in data_sets do not count, nor do those of sets that traffic changes. More than limit
    bytes of tables (0: any number) have the digest TOO_LARGE: root in a sandbox decides how long its tables are. Raises
    OSError.
    """
    digest = hashlib.sha256()
    is_empty = True
    with Socket(NETLINK_NETFILTER) as sock:
        reader = _Reader(sock, limit)
        try:
            for family in families:
                for part in _identity(reader, FAMILY_NUMBERS[family], data_sets):
                    is_empty = False
                    digest.update(struct.pack("=I", len(part)) + part)
        except _TooLarge:
            return TOO_LARGE
    return "" if is_empty else digest.hexdigest()


def elements(sets: t.Mapping[str, t.Sequence[NftSet]]) -> t.Iterator[Element]:
    """Yield the elements of named sets, by family. A set that is not there has none. Raises OSError."""
    with Socket(NETLINK_NETFILTER) as sock:
        reader = _Reader(sock)
        for family, wanted in sets.items():
            number = FAMILY_NUMBERS[family]
            present = {netlink.text(row[_SET_NAME]) for row in _sets(reader, number)}
            for nft_set in wanted:
                if nft_set.name in present:
                    yield from (
                        (nft_set.name, each) for each in _decoded(nft_set, _elements(reader, number, nft_set.name))
                    )


# ---- fingerprint -------------------------------------------------------------


def _identity(reader: _Reader, family: int, data_sets: t.Collection[str]) -> t.Iterator[bytes]:
    """Yield what identifies a table: the table, its sets and objects in any order, its chains, and rules in order."""
    tables = [row for row in reader.dump(_GET_TABLE, family) if netlink.text(row.get(_TABLE_NAME)) == TABLE]
    yield from (_picked(row, _TABLE_IDENTITY) for row in tables)
    if not tables:
        return
    sets = _sets(reader, family)
    yield from sorted(_picked(row, _SET_IDENTITY) for row in sets)
    for row in sorted(sets, key=lambda row: row[_SET_NAME]):
        name = netlink.text(row[_SET_NAME])
        if name in data_sets or _flags(row, _SET_FLAGS) & _CHANGES_BY_TRAFFIC:
            continue
        yield from sorted(_picked(each, _ELEMENT_IDENTITY) for each in _elements(reader, family, name))
    yield from sorted(_picked(row, _OBJECT_IDENTITY) for row in reader.dump(_GET_OBJECT, family, _own_table()))
    chains = reader.dump(_GET_CHAIN, family)
    yield from (_picked(row, _CHAIN_IDENTITY) for row in chains if netlink.text(row.get(_TABLE_OF)) == TABLE)
    yield from (_picked(row, _RULE_IDENTITY) for row in reader.dump(_GET_RULE, family, _own_table()))


def _picked(row: Attributes, identity: t.Sequence[int]) -> bytes:
    parts = [struct.pack("=HH", kind, len(row[kind])) + row[kind] for kind in identity if kind in row]
    return b"".join(parts)


# ---- elements ----------------------------------------------------------------


def _decoded(nft_set: NftSet, rows: t.Sequence[Attributes]) -> t.Iterator[str]:
    """Yield elements as the engine writes them."""
    _statement, _space, types = nft_set.type.partition(" ")
    key_type, _colon, data_type = types.partition(" : ")
    key_fields = key_type.split(" . ")
    if nft_set.interval and len(key_fields) == 1:
        yield from _intervals(key_fields[0], data_type, rows)
        return
    for row in rows:
        first = _values(row[_KEY], key_fields)
        last = _values(row[_KEY_END], key_fields) if _KEY_END in row else first
        key = " . ".join(_field(*each) for each in zip(key_fields, first, last))
        yield key + _data(row, data_type)


def _intervals(key_type: str, data_type: str, rows: t.Sequence[Attributes]) -> t.Iterator[str]:
    """Yield the elements of a set of intervals with one field.

    The kernel keeps the begin of each interval and, as an element of its own, the first value after it.
    """
    bounds = sorted((_value(row[_KEY]), not _flags(row, _ELEMENT_FLAGS) & _INTERVAL_END, row) for row in rows)
    for place, (value, begins, row) in enumerate(bounds):
        if not begins:
            continue
        highest = (1 << 8 * len(value)) - 1
        is_last = place + 1 == len(bounds)
        after = highest + 1 if is_last else int.from_bytes(bounds[place + 1][0], "big")
        last = (after - 1).to_bytes(len(value), "big")
        yield _field(key_type, value, last) + _data(row, data_type)


def _data(row: Attributes, data_type: str) -> str:
    if not data_type:
        return ""
    fields = data_type.split(" . ")
    return " : " + " . ".join(_field(*each) for each in zip(fields, *[_values(row[_DATA], fields)] * 2))


def _values(attribute: bytes, fields: t.Sequence[str]) -> list[bytes]:
    """Return the value of each field. In a concatenation, each begins at a multiple of four bytes."""
    value = _value(attribute)
    found, offset = [], 0
    for field in fields:
        size = _FIELDS[field][0]
        found.append(value[offset : offset + size])
        offset += (size + 3) & ~3
    return found


def _value(attribute: bytes) -> bytes:
    return netlink.nested(attribute)[_VALUE]


def _field(kind: str, first: bytes, last: bytes) -> str:
    return _FIELDS[kind][1](first, last)


def _address(first: bytes, last: bytes) -> str:
    """Return an address, a prefix or a range."""
    if first == last:
        return str(ipaddress.ip_address(first))
    begin, end = ipaddress.ip_address(first), ipaddress.ip_address(last)
    if begin.version != end.version or int(begin) > int(end):
        return f"{begin}-{end}"
    size = int(end) - int(begin) + 1
    is_prefix = size & (size - 1) == 0 and int(begin) % size == 0
    return f"{begin}/{begin.max_prefixlen - size.bit_length() + 1}" if is_prefix else f"{begin}-{end}"


def _number(first: bytes, last: bytes) -> str:
    begin, end = int.from_bytes(first, "big"), int.from_bytes(last, "big")
    return str(begin) if begin == end else f"{begin}-{end}"


def _interface(first: bytes, last: bytes) -> str:
    return f'"{netlink.text(first)}"'


def _mac(first: bytes, last: bytes) -> str:
    return first.hex(":")


def _hexadecimal(first: bytes, last: bytes) -> str:
    return "0x" + first.hex()


def _protocol(first: bytes, last: bytes) -> str:
    return _PROTOCOLS.get(first[0], str(first[0]))


def _ether_type(first: bytes, last: bytes) -> str:
    number = int.from_bytes(first, "big")
    return _ETHER_TYPES.get(number, f"0x{number:04x}")


def _ip_version(first: bytes, last: bytes) -> str:
    return _NF_PROTO.get(first[0], str(first[0]))


# Size in bytes and text of each type that dockless's sets have.
_FIELDS: dict[str, tuple[int, t.Callable[[bytes, bytes], str]]] = {
    "ipv4_addr": (4, _address),
    "ip saddr": (4, _address),
    "ip daddr": (4, _address),
    "ipv6_addr": (16, _address),
    "ip6 saddr": (16, _address),
    "ip6 daddr": (16, _address),
    "inet_service": (2, _number),
    "udp dport": (2, _number),
    "inet_proto": (1, _protocol),
    "nf_proto": (1, _ip_version),
    "ifname": (16, _interface),
    "iifname": (16, _interface),
    "ether_addr": (6, _mac),
    "ether_type": (2, _ether_type),
    "@th,96,24": (3, _hexadecimal),
    "@th,64,128": (16, _hexadecimal),
    "@th,96,128": (16, _hexadecimal),
}


# ---- netlink -----------------------------------------------------------------


def _sets(reader: _Reader, family: int) -> list[Attributes]:
    tables = [row for row in reader.dump(_GET_TABLE, family) if netlink.text(row.get(_TABLE_NAME)) == TABLE]
    return reader.dump(_GET_SET, family, _own_table()) if tables else []


def _elements(reader: _Reader, family: int, set_name: str) -> list[Attributes]:
    attributes = _own_table() + _text_attribute(_ELEMENTS_SET, set_name)
    rows = reader.dump(_GET_ELEMENTS, family, attributes)
    return [element for row in rows if _ELEMENTS in row for element in _items(row[_ELEMENTS])]


def _items(value: bytes) -> t.Iterator[Attributes]:
    """Yield the items of a list, whose attributes all have the same type."""
    offset = 0
    while offset + 4 <= len(value):
        length = struct.unpack_from("=H", value, offset)[0]
        yield netlink.nested(value[offset + 4 : offset + length])
        offset += (length + 3) & ~3 or len(value)


def _own_table() -> bytes:
    return _text_attribute(_TABLE_OF, TABLE)


def _text_attribute(kind: int, text: str) -> bytes:
    data = text.encode() + b"\0"
    return struct.pack("=HH", 4 + len(data), kind) + data + b"\0" * (-len(data) % 4)


def _flags(row: Attributes, kind: int) -> int:
    return struct.unpack(">I", row[kind])[0] if kind in row else 0
