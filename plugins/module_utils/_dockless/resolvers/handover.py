# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Another resolver in the place of a sandbox's own while that is started again, so that no question is refused.

It runs from the new configuration on a port of its own, and a second table in the sandbox leads there. What the other one
was asked before has its answer first. A configuration that dnsmasq refuses shows here, while the old process still serves.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import threading
import time
import typing as t
from concurrent import futures

from ..dns import dnsmasq_config
from ..firewall import sandbox_table
from ..linux import conntrack, files, netns, nft
from ..linux.nft import DETOUR
from ..names import HANDOVERS, RESOLVER_ADDRESS, RESOLVER_PORT
from ..state.objects import Resolver
from . import processes

AT_ONCE = 32  # more processes than usual at a time: each needs memory, and an inotify instance
_ADDRESS = ipaddress.ip_address(RESOLVER_ADDRESS)
_PORT = 10054
_ANSWERS_WITHIN = 2.0  # seconds that servers elsewhere have; whoever waits longer for a name asks again by then
_PAUSE = 0.02
_DETOUR = f"table inet {DETOUR} {{\n{sandbox_table.names_chain(-101, _PORT)}}}\n"  # just before the sandbox's own


@contextlib.contextmanager
def handed_over(resolvers: t.Sequence[Resolver], dnsmasq: str) -> t.Iterator[None]:
    """Have others answer in these resolvers' sandboxes for the length of a with block, at whose end their own must answer.

    Raises DocklessError where one does not start; then the block is not entered, and those that run still do.
    """
    others = [resolver._replace(config=_configure(resolver)) for resolver in resolvers]
    try:
        processes.spawn(others, dnsmasq)
        processes.await_answers(others, _PORT)
        _lead(resolvers, _DETOUR, RESOLVER_PORT)
        yield
    finally:
        _lead(others, "", _PORT)
        _end(others)


def end_leftovers() -> None:
    """End what a run that was killed has left."""
    paths = [path for path in files.listed(HANDOVERS) if path.endswith(".conf")]
    left = [
        Resolver(name, name, path, "")
        for path, name in ((path, os.path.basename(path)[: -len(".conf")]) for path in paths)
    ]
    _lead(left, "", _PORT)
    _end(left)


def _configure(resolver: Resolver) -> str:
    """Write its configuration with another port and file for the process's number, and return where."""
    changes = {
        f"port={RESOLVER_PORT}": f"port={_PORT}",
        f"pid-file={dnsmasq_config.pid_path(resolver.sandbox)}": f"pid-file={HANDOVERS}/{resolver.sandbox}.pid",
    }
    path = f"{HANDOVERS}/{resolver.sandbox}.conf"
    files.write(
        path,
        "".join(changes.get(line, line) + "\n" for line in (files.read(resolver.config) or "").splitlines()),
        0o644,
    )
    return path


def _lead(resolvers: t.Sequence[Resolver], table: str, left: int) -> None:
    """Lead new questions elsewhere by this table, or its absence; wait until these owe nobody an answer, and have the port that is left forgotten."""

    def inside(work: t.Callable[[], t.Any]) -> None:
        with futures.ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            list(pool.map(lambda resolver: _in(resolver.netns, work), resolvers))

    inside(lambda: nft.detour(table))
    deadline = time.monotonic() + _ANSWERS_WITHIN
    waiting = list(resolvers)
    while waiting and time.monotonic() < deadline:
        threading.Event().wait(_PAUSE)  # at least once: what was asked a moment ago may lie in a queue
        waiting = processes.waiting(waiting, (RESOLVER_PORT, _PORT))
    inside(lambda: conntrack.forget(_ADDRESS, left))


def _in(name: str, work: t.Callable[[], t.Any]) -> None:
    with (
        contextlib.suppress(FileNotFoundError),
        netns.entered_named(name),
    ):  # one that lost its name has nobody who asks
        work()


def _end(resolvers: t.Sequence[Resolver]) -> None:
    processes.end(resolvers)
    for path in files.listed(HANDOVERS):
        files.remove(path)
    with contextlib.suppress(OSError):
        os.rmdir(HANDOVERS)
