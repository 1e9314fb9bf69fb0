# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Asks resolvers which configuration they run with: one DNS query into each namespace, many at a time.

A process or a PID file proves that a program was started. Only an answer proves that names are served, in this
namespace and from this configuration.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import struct
import time
import typing as t

from ..dns.dnsmasq_config import DIGEST_NAME, pid_path
from ..errors import EXHAUSTED
from ..linux import netns
from ..names import FORWARDER, HOST_NAMES, HOST_NAMES_ADDRESS, RESOLVER_ADDRESS, RESOLVER_PORT

_IN_FLIGHT = 256  # sockets open at once: a process may have 1024 descriptors
_TXT, _IN = 16, 1


def query(name: str, kind: int) -> bytes:
    """Return a DNS query (RFC 1035 4.1) with identifier 0x646c; name must be ASCII."""
    labels = b"".join(bytes((len(label),)) + label.encode() for label in name.split("."))
    return struct.pack("!6H", 0x646C, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!2H", kind, _IN)


def text_of(answer: bytes) -> str | None:
    """Return the first string of the answer to _QUESTION (RFC 1035 4.1), None if it is not such an answer."""
    start = len(_QUESTION)
    if len(answer) < start + 13 or answer[:2] != _QUESTION[:2] or answer[12:start].lower() != _QUESTION[12:].lower():
        return None
    flags, _questions, count = struct.unpack_from("!3H", answer, 2)
    if not flags & 0x8000 or flags & 0x000F or not count or answer[start] < 0xC0:
        return None
    kind, _class, _ttl, _length, size = struct.unpack_from("!HHIHB", answer, start + 2)
    return answer[start + 13 : start + 13 + size].decode("ascii", "replace") if kind == _TXT else None


def answers(resolvers: t.Sequence[str], timeout: float, port: int = RESOLVER_PORT) -> dict[str, str]:
    """Return the digest that each resolver answers with within timeout seconds, by name.

    resolvers: names of namespaces, FORWARDER and HOST_NAMES. A namespace that does not exist or has no listening
    resolver is left out without waiting.
    """
    found: dict[str, str] = {}
    for first in range(0, len(resolvers), _IN_FLIGHT):
        with contextlib.ExitStack() as stack:
            waiting = _ask(resolvers[first : first + _IN_FLIGHT], port, stack)
            _collect(waiting, time.monotonic() + timeout, found)
    return found


def is_replaced(resolver: str) -> bool:
    """Return whether the file of a resolver's program was deleted, as an upgrade of dnsmasq does (proc_pid_exe(5))."""
    try:
        with open(pid_path(resolver), encoding="ascii") as file:
            return os.readlink(f"/proc/{int(file.read())}/exe").endswith(" (deleted)")
    except (OSError, ValueError):
        return False


def _ask(resolvers: t.Sequence[str], port: int, stack: contextlib.ExitStack) -> dict[int, tuple[str, socket.socket]]:
    """Send the queries and return each socket with its resolver's name, by descriptor.

    A socket stays in the namespace in which it was created, so this thread leaves each namespace immediately.
    """
    waiting = {}
    for name in resolvers:
        on_host = name in (FORWARDER, HOST_NAMES)
        address = HOST_NAMES_ADDRESS if name == HOST_NAMES else RESOLVER_ADDRESS
        with _answerless(), netns.entered_named("" if on_host else name):
            client = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK))
            client.connect((address, port))
            client.send(_QUESTION)
            waiting[client.fileno()] = (name, client)
    return waiting


@contextlib.contextmanager
def _answerless() -> t.Iterator[None]:
    """Ignore that a resolver cannot be asked, unless the host is the reason: then nobody knows whether it runs."""
    try:
        yield
    except OSError as error:
        if error.errno in EXHAUSTED:
            raise


def _collect(waiting: dict[int, tuple[str, socket.socket]], deadline: float, found: dict[str, str]) -> None:
    poll = select.poll()
    for descriptor in waiting:
        poll.register(descriptor, select.POLLIN)
    while waiting:
        ready = poll.poll(max(0.0, deadline - time.monotonic()) * 1000)
        if not ready:
            return
        for descriptor, _event in ready:
            name, client = waiting[descriptor]
            text: str | None = None
            with contextlib.suppress(OSError):  # ECONNREFUSED: nothing listens
                text = text_of(client.recv(4096))
            poll.unregister(descriptor)
            del waiting[descriptor]
            if text is not None:
                found[name] = text


_QUESTION = query(DIGEST_NAME, _TXT)
