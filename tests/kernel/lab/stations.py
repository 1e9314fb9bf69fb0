# SPDX-License-Identifier: GPL-3.0-or-later
"""Sockets in every namespace of the lab, held by one process: what is sent and what arrives is in one order, and
costs no process.

A station hears datagrams, echo requests and connections as a program there would, and frames as its interface does.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import re
import select
import socket
import struct
import time
import typing as t

from . import wire

PORTS = (80, 81)  # every station serves both; what publishes, publishes the first
TOKEN = re.compile(rb"DL[0-9]{6}")
_CLONE_NEWNET = 0x40000000
_IGNORE_OUTGOING, _SOL_PACKET = 23, 263  # PACKET_IGNORE_OUTGOING, linux/if_packet.h
_ETH_P_ALL = 3
_SO_RCVBUFFORCE = 33  # asm-generic/socket.h; Python has no name for it
_libc = ctypes.CDLL(None, use_errno=True)


@contextlib.contextmanager
def entered(path: str) -> t.Iterator[None]:
    """Have this thread in another network namespace for the length of a with block."""
    home, there = os.open("/proc/thread-self/ns/net", os.O_RDONLY), os.open(path, os.O_RDONLY)
    try:
        _enter(there)
        yield
    finally:
        _enter(home)
        os.close(home)
        os.close(there)


def _enter(descriptor: int) -> None:
    if _libc.setns(descriptor, _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


class Heard(t.NamedTuple):
    """What came: how (udp, echo, tcp or frame), the token, the sender's address, the port that it came to.

    For frames the whole.
    """

    how: str
    token: bytes
    source: str = ""
    port: int = 0
    frame: bytes = b""


class Station:
    """A place of the lab: its sockets, and what they heard since the last look. It is closed by close()."""

    def __init__(
        self, name: str, namespace: str, link: str = "eth0", hears_frames: bool = True, more_ports: t.Sequence[int] = ()
    ) -> None:
        self.name, self.namespace, self.heard = name, namespace, t.cast(list[Heard], [])
        self._link, self._follows = link, False
        self._hears_frames = hears_frames
        with entered(namespace):
            self.wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL))
            self.wire.setsockopt(_SOL_PACKET, _IGNORE_OUTGOING, 1)
            self.wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
            self.wire.bind((link, _ETH_P_ALL))
            self.mac = self.wire.getsockname()[4].hex(":")
            self._udp = {port: _bound(socket.SOCK_DGRAM, port) for port in (*PORTS, *more_ports)}
            self._tcp = {port: _bound(socket.SOCK_STREAM, port) for port in PORTS}
            self._echo = [_raw(socket.AF_INET, socket.IPPROTO_ICMP), _raw(socket.AF_INET6, socket.IPPROTO_ICMPV6)]
            self._out = {family: _raw_less(family) for family in (socket.AF_INET, socket.AF_INET6)}
        for found in (self.wire, *self._tcp.values()):
            found.setblocking(False)

    def close(self) -> None:
        """Close its sockets: they keep the namespace alive."""
        for found in (self.wire, *self._udp.values(), *self._tcp.values(), *self._echo, *self._out.values()):
            found.close()

    def frame(self, frame: bytes) -> None:
        """Put a frame on the link; one that comes and goes may be missing at the moment."""
        if not self._follows:
            self.wire.send(frame)
            return
        with contextlib.suppress(OSError):
            self.wire.sendto(frame, (self._link, 0))

    def follow_link(self) -> None:
        """Hear every link of the namespace, and send by the link's name: runs remove links and create them again."""
        with entered(self.namespace):
            ears = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL))
        ears.setsockopt(_SOL_PACKET, _IGNORE_OUTGOING, 1)
        ears.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, 1 << 24)
        ears.setblocking(False)
        self.wire.close()
        self.wire, self._follows = ears, True

    def leave_port(self, port: int) -> None:
        """Serve a UDP port no longer: a run refuses to publish one that is in use."""
        self._udp.pop(port).close()

    def datagram(self, address: str, port: int, token: bytes) -> bool:
        """Send one as a program does; return whether the kernel here took it."""
        return self._sent(self._out[wire.family(address)], token, (address, port))

    def join(self, groups: t.Sequence[str], links: t.Sequence[str]) -> None:
        """Hear multicast groups on links, where the link has the family."""
        with entered(self.namespace):
            numbers = [socket.if_nametoindex(link) for link in links]
        door = next(iter(self._udp.values()))
        for group in groups:
            for number in numbers:
                with contextlib.suppress(OSError):
                    if ":" in group:
                        request = wire.packed(group) + struct.pack("=I", number)
                        door.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, request)
                    else:
                        request = struct.pack("=4s4sI", wire.packed(group), bytes(4), number)
                        door.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, request)

    def answer(self, port: int, address: str, to: int) -> None:
        """Send a datagram from a port that is served."""
        self._udp[port].sendto(b"!", ("::ffff:" + address if ":" not in address else address, to))

    def echo(self, address: str, token: bytes) -> bool:
        """Ask for an echo."""
        body = struct.pack("!HH", 77, 1) + token
        six = ":" in address
        message = struct.pack("!BBH", 128, 0, 0) + body if six else wire.icmp(8, 0, body)
        return self._sent(self._echo[six], message, (address, 0))

    @staticmethod
    def _sent(door: socket.socket, data: bytes, address: tuple[str, int]) -> bool:
        for _attempt in range(2):  # an error of an earlier packet is told by the next call, once
            try:
                door.sendto(data, address)
                return True
            except PermissionError:  # a wall of this host's own
                return False
            except OSError:
                continue
        return False

    def connect(self, address: str, port: int) -> socket.socket | None:
        """Begin to connect; see connected. None: the kernel here knows no way."""
        with entered(self.namespace):
            found = socket.socket(wire.family(address), socket.SOCK_STREAM)
        found.setblocking(False)
        found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if found.connect_ex((address, port)) in (0, errno.EINPROGRESS):
            return found
        found.close()
        return None

    def received(self, port: int) -> t.Iterator[bytes]:
        """Yield the datagrams that came to a port since they were last heard or received."""
        for data, _sender in _drained(self._udp[port]):
            yield data

    def listen(self) -> None:
        """Add to heard what has come."""
        for port, door in self._udp.items():
            for data, sender in _drained(door):
                self._note("udp", data, sender[0], port)
        for door in self._echo:
            for data, sender in _drained(door):
                self._note_echo(data, sender[0])
        for port, server in self._tcp.items():
            self._accept(server, port)
        for data, _sender in _drained(self.wire):
            if self._hears_frames:
                self._note("frame", data, "", 0)

    def _note_echo(self, data: bytes, sender: str) -> None:
        if ":" not in sender:
            data = data[(data[0] & 15) * 4 :]
        if data[:1] in (b"\x08", b"\x80"):
            self._note("echo", data, sender, 0)

    def _note(self, how: str, data: bytes, sender: str, port: int) -> None:
        for token in TOKEN.findall(data):
            self.heard.append(Heard(how, token, sender.replace("::ffff:", ""), port, data if how == "frame" else b""))

    def _accept(self, server: socket.socket, port: int) -> None:
        while True:
            try:
                found, client = server.accept()
            except BlockingIOError:
                return
            self.heard.append(Heard("tcp", b"", client[0].replace("::ffff:", ""), port))
            found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            found.close()


