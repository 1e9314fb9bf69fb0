# SPDX-License-Identifier: GPL-3.0-or-later
"""The exposure report against a scan: every TCP port of every address of the lab, from a neighbour and from afar,
both families.
"""

from __future__ import annotations

import json
import os

import pytest

from support.private_host import HOST_ADDRESSES, SYSTEM_PYTHON
from support.traffic import network

HOST4, HOST6 = HOST_ADDRESSES
HIGHEST = 65535 if os.environ.get("DOCKLESS_TEST_EVERY_PORT") else 1200
# SYNs by hand, because a connect of the kernel's own waits a second for each port that is dropped. Says the ports that
# answer with SYN, ACK.
# A port of the host that must answer comes last: what was sent before it has been through the host by then.
_SCAN = """
import ipaddress, json, socket, struct, sys
link, mac, source, target, marker, highest, last = sys.argv[1:8]
mac, highest, last = bytes.fromhex(mac.replace(":", "")), int(highest), int(last)
sender, target, marker = (ipaddress.ip_address(text).packed for text in (source, target, marker))
kind = 0x0800 if len(sender) == 4 else 0x86DD
wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(kind))
wire.bind((link, kind))
wire.setsockopt(socket.SOL_SOCKET, 33, 64 << 20)
own = wire.getsockname()[4]
def total(data):
    value = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while value >> 16: value = (value & 0xffff) + (value >> 16)
    return ~value & 0xffff
def pseudo(receiver):
    length = struct.pack("!BBH", 0, 6, 20) if len(sender) == 4 else struct.pack("!IHBB", 20, 0, 0, 6)
    return sender + receiver + length
def syn(receiver, port):
    head = struct.pack("!HHIIBBHHH", 40000, port, 7, 0, 5 << 4, 2, 1024, 0, 0)
    head = head[:16] + struct.pack("!H", total(pseudo(receiver) + head)) + head[18:]
    if len(sender) == 4:
        ip = struct.pack("!BBHHHBBH", 0x45, 0, 40, 7, 0, 64, 6, 0) + sender + receiver
        ip = ip[:10] + struct.pack("!H", total(ip)) + ip[12:]
    else:
        ip = struct.pack("!IHBB", 6 << 28, 20, 6, 64) + sender + receiver
    wire.send(mac + own + struct.pack("!H", kind) + ip + head)
found = set()
def hear():
    try:
        while True:
            frame = wire.recv(2048)
            skip, start = (34, 26) if len(sender) == 4 else (54, 22)
            if frame[:6] == own and frame[skip + 13] & 0x12 == 0x12:
                found.add((frame[start:start + len(sender)], struct.unpack("!H", frame[skip:skip + 2])[0]))
    except (BlockingIOError, TimeoutError):
        pass
wire.setblocking(False)
for port in range(1, highest + 1):
    syn(target, port)
    if port % 64 == 0: hear()
wire.settimeout(0.05)
for attempt in range(100):
    syn(marker, last)
    hear()
    if (marker, last) in found: break
else:
    sys.exit("the last port does not answer")
print(json.dumps(sorted(port for address, port in found if address == target)))
"""
SANDBOXES = {
    "shut": ("172.30.1.11", "fd00:1::11"),
    "open": ("172.30.2.11", "fd00:2::11"),
    "routed": ("172.30.3.11", "fd00:3::11"),
    "trusting": ("172.30.4.11", "fd00:4::11"),
    "closed": ("172.30.5.11", "fd00:5::11"),
}
DOCUMENT = {
    "networks": {
        "a": network("172.30.1.0/24 fd00:1::/64"),
        "b": network(
            "172.30.2.0/24 fd00:2::/64", gateway_mode_ipv4="nat-unprotected", gateway_mode_ipv6="nat-unprotected"
        ),
        "c": network("172.30.3.0/24 fd00:3::/64", gateway_mode_ipv4="routed", gateway_mode_ipv6="routed"),
        "d": network("172.30.4.0/24 fd00:4::/64", trusted_host_interfaces=["eth0"]),
        "e": network("172.30.5.0/24 fd00:5::/64", internal=True),
    },
    "sandboxes": {
        name: {
            "networks": {net: {"ipv4_address": SANDBOXES[name][0], "ipv6_address": SANDBOXES[name][1]}},
            "ports": ports,
        }
        for name, net, ports in (
            (
                "shut",
                "a",
                [
                    "80:1000",
                    "127.0.0.1:81:1000",
                    f"{HOST4}:82:1000",
                    f"[{HOST6}]:83:1000",
                    "90-95:990-995",
                    {"target": 1000, "published": 84, "source_ranges": ["203.0.113.0/24"]},
                ],
            ),
            ("open", "b", ["100:1000"]),
            ("routed", "c", ["110:1000"]),
            ("trusting", "d", ["120:1000"]),
            ("closed", "e", []),
        )
    },
}
_SERVERS = """
import socket, sys
servers = [
    socket.create_server(("::", int(port)), family=socket.AF_INET6, dualstack_ipv6=True, backlog=200)
    for port in sys.argv[1:]
]
print("ready", flush=True)
import signal; signal.pause()
"""


@pytest.mark.parametrize(
    "source", [("192.0.2.3", "2001:db8:1::3"), ("198.51.100.1", "2001:db8:2::1")], ids=["neighbour", "far"]
)
def test_a_scan_finds_what_the_report_tells(private_host, source):
    """Every port of the host's addresses and of five sandboxes', by raw SYNs past all routes.

    The host's own canary is the control.
    """
    private_host.apply(DOCUMENT)
    for name in SANDBOXES:
        assert (
            private_host.popen(
                [SYSTEM_PYTHON, "-c", _SERVERS, "1000", "1001", *map(str, range(990, 996))], name
            ).readline()
            == "ready"
        )
    assert private_host.popen([SYSTEM_PYTHON, "-c", _SERVERS, "1199"], None).readline() == "ready"
    report = private_host.dockless("show", "--json")["exposures"]
    for six in (False, True):
        for target in ((HOST4, HOST6)[six], *(addresses[six] for addresses in SANDBOXES.values())):
            own = target in (HOST4, HOST6)
            seen = [
                port for port in scan(private_host, source[six], target, (HOST4, HOST6)[six]) if not own or port != 1199
            ]
            assert seen == told(report, target, own), (source[six], target)


def scan(host, source, target, marker):
    """Return the open ports of an address as the neighbour finds them.

    Marker is an address of the host, whose port 1199 answers.
    """
    argv = ["eth0", "02:00:00:00:00:02", source, target, marker, str(HIGHEST), "1199"]
    return json.loads(host.neighbour().run([SYSTEM_PYTHON, "-c", _SCAN, *argv], timeout=300).stdout)


def told(report, target, own):
    """Return the TCP ports that the report says are open at an address to who comes by eth0 from anywhere but
    203.0.113.0/24.
    """
    family = "ipv6" if ":" in target else "ipv4"
    rows = [
        row
        for row in report
        if row["family"] == family
        and row["protocol"] in ("tcp", "any")
        and "this host" not in row["reachable_from"][:9]
    ]
    rows = [row for row in rows if row["address"] == target or own and row["address"] in ("0.0.0.0", "::")]
    listening = [1000, 1001, *range(990, 996)]
    return sorted({port for row in rows for port in ([row["port"]] if row["port"] else listening)})
