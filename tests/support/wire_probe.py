# SPDX-License-Identifier: GPL-3.0-or-later
"""Numbered frames, and who takes them: a table of the tests notes which packets pass all rules of a host's input hook.

That a frame does not arrive is known without waiting: the sender ends with an echo request of its own, on the same
processor, and returns when that is answered.
"""

from __future__ import annotations

import json
import typing as t

from lab import wire
from support.private_host import SYSTEM_PYTHON, Place

_SEND = """
import json, os, socket, sys
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
link, frames, last = sys.argv[1], json.load(sys.stdin), bytes.fromhex(sys.argv[2])
wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
wire.bind((link, 0x0003))
wire.settimeout(20)
for frame in frames:
    wire.send(bytes.fromhex(frame))
if last:
    wire.send(last)
    while True:
        heard, sender = wire.recvfrom(2048)
        if heard[12:14] == b"\\x08\\x06" or heard[12:14] == b"\\x86\\xdd" and heard[20] == 58:
            print(heard.hex(), flush=True)
        answer = heard[12:14] == b"\\x08\\x00" and heard[23] == 1 and heard[34] == 0 and heard[38:42] == last[38:42]
        if sender[2] != 4 and answer:
            break
"""
_WATCH = """
table inet watch {
    set heard4 { typeof ip id; size 65535; flags dynamic; }
    set heard6 { typeof ip6 flowlabel; size 65535; flags dynamic; }
    chain input {
        type filter hook input priority 300; policy accept;
        add @heard4 { ip id }
        add @heard6 { ip6 flowlabel }
    }
}
"""


def numbered(packet: bytes, number: int) -> bytes:
    """Return an IPv4 packet with this identification, or an IPv6 packet with this flow label."""
    if packet[0] >> 4 == 6:
        return packet[:1] + number.to_bytes(3, "big") + packet[4:]
    head = packet[:4] + number.to_bytes(2, "big") + packet[6:10] + b"\0\0" + packet[12:20]
    return head[:10] + wire.checksum(head).to_bytes(2, "big") + head[12:] + packet[20:]


def watch(host: Place) -> None:
    """Have the host note the number of each packet that its IP stack takes, after all other rules."""
    host.run(["nft", "-f", "-"], input=_WATCH)


def unwatch(host: Place) -> None:
    """End it."""
    host.run(["nft", "delete", "table", "inet", "watch"])


def heard(host: Place) -> set[int]:
    """Return the numbers noted since the last call."""
    found: set[int] = set()
    for version in (4, 6):
        listed = json.loads(host.run(["nft", "-j", "list", "set", "inet", "watch", f"heard{version}"]).stdout)
        elements = next(item["set"] for item in listed["nftables"] if "set" in item).get("elem", [])
        found |= {element["elem"]["val"] if isinstance(element, dict) else element for element in elements}
        host.run(["nft", "flush", "set", "inet", "watch", f"heard{version}"])
    return found


def send(
    place: Place, netns: str | None, frames: t.Sequence[bytes], last: bytes = b"", link: str = "eth0"
) -> list[bytes]:
    """Put frames on a link, then last, an echo request of IPv4, whose answer is waited for.

    Return the frames of ARP and ICMPv6 that came until then.
    """
    text = json.dumps([frame.hex() for frame in frames])
    done = place.run([SYSTEM_PYTHON, "-c", _SEND, link, last.hex()], netns=netns, input=text)
    return [bytes.fromhex(line) for line in done.stdout.split()]


def echo_request(mac: str, source_mac: str, source: str, target: str) -> bytes:
    """Return the frame of an echo request over IPv4."""
    return wire.ethernet(mac, source_mac, wire.IP, wire.packet(source, target, wire.ICMP, wire.icmp(8, 0, b"last")))
