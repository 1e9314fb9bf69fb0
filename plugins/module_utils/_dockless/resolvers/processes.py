# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Processes of dnsmasq(8): found by the configuration on their command lines, started in namespaces, and killed."""

from __future__ import annotations

import contextlib
import errno
import os
import select
import signal
import socket
import struct
import threading
import time
import typing as t

from ..errors import EXHAUSTED, DocklessError, join_messages
from ..linux import netns, programs
from ..names import RESOLVER_ADDRESS, RESOLVER_PORT
from ..state.objects import Resolver
from . import probe

ANSWER_TIMEOUT = 2.0  # seconds that a running resolver has to answer
START_TIMEOUT = 10.0  # seconds from start to its first answer
_STOP_TIMEOUT = 10.0
_POLL_INTERVAL = 0.02
_AT_ONCE = 256  # process descriptors open at once
_OPTION = "--conf-file="
_OPEN = ("01", "03", "08")  # TCP_ESTABLISHED, TCP_SYN_RECV, TCP_CLOSE_WAIT: the client waits for an answer


def pids_by_sandbox(resolvers: t.Iterable[Resolver]) -> dict[str, list[int]]:
    """Return the process numbers of each sandbox's resolver, found by their command lines."""
    wanted = {_OPTION + resolver.config: resolver.sandbox for resolver in resolvers}
    found: dict[str, list[int]] = {}
    if not wanted:
        return found
    for entry in filter(str.isdigit, os.listdir("/proc")):
        option = _configuration_of(int(entry))
        if option in wanted:
            found.setdefault(wanted[option], []).append(int(entry))
    return found


def pids(resolvers: t.Iterable[Resolver]) -> list[int]:
    """Return the process numbers of these resolvers."""
    return [pid for found in pids_by_sandbox(resolvers).values() for pid in found]


def with_open_queries(resolvers: t.Iterable[Resolver], port: int) -> list[Resolver]:
    """Return the resolvers that have not yet answered every query.

    dnsmasq has a socket for each query that it forwards, and a TCP client has a connection to it. port: it listens on.
    """
    candidates = list(resolvers)
    found = pids_by_sandbox(candidates)
    return [resolver for resolver in candidates if _has_open_queries(found.get(resolver.sandbox, []), port)]


def kill(resolvers: t.Sequence[Resolver]) -> None:
    """Kill resolvers and wait until they have ended: dnsmasq has nothing to save.

    Raises DocklessError for one that stays.
    """
    options = {_OPTION + resolver.config for resolver in resolvers}
    remaining = pids(resolvers)
    while remaining:
        for first in range(0, len(remaining), _AT_ONCE):
            _kill(remaining[first : first + _AT_ONCE], options)
        remaining = pids(resolvers)  # a process for a TCP client may have been forked in between


