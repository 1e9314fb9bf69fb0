# SPDX-License-Identifier: GPL-3.0-or-later
"""SCTP through a published port, by chunks made by hand: the kernel of the tests has no SCTP sockets, only its NAT."""

from __future__ import annotations

import pytest

from support.private_host import HOST_ADDRESSES, NEIGHBOUR_ADDRESSES, SYSTEM_PYTHON

_RECEIVER = """
import socket, struct
wire = socket.socket(socket.AF_INET, socket.SOCK_RAW, 132)
wire.settimeout(15)
print("ready", flush=True)
while True:
    packet, (source, _) = wire.recvfrom(2048)
    print(source, struct.unpack("!H", packet[22:24])[0], flush=True)
"""
# An INIT chunk (RFC 4960, 3.3.2) with its CRC32c, without which connection tracking takes it for none.
_SENDER = """
import socket, struct, sys
table = []
for number in range(256):
    for turn in range(8):
        number = number >> 1 ^ (0x82F63B78 if number & 1 else 0)
    table.append(number)
def crc(data):
    value = 0xFFFFFFFF
    for byte in data:
        value = table[(value ^ byte) & 0xFF] ^ value >> 8
    return struct.pack("<I", value ^ 0xFFFFFFFF)
wire = socket.socket(socket.AF_INET, socket.SOCK_RAW, 132)
for port in sys.argv[2:]:
    chunk = struct.pack("!BBHIIHHI", 1, 0, 20, 7, 65536, 10, 10, 1)
    head = struct.pack("!HHI", 40000, int(port), 0)
    wire.sendto(head + crc(head + bytes(4) + chunk) + chunk, (sys.argv[1], 0))
"""


@pytest.mark.smoke
def test_sctp_packets_are_translated(private_host):
    """One port, one of a range, and none that is not published; the client's address is kept.

    The last one tells that all have been through.
    """
    private_host.apply(
        {
            "networks": {"front": {"dns_enabled": False}},
            "sandboxes": {
                "web": {
                    "networks": ["front"],
                    "ports": ["5000:50/sctp", "7000-7009:7000-7009/sctp", "6000:60/udp", "5001:51/sctp"],
                }
            },
        }
    )
    receiver = private_host.popen([SYSTEM_PYTHON, "-c", _RECEIVER], "web")
    assert receiver.readline() == "ready"
    private_host.neighbour().run(
        [SYSTEM_PYTHON, "-c", _SENDER, HOST_ADDRESSES[0], "5000", "7004", "6000", "4999", "5001"]
    )
    neighbour = NEIGHBOUR_ADDRESSES[0]
    assert [receiver.readline() for turn in range(3)] == [f"{neighbour} 50", f"{neighbour} 7004", f"{neighbour} 51"]
