# SPDX-License-Identifier: GPL-3.0-or-later
"""Send packets through a host from both of its links until a file appears, and count those that it forwards.

flood.py MGMT_MAC UNDER_MAC OUTER STOP: the MAC addresses of the host's links, the outer end of one, and the file. Two
neighbours of the host, in network namespaces of their own, are on the bridges mgmt and under of the lab. They send
without a pause: TCP, UDP and echo, also while the host is down. The program prints "ready" after the first packets,
and at the end JSON with what arrived at each neighbour:
{"sent": NUMBER, "forwarded": {"left": [KIND, ...], "right": [...]}, "at_power_off": the same}

"at_power_off" is what arrived before the host was started again. A host of the lab is a network namespace, and the
kernel removes the rules of one that ends before its links: a moment that no machine has.
"""

from __future__ import annotations

import contextlib
import ctypes
import ipaddress
import json
import os
import socket
import struct
import subprocess
import sys
import time
import typing as t

MARK = b"flood-of-the-lab"
PAUSE = 0.005  # seconds between two rounds
MGMT, UNDER = "10.99.0.201", "192.0.2.201"
MGMT6, UNDER6 = "2001:db8:9::201", "2001:db8:1::201"  # the host has a route to the second only
SIDES = (("left", "mgmt", MGMT, MGMT6), ("right", "under", UNDER, UNDER6))
SOURCES = {ipaddress.ip_address(text).packed for text in (MGMT, UNDER, MGMT6)}
PROTOCOLS = {4: {"tcp": 6, "udp": 17, "echo": 1}, 6: {"tcp": 6, "udp": 17, "echo": 58}}


def set_up() -> None:
    """Create both neighbours. They answer ARP and neighbour solicitations, as any host does."""
    for name, bridge, address, address6 in SIDES:
        commands = (
            f"netns add {name}",
            f"link add flood-{name} type veth peer name eth0 netns {name}",
            f"link set flood-{name} master {bridge} up",
            f"-n {name} address add {address}/24 dev eth0",
            f"-n {name} address add {address6}/64 dev eth0 nodad",
            f"-n {name} link set eth0 up",
        )
        for command in commands:
            subprocess.run(["ip", *command.split()], check=True)


def take_down() -> None:
    """Remove both neighbours."""
    for name, _bridge, _address, _address6 in SIDES:
        subprocess.run(["ip", "link", "delete", f"flood-{name}"], check=True)
        subprocess.run(["ip", "netns", "delete", name], check=True)


def checksum(data: bytes) -> int:
    """Return the checksum of an IPv4 header (RFC 1071)."""
    value = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while value >> 16:
        value = (value & 0xFFFF) + (value >> 16)
    return ~value & 0xFFFF


def segment(protocol: str, version: int) -> bytes:
    """Return what follows the IP header. Its checksum is not filled in: no router looks at it."""
    if protocol == "tcp":
        return struct.pack("!HHIIBBHHH", 7, 9, 1, 0, 0x50, 2, 999, 0, 0) + MARK
    if protocol == "udp":
        return struct.pack("!HHHH", 7, 9, 8 + len(MARK), 0) + MARK
    return struct.pack("!BBHHH", 8 if version == 4 else 128, 0, 0, 1, 1) + MARK


def frame(protocol: str, source: str, target: str, sender: bytes, receiver: bytes) -> bytes:
    """Return a packet in an Ethernet frame."""
    a, b = ipaddress.ip_address(source), ipaddress.ip_address(target)
    number, body = PROTOCOLS[a.version][protocol], segment(protocol, a.version)
    if a.version == 4:
        head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(body), 7, 0, 64, number, 0) + a.packed + b.packed
        head = head[:10] + struct.pack("!H", checksum(head)) + head[12:]
        return receiver + sender + b"\x08\x00" + head + body
    head = struct.pack("!IHBB", 6 << 28, len(body), number, 64) + a.packed + b.packed
    return receiver + sender + b"\x86\xdd" + head + body


def open_link(netns: str) -> socket.socket:
    """Return a packet socket on eth0 of a network namespace."""
    setns = ctypes.CDLL(None, use_errno=True).setns  # os.setns needs Python 3.12
    with open("/proc/self/ns/net", "rb") as own, open(f"/run/netns/{netns}", "rb") as there:
        setns(there.fileno(), 0)
        link = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        link.bind(("eth0", 0))
        setns(own.fileno(), 0)
    link.setblocking(False)
    return link


def arrived(link: socket.socket) -> t.Iterator[str]:
    """Yield the IP version and protocol of each packet of the other neighbour that has come in.

    The host's own ICMP errors quote such packets, so the source counts.
    """
    with contextlib.suppress(BlockingIOError):
        while True:
            data, place = link.recvfrom(2048)
            version = data[14] >> 4
            source = data[26:30] if version == 4 else data[22:38]
            if MARK in data and source in SOURCES and place[2] != socket.PACKET_OUTGOING:
                yield f"IPv{version} protocol {data[23] if version == 4 else data[20]}"


def outer_index() -> int:
    """Return the number of the outer end of the host's link, 0 while there is none. Each start of a host creates it."""
    with contextlib.suppress(OSError):
        return socket.if_nametoindex(sys.argv[3])
    return 0


def by_side(found: tuple[set[str], set[str]]) -> dict[str, list[str]]:
    """Return what arrived, by the name of the neighbour."""
    return {side[0]: sorted(there) for side, there in zip(SIDES, found)}


def main() -> None:
    """Flood until the file appears."""
    set_up()
    macs = [bytes.fromhex(text.replace(":", "")) for text in sys.argv[1:3]]
    links = [open_link(side[0]) for side in SIDES]
    pairs = (((MGMT, UNDER), (MGMT6, UNDER6)), ((UNDER, MGMT),))
    frames = [
        [frame(each, *pair, link.getsockname()[4], mac) for pair in of_side for each in ("tcp", "udp", "echo")]
        for link, mac, of_side in zip(links, macs, pairs)
    ]
    sent = 0
    found: tuple[set[str], set[str]] = (set(), set())
    before: tuple[set[str], set[str]] = (set(), set())
    index = outer_index()
    while not os.path.exists(sys.argv[4]):
        if outer_index() not in (index, 0):
            index = outer_index()
            before, found = found, (set(), set())
            for link, there in zip(links, before):
                there.update(arrived(link))
        for link, of_side, there in zip(links, frames, found):
            for each in of_side:
                link.send(each)
            sent += len(of_side)
            there.update(arrived(link))
        if sent == sum(map(len, frames)):
            print("ready", flush=True)
        time.sleep(PAUSE)
    take_down()
    print(json.dumps({"sent": sent, "forwarded": by_side(found), "at_power_off": by_side(before)}), flush=True)


if __name__ == "__main__":
    main()
