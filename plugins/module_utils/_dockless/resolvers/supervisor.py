# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Starts, stops and reloads resolvers: one dnsmasq(8) in each sandbox's namespace, and those of the host.

On a host that systemd manages, units supervise them. On another host dnsmasq runs as a daemon, and a process belongs to
dockless if its command line names one of dockless's configurations.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import signal
import typing as t

from ..dns import systemd_units
from ..dns.dnsmasq_config import PID_DIRECTORY, pid_path
from ..dns.systemd_units import DROP_IN, HOST_UNITS, PATHS, SERVICE
from ..errors import DocklessError, join_messages
from ..linux import files, programs, systemd
from ..model.facts import Facts
from ..names import DNS_DIRECTORY
from ..state.objects import Resolver
from . import processes

_UNIT_BATCH = 500  # unit names on one command line
_JOURNAL_LINES = 8


def running(resolvers: t.Sequence[Resolver]) -> dict[str, str]:
    """Return the digest that each sandbox's resolver answers with.

    The digest is "" for a process that does not answer: it hangs, or its namespace lost its name. A sandbox without a
    process is left out.
    """
    found = processes.answers(resolvers)
    silent = [resolver for resolver in resolvers if resolver.sandbox not in found]
    found.update(dict.fromkeys(processes.pids_by_sandbox(silent), ""))
    return found


def configured() -> list[Resolver]:
    """Return every resolver that has a configuration on this host."""
    found = []
    for path in files.listed(DNS_DIRECTORY + "/resolvers"):
        name = os.path.basename(path)[: -len(".conf")]
        found.append(Resolver(name, "" if name in HOST_UNITS else name, path, ""))
    return found


def running_resolvers(resolvers: t.Sequence[Resolver]) -> list[Resolver]:
    """Return the resolvers that answer, each with the digest that it answers with, which a restart must restore."""
    digests = processes.answers(resolvers)
    return [known._replace(digest=digests[known.sandbox]) for known in resolvers if known.sandbox in digests]


def start(resolvers: t.Sequence[Resolver], facts: Facts) -> None:
    """Start or restart resolvers and wait until each answers with its digest.

    While a running resolver restarts, another one answers in its place (handover). Configurations, record files and
    namespaces must exist, with lo up. Raises DocklessError with the sandbox and dnsmasq's message.
    """
    if not resolvers:
        return
    if not facts.dnsmasq:
        raise DocklessError(
            "dnsmasq is not installed, and sandboxes need it to find each other by name",
            "Install it (the role dockless.network.prerequisites does), or set dns_enabled: false.",
        )
    if facts.systemd:
        systemd.systemctl("daemon-reload")
    with_process = processes.pids_by_sandbox([resolver for resolver in resolvers if resolver.netns])
    _start([resolver for resolver in resolvers if resolver.sandbox not in with_process], facts)
    restarted = [resolver for resolver in resolvers if resolver.sandbox in with_process]
    if restarted:
        from . import handover  # most runs restart nothing and need not import it

        for first in range(0, len(restarted), handover.AT_ONCE):
            batch = restarted[first : first + handover.AT_ONCE]
            with handover.handed_over(batch, facts.dnsmasq):
                _start(batch, facts)


def stop(resolvers: t.Sequence[Resolver], facts: Facts) -> None:
    """Stop resolvers and wait until they have ended, because a namespace lives as long as a process is in it."""
    if facts.systemd and resolvers:
        _stop_units(resolvers)
    processes.kill(resolvers)
    for resolver in resolvers:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(pid_path(resolver.sandbox))
    with contextlib.suppress(OSError):  # other resolvers run
        os.rmdir(PID_DIRECTORY)


def reload(resolvers: t.Sequence[Resolver]) -> None:
    """Make resolvers read all their record files again (SIGHUP)."""
    for pid in processes.pids(resolvers):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGHUP)


def reload_services(paths: t.Collection[str], facts: Facts) -> None:
    """Make systemd read changed units, and the host's own dnsmasq a changed drop-in file. Raises DocklessError.

    Resolvers of changed units keep running. They get the new settings with their next start.
    """
    if not facts.systemd:
        return
    if any(path in PATHS for path in paths):
        systemd.systemctl("daemon-reload")
    if DROP_IN in paths:
        failure = systemd.systemctl("try-restart", [SERVICE])
        if failure:
            raise DocklessError(f"systemctl cannot restart {SERVICE}: {failure}", f"Run systemctl status {SERVICE}.")


def watches_files(facts: Facts) -> bool:
    """Return whether this dnsmasq drops a record that is deleted from a record file. Before 2.88 it needs a reload."""
    return version(facts.dnsmasq) >= (2, 88)


@functools.cache
def version(dnsmasq: str) -> tuple[int, int]:
    """Return the version of dnsmasq, (0, 0) if it is unknown."""
    try:
        output = programs.run([dnsmasq, "--version"])
    except DocklessError:
        return 0, 0
    found = re.search(r"version (\d+)\.(\d+)", output.stdout)
    return (int(found.group(1)), int(found.group(2))) if found else (0, 0)


def _start(resolvers: t.Sequence[Resolver], facts: Facts) -> None:
    if facts.systemd:
        os.makedirs(PID_DIRECTORY, mode=0o755, exist_ok=True)
        _restart_units(resolvers)
    else:
        stop(resolvers, facts)  # a process in an earlier namespace of the same name would never end
        os.makedirs(PID_DIRECTORY, mode=0o755, exist_ok=True)
        processes.spawn(resolvers, facts.dnsmasq)
    processes.await_answers(resolvers)


def _restart_units(resolvers: t.Sequence[Resolver]) -> None:
    failure = _for_units("restart", resolvers)
    if not failure:
        return
    answered = processes.answers(resolvers)
    silent = [resolver for resolver in resolvers if resolver.sandbox not in answered]
    if silent:
        failure = systemd.journal_tail(systemd_units.unit_name(silent[0].sandbox), _JOURNAL_LINES)
    _for_units("stop", silent)  # otherwise systemd would restart them for ever
    sandboxes = join_messages([f"sandbox {resolver.sandbox}" for resolver in silent])
    raise DocklessError(
        ": ".join(filter(None, ("resolvers do not start", sandboxes, failure))),
        processes.remedy(failure) or "Run journalctl -u 'dockless-dns@*'.",
    )


def _stop_units(resolvers: t.Sequence[Resolver]) -> None:
    failure = _for_units("stop", resolvers)
    if failure:
        raise DocklessError(f"systemctl cannot stop resolvers: {failure}", "Run systemctl status 'dockless-dns@*'.")


def _for_units(verb: str, resolvers: t.Sequence[Resolver]) -> str:
    """Apply a systemctl verb to the units of resolvers, many in a call, and return why calls failed."""
    failures = []
    for first in range(0, len(resolvers), _UNIT_BATCH):
        batch = resolvers[first : first + _UNIT_BATCH]
        failures.append(systemd.systemctl(verb, [systemd_units.unit_name(each.sandbox) for each in batch]))
    return " ".join(filter(None, failures))
