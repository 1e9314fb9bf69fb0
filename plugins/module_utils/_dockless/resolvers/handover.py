# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Substitute resolvers: while a sandbox's resolver restarts, a substitute answers, so that no query is refused.

The substitute runs from the new configuration on a port of its own, and a second nft table in the sandbox redirects
queries to it. The old process answers the queries that it already has before it is stopped. If dnsmasq refuses the new
configuration, the substitute fails to start and the old process goes on.

A process is stopped only when it can get no query any more and has answered those that it got:

1. A change of rules decides about each query as a whole, so it reaches one process and its answer reaches the client
   (sandbox_table.detour_chains).
2. A query that met the former rules may be on its way to the process's socket: delivery.await_delivery().
3. dnsmasq reads its UDP socket in order, so it has read all queries when it answers one that came later.
4. A forwarded query has a socket, and a TCP client a connection, until the answer is sent. This may take as long as an
   upstream server or a client likes, so it is limited to _ANSWERS_WITHIN.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
import typing as t
from concurrent import futures

from ..dns import dnsmasq_config
from ..firewall import sandbox_table
from ..linux import delivery, files, netns, nft
from ..linux.nft import DETOUR
from ..names import HANDOVERS, RESOLVER_PORT
from ..state.objects import Resolver
from . import processes

AT_ONCE = 32  # substitutes at a time: each needs memory and an inotify instance
_PORT = 10054
_ANSWERS_WITHIN = 2.0  # seconds for answers of upstream servers: a client that waits longer repeats its query
_PAUSE = 0.02
_TO_SUBSTITUTE, _FROM_SUBSTITUTE = (
    f"table inet {DETOUR} {{\n{sandbox_table.detour_chains(_PORT, takes_queries)}}}\n"
    for takes_queries in (True, False)
)


@contextlib.contextmanager
def handed_over(resolvers: t.Sequence[Resolver], dnsmasq: str) -> t.Iterator[None]:
    """Let substitutes answer in these resolvers' sandboxes during a with block. At its end the resolvers must answer.

    Raises DocklessError if a substitute does not start. Then the block is not entered, and the resolvers still run.
    """
    substitutes = [resolver._replace(config=_configure(resolver)) for resolver in resolvers]
    try:
        processes.spawn(substitutes, dnsmasq)
        processes.await_answers(substitutes, _PORT)
        _redirect(resolvers, _TO_SUBSTITUTE)
        _drain(resolvers, RESOLVER_PORT)
        yield
    finally:
        _end(substitutes)


def end_leftovers() -> None:
    """Stop the substitutes that a killed run left."""
    substitutes = []
    for path in files.listed(HANDOVERS):
        name, extension = os.path.splitext(os.path.basename(path))
        if extension == ".conf":
            substitutes.append(Resolver(name, name, path, ""))
    _end(substitutes)


def _configure(resolver: Resolver) -> str:
    """Write the substitute's configuration, which differs in its port and its PID file, and return the path."""
    changes = {
        f"port={RESOLVER_PORT}": f"port={_PORT}",
        f"pid-file={dnsmasq_config.pid_path(resolver.sandbox)}": f"pid-file={HANDOVERS}/{resolver.sandbox}.pid",
    }
    path = f"{HANDOVERS}/{resolver.sandbox}.conf"
    lines = (files.read(resolver.config) or "").splitlines()
    files.write(path, "".join(changes.get(line, line) + "\n" for line in lines), dnsmasq_config.CONFIG_MODE)
    return path


def _redirect(resolvers: t.Sequence[Resolver], table: str) -> None:
    """Load a table in each resolver's sandbox, and wait until no packet is on its way by the former rules."""
    _in_each(resolvers, lambda: nft.detour(table))
    delivery.await_delivery()


def _drain(resolvers: t.Sequence[Resolver], port: int) -> None:
    """Wait until resolvers that get no more queries at this port have answered those that they got."""
    deadline = time.monotonic() + _ANSWERS_WITHIN
    processes.answers(resolvers, port)
    busy = processes.with_open_queries(resolvers, port)
    while busy and time.monotonic() < deadline:
        threading.Event().wait(_PAUSE)  # dnsmasq sends no event when it has answered
        busy = processes.with_open_queries(busy, port)


def _in_each(resolvers: t.Sequence[Resolver], work: t.Callable[[], None]) -> None:
    """Do the work in each resolver's namespace, several at a time."""
    with futures.ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        list(pool.map(lambda resolver: _inside(resolver.netns, work), resolvers))


def _inside(name: str, work: t.Callable[[], None]) -> None:
    # A namespace that lost its name has no client left.
    with contextlib.suppress(FileNotFoundError), netns.entered_named(name):
        work()


def _end(substitutes: t.Sequence[Resolver]) -> None:
    """Redirect queries to the resolvers themselves, and stop the substitutes."""
    _redirect(substitutes, _FROM_SUBSTITUTE)
    _drain(substitutes, _PORT)
    processes.kill(substitutes)
    _in_each(substitutes, lambda: nft.detour(""))
    for path in files.listed(HANDOVERS):
        files.remove(path)
    with contextlib.suppress(OSError):
        os.rmdir(HANDOVERS)
