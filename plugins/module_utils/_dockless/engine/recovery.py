# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""What an interrupted run left, as the next run finds it (transaction)."""

from __future__ import annotations

import typing as t

from ..errors import DocklessError
from . import store, transaction
from .request import Request
from .store import Entry


class Start(t.NamedTuple):
    """The documents that a run starts from.

    interrupted  other projects whose run was interrupted before its commit
    is_repeated  whether a run of this run's own project was
    on_mismatch  the option of that run
    """

    entries: dict[str, Entry]
    warnings: list[str]
    interrupted: tuple[str, ...] = ()
    is_repeated: bool = False
    on_mismatch: str = "update"


def start(request: Request) -> Start:
    """Complete a committed run, except in check mode, and return what a run starts from. Raises DocklessError.

    At boot, a damaged record is reported and does not stop the run.
    """
    warnings: list[str] = []
    committed = _or_warning(transaction.pending_commit, request, warnings)
    if committed is not None and not request.check:
        warnings += filter(None, [transaction.complete(committed)])
    intent = _or_warning(transaction.pending_intent, request, warnings)
    entries = store.load(_or_warning(transaction.pending_commit, request, []))
    if intent is None:
        return Start(entries, warnings)
    is_own = request.project is None or request.project in intent.projects
    others = tuple(name for name in intent.projects if request.project not in (None, name))
    on_mismatch = intent.on_mismatch if intent.on_mismatch in ("update", "recreate", "fail") else "update"
    return Start(entries, warnings, others, is_own, on_mismatch)


class Undone(t.NamedTuple):
    """The interrupted runs of other projects that were taken back, and the projects where that failed."""

    operations: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()


def take_back(found: Start, check: bool, repair: t.Callable[[Request], None]) -> Undone:
    """Make what other projects' interrupted runs have changed as their documents declare it.

    repair does that for one project.
    """
    operations = tuple(f"take back the interrupted run of project {name}" for name in found.interrupted)
    if check or not operations:
        return Undone(operations)
    warnings, failed = [], []
    for name in found.interrupted:
        try:
            repair(Request(name, on_mismatch=found.on_mismatch))
        except DocklessError as error:
            failed.append(name)
            warnings.append(f"A run of project {name} was interrupted, and cannot be taken back: {error}")
    if not failed and not found.is_repeated:
        transaction.forget_intent()
    return Undone(operations, tuple(warnings), tuple(failed))


def _or_warning(
    read: t.Callable[[], transaction.Record | None], request: Request, warnings: list[str]
) -> transaction.Record | None:
    try:
        return read()
    except DocklessError as error:
        if not request.boot:
            raise
        warnings.append(f"{error}")
        return None
