# SPDX-License-Identifier: GPL-3.0-or-later
"""Traffic that tests send and count: raw frames, datagrams that are reported, pings that must not be cut up, and
rules removed.

That something does not arrive is known without waiting: a later datagram that must arrive comes out of the
recorder, and nothing may have come before it.
"""

from __future__ import annotations

import contextlib
import json
import typing as t

from support.private_host import SYSTEM_PYTHON, Failed, Place, Server

_RECORDER = """
import socket, sys
family = socket.AF_INET6 if open("/proc/net/protocols").read().find("UDPv6") > 0 else socket.AF_INET
server = socket.socket(family, socket.SOCK_DGRAM)
server.bind(("::" if family == socket.AF_INET6 else "0.0.0.0", int(sys.argv[1])))
print("ready", flush=True)
server.settimeout(15)  # a test that waits for what never comes fails by its end
while True:
    text, client = server.recvfrom(2048)
    print(text.decode(), client[0].replace("::ffff:", ""), flush=True)
"""
_SEND = """
import socket, sys
address, port, text = sys.argv[1], int(sys.argv[2]), sys.argv[3]
s = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
s.sendto(text.encode(), (address, port))
"""
_FRAME = """
import ipaddress, socket, struct, sys
link, mac, source, target, port, text = sys.argv[1:]
payload = text.encode()
def total(data):
    data += b"\\0" * (len(data) % 2)
    value = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while value >> 16: value = (value & 0xffff) + (value >> 16)
    return ~value & 0xffff
sender, receiver = ipaddress.ip_address(source).packed, ipaddress.ip_address(target).packed
header = struct.pack("!HHHH", 40000, int(port), 8 + len(payload), 0)
pseudo = sender + receiver + struct.pack("!IHBB", 8 + len(payload), 0, 0, 17)
datagram = header[:6] + struct.pack("!H", total(pseudo + header + payload) or 0xffff) + payload
if len(sender) == 4:
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(datagram), 7, 0, 64, 17, 0) + sender + receiver
    packet, kind = head[:10] + struct.pack("!H", total(head)) + head[12:] + datagram, 0x0800
else:
    packet, kind = struct.pack("!IHBB", 6 << 28, len(datagram), 17, 64) + sender + receiver + datagram, 0x86DD
wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
wire.bind((link, 0))
wire.send(bytes.fromhex(mac.replace(":", "")) + wire.getsockname()[4] + struct.pack("!H", kind) + packet)
"""


def record(place: Place, netns: str | None, port: int) -> Server:
    """Start a server that says each datagram to the UDP port as "TEXT CLIENT" on a line; return when it listens.

    It ends, and its lines with it, when none comes for 15 seconds.
    """
    server = place.popen([SYSTEM_PYTHON, "-c", _RECORDER, str(port)], netns)
    if server.readline() != "ready":
        raise Failed(f"the recorder on port {port} of {netns or 'the host'} does not start")
    return server


def send(place: Place, netns: str | None, address: str, port: int, text: str, check: bool = True) -> None:
    """Send one datagram. Raises Failed where the sender's own kernel refuses it and check is set."""
    place.run([SYSTEM_PYTHON, "-c", _SEND, address, str(port), text], netns=netns, check=check)


def send_frame(
    place: Place, netns: str | None, link: str, mac: str, source: str, target: str, port: int, text: str
) -> None:
    """Put a UDP datagram on a link as a raw frame: any source and target address, whatever routes say."""
    place.run([SYSTEM_PYTHON, "-c", _FRAME, link, mac, source, target, str(port), text], netns=netns)


def fits(place: Place, netns: str | None, address: str, size: int) -> bool:
    """Tell whether an echo of size bytes, IP header included, is answered without being cut up on the way."""
    payload = size - (48 if ":" in address else 28)
    argv = ["ping", "-n", "-q", "-c", "1", "-w", "2", "-M", "do", "-s", str(payload), address]
    return place.run(argv, netns=netns, check=False).returncode == 0


def links(host: Place, netns: str | None = None) -> dict[str, dict[str, t.Any]]:
    """Return ip's own words on each link, its addresses as CIDR under "cidrs"."""
    found = json.loads(host.run(["ip", "-json", "-details", "address", "show"], netns=netns).stdout)
    for link in found:
        link["cidrs"] = [f"{a['local']}/{a['prefixlen']}" for a in link.get("addr_info", ())]
    return {link["ifname"]: link for link in found}


def default_routes(host: Place, netns: str) -> list[str]:
    """Return "GATEWAY DEVICE" of each default route of a sandbox, IPv4 first."""
    found = [
        json.loads(host.run(["ip", "-json", family, "route", "show", "default"], netns=netns).stdout or "[]")
        for family in ("-4", "-6")
    ]
    return [f"{route['gateway']} {route['dev']}" for routes in found for route in routes]


@contextlib.contextmanager
def without(host: Place, *rules: str) -> t.Iterator[None]:
    """Take rules out of our live table for the length of a with block: each the one rule that holds this text."""
    kept = host.run(["nft", "list", "table", "inet", "dockless"]).stdout
    for text in rules:
        found = [
            (item["rule"]["chain"], item["rule"]["handle"])
            for item in _rules(host)
            if text in _text_of(host, item["rule"])
        ]
        assert len(found) == 1, f"{len(found)} rules of the live table hold {text!r}"
        host.run(["nft", "delete", "rule", "inet", "dockless", found[0][0], "handle", str(found[0][1])])
    try:
        yield
    finally:
        host.run(["nft", "-f", "-"], input=f"delete table inet dockless\n{kept}")


def counter(host: Place, name: str) -> int:
    """Return how many packets a counter of our live table has counted."""
    listed = json.loads(host.sh(f"nft --json list counter inet dockless {name}"))["nftables"]
    return next(item["counter"]["packets"] for item in listed if "counter" in item)


def _rules(host: Place) -> list[dict[str, t.Any]]:
    listed = json.loads(host.run(["nft", "--json", "--handle", "list", "table", "inet", "dockless"]).stdout)["nftables"]
    return [item for item in listed if "rule" in item]


def _text_of(host: Place, rule: dict[str, t.Any]) -> str:
    text = host.run(["nft", "--handle", "list", "chain", "inet", "dockless", rule["chain"]]).stdout
    return next(line for line in text.splitlines() if line.endswith(f"# handle {rule['handle']}"))


@contextlib.contextmanager
def sysctls(host: Place, values: t.Mapping[str, t.Any]) -> t.Iterator[None]:
    """Set keys under /proc/sys/net for the length of a with block."""
    before = {key: host.read(f"/proc/sys/net/{key}").strip() for key in values}
    try:
        _write(host, values)
        yield
    finally:
        _write(host, before)


def _write(host: Place, values: t.Mapping[str, t.Any]) -> None:
    host.sh("; ".join(f"echo '{value}' >/proc/sys/net/{key}" for key, value in values.items()))


def bridge_calls_iptables(host: Place, on: int) -> t.ContextManager[None]:
    """Set bridge-nf-call-iptables and -ip6tables for the length of a with block."""
    return sysctls(host, {f"bridge/bridge-nf-call-{program}": on for program in ("iptables", "ip6tables")})


def network(subnet: str = "", **options: t.Any) -> dict[str, t.Any]:
    """Return a network's declaration without names, whose subnets are those in subnet, if any."""
    subnets = [{"subnet": text} for text in subnet.split()]
    return {"dns_enabled": False, **({"ipam": {"config": subnets}} if subnets else {}), **options}
