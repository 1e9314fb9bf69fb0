# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Changes all documents of a run together, by one rename, and knows after a crash whether they were changed.

The order of a run that changes documents:

1. intent.json is written and synced: which projects the run changes, and the new text of each document.
2. The kernel is changed and verified.
3. intent.json is renamed to commit.json. From this rename on, the new documents count: whoever reads a document
   reads commit.json too.
4. The documents and their last good copies are written from commit.json.
5. commit.json is removed.

A run that finds intent.json knows that an earlier run ended before step 3, and takes its changes back. A run that finds
commit.json repeats steps 4 and 5. Neither has to find out how far the earlier run came.
"""

from __future__ import annotations

import contextlib
import json
import typing as t

from ..errors import DocklessError, RollbackError, reason_of
from ..names import NAME
from . import document_files
from .document_files import HOST_FILE, PROJECTS, SUFFIX, Json

INTENT = "intent.json"
COMMIT = "commit.json"
LAST_GOOD = "last-good"
DIRECTORIES = ("", "projects", LAST_GOOD, LAST_GOOD + "/projects")
_FORMAT = 1
_NOTHING_CHANGED = "Nothing was changed."


class Change(t.NamedTuple):
    """The change of one document: the digest of the file before it, "" without a file, and the text after it.

    text is None where the document is removed.
    """

    before: str
    text: str | None

    @property
    def content(self) -> bytes | None:
        """Return the content of the file after the change."""
        return None if self.text is None else self.text.encode()

    def result(self, present: bytes | None) -> bytes | None:
        """Return what the document is if its file has this content.

        Content that is neither the old nor the new one was written by somebody else after the commit, and counts.
        """
        if document_files.digest(present) == self.before:
            return self.content
        return present


class Record(t.NamedTuple):
    """What a run is about to change, or has changed.

    projects     those whose objects on the host it changes
    on_mismatch  the run's option, which taking its changes back needs as well
    changes      the documents that it changes, by name of the file
    """

    projects: tuple[str, ...]
    on_mismatch: str
    changes: t.Mapping[str, Change]


class Transaction:
    """The changes of one run, as a context manager: it writes the intent, and at the end forgets or completes it.

    interrupted are projects whose earlier run was interrupted and could not be taken back. is_repeated is whether this
    run's own project was. Then the intent stays if this run fails too.
    """

    def __init__(self, record: Record, interrupted: t.Sequence[str] = (), is_repeated: bool = False) -> None:
        self._record = record
        self._interrupted = tuple(interrupted)
        self._is_repeated = is_repeated
        self.warnings: list[str] = []

    def __enter__(self) -> Transaction:
        if self._record.changes:
            projects = tuple(dict.fromkeys((*self._record.projects, *self._interrupted)))
            begin(self._record._replace(projects=projects))
        return self

    def commit(self) -> None:
        """Make the new documents count. Raises DocklessError if they do not."""
        if self._record.changes:
            self._warn(commit())

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        if error is None:
            self._end()
        elif not (self._interrupted or self._is_repeated or isinstance(error, RollbackError)):
            forget_intent()

    def _end(self) -> None:
        if self._record.changes:
            self._warn(complete(self._record))
        elif self._is_repeated and not self._interrupted:
            forget_intent()
        if self._interrupted and self._record.changes:
            with contextlib.suppress(DocklessError):
                begin(Record(self._interrupted, self._record.on_mismatch, {}))

    def _warn(self, text: str) -> None:
        if text:
            self.warnings.append(text)


def begin(record: Record) -> None:
    """Write the intent. Raises DocklessError; then nothing has changed."""
    content = {
        "format": _FORMAT,
        "projects": list(record.projects),
        "on_mismatch": record.on_mismatch,
        "changes": {name: list(change) for name, change in record.changes.items()},
    }
    try:
        document_files.remove_temporaries("")
        document_files.write(INTENT, json.dumps(content).encode())
    except OSError as error:
        forget_intent()
        path = document_files.path_of(INTENT)
        raise DocklessError(
            f"{path} cannot be written: {reason_of(error)}",
            f"{_NOTHING_CHANGED} Make /etc/dockless writable, or make space there.",
        ) from None


def commit() -> str:
    """Make the documents of the intent count, and return a warning, "" if there is none.

    Raises DocklessError if the documents do not count.
    """
    try:
        error = document_files.rename(INTENT, COMMIT)
    except OSError as failure:
        what = f"the documents in /etc/dockless cannot be changed: {reason_of(failure)}"
        raise DocklessError(what, "Make /etc/dockless writable.") from None
    if error is None:
        return ""
    return f"/etc/dockless cannot be synced: {reason_of(error)}. The changed documents may be lost if the power fails."


def complete(record: Record) -> str:
    """Write the committed documents and their copies, and return a warning, "" if there is none.

    If that fails, the commit stays: it counts, and the next run repeats this.
    """
    try:
        for name, change in record.changes.items():
            _put(name, change)
        for directory in DIRECTORIES:
            document_files.remove_temporaries(directory)
        document_files.remove(COMMIT)
    except (OSError, DocklessError) as error:
        return (
            f"Not all documents in /etc/dockless can be written: {reason_of(error)}. Until a run can write them, "
            f"{document_files.path_of(COMMIT)} has their content."
        )
    for directory in reversed(DIRECTORIES):
        document_files.remove_directory(directory)
    return ""


def forget_intent() -> None:
    """Remove the intent. If that fails, the next run takes back what is already as before, which changes nothing."""
    with contextlib.suppress(OSError, DocklessError):
        document_files.remove(INTENT)
        document_files.remove_directory("")


def pending_intent() -> Record | None:
    """Return the intent of a run that did not end, None if there is none. Raises DocklessError for a damaged one."""
    return _read(INTENT)


def pending_commit() -> Record | None:
    """Return a commit that was not completed, None if there is none. Raises DocklessError for a damaged one."""
    return _read(COMMIT)


def _put(name: str, change: Change) -> None:
    """Write or remove a document as committed, and its copy. A document that was edited after the commit stays."""
    present = document_files.read(name)
    result = change.result(present[0] if present else None)
    for path, content in ((name, result), (f"{LAST_GOOD}/{name}", change.content)):
        if content is None:
            document_files.remove(path)
        else:
            document_files.write(path, content)


def _read(name: str) -> Record | None:
    found = document_files.read(name)
    if found is None:
        return None
    origin = document_files.path_of(name)
    content = document_files.parse(found[0], origin)
    if content.get("format") != _FORMAT:
        document_files.refuse(found[0], origin, ("format",), f"format {content.get('format')!r} is unknown")
    try:
        return _record(content)
    except (TypeError, ValueError, AttributeError, LookupError):
        document_files.refuse(found[0], origin, ("changes",), "not a record of a run")


def _record(content: Json) -> Record:
    """Return the record in a parsed file. Raises an error of its types for another shape."""
    changes = {}
    for name, (before, text) in content["changes"].items():
        if not isinstance(before, str) or not isinstance(text, (str, type(None))):
            raise TypeError(name)
        changes[_checked_name(name)] = Change(before, text)
    return Record(tuple(map(str, content["projects"])), str(content["on_mismatch"]), changes)


def _checked_name(name: str) -> str:
    """Return the name of a document. Raises ValueError for another path."""
    project = name[len(PROJECTS) : -len(SUFFIX)]
    is_project = name == f"{PROJECTS}{project}{SUFFIX}" and NAME.match(project)
    if name != HOST_FILE and not is_project:
        raise ValueError(name)
    return name
