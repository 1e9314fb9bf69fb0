# SPDX-License-Identifier: GPL-3.0-or-later
"""Two private hosts with an overlay of each kind between them, and frames that come out of a tunnel.

Each overlay has the sandboxes evil and good on the first host, victim on the second, and third on a third host, which
does not exist. Frames are sent by evil, or by its host as VXLAN; everything that victim receives is recorded.
"""

from __future__ import annotations

import contextlib
import json
import struct
import typing as t

from lab import wire
from support import capture, private_fleet, traffic
from support.private_host import SYSTEM_PYTHON, PrivateHost

STATIC, SEALED, ROUTED, EVPN = KINDS = ("static", "sealed", "routed", "evpn")
NUMBERS = dict(zip(KINDS, range(60, 64)))
LAST = {"gateway": 1, "evil": 11, "good": 12, "third": 13, "victim": 14, "nobody": 99}
HOST_OF = {"evil": 1, "good": 1, "victim": 2, "third": 3}
PORTS = {STATIC: 4789, SEALED: 4787, ROUTED: 4789, EVPN: 4789}
TOKEN = b"TOKEN-"
Arrived = dict[bytes, bytes]  # frames by token
PROTOCOL = 253  # for experiments (RFC 3692): no checksum, nothing that a kernel would answer

# Reads [link, offset or null, frame] from each line, and sends each by a raw socket. With an offset, the kernel writes
# the checksum of what follows over the two bytes there (PACKET_VNET_HDR of packet(7), struct virtio_net_hdr). Newer
# kernels refuse an offset before FIRST_OFFSET.
_SEND = """
import json, socket, struct, sys
wires = {}
for link, at, frame in map(json.loads, sys.stdin):
    if (link, at is None) not in wires:
        wire = wires[link, at is None] = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
        if at is not None:
            wire.setsockopt(263, 15, 1)
        wire.bind((link, 0))
    header = b"" if at is None else struct.pack("=BBHHHH", 1, 0, 0, 0, at, 0)
    try:
        wires[link, at is None].send(header + bytes.fromhex(frame))
    except OSError:
        if at is None or at >= 20:
            raise
"""
FIRST_OFFSET = 20
# Reads [source, target, port, VNI, frame] from each line, and sends each frame as a VXLAN packet of the host.
_SEND_VXLAN = """
import json, socket, struct, sys
wires = {}
for source, target, port, vni, frame in map(json.loads, sys.stdin):
    if source not in wires:
        wires[source] = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        wires[source].bind((source, 0))
    wires[source].sendto(struct.pack("!II", 0x08000000, vni << 8) + bytes.fromhex(frame), (target, port))
"""
_RECORD = """
import re, socket
wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
wire.settimeout(30)  # a test that waits for what never comes fails by its end
print("ready", flush=True)
while True:
    frame, sender = wire.recvfrom(4096)
    found = re.search(rb"TOKEN-[0-9]{6}", frame)
    if found and sender[2] != 4:
        print(found[0].decode(), frame.hex(), flush=True)
"""
# As on an interface that cannot fill in the checksum of what is in a tunnel (ETHTOOL_STXCSUM of linux/ethtool.h).
_NO_OFFLOAD = """
import array, fcntl, socket, struct
order = array.array("B", struct.pack("II", 0x17, 0))
fcntl.ioctl(socket.socket(), 0x8946, struct.pack("16sP16x", b"under0", order.buffer_info()[0]))
"""


def address(kind: str, name: str, version: int) -> str:
    """Return a sandbox's address. In a routed overlay, each host has the part of its number."""
    number, last = NUMBERS[kind], LAST[name]
    part = HOST_OF.get(name, 1) if kind == ROUTED else 0
    return f"10.{number}.{part}.{last}" if version == 4 else f"fd00:{number}:0:{part}::{last:x}"


def mac(kind: str, name: str) -> str:
    """Return a sandbox's MAC."""
    return f"02:42:00:00:{NUMBERS[kind]}:{LAST[name]}"


def sandbox(kind: str, name: str) -> str:
    """Return the namespace of a sandbox, which is on one network."""
    return f"{name}-{kind}"


def vtep(kind: str, number: int) -> str:
    """Return a host's VTEP address."""
    return capture.tunnel_address(number) if kind == SEALED else private_fleet.address(number)


