# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Changes of record files while resolvers watch them (dnsmasq(8), hostsdir).

Of two equal records in two files, dnsmasq keeps only the one that it read first. When that file loses its record,
dnsmasq no longer has either: a sandbox with an alias and a link of the same name lost both when the alias was removed.
Then all files must be read again.
"""

from __future__ import annotations

import os
import typing as t

from ..dns.dnsmasq_config import ZONES_PATH
from ..linux import files
from ..model.facts import Facts
from ..names import DNS_DIRECTORY
from ..state.objects import File, Object, Resolver
from ..state.plan import Step
from . import supervisor

DIRECTORIES = (DNS_DIRECTORY + "/networks", DNS_DIRECTORY + "/links")
_PREFIXES = tuple(directory + "/" for directory in DIRECTORIES)
_BULK = 1000  # more changed files may overflow the queue of inotify(7)

Steps = t.Sequence[Step]
_Records = set[tuple[str, str]]  # address and name


def transitional_files(steps: Steps) -> t.Iterator[File]:
    """Yield versions of record files to write before the changes, for each file that gains a name from another one.

    Such a version has the old and the new lines. An alias may move from one sandbox to another, as in a blue-green
    deployment. Without this step the alias would be missing between the write of the first file and the write of the
    second.
    """
    changed = _record_steps(steps)
    before = [_names_in(_text(step.before)) for step in changed]
    after = [_names_in(_text(step.after)) for step in changed]
    lost: set[str] = set()
    for names_before, names_after in zip(before, after):
        lost |= names_before - names_after
    for step, names_before, names_after in zip(changed, before, after):
        gains_lost_name = not (names_after - names_before).isdisjoint(lost)
        if gains_lost_name and isinstance(step.after, File) and os.path.isdir(os.path.dirname(step.after.path)):
            yield step.after._replace(text=_text(step.before) + step.after.text)


def readers(directories: t.Collection[str]) -> list[Resolver]:
    """Return the configured resolvers that watch one of the directories, or a file in it."""
    if not directories:
        return []
    fragments = [f"={directory}{end}" for directory in directories for end in ("\n", "/")]
    found = []
    for resolver in supervisor.configured():
        text = files.read(resolver.config) or ""
        if any(fragment in text for fragment in fragments):
            found.append(resolver)
    return found


def reload_readers(steps: Steps, facts: Facts) -> None:
    """Reload the resolvers that would keep a stale view of changed record files, or of the zones of the host."""
    if any(step.key == ("file", ZONES_PATH) for step in steps):
        supervisor.reload(supervisor.configured())
        return
    changed = _record_steps(steps)
    if not changed:
        return
    lost: _Records = set()
    for step in changed:
        lost |= _records_in(_text(step.before)) - _records_in(_text(step.after))
    if len(changed) > _BULK or not supervisor.watches_files(facts) or _any_file_has(lost):
        supervisor.reload(readers({os.path.dirname(step.key[1]) for step in changed}))


def _records_in(text: str) -> _Records:
    """Return the records of a file in hosts(5) format, in lower case (RFC 4343)."""
    records: _Records = set()
    for line in text.lower().splitlines():
        if line and not line.startswith("#"):
            address, *hostnames = line.split()
            records.update((address, name) for name in hostnames)
    return records


def _names_in(text: str) -> set[str]:
    return {name for _address, name in _records_in(text)}


def _record_steps(steps: Steps) -> list[Step]:
    return [step for step in steps if step.key[0] == "file" and step.key[1].startswith(_PREFIXES)]


def _any_file_has(lost: _Records) -> bool:
    """Return whether another file still has one of the lost records."""
    if not lost:
        return False
    paths = (path for directory in DIRECTORIES for path in files.listed(directory))
    return any(not lost.isdisjoint(_records_in(files.read(path) or "")) for path in paths)


def _text(obj: Object | None) -> str:
    return obj.text if isinstance(obj, File) else ""
