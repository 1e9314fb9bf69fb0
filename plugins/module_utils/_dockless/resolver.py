# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Run the sandboxes' DNS servers: one dnsmasq(8) in each namespace.

Where systemd runs the host its template unit supervises them; elsewhere dnsmasq makes
itself a daemon, and a process is ours if its command line names our configuration.
"""
from __future__ import annotations

import contextlib
import errno
import functools
import os
import re
import select
import signal
import subprocess
import threading
import time
import typing as t

from . import dnsprobe, dnsunits, files, hostnames, names, netns
from .dnsconfig import PID_DIRECTORY, pid_path
from .errors import DocklessError, joined
from .facts import Facts
from .kernel import Resolver

ANSWER_TIMEOUT = 2.0  # seconds that a running resolver has to answer
START_TIMEOUT = 10.0  # seconds from start to its first answer
_STOP_TIMEOUT = 10.0
_AT_ONCE = 256  # process descriptors open at once
_UNIT_BATCH = 500  # unit names on one command line
_OPTION = "--conf-file="


def running(resolvers: t.Sequence[Resolver]) -> t.Dict[str, str]:
    """Return the digest that each sandbox's resolver answers with.

    It is "" where there is only a process: one that hangs, or one whose namespace lost its
    name. Where there is nothing the sandbox is left out.
    """
    found = _answers(resolvers)
    silent = [resolver for resolver in resolvers if resolver.sandbox not in found]
    found.update(dict.fromkeys(processes(silent), ""))
    return found


def configured() -> t.List[Resolver]:
    """Return every resolver that has a configuration on this host."""
    paths = files.listed(names.DNS_DIRECTORY + "/resolvers")
    found = ((path, os.path.basename(path)[:-len(".conf")]) for path in paths)
    return [Resolver(name, "" if name in dnsunits.HOST_UNITS else name, path, "") for path, name in found]


def answering(resolvers: t.Sequence[Resolver]) -> t.List[Resolver]:
    """Return those that run, with the digest that they answer with: what they are to answer after a restart."""
    digests = running(resolvers) if resolvers else {}
    return [known._replace(digest=digests[known.sandbox]) for known in resolvers if digests.get(known.sandbox)]


def start(resolvers: t.Sequence[Resolver], facts: Facts) -> None:
    """Start or restart resolvers and wait until each answers with its digest.

    Their configuration, record files and namespaces must exist, with lo up. Raises
    DocklessError that names the sandbox and what dnsmasq said.
    """
    if not resolvers:
        return
    if not facts.dnsmasq:
        raise DocklessError("dnsmasq is not installed, and sandboxes need it to find each other by name",
                            "Install it (the role dockless.network.prerequisites does), or switch dns_enabled off.")
    if facts.systemd:
        os.makedirs(PID_DIRECTORY, mode=0o755, exist_ok=True)
        _restart_units(resolvers)
    else:
        stop(resolvers, facts)  # one that is left of an earlier namespace of that name would never end
        os.makedirs(PID_DIRECTORY, mode=0o755, exist_ok=True)
        _spawn_all(resolvers, facts.dnsmasq)
    _await_answers(resolvers)


def stop(resolvers: t.Sequence[Resolver], facts: Facts) -> None:
    """End resolvers and wait until they are gone: a namespace lives as long as a process is in it."""
    if facts.systemd and resolvers:
        _stop_units(resolvers)
    options = {_OPTION + resolver.config for resolver in resolvers}
    doomed = _all_processes(resolvers)
    while doomed:
        for first in range(0, len(doomed), _AT_ONCE):
            _end(doomed[first:first + _AT_ONCE], options)
        doomed = _all_processes(resolvers)  # one that serves TCP may have been forked in between
    for resolver in resolvers:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(pid_path(resolver.sandbox))
    with contextlib.suppress(OSError):  # others are running
        os.rmdir(PID_DIRECTORY)


def reload(resolvers: t.Sequence[Resolver], facts: Facts) -> None:
    """Make resolvers read all their record files again (SIGHUP): after bulk changes, and see watches_files."""
    for pid in _all_processes(resolvers):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGHUP)


def settle(paths: t.Collection[str], facts: Facts) -> None:
    """Make systemd read changed units again, and the host's own resolver its drop-in file. Raises DocklessError with systemctl's words.

    Resolvers of changed units run on, and have the new settings from their next start.
    """
    if not facts.systemd:
        return
    if any(path in dnsunits.PATHS for path in paths):
        _systemctl(["daemon-reload"])
    if hostnames.DROP_IN in paths:
        failed = _systemctl(["try-restart", hostnames.SERVICE])
        if failed:
            raise DocklessError(f"systemctl cannot restart {hostnames.SERVICE}: {failed}", f"Read systemctl status {hostnames.SERVICE}.")


def watches_files(facts: Facts) -> bool:
    """Return whether this dnsmasq forgets what leaves a record file; before 2.88 it needs a reload for that."""
    return version(facts.dnsmasq) >= (2, 88)


@functools.lru_cache(maxsize=None)
def version(dnsmasq: str) -> t.Tuple[int, int]:
    """Return the program's version, (0, 0) if it does not tell."""
    try:
        said = subprocess.run([dnsmasq, "--version"], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return 0, 0
    found = re.search(rb"version (\d+)\.(\d+)", said)
    return (int(found.group(1)), int(found.group(2))) if found else (0, 0)


def processes(resolvers: t.Iterable[Resolver]) -> t.Dict[str, t.List[int]]:
    """Return the processes of each sandbox's resolver, found by their command line."""
    wanted = {_OPTION + resolver.config: resolver.sandbox for resolver in resolvers}
    found: t.Dict[str, t.List[int]] = {}
    for entry in os.listdir("/proc") if wanted else ():
        if entry.isdigit():
            option = _configuration_of(int(entry))
            if option in wanted:
                found.setdefault(wanted[option], []).append(int(entry))
    return found


def _all_processes(resolvers: t.Iterable[Resolver]) -> t.List[int]:
    return [pid for pids in processes(resolvers).values() for pid in pids]


def _configuration_of(pid: int) -> str:
    """Return the --conf-file option if the process is a dnsmasq, else ""."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            arguments = file.read(4096).split(b"\0")
    except OSError:
        return ""
    return os.fsdecode(arguments[1]) if len(arguments) > 1 and os.path.basename(arguments[0]) == b"dnsmasq" else ""


def _end(pids: t.Sequence[int], options: t.Set[str]) -> None:
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


def _spawn_all(resolvers: t.Sequence[Resolver], dnsmasq: str) -> None:
    queue, problems = list(resolvers), []

    def work() -> None:
        with contextlib.suppress(IndexError):
            while True:
                resolver = queue.pop()
                problem = _spawn(resolver, dnsmasq)
                if problem:
                    problems.append(f"sandbox {resolver.sandbox}: {problem}")

    workers = [threading.Thread(target=work) for number in range(min(len(queue), 2 * (os.cpu_count() or 1)))]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if problems:
        raise DocklessError("resolvers do not start: " + joined(sorted(problems)), _remedy(" ".join(problems)))


def _spawn(resolver: Resolver, dnsmasq: str) -> str:
    """Start one and return what went wrong; its parent process ends when its sockets are bound."""
    try:
        with netns.entered_named(resolver.netns):
            process = subprocess.Popen([dnsmasq, _OPTION + resolver.config], stdin=subprocess.DEVNULL,
                                       stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd="/")
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


def _remedy(text: str) -> str:
    if "inotify" in text:
        return ("Raise fs.inotify.max_user_instances to at least twice the number of sandboxes; "
                "the role dockless.network.prerequisites does.")
    if "in use" in text:
        return "A process in the sandbox uses port 10053 of 127.0.0.11; let it use another."
    return ""


def _restart_units(resolvers: t.Sequence[Resolver]) -> None:
    _systemctl(["daemon-reload"])
    failed = _for_units("restart", resolvers)
    if not failed:
        return
    answering = _answers(resolvers)
    silent = [resolver for resolver in resolvers if resolver.sandbox not in answering]
    said = _words(["journalctl", "--no-pager", "--output=cat", "--lines=8", "--unit=" + dnsunits.unit_name(silent[0].sandbox)])[1] if silent else failed
    _for_units("stop", silent)  # or systemd would try for ever
    raise DocklessError("resolvers do not start: " + joined([f"sandbox {resolver.sandbox}" for resolver in silent]) + ": " + said,
                        _remedy(said) or "Read journalctl -u 'dockless-dns@*'.")


def _stop_units(resolvers: t.Sequence[Resolver]) -> None:
    failed = _for_units("stop", resolvers)
    if failed:
        raise DocklessError("systemctl cannot stop resolvers: " + failed, "Read systemctl status 'dockless-dns@*'.")


def _for_units(verb: str, resolvers: t.Sequence[Resolver]) -> str:
    """Do it to all units in few calls and return what went wrong; a call returns when every unit is up, or gone."""
    batches = (resolvers[first:first + _UNIT_BATCH] for first in range(0, len(resolvers), _UNIT_BATCH))
    return " ".join(filter(None, [_systemctl([verb, "--", *(dnsunits.unit_name(each.sandbox) for each in batch)]) for batch in batches]))


def _systemctl(arguments: t.Sequence[str]) -> str:
    status, said = _words(["systemctl", *arguments])
    return (said or f"exit status {status}") if status else ""


def _words(argv: t.List[str]) -> t.Tuple[int, str]:
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    return done.returncode, " ".join(done.stdout.decode(errors="replace").split())


def _answers(resolvers: t.Sequence[Resolver]) -> t.Dict[str, str]:
    return dnsprobe.answers([resolver.sandbox for resolver in resolvers], ANSWER_TIMEOUT)


def _await_answers(resolvers: t.Sequence[Resolver]) -> None:
    deadline = time.monotonic() + START_TIMEOUT
    silent = list(resolvers)
    while True:
        found = _answers(silent)
        silent = [resolver for resolver in silent if found.get(resolver.sandbox) != resolver.digest]
        if not silent:
            return
        if time.monotonic() > deadline:
            raise DocklessError("resolvers started but do not answer from their configuration: "
                                + joined([f"sandbox {resolver.sandbox}" for resolver in silent]),
                                "Is lo up in the sandbox, and does anything else use 127.0.0.11 there?")
        threading.Event().wait(0.02)  # another program's readiness has no event here to wait for
