# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Processes of dnsmasq(8): found by the configuration on their command lines, started in namespaces, waited for, and ended."""

from __future__ import annotations

import contextlib
import errno
import os
import select
import signal
import subprocess
import threading
import time
import typing as t

from ..errors import DocklessError, join_messages
from ..linux import netns
from ..names import RESOLVER_PORT
from ..state.objects import Resolver
from . import probe

ANSWER_TIMEOUT = 2.0  # seconds that a running resolver has to answer
START_TIMEOUT = 10.0  # seconds from start to its first answer
_STOP_TIMEOUT = 10.0
_AT_ONCE = 256  # process descriptors open at once
_OPTION = "--conf-file="


def processes(resolvers: t.Iterable[Resolver]) -> dict[str, list[int]]:
    """Return the processes of each sandbox's resolver, found by their command line."""
    wanted = {_OPTION + resolver.config: resolver.sandbox for resolver in resolvers}
    found: dict[str, list[int]] = {}
    for entry in os.listdir("/proc") if wanted else ():
        if entry.isdigit():
            option = _configuration_of(int(entry))
            if option in wanted:
                found.setdefault(wanted[option], []).append(int(entry))
    return found


def numbers(resolvers: t.Iterable[Resolver]) -> list[int]:
    """Return the numbers of these resolvers' processes."""
    return [pid for pids in processes(resolvers).values() for pid in pids]


def waiting(resolvers: t.Iterable[Resolver], ports: t.Container[int]) -> list[Resolver]:
    """Return those that owe somebody an answer: dnsmasq has a socket for each question that it asks elsewhere, and a process for each stream.

    ports are those that it listens on.
    """
    known = list(resolvers)
    found = processes(known)
    return [
        each
        for each in known
        for pids in [found.get(each.sandbox, [])]
        if len(pids) > 1 or any(_asks(pid, ports) for pid in pids)
    ]


def _asks(pid: int, ports: t.Container[int]) -> bool:
    try:
        own = {os.readlink(f"/proc/{pid}/fd/{number}") for number in os.listdir(f"/proc/{pid}/fd")}
        for family in ("udp", "udp6"):
            with open(f"/proc/{pid}/net/{family}", encoding="ascii") as file:
                rows = [line.split() for line in file][1:]
            if any(f"socket:[{row[9]}]" in own and int(row[1].rpartition(":")[2], 16) not in ports for row in rows):
                return True
    except OSError:  # it ended meanwhile, or there is no IPv6
        pass
    return False


def _configuration_of(pid: int) -> str:
    """Return the --conf-file option if the process is a dnsmasq, else ""."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            arguments = file.read(4096).split(b"\0")
    except OSError:
        return ""
    return os.fsdecode(arguments[1]) if len(arguments) > 1 and os.path.basename(arguments[0]) == b"dnsmasq" else ""


def end(resolvers: t.Sequence[Resolver]) -> None:
    """End resolvers' processes and wait until they are gone. Raises DocklessError for one that stays."""
    options = {_OPTION + resolver.config for resolver in resolvers}
    doomed = numbers(resolvers)
    while doomed:
        for first in range(0, len(doomed), _AT_ONCE):
            _kill(doomed[first : first + _AT_ONCE], options)
        doomed = numbers(resolvers)  # one that serves TCP may have been forked in between


def _kill(pids: t.Sequence[int], options: set[str]) -> None:
    """Kill the processes if they still are what they were: dnsmasq has nothing to save."""
    poll, left = select.poll(), set()
    with contextlib.ExitStack() as stack:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                descriptor = os.pidfd_open(pid)
                stack.callback(os.close, descriptor)
                if _configuration_of(pid) in options:  # checked after opening: the number cannot be reused now
                    signal.pidfd_send_signal(descriptor, signal.SIGKILL)
                    poll.register(descriptor, select.POLLIN)
                    left.add(descriptor)
        deadline = time.monotonic() + _STOP_TIMEOUT
        while left:
            ended = poll.poll(max(0.0, deadline - time.monotonic()) * 1000)
            if not ended:
                raise DocklessError(f"{len(left)} resolvers do not end", "Look for dnsmasq in state D with ps.")
            for descriptor, _event in ended:
                poll.unregister(descriptor)
                left.discard(descriptor)


def spawn(resolvers: t.Sequence[Resolver], dnsmasq: str) -> None:
    """Start resolvers, some at a time, each in its namespace; they make daemons of themselves. Raises DocklessError with dnsmasq's words."""
    queue, problems = list(resolvers), []

    def work() -> None:
        with contextlib.suppress(IndexError):
            while True:
                resolver = queue.pop()
                problem = _spawn_one(resolver, dnsmasq)
                if problem:
                    problems.append(f"sandbox {resolver.sandbox}: {problem}")

    workers = [threading.Thread(target=work) for number in range(min(len(queue), 2 * (os.cpu_count() or 1)))]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if problems:
        raise DocklessError("resolvers do not start: " + join_messages(sorted(problems)), remedy(" ".join(problems)))


def _spawn_one(resolver: Resolver, dnsmasq: str) -> str:
    """Start one and return what went wrong; its parent process ends when its sockets are bound."""
    try:
        with netns.entered_named(resolver.netns):
            process = subprocess.Popen(
                [dnsmasq, _OPTION + resolver.config],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                cwd="/",
            )
    except OSError as problem:
        return f"{os.strerror(problem.errno or errno.EIO)} ({problem.filename or dnsmasq})"
    try:
        said = process.communicate(timeout=START_TIMEOUT)[1]
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return f"dnsmasq was not ready within {START_TIMEOUT:.0f} seconds"
    text = " ".join(said.decode(errors="replace").split())
    return (text or f"dnsmasq ended with status {process.returncode}") if process.returncode else ""


def remedy(text: str) -> str:
    """Return what to do about what dnsmasq said."""
    if "inotify" in text:
        return (
            "Raise fs.inotify.max_user_instances to at least twice the number of sandboxes; "
            "the role dockless.network.prerequisites does."
        )
    if "in use" in text:
        return "A process in the sandbox uses port 10053 or 10054 of 127.0.0.11; let it use another."
    return ""


def answers(resolvers: t.Sequence[Resolver], port: int = RESOLVER_PORT) -> dict[str, str]:
    """Return the digest that each sandbox's resolver answers with; see dnsprobe."""
    return probe.answers([resolver.sandbox for resolver in resolvers], ANSWER_TIMEOUT, port)


def await_answers(resolvers: t.Sequence[Resolver], port: int = RESOLVER_PORT) -> None:
    """Wait until each answers with its digest. Raises DocklessError that names those that do not."""
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
                "Is lo up in the sandbox, and does anything else use 127.0.0.11 there?",
            )
        threading.Event().wait(0.02)  # another program's readiness has no event here to wait for
