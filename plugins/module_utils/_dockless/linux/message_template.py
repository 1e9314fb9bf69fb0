# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Netlink messages that are encoded once and then filled with values, by replacing the bytes of placeholders.

pyroute2 takes 0.17 ms to encode the message for a veth pair, a quarter of the time in which the kernel creates it.
"""

from __future__ import annotations

import socket
import struct
import typing as t

# A name, a MAC address, an IP address or a number. None and "" leave the attribute out.
Value = t.Union[str, int, None]
_Lengths = tuple[int, ...]  # of each encoded value, in bytes
_Offsets = tuple[int, ...]  # of one value, which may be in several places of a message


class Template:
    """A message with slots for values.

    The types of slots are text (a name), mac, ip and u32. A message is encoded once for each combination of lengths of
    its values, because an IPv6 address is longer than an IPv4 address and an empty value leaves its attribute out.
    """

    def __init__(self, build: t.Callable[..., bytes], *slots: str) -> None:
        """Take a function that encodes the message from one value for each slot."""
        self._build = build
        self._slots = slots
        self._encoded: dict[_Lengths, tuple[bytes, tuple[_Offsets, ...]]] = {}

    def fill(self, *values: Value) -> bytearray:
        """Return the message with these values, one for each slot."""
        parts = [_ENCODERS[slot](value) for slot, value in zip(self._slots, values)]
        lengths = tuple(map(len, parts))
        if lengths not in self._encoded:
            self._encoded[lengths] = self._encode(lengths)
        encoded, offsets = self._encoded[lengths]
        message = bytearray(encoded)
        for part, places in zip(parts, offsets):
            for place in places:
                message[place : place + len(part)] = part
        return message

    def _encode(self, lengths: _Lengths) -> tuple[bytes, tuple[_Offsets, ...]]:
        """Return a message with a placeholder in each slot, and the offsets of each placeholder."""
        placeholders = [
            _PLACEHOLDERS[slot](number, length) if length else None
            for number, (slot, length) in enumerate(zip(self._slots, lengths), 1)
        ]
        message = self._build(*placeholders)
        parts = [_ENCODERS[slot](placeholder) for slot, placeholder in zip(self._slots, placeholders)]
        return message, tuple(_offsets(message, part) for part in parts)


def _offsets(message: bytes, part: bytes) -> _Offsets:
    """Return the offsets of part in a message. Raises AssertionError if it has none."""
    found = []
    offset = message.find(part) if part else -1
    while offset >= 0:
        found.append(offset)
        offset = message.find(part, offset + len(part))
    if part and not found:
        raise AssertionError("a slot of a netlink message is not to be found")
    return tuple(found)


def _encode_text(value: Value) -> bytes:
    return str(value).encode() + b"\0" if value else b""


def _encode_mac(value: Value) -> bytes:
    return bytes.fromhex(str(value).replace(":", "")) if value else b""


def _encode_ip(value: Value) -> bytes:
    if not value:
        return b""
    address = str(value)
    return socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)


def _encode_u32(value: Value) -> bytes:
    return b"" if value is None else struct.pack("=I", value)


# Placeholders differ by the number of their slot, and are unlikely to be in a message by chance.


def _text_placeholder(number: int, length: int) -> str:
    return (chr(96 + number) * length)[: length - 1]


def _mac_placeholder(number: int, length: int) -> str:
    return f"a5:5a:c3:3c:96:{number:02x}"


def _ip_placeholder(number: int, length: int) -> str:
    return socket.inet_ntop(socket.AF_INET if length == 4 else socket.AF_INET6, bytes(range(201, 201 + length)))


def _u32_placeholder(number: int, length: int) -> int:
    return 0x7EC3A500 + number


_ENCODERS: dict[str, t.Callable[[Value], bytes]] = {
    "text": _encode_text,
    "mac": _encode_mac,
    "ip": _encode_ip,
    "u32": _encode_u32,
}
_PLACEHOLDERS: dict[str, t.Callable[[int, int], Value]] = {
    "text": _text_placeholder,
    "mac": _mac_placeholder,
    "ip": _ip_placeholder,
    "u32": _u32_placeholder,
}
