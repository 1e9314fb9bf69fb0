# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs in a private host: python3 store_faults.py SPACING.

Changes documents with every file operation failing once, failing from then on, and being the last before a kill, and
prints what is wrong after each as JSON. With a SPACING of 3, only every third operation fails.

Each change happens in a process of its own, which is forked for it.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import sys
import typing as t

from _dockless.engine import documents, recovery, store
from _dockless.engine.request import Request
from _dockless.engine.store import Document, Documents, HostDocument
from _dockless.engine.transaction import COMMIT, INTENT, Record, Transaction
from _dockless.errors import DocklessError

ETC = "/etc/dockless"
CALLS = ("open", "write", "fsync", "fchmod", "rename", "unlink", "mkdir", "rmdir", "listdir")
KILL = 0
FAULTS = {"ENOSPC": errno.ENOSPC, "EROFS": errno.EROFS, "EIO": errno.EIO, "kill": KILL}
EVERYTHING = Request(None)
FAILED, SUCCEEDED, FINISHED = 3, 4, 5  # exit statuses of a change; FINISHED: before the fault came


def document(name: str, number: int) -> Document:
    """Return one of several documents of a project."""
    return Document(name, {"networks": {f"net{number}": {}}}, {"networks": {f"net{number}": [f"10.{number}.0.0/24"]}})


ONE = {"a": document("a", 1)}
TWO = {"a": document("a", 1), "b": document("b", 1)}
CHANGES: dict[str, tuple[dict[str, Document], dict[str, Document]]] = {
    "the first project": ({}, ONE),
    "another project": (ONE, TWO),
    "two documents": (TWO, {"a": document("a", 2), "b": document("b", 2)}),
    "one of two projects": (TWO, ONE),
    "the last project": (TWO, {}),
}


def change(projects: dict[str, Document]) -> None:
    """Change the documents as a run does. Raises DocklessError if they are as before."""
    before = store.load_all()
    after = before._replace(projects=projects, host=HostDocument({"mtu": 1400 + len(projects)} if projects else {}))
    _lines, changes = documents.changes(before, after, EVERYTHING)
    with Transaction(Record(tuple(projects), "update", changes)) as transaction:
        transaction.commit()


class Fault:
    """Lets the call with a number fail, and those after it too if it stays."""

    def __init__(self, number: int, error: int, stays: bool) -> None:
        self.number, self.error, self.stays, self.seen = number, error, stays, 0

    def install(self) -> None:
        """Put the fault in front of the functions that the engine calls."""
        for name in CALLS:
            setattr(os, name, self._wrapped(getattr(os, name)))

    def _wrapped(self, call: t.Callable[..., t.Any]) -> t.Callable[..., t.Any]:
        def wrapper(*args: t.Any, **options: t.Any) -> t.Any:
            self.seen += 1
            if self.seen == self.number or (self.stays and self.seen > self.number):
                if self.error == KILL:
                    os.kill(os.getpid(), signal.SIGKILL)
                raise OSError(self.error, os.strerror(self.error))
            return call(*args, **options)

        return wrapper


def in_child(projects: dict[str, Document], fault: Fault) -> int:
    """Do a change with a fault in a child, and return how it ended."""
    pid = os.fork()
    if not pid:
        before = fault.number
        fault.install()
        try:
            change(projects)
            os._exit(FINISHED if fault.seen < before else SUCCEEDED)
        except DocklessError:
            os._exit(FAILED)
    return os.waitpid(pid, 0)[1]


def found() -> Documents:
    """Return what counts as declared now."""
    return store.load_all()._replace(sources={})


def wrong_after(status: int, before: Documents, after: Documents) -> str:
    """Return what is wrong after a change ended, "" if nothing is. It repairs as the next run does."""
    present = found()
    if os.WIFSIGNALED(status):
        allowed = [before, after]
    else:
        exit_status = os.WEXITSTATUS(status)
        if exit_status not in (FAILED, SUCCEEDED):
            return f"it ended with {exit_status}"
        allowed = [before] if exit_status == FAILED else [after]
    if present not in allowed:
        return f"{status}: the documents are {sorted(present.projects)}"
    start = recovery.start(EVERYTHING)
    if start.warnings or found() != present:
        return f"the next run changed the documents: {start.warnings}"
    left = sorted(
        name for _top, _below, names in os.walk(ETC) for name in names if name.startswith(".") or name == COMMIT
    )
    if left and left != [INTENT]:
        # a temporary file of an intent stays until the next intent is written
        change({**present.projects, "z": document("z", 9)})
        left = [name for name in os.listdir(ETC) if name.startswith(".") or name in (COMMIT, INTENT)]
        return f"left over: {left}" if left else ""
    unequal = [
        name for name, source in store.load_all().sources.items() if not (source.is_copied and source.is_private)
    ]
    return f"copies differ: {unequal}" if unequal else ""


def reset(projects: dict[str, Document]) -> Documents:
    """Start with these documents."""
    shutil.rmtree(ETC, ignore_errors=True)
    if projects:
        change(projects)
    return found()


def main(spacing: int) -> dict[str, t.Any]:
    """Try everything and return the number of trials and what was wrong."""
    trials, problems = 0, []
    for name, (first, last) in CHANGES.items():
        reset(first)
        change(last)
        after = found()
        for fault_name, error in FAULTS.items():
            for stays in (False, True) if error else (False,):
                for number in range(1, 1000, spacing):
                    before = reset(first)
                    status = in_child(last, Fault(number, error, stays))
                    if not os.WIFSIGNALED(status) and os.WEXITSTATUS(status) == FINISHED:
                        break
                    trials += 1
                    problem = wrong_after(status, before, after)
                    if problem:
                        problems.append(f"{name}: {fault_name} at call {number}{' and after it' * stays}: {problem}")
    shutil.rmtree(ETC, ignore_errors=True)
    return {"trials": trials, "problems": problems}


if __name__ == "__main__":
    print(json.dumps(main(int(sys.argv[1]))))