def mac_in(namespace: str, link: str) -> str:
    """Return the MAC of a link of a namespace."""
    with entered(namespace), socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as door:
        door.bind((link, 0))
        return door.getsockname()[4].hex(":")


def _bound(kind: int, port: int) -> socket.socket:
    found = socket.socket(socket.AF_INET6, kind)
    found.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    found.bind(("::", port))
    if kind == socket.SOCK_STREAM:
        found.listen(512)
    return found


def _raw(family: int, protocol: int) -> socket.socket:
    found = socket.socket(family, socket.SOCK_RAW, protocol)
    found.setblocking(False)
    return found


def _raw_less(family: int) -> socket.socket:
    found = socket.socket(family, socket.SOCK_DGRAM)
    found.setblocking(False)
    return found


def _drained(door: socket.socket) -> t.Iterator[tuple[bytes, t.Any]]:
    while True:
        try:
            yield door.recvfrom(4096, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        except OSError:  # an error of an earlier packet, told once
            continue


def connected(found: t.Sequence[socket.socket | None], certain: t.Collection[int], patience: float = 5) -> list[bool]:
    """Tell of each socket whether its connection came about; close them all.

    Those whose numbers are in certain are waited for; the others had their time when this is called.
    """
    end = time.monotonic() + patience
    waiting = [door for door in (found[number] for number in certain) if door is not None]
    poll = select.poll()
    by_number = {door.fileno(): door for door in waiting}
    for door in waiting:
        poll.register(door, select.POLLOUT)
    while by_number and time.monotonic() < end:
        for number, _events in poll.poll(50):
            poll.unregister(number)
            del by_number[number]
    answers = [door is not None and _is_open(door) for door in found]
    for door in filter(None, found):
        door.close()
    return answers


def _is_open(door: socket.socket) -> bool:
    ready = select.poll()
    ready.register(door, select.POLLOUT)
    if not ready.poll(0):
        return False
    return door.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) in (
        0,
        errno.ECONNRESET,
    )  # the server closes what it accepted


def flush_connections(namespace: str) -> None:
    """Empty the table of connections of a namespace (ctnetlink: a deletion without a tuple)."""
    with entered(namespace):
        door = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12)
    with door:
        door.send(struct.pack("=IHHIIBBH", 20, 1 << 8 | 2, 5, 1, 0, 0, 0, 0))
        answer = door.recv(4096)
        code = struct.unpack_from("=i", answer, 16)[0]
        assert code == 0, f"the table of connections was not emptied: errno {-code}"
