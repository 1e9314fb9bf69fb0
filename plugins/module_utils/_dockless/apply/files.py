# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Files, and the resolvers and services that read them."""

from __future__ import annotations

import os

from ..dns import dnsmasq_config
from ..errors import DocklessError
from ..linux import files, foreign_firewalls
from ..names import DNS_DIRECTORY
from ..resolvers import record_files, supervisor
from ..resolvers.record_files import DIRECTORIES
from ..state.objects import File, Resolver
from .run import Run, Steps

_CONFIGURATIONS = DNS_DIRECTORY + "/resolvers"
_WATCHED = tuple(directory + "/" for directory in (*DIRECTORIES, DNS_DIRECTORY + "/upstreams"))
_MOST_FAILURES = 3  # each takes ten seconds


def write_files(run: Run, steps: Steps) -> None:
    """Write files, each by renaming a new one into place."""
    if run.facts.dnsmasq_account and any(step.key[1].startswith(DNS_DIRECTORY) for step in steps):
        _user, group = run.facts.dnsmasq_account
        files.restrict(DNS_DIRECTORY, group)
    for transitional in record_files.transitional_files(steps):
        files.write(*transitional)
    for step in run.passed(steps):
        file = step.new(File)
        directory = os.path.dirname(file.path)
        if directory.startswith(_WATCHED) and not os.path.isdir(directory):
            run.recreated_directories.append(directory)
        files.write(*file)


def start_resolvers(run: Run, steps: Steps) -> None:
    """Start and restart resolvers, and return when each answers."""
    passed = list(run.passed(steps))
    started = [step.new(Resolver) for step in passed]
    # A watch ends with its directory, so that a resolver of a directory that was made again must be restarted.
    started_keys = {resolver.key for resolver in started}
    readers = record_files.readers(run.recreated_directories)
    stale_watchers = [resolver for resolver in readers if resolver.key not in started_keys]
    try:
        supervisor.start([*started, *supervisor.running_resolvers(stale_watchers)], run.facts)
    except DocklessError as error:
        if not run.facts.dnsmasq or "inotify" in str(error):  # the host is the reason
            raise
        _start_one_by_one(run, passed, error)


def _start_one_by_one(run: Run, steps: Steps, error: DocklessError) -> None:
    """Start the resolvers that do not answer, so that one sandbox stops no other one's.

    Root in a sandbox can take the port of its resolver, or drop all packets. The steps of these fail.
    """
    digests = supervisor.running([step.new(Resolver) for step in steps])
    silent = [step for step in steps if digests.get(step.new(Resolver).sandbox) != step.new(Resolver).digest]
    if not silent:
        raise error
    failures = 0
    for step in silent:
        try:
            if len(silent) == 1 or failures >= _MOST_FAILURES:
                raise error
            supervisor.start([step.new(Resolver)], run.facts)
        except DocklessError as failure:
            failures += 1
            run.fail(step, failure)


def reload_readers(run: Run, steps: Steps) -> None:
    """Have resolvers read changed record files again, and restart services whose configuration changed."""
    record_files.reload_readers(steps, run.facts)
    supervisor.reload_services([step.key[1] for step in steps], run.facts)


def remove_resolvers(run: Run, steps: Steps) -> None:
    """Stop resolvers."""
    supervisor.stop([step.old(Resolver) for step in run.passed(steps)], run.facts)


def remove_files(run: Run, steps: Steps) -> None:
    """Remove files, the directories that become empty, and what a killed resolver has left."""
    removed = list(run.passed(steps))
    paths = [step.key[1] for step in removed]
    configurations = [path for path in paths if path.startswith(_CONFIGURATIONS)]
    paths += [dnsmasq_config.pid_path(os.path.basename(path)[: -len(".conf")]) for path in configurations]
    for path in paths:
        files.remove(path)
    files.remove_empty_above({os.path.dirname(path) for path in paths})
    supervisor.reload_services(paths, run.facts)
    record_files.reload_readers(removed, run.facts)


def apply_foreign_rules(run: Run, steps: Steps) -> None:
    """Add, change or remove dockless's rules in the configuration of other firewalls."""
    foreign_firewalls.apply_rules(list(run.passed(steps)))
