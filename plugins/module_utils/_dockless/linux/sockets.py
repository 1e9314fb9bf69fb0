# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Sockets that hold a port of the calling thread's namespace, from procfs (proc(5)), and whose they are."""

from __future__ import annotations

import os
import socket
import struct
import typing as t

from ..model.facts import Listener

_NET = "/proc/thread-self/net/"  # /proc/net is the main thread's
_LISTEN, _UNCONNECTED = "0A", "07"  # TCP_LISTEN, TCP_CLOSE
_TABLES = (
    ("tcp", "tcp", _LISTEN),
    ("tcp", "tcp6", _LISTEN),
    ("udp", "udp", _UNCONNECTED),
    ("udp", "udp6", _UNCONNECTED),
)
UNKNOWN = "a process that cannot be named"


class _Socket(t.NamedTuple):
    listener: Listener
    inode: int


def listeners() -> tuple[Listener, ...]:
    """Return listening TCP, bound and unconnected UDP and listening SCTP sockets, sorted, each once; owner is left "" here."""
    return tuple(sorted({found.listener for found in _sockets()}))


def owner_of(listener: Listener) -> str:
    """Return whose socket it is, as "nginx (pid 812)", or UNKNOWN. Reads every process's descriptors: for a conflict only."""
    bare = listener._replace(owner="")
    inodes = {found.inode for found in _sockets() if found.listener == bare}
    for pid in sorted(filter(str.isdigit, os.listdir("/proc")), key=int):
        if _holds(pid, {f"socket:[{inode}]" for inode in inodes}):
            return f"{_command(pid)} (pid {pid})"
    return UNKNOWN


def _sockets() -> t.Iterator[_Socket]:
    for protocol, table, state in _TABLES:
        for words in _rows(table):
            # sl, local, remote, state, queues, timer, retransmits, uid, timeout, inode
            if words[3] == state:
                address, port = words[1].split(":")
                if int(port, 16):
                    yield _Socket(Listener(protocol, _address(address), int(port, 16)), int(words[9]))
    for words in _rows("sctp/eps"):
        # pointer, pointer, type, state, bucket, port, uid, inode, addresses
        for address in words[8:]:
            yield _Socket(Listener("sctp", _plain(address), int(words[5])), int(words[7]))


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
    """Return an address that procfs prints as 32-bit words in the machine's byte order."""
    packed = b"".join(struct.pack("=I", int(text[i : i + 8], 16)) for i in range(0, len(text), 8))
    return _plain(socket.inet_ntop(socket.AF_INET if len(packed) == 4 else socket.AF_INET6, packed))


def _plain(address: str) -> str:
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
    """Return a process's name, which it chose itself, with nothing in it that a terminal would obey."""
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as comm:
            return "".join(c if c.isprintable() else "?" for c in comm.read().rstrip("\n"))
    except OSError:
        return "a process that has ended"
