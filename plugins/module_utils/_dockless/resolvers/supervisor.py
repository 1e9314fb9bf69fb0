# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Run the sandboxes' DNS servers: one dnsmasq(8) in each namespace.

Where systemd runs the host its template unit supervises them; elsewhere dnsmasq makes
itself a daemon, and a process is ours if its command line names our configuration.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import signal
import subprocess
import typing as t

from ..dns import systemd_units
from ..dns.dnsmasq_config import PID_DIRECTORY, pid_path
from ..dns.systemd_units import DROP_IN, HOST_UNITS, PATHS, SERVICE
from ..errors import DocklessError, join_messages
from ..linux import files
from ..model.facts import Facts
from ..names import DNS_DIRECTORY
from ..state.objects import Resolver
from . import processes

_UNIT_BATCH = 500  # unit names on one command line


def running(resolvers: t.Sequence[Resolver]) -> dict[str, str]:
    """Return the digest that each sandbox's resolver answers with.

    It is "" where there is only a process: one that hangs, or one whose namespace lost its
    name. Where there is nothing the sandbox is left out.
    """
    found = processes.answers(resolvers)
    silent = [resolver for resolver in resolvers if resolver.sandbox not in found]
    found.update(dict.fromkeys(processes.processes(silent), ""))
    return found


def configured() -> list[Resolver]:
    """Return every resolver that has a configuration on this host."""
    paths = files.listed(DNS_DIRECTORY + "/resolvers")
    found = ((path, os.path.basename(path)[: -len(".conf")]) for path in paths)
    return [Resolver(name, "" if name in HOST_UNITS else name, path, "") for path, name in found]


def running_resolvers(resolvers: t.Sequence[Resolver]) -> list[Resolver]:
    """Return those that run, with the digest that they answer with: what they are to answer after a restart."""
    digests = processes.answers(resolvers)
    return [known._replace(digest=digests[known.sandbox]) for known in resolvers if known.sandbox in digests]


def start(resolvers: t.Sequence[Resolver], facts: Facts) -> None:
    """Start or restart resolvers and wait until each answers with its digest; another answers in the place of one that runs meanwhile.

    Their configuration, record files and namespaces must exist, with lo up. Raises
    DocklessError that names the sandbox and what dnsmasq said.
    """
    if not resolvers:
        return
    if not facts.dnsmasq:
        raise DocklessError(
            "dnsmasq is not installed, and sandboxes need it to find each other by name",
            "Install it (the role dockless.network.prerequisites does), or switch dns_enabled off.",
        )
    if facts.systemd:
        _systemctl(["daemon-reload"])
    there = processes.processes([resolver for resolver in resolvers if resolver.netns])
    busy = [resolver for resolver in resolvers if resolver.sandbox in there]
    _start([resolver for resolver in resolvers if resolver.sandbox not in there], facts)
    if busy:
        from . import handover
        from .handover import AT_ONCE  # which most runs need not pay for

        for batch in (busy[first : first + AT_ONCE] for first in range(0, len(busy), AT_ONCE)):
            with handover.handed_over(batch, facts.dnsmasq):
                _start(batch, facts)


def _start(resolvers: t.Sequence[Resolver], facts: Facts) -> None:
    if facts.systemd:
        os.makedirs(PID_DIRECTORY, mode=0o755, exist_ok=True)
        _restart_units(resolvers)
    else:
        stop(resolvers, facts)  # one that is left of an earlier namespace of that name would never end
        os.makedirs(PID_DIRECTORY, mode=0o755, exist_ok=True)
        processes.spawn(resolvers, facts.dnsmasq)
    processes.await_answers(resolvers)


def stop(resolvers: t.Sequence[Resolver], facts: Facts) -> None:
    """End resolvers and wait until they are gone: a namespace lives as long as a process is in it."""
    if facts.systemd and resolvers:
        _stop_units(resolvers)
    processes.end(resolvers)
    for resolver in resolvers:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(pid_path(resolver.sandbox))
    with contextlib.suppress(OSError):  # others are running
        os.rmdir(PID_DIRECTORY)


def reload(resolvers: t.Sequence[Resolver]) -> None:
    """Make resolvers read all their record files again (SIGHUP)."""
    for pid in processes.numbers(resolvers):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGHUP)


def reload_services(paths: t.Collection[str], facts: Facts) -> None:
    """Make systemd read changed units again, and the host's own resolver its drop-in file. Raises DocklessError with systemctl's words.

    Resolvers of changed units run on, and have the new settings from their next start.
    """
    if not facts.systemd:
        return
    if any(path in PATHS for path in paths):
        _systemctl(["daemon-reload"])
    if DROP_IN in paths:
        failed = _systemctl(["try-restart", SERVICE])
        if failed:
            raise DocklessError(f"systemctl cannot restart {SERVICE}: {failed}", f"Read systemctl status {SERVICE}.")


def watches_files(facts: Facts) -> bool:
    """Return whether this dnsmasq forgets what leaves a record file; before 2.88 it needs a reload for that."""
    return version(facts.dnsmasq) >= (2, 88)


@functools.cache
def version(dnsmasq: str) -> tuple[int, int]:
    """Return the program's version, (0, 0) if it does not tell."""
    try:
        said = subprocess.run(
            [dnsmasq, "--version"], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, check=True
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        return 0, 0
    found = re.search(rb"version (\d+)\.(\d+)", said)
    return (int(found.group(1)), int(found.group(2))) if found else (0, 0)


def _restart_units(resolvers: t.Sequence[Resolver]) -> None:
    failed = _for_units("restart", resolvers)
    if not failed:
        return
    found = processes.answers(resolvers)
    silent = [resolver for resolver in resolvers if resolver.sandbox not in found]
    said = (
        _words(
            [
                "journalctl",
                "--no-pager",
                "--output=cat",
                "--lines=8",
                "--unit=" + systemd_units.unit_name(silent[0].sandbox),
            ]
        )[1]
        if silent
        else failed
    )
    _for_units("stop", silent)  # or systemd would try for ever
    raise DocklessError(
        "resolvers do not start: "
        + join_messages([f"sandbox {resolver.sandbox}" for resolver in silent])
        + ": "
        + said,
        processes.remedy(said) or "Read journalctl -u 'dockless-dns@*'.",
    )


def _stop_units(resolvers: t.Sequence[Resolver]) -> None:
    failed = _for_units("stop", resolvers)
    if failed:
        raise DocklessError("systemctl cannot stop resolvers: " + failed, "Read systemctl status 'dockless-dns@*'.")


def _for_units(verb: str, resolvers: t.Sequence[Resolver]) -> str:
    """Do it to all units in few calls and return what went wrong; a call returns when every unit is up, or gone."""
    batches = (resolvers[first : first + _UNIT_BATCH] for first in range(0, len(resolvers), _UNIT_BATCH))
    return " ".join(
        filter(
            None,
            [_systemctl([verb, "--", *(systemd_units.unit_name(each.sandbox) for each in batch)]) for batch in batches],
        )
    )


def _systemctl(arguments: t.Sequence[str]) -> str:
    status, said = _words(["systemctl", *arguments])
    return (said or f"exit status {status}") if status else ""


def _words(argv: list[str]) -> tuple[int, str]:
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    return done.returncode, " ".join(done.stdout.decode(errors="replace").split())
