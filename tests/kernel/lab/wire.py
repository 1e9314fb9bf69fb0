# SPDX-License-Identifier: GPL-3.0-or-later
"""Frames, byte by byte: any MAC, type, tag, address, header.

Every frame carries a token, by which it is known wherever it comes up.
"""

from __future__ import annotations

import ipaddress
import socket
import struct
import typing as t

BROADCAST = "ff:ff:ff:ff:ff:ff"
IP, ARP, IP6, VLAN, QINQ, RARP = 0x0800, 0x0806, 0x86DD, 0x8100, 0x88A8, 0x8035
TCP, UDP, ICMP, ICMP6, IGMP, SCTP = 6, 17, 1, 58, 2, 132
FRAGMENT, OPTIONS, HOP_BY_HOP, ROUTING = 44, 60, 0, 43
SYN, RST, ACK = 2, 4, 16


def mac_bytes(mac: str) -> bytes:
    """Return a MAC's six bytes."""
    return bytes.fromhex(mac.replace(":", ""))


def packed(address: str) -> bytes:
    """Return an address's four or sixteen bytes."""
    return ipaddress.ip_address(address).packed


def ethernet(target: str, source: str, kind: int, payload: bytes, tags: t.Sequence[tuple[int, int]] = ()) -> bytes:
    """Return a frame; tags are (type, VLAN), outermost first. Where kind is below 1536 it is the length of 802.3."""
    marked = b"".join(struct.pack("!HH", tag, vlan) for tag, vlan in tags)
    frame = mac_bytes(target) + mac_bytes(source) + marked + struct.pack("!H", kind) + payload
    return frame + bytes(max(0, 60 - len(frame)))


def checksum(data: bytes) -> int:
    """Return the Internet checksum (RFC 1071)."""
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _summed(source: str, target: str, protocol: int, head: bytes, at: int, rest: bytes) -> bytes:
    """Return head and rest with the checksum over the pseudo header put in at its place."""
    pseudo = packed(source) + packed(target) + struct.pack("!IBBBB", len(head) + len(rest), 0, 0, 0, protocol)
    value = checksum(pseudo + head + rest) or 0xFFFF
    return head[:at] + struct.pack("!H", value) + head[at + 2 :] + rest


def udp(source: str, target: str, sport: int, dport: int, payload: bytes) -> bytes:
    """Return a datagram."""
    return _summed(source, target, UDP, struct.pack("!HHHH", sport, dport, 8 + len(payload), 0), 6, payload)


def tcp(source: str, target: str, sport: int, dport: int, flags: int, payload: bytes) -> bytes:
    """Return a segment."""
    return _summed(
        source, target, TCP, struct.pack("!HHIIBBHHH", sport, dport, 1000, 2000, 0x50, flags, 64240, 0, 0), 16, payload
    )


_CRC32C = [0] * 256
for _number in range(256):
    _value = _number
    for _turn in range(8):
        _value = _value >> 1 ^ (0x82F63B78 if _value & 1 else 0)
    _CRC32C[_number] = _value


def sctp(sport: int, dport: int, payload: bytes) -> bytes:
    """Return an INIT chunk (RFC 9260, 3.3.2) with a parameter that nobody knows, which holds the payload."""
    parameter = struct.pack("!HH", 0xC0FE, 4 + len(payload)) + payload + bytes(-len(payload) % 4)
    chunk = struct.pack("!BBHIIHHI", 1, 0, 20 + len(parameter), 7, 65536, 10, 10, 1) + parameter
    crc = 0xFFFFFFFF
    for byte in struct.pack("!HHI", sport, dport, 0) + bytes(4) + chunk:
        crc = _CRC32C[(crc ^ byte) & 0xFF] ^ crc >> 8
    return struct.pack("!HHI", sport, dport, 0) + struct.pack("<I", crc ^ 0xFFFFFFFF) + chunk