class Tunnels:
    """The hosts and what is declared on them. The network with EVPN is another project's, without FRR."""

    def __init__(self, fleet: private_fleet.Fleet) -> None:
        self.first, self.second = fleet.hosts
        self._count = 0
        self.keys = [capture.key(host) for host in fleet.hosts]
        for number, host in enumerate(fleet.hosts, 1):
            host.apply(self.document(number, (STATIC, SEALED, ROUTED)))
            host.apply(self.document(number, (EVPN,)), project="learned")
        for host, names in ((self.first, ("victim", "third")), (self.second, ("evil", "good", "third"))):
            self._learn(host, names)
        self.first.run([SYSTEM_PYTHON, "-c", _NO_OFFLOAD])
        self.router = self.device(self.second, ROUTED)["address"]
        self.gateway_macs = {kind: self._bridge(self.second, kind)["address"] for kind in KINDS}

    def document(self, number: int, kinds: t.Sequence[str], **options: t.Any) -> dict[str, t.Any]:
        """Return a host's document."""
        found: dict[str, t.Any] = {"networks": {}, "sandboxes": {}}
        for kind in kinds:
            found["networks"][kind] = {**self._network(kind, number), **options}
            for name in [name for name in HOST_OF if HOST_OF[name] == number]:
                fixed = {f"ipv{version}_address": address(kind, name, version) for version in (4, 6)}
                found["sandboxes"][sandbox(kind, name)] = {
                    "networks": {kind: {**fixed, "mac_address": mac(kind, name)}}
                }
        return found

    def _network(self, kind: str, number: int) -> dict[str, t.Any]:
        own = NUMBERS[kind]
        subnets = [{"subnet": f"10.{own}.0.0/16"}, {"subnet": f"fd00:{own}::/48"}]
        if kind == ROUTED:
            subnets[0]["ip_range"], subnets[1]["ip_range"] = _slices(own, number)
        found = {
            "driver": "overlay",
            "vni": own,
            "vtep": vtep(kind, number),
            "enable_ipv6": True,
            "dns_enabled": False,
            "ipam": {"config": subnets},
            "peers": {f"host{other}": self._peer(kind, other) for other in (1, 2, 3) if other != number},
        }
        more = {SEALED: {"encrypted": True}, ROUTED: {"mode": "routed"}, EVPN: {"control_plane": "evpn"}}
        return {**found, **more.get(kind, {})}

    def _peer(self, kind: str, number: int) -> dict[str, t.Any]:
        """Return a host as the documents of the others have it."""
        names = [name for name in HOST_OF if HOST_OF[name] == number]
        found: dict[str, t.Any] = {"vtep": vtep(kind, number)}
        if kind == ROUTED:
            return {**found, "subnets": list(_slices(NUMBERS[kind], number))}
        if kind == SEALED:
            found["public_key"] = (self.keys + ["AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI="])[number - 1]
            found["endpoint"] = f"{private_fleet.address(number)}:51820"
        found["sandboxes"] = {
            sandbox(kind, name): {
                "addresses": [address(kind, name, version) for version in (4, 6)],
                "mac_address": mac(kind, name),
            }
            for name in names
        }
        return found

    def _learn(self, host: PrivateHost, names: t.Sequence[str]) -> None:
        """Write what FRR would learn of other hosts' sandboxes."""
        device = self.device(host, EVPN)
        for name in names:
            where = f"{mac(EVPN, name)} dev {device['ifname']}"
            host.sh(
                f"bridge fdb add {where} dst {vtep(EVPN, HOST_OF[name])} self extern_learn; "
                f"bridge fdb add {where} master extern_learn"
            )
            for version in (4, 6):
                host.sh(
                    f"ip neigh add {address(EVPN, name, version)} lladdr {mac(EVPN, name)} "
                    f"dev {device['master']} nud noarp extern_learn"
                )

    def device(self, host: PrivateHost, kind: str) -> dict[str, t.Any]:
        """Return the VXLAN device of an overlay, as ip shows it."""
        data = (link for link in traffic.links(host).values() if "linkinfo" in link)
        return next(link for link in data if link["linkinfo"].get("info_data", {}).get("id") == NUMBERS[kind])

    def _bridge(self, host: PrivateHost, kind: str) -> dict[str, t.Any]:
        links = traffic.links(host).values()
        return next(link for link in links if any(cidr.startswith(f"10.{NUMBERS[kind]}.") for cidr in link["cidrs"]))

    def token(self) -> bytes:
        """Return a new token."""
        self._count += 1
        return TOKEN + b"%06d" % self._count

    def honest(self, kind: str, version: int, token: bytes) -> bytes:
        """Return a frame that evil may send to victim."""
        source, target = (address(kind, name, version) for name in ("evil", "victim"))
        return frame(self.hop(kind), mac(kind, "evil"), wire.packet(source, target, PROTOCOL, token))

    def hop(self, kind: str) -> str:
        """Return the MAC that evil's packets to victim go to."""
        return self.gateway_macs[kind] if kind == ROUTED else mac(kind, "victim")

    def arrived(self, kind: str, frames: t.Iterable[tuple[int | None, bytes]]) -> Arrived:
        """Let evil send frames, with offsets or None, and return those that victim received, by token."""
        lines = [["eth0", offset, each.hex()] for offset, each in frames]
        last = self.token()
        lines.append(["eth0", None, self.honest(kind, 4, last).hex()])
        with self._recorded(kind, last) as found:
            self._send(_SEND, lines, sandbox(kind, "evil"))
        return found

    def arrived_by_vxlan(self, kind: str, frames: t.Iterable[bytes]) -> Arrived:
        """Let the first host send frames as VXLAN, and return those that victim received, by token."""
        last = self.token()
        own, other = vtep(kind, 1), vtep(kind, 2)
        inner = [*frames, self.as_sent_by_host(kind, self.honest(kind, 4, last))]
        lines = [[own, other, PORTS[kind], NUMBERS[kind], each.hex()] for each in inner]
        with self._recorded(kind, last) as found:
            self._send(_SEND_VXLAN, lines)
        return found

    def as_sent_by_host(self, kind: str, each: bytes) -> bytes:
        """Return a frame as the first host sends it on: in a routed overlay, from router to router."""
        if kind != ROUTED:
            return each
        return frame(self.router, self.device(self.first, ROUTED)["address"], each[14:])

    @contextlib.contextmanager
    def _recorded(self, kind: str, last: bytes) -> t.Iterator[Arrived]:
        """Record what victim receives in a with block, up to a frame with the token last."""
        found: Arrived = {}
        server = self.second.popen([SYSTEM_PYTHON, "-c", _RECORD], sandbox(kind, "victim"))
        assert server.readline() == "ready"
        yield found
        while True:
            token, _space, text = server.readline().partition(" ")
            assert token, "the last frame, which may be sent, did not arrive"
            if token.encode() == last:
                break
            found.setdefault(token.encode(), bytes.fromhex(text))  # an error message may quote it later
        server.stop()

    def _send(self, program: str, lines: t.Sequence[t.Any], netns: str | None = None) -> None:
        text = "".join(json.dumps(line) + "\n" for line in lines)
        self.first.run([SYSTEM_PYTHON, "-c", program], input=text, netns=netns)


def _slices(number: int, host: int) -> tuple[str, str]:
    return f"10.{number}.{host}.0/24", f"fd00:{number}:0:{host}::/64"


def frame(target: str, source: str, packet: bytes) -> bytes:
    """Return a frame with a packet."""
    return wire.ethernet(target, source, wire.IP6 if packet[0] >> 4 == 6 else wire.IP, packet)


def rewritten(before: bytes, after: bytes) -> tuple[int, bytes]:
    """Return an offset and a frame that becomes another one when the kernel writes its checksum there.

    Two bytes differ at most, at an even offset: at an odd one, the kernel's own checksum of the VXLAN packet is wrong.
    Both frames end in four zeros, two of which make the checksum what is to be written.
    """
    at = next(index for index, byte in enumerate(before) if byte != after[index]) & ~1
    assert before[at + 2 :] == after[at + 2 :] and before.endswith(bytes(4))
    end = len(before) - 2 - (len(before) - at) % 2
    wanted = struct.unpack("!H", after[at : at + 2])[0]
    missing = (wire.checksum(before[at:]) - wanted) % 0xFFFF
    found = before[:end] + struct.pack("!H", missing) + before[end + 2 :]
    assert wire.checksum(found[at:]) == wanted
    return at, found
