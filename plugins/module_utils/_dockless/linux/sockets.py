# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Sockets that use a port in the calling thread's namespace, and the processes that own them, from procfs (proc(5))."""

from __future__ import annotations

import os
import socket
import struct
import typing as t

from ..model.facts import Listener

_NET = "/proc/thread-self/net/"  # /proc/net is the main thread's
_ESTABLISHED, _LISTEN, _UNCONNECTED = "01", "0A", "07"  # TCP_ESTABLISHED, TCP_LISTEN, TCP_CLOSE
_TABLES = (
    ("tcp", "tcp", _LISTEN),
    ("tcp", "tcp6", _LISTEN),
    ("udp", "udp", _UNCONNECTED),
    ("udp", "udp6", _UNCONNECTED),
)
UNKNOWN = "an unknown process"


class _Socket(t.NamedTuple):
    listener: Listener
    inode: int


def listeners() -> tuple[Listener, ...]:
    """Return listening TCP and SCTP sockets and bound UDP sockets without a peer, sorted, without their owners."""
    return tuple(sorted({found.listener for found in _sockets()}))


def owner_of(listener: Listener) -> str:
    """Return the process that owns a socket, as "nginx (pid 812)", or UNKNOWN.

    Reads the descriptors of every process, so it is called for a conflict only.
    """
    without_owner = listener._replace(owner="")
    links = {f"socket:[{found.inode}]" for found in _sockets() if found.listener == without_owner}
    for pid in sorted(filter(str.isdigit, os.listdir("/proc")), key=int):
        if _holds(pid, links):
            return f"{_command(pid)} (pid {pid})"
    return UNKNOWN


def remote_addresses(links: t.Container[str]) -> t.Iterator[str]:
    """Yield the addresses of the other ends of TCP connections. links: their sockets, as "socket:[INODE]"."""
    for table in ("tcp", "tcp6"):
        for words in _rows(table):
            if words[3] == _ESTABLISHED and f"socket:[{words[9]}]" in links:
                yield _address(words[2].partition(":")[0])


def _sockets() -> t.Iterator[_Socket]:
    for protocol, table, state in _TABLES:
        for words in _rows(table):
            # Columns: sl, local, remote, state, queues, timer, retransmits, uid, timeout, inode.
            if words[3] == state:
                address, port = words[1].split(":")
                if int(port, 16):
                    yield _Socket(Listener(protocol, _address(address), int(port, 16)), int(words[9]))
    for words in _rows("sctp/eps"):
        # Columns: pointer, pointer, type, state, bucket, port, uid, inode, addresses.
        for address in words[8:]:
            yield _Socket(Listener("sctp", _without_mapping(address), int(words[5])), int(words[7]))


def _rows(table: str) -> t.Iterator[list[str]]:
    try:
        with open(_NET + table, encoding="ascii") as lines:
            next(lines, None)  # the heading
            for line in lines:
                words = line.split()
                if len(words) > 8:
                    yield words
    except FileNotFoundError:  # a kernel without IPv6 or SCTP
        return


def _address(text: str) -> str:
    """Return an address from procfs, which prints it as 32-bit words in the machine's byte order."""
    packed = b"".join(struct.pack("=I", int(text[i : i + 8], 16)) for i in range(0, len(text), 8))
    return _without_mapping(socket.inet_ntop(socket.AF_INET if len(packed) == 4 else socket.AF_INET6, packed))


def _without_mapping(address: str) -> str:
    """Return the IPv4 address in an IPv4-mapped one (RFC 4291, 2.5.5.2), and every other address as it is."""
    return address[7:] if address.startswith("::ffff:") and "." in address else address


def _holds(pid: str, links: set[str]) -> bool:
    directory = f"/proc/{pid}/fd/"
    try:
        descriptors = os.listdir(directory)
    except OSError:  # it has ended
        return False
    for descriptor in descriptors:
        try:
            if os.readlink(directory + descriptor) in links:
                return True
        except OSError:
            continue
    return False


def _command(pid: str) -> str:
    """Return a process's name, which it chose itself, without control characters."""
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as comm:
            return "".join(c if c.isprintable() else "?" for c in comm.read().rstrip("\n"))
    except OSError:
        return "a process that has ended"