def icmp(kind: int, code: int, body: bytes) -> bytes:
    """Return a message of ICMP or IGMP."""
    return struct.pack("!BBH", kind, code, checksum(struct.pack("!BBH", kind, code, 0) + body)) + body


def icmp6(source: str, target: str, kind: int, body: bytes, code: int = 0) -> bytes:
    """Return a message of ICMPv6."""
    return _summed(source, target, ICMP6, struct.pack("!BBH", kind, code, 0), 2, body)


def packet(
    source: str,
    target: str,
    protocol: int,
    payload: bytes,
    hops: int = 64,
    offset: int = 0,
    more: bool = False,
    number: int = 7,
    options: bytes = b"",
) -> bytes:
    """Return an IPv4 or IPv6 packet. offset, more, number (of a fragment; offset in units of 8 bytes) and options are
    those of IPv4.
    """
    if ":" in source:
        return struct.pack("!IHBB", 6 << 28, len(payload), protocol, hops) + packed(source) + packed(target) + payload
    head = (
        struct.pack(
            "!BBHHHBBH",
            0x45 + len(options) // 4,
            0,
            20 + len(options) + len(payload),
            number,
            (0x2000 if more else 0) | offset,
            hops,
            protocol,
            0,
        )
        + packed(source)
        + packed(target)
        + options
    )
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + payload


def fragments(source: str, target: str, protocol: int, payload: bytes, first: int, number: int) -> list[bytes]:
    """Return the packets of a payload cut in two after first bytes, a multiple of 8."""
    if ":" not in source:
        return [
            packet(source, target, protocol, payload[:first], more=True, number=number & 0xFFFF),
            packet(source, target, protocol, payload[first:], offset=first // 8, number=number & 0xFFFF),
        ]
    heads = [struct.pack("!BBHI", protocol, 0, 1, number), struct.pack("!BBHI", protocol, 0, first, number)]
    return [
        packet(source, target, FRAGMENT, head + part) for head, part in zip(heads, (payload[:first], payload[first:]))
    ]


def arp(
    operation: int, sender_mac: str, sender: str, target_mac: str, target: str, token: bytes, kind: int = 1
) -> bytes:
    """Return an ARP packet (RFC 826), the token behind it."""
    return (
        struct.pack("!HHBBH", kind, IP, 6, 4, operation)
        + mac_bytes(sender_mac)
        + packed(sender)
        + mac_bytes(target_mac)
        + packed(target)
        + token
    )


def multicast_mac(address: str) -> str:
    """Return the MAC of a multicast group (RFC 1112, RFC 2464)."""
    last = packed(address)[-4:]
    raw = b"\x33\x33" + last if ":" in address else b"\x01\x00\x5e" + bytes([last[1] & 0x7F]) + last[2:]
    return raw.hex(":")


def option6(kind: int, mac: str) -> bytes:
    """Return a link-layer address option of neighbour discovery."""
    return bytes([kind, 1]) + mac_bytes(mac)


def token_option(token: bytes) -> bytes:
    """Return an option of neighbour discovery that nobody knows (253, RFC 4727), with the token in it."""
    return bytes([253, 2]) + token.ljust(14, b"\0")


def solicited_node(address: str) -> str:
    """Return the multicast group in which an address is asked for (RFC 4291)."""
    return str(ipaddress.IPv6Address(packed("ff02::1:ff00:0")[:13] + packed(address)[13:]))


def link_local(mac: str) -> str:
    """Return the address that a kernel makes of a MAC (RFC 4291, appendix A)."""
    raw = mac_bytes(mac)
    return str(ipaddress.IPv6Address(packed("fe80::")[:8] + bytes([raw[0] ^ 2]) + raw[1:3] + b"\xff\xfe" + raw[3:]))


def family(address: str) -> int:
    """Return the socket family of an address."""
    return socket.AF_INET6 if ":" in address else socket.AF_INET
