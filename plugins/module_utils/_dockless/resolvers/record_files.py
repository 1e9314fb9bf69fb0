# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Record files that change under the eyes of the resolvers that watch them (dnsmasq(8), hostsdir).

Of two equal records dnsmasq keeps the one that it read first. When that one's file loses it, dnsmasq knows
neither: a sandbox whose link bore the name of an alias lost both with the alias. All files must be read again then.
"""

from __future__ import annotations

import os
import typing as t

from ..linux import files
from ..model.facts import Facts
from ..names import DNS_DIRECTORY
from ..state.objects import File, Object, Resolver
from ..state.plan import Step
from . import supervisor

DIRECTORIES = (DNS_DIRECTORY + "/networks", DNS_DIRECTORY + "/links")
_BELOW = tuple(directory + "/" for directory in DIRECTORIES)
_BULK = 1000  # changed files that may overflow the queue of inotify(7)

Steps = t.Sequence[Step]
_Pairs = set[tuple[str, str]]


def _pairs(text: str) -> _Pairs:
    """Return the names of a file in hosts(5) format with their addresses; letters' case means nothing (RFC 4343)."""
    lines = (line.lower().split() for line in text.splitlines() if not line.startswith("#"))
    return {(address, name) for address, *called in lines for name in called}


def transitional_files(steps: Steps) -> t.Iterator[File]:
    """Yield what stands for a moment in record files that gain a name from others: the old lines and the new ones.

    An alias that goes from one sandbox to another, as between blue and green, would else be nobody's when the first file has lost it.
    """
    changed = _among(steps)
    called = [
        tuple({name for _address, name in _pairs(_text(thing))} for thing in (step.before, step.after))
        for step in changed
    ]
    lost: set[str] = set().union(*(before - after for before, after in called))
    for step, (before, after) in zip(changed, called):
        if not (after - before).isdisjoint(lost) and os.path.isdir(os.path.dirname(step.key[1])):
            yield t.cast(File, step.after)._replace(text=_text(step.before) + _text(step.after))


def readers(directories: t.Collection[str]) -> list[Resolver]:
    """Return the configured resolvers that watch one of the directories, or a file in it."""
    ends = tuple(f"={directory}{end}" for directory in directories for end in ("\n", "/"))
    found = ((known, files.read(known.config) or "") for known in (supervisor.configured() if ends else ()))
    return [known for known, text in found if any(end in text for end in ends)]


def reload_readers(steps: Steps, facts: Facts) -> None:
    """Make resolvers read all files anew that do not see by themselves what these changes of record files leave."""
    changed = _among(steps)
    lost: _Pairs = set()
    for step in changed:
        lost |= _pairs(_text(step.before)) - _pairs(_text(step.after))
    if changed and (len(changed) > _BULK or not supervisor.watches_files(facts) or _are_told(lost)):
        supervisor.reload(readers({os.path.dirname(step.key[1]) for step in changed}))


def _among(steps: Steps) -> list[Step]:
    return [step for step in steps if step.key[0] == "file" and step.key[1].startswith(_BELOW)]


def _are_told(lost: _Pairs) -> bool:
    """Tell whether a file has one of the lost records."""
    paths = (path for directory in DIRECTORIES for path in files.listed(directory)) if lost else ()
    return any(not lost.isdisjoint(_pairs(files.read(path) or "")) for path in paths)


def _text(thing: Object | None) -> str:
    return t.cast(File, thing).text if thing is not None else ""