def spawn(resolvers: t.Sequence[Resolver], dnsmasq: str) -> None:
    """Start resolvers as daemons, each in its namespace and several at a time.

    Raises DocklessError with dnsmasq's messages.
    """
    queue = list(resolvers)
    problems: list[str] = []

    def work() -> None:
        with contextlib.suppress(IndexError):
            while True:
                resolver = queue.pop()
                problem = _spawn_one(resolver, dnsmasq)
                if problem:
                    problems.append(f"sandbox {resolver.sandbox}: {problem}")

    count = min(len(queue), 2 * (os.cpu_count() or 1))
    workers = [threading.Thread(target=work) for _number in range(count)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if problems:
        raise DocklessError("resolvers do not start: " + join_messages(sorted(problems)), remedy(" ".join(problems)))


def remedy(text: str) -> str:
    """Return the remedy for a message of dnsmasq, "" if none is known."""
    if "inotify" in text:
        return (
            "Raise fs.inotify.max_user_instances to at least twice the number of sandboxes "
            "(the role dockless.network.prerequisites does)."
        )
    if "in use" in text:
        return "A process in the sandbox uses port 10053 or 10054 of 127.0.0.11: configure another port for it."
    return ""


def answers(resolvers: t.Sequence[Resolver], port: int = RESOLVER_PORT) -> dict[str, str]:
    """Return the digest that each sandbox's resolver answers with; see probe."""
    return probe.answers([resolver.sandbox for resolver in resolvers], ANSWER_TIMEOUT, port)


def await_answers(resolvers: t.Sequence[Resolver], port: int = RESOLVER_PORT) -> None:
    """Wait until each resolver answers with its digest. Raises DocklessError with the names of those that do not."""
    deadline = time.monotonic() + START_TIMEOUT
    silent = list(resolvers)
    while True:
        found = answers(silent, port)
        silent = [resolver for resolver in silent if found.get(resolver.sandbox) != resolver.digest]
        if not silent:
            return
        if time.monotonic() > deadline:
            raise DocklessError(
                "resolvers started but do not answer from their configuration: "
                + join_messages([f"sandbox {resolver.sandbox}" for resolver in silent]),
                "Check that lo is up in the sandbox and that no other process uses 127.0.0.11 there.",
            )
        threading.Event().wait(_POLL_INTERVAL)  # dnsmasq sends no event when it is ready


def _has_open_queries(pids_of_resolver: t.Sequence[int], port: int) -> bool:
    return any(_forwards(pid, port) or _has_client(pid, port) for pid in pids_of_resolver)


def _forwards(pid: int, port: int) -> bool:
    """Return whether a process has a UDP socket on another port than this one."""
    try:
        own = {os.readlink(f"/proc/{pid}/fd/{number}") for number in os.listdir(f"/proc/{pid}/fd")}
    except OSError:  # it ended in the meantime
        return False
    return any(
        f"socket:[{columns[9]}]" in own and not columns[1].endswith(f":{port:04X}")
        for family in ("udp", "udp6")
        for columns in _sockets(pid, family)
    )


def _has_client(pid: int, port: int) -> bool:
    """Return whether a TCP client is connected to the resolver in a process's namespace, accepted or not."""
    address = struct.unpack("=I", socket.inet_aton(RESOLVER_ADDRESS))[0]  # as the kernel prints it
    own = f"{address:08X}:{port:04X}"
    return any(columns[1] == own and columns[3] in _OPEN for columns in _sockets(pid, "tcp"))


def _sockets(pid: int, table: str) -> t.Iterator[list[str]]:
    """Yield the columns of each socket in a process's network namespace (proc_pid_net(5)).

    The second column is the local address and port, the fourth the state, the tenth the inode.
    """
    with contextlib.suppress(OSError), open(f"/proc/{pid}/net/{table}", encoding="ascii") as file:
        next(file, None)  # the heading
        yield from map(str.split, file)


def _configuration_of(pid: int) -> str:
    """Return the --conf-file option of a process, "" if it is not a dnsmasq."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            arguments = file.read(4096).split(b"\0")
    except OSError as error:
        if error.errno in EXHAUSTED:  # nobody knows what the process is
            raise
        return ""
    is_dnsmasq = len(arguments) > 1 and os.path.basename(arguments[0]) == b"dnsmasq"
    return os.fsdecode(arguments[1]) if is_dnsmasq else ""


def _kill(batch: t.Sequence[int], options: set[str]) -> None:
    poll = select.poll()
    alive: set[int] = set()
    with contextlib.ExitStack() as stack:
        for pid in batch:
            with contextlib.suppress(ProcessLookupError):
                descriptor = os.pidfd_open(pid)
                stack.callback(os.close, descriptor)
                if _configuration_of(pid) in options:  # checked after opening: the number cannot be reused now
                    signal.pidfd_send_signal(descriptor, signal.SIGKILL)
                    poll.register(descriptor, select.POLLIN)
                    alive.add(descriptor)
        deadline = time.monotonic() + _STOP_TIMEOUT
        while alive:
            ended = poll.poll(max(0.0, deadline - time.monotonic()) * 1000)
            if not ended:
                raise DocklessError(
                    f"{len(alive)} resolvers did not end within {_STOP_TIMEOUT:g} s after SIGKILL",
                    "Look for dnsmasq in state D with ps.",
                )
            for descriptor, _event in ended:
                poll.unregister(descriptor)
                alive.discard(descriptor)


def _spawn_one(resolver: Resolver, dnsmasq: str) -> str:
    """Start a resolver and return why that failed, "" if it succeeded.

    The program returns when its sockets are bound.
    """
    try:
        with netns.entered_named(resolver.netns):
            output = programs.run([dnsmasq, _OPTION + resolver.config], timeout_s=START_TIMEOUT, check=False)
    except DocklessError as error:
        return error.what
    except OSError as error:  # the namespace is gone
        return f"{os.strerror(error.errno or errno.EIO)} ({error.filename})"
    return " ".join(output.reason.split()) if output.status else ""
