# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Substitute resolvers: while a sandbox's resolver restarts, a substitute answers, so that no query is refused.

The substitute runs from the new configuration on a port of its own, and a second nft table in the sandbox redirects
queries to it. The old process answers the queries that it already has before it is stopped. If dnsmasq refuses the new
configuration, the substitute fails to start and the old process goes on.
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

AT_ONCE = 32  # substitutes at a time: each needs memory and an inotify instance
_ADDRESS = ipaddress.ip_address(RESOLVER_ADDRESS)
_PORT = 10054
_ANSWERS_WITHIN = 2.0  # seconds for answers of upstream servers: a client that waits longer repeats its query
_PAUSE = 0.02
# Priority -101: just before the chain of the sandbox's own table.
_DETOUR = f"table inet {DETOUR} {{\n{sandbox_table.names_chain(-101, _PORT)}}}\n"


@contextlib.contextmanager
def handed_over(resolvers: t.Sequence[Resolver], dnsmasq: str) -> t.Iterator[None]:
    """Let substitutes answer in these resolvers' sandboxes during a with block. At its end the resolvers must answer.

    Raises DocklessError if a substitute does not start. Then the block is not entered, and the resolvers still run.
    """
    substitutes = [resolver._replace(config=_configure(resolver)) for resolver in resolvers]
    try:
        processes.spawn(substitutes, dnsmasq)
        processes.await_answers(substitutes, _PORT)
        _redirect(resolvers, _DETOUR, RESOLVER_PORT)
        yield
    finally:
        _redirect(substitutes, "", _PORT)
        _end(substitutes)


def end_leftovers() -> None:
    """Stop the substitutes that a killed run left."""
    substitutes = []
    for path in files.listed(HANDOVERS):
        name, extension = os.path.splitext(os.path.basename(path))
        if extension == ".conf":
            substitutes.append(Resolver(name, name, path, ""))
    _redirect(substitutes, "", _PORT)
    _end(substitutes)


def _configure(resolver: Resolver) -> str:
    """Write the substitute's configuration, which differs in its port and its PID file, and return the path."""
    changes = {
        f"port={RESOLVER_PORT}": f"port={_PORT}",
        f"pid-file={dnsmasq_config.pid_path(resolver.sandbox)}": f"pid-file={HANDOVERS}/{resolver.sandbox}.pid",
    }
    path = f"{HANDOVERS}/{resolver.sandbox}.conf"
    lines = (files.read(resolver.config) or "").splitlines()
    files.write(path, "".join(changes.get(line, line) + "\n" for line in lines), 0o644)
    return path


def _redirect(resolvers: t.Sequence[Resolver], table: str, former_port: int) -> None:
    """Redirect new queries with this table, or its absence, and wait until these resolvers have answered the old ones.

    Then delete the connection tracking entries of former_port, so that UDP clients that keep their source port are
    translated to the other one.
    """
    _in_each(resolvers, lambda: nft.detour(table))
    deadline = time.monotonic() + _ANSWERS_WITHIN
    busy = list(resolvers)
    while busy and time.monotonic() < deadline:
        # At least one pause: a query that arrived a moment ago may still be in a socket's queue.
        threading.Event().wait(_PAUSE)
        busy = processes.with_open_queries(busy, (RESOLVER_PORT, _PORT))
    _in_each(resolvers, lambda: conntrack.forget(_ADDRESS, former_port))


def _in_each(resolvers: t.Sequence[Resolver], work: t.Callable[[], None]) -> None:
    """Do the work in each resolver's namespace, several at a time."""
    with futures.ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        list(pool.map(lambda resolver: _inside(resolver.netns, work), resolvers))


def _inside(name: str, work: t.Callable[[], None]) -> None:
    # A namespace that lost its name has no client left.
    with contextlib.suppress(FileNotFoundError), netns.entered_named(name):
        work()


def _end(substitutes: t.Sequence[Resolver]) -> None:
    processes.kill(substitutes)
    for path in files.listed(HANDOVERS):
        files.remove(path)
    with contextlib.suppress(OSError):
        os.rmdir(HANDOVERS)
