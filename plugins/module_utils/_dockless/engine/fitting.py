# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Chooses the documents of a run, so that one project's broken document stops no other project.

The document of the run's own project must be right. That of another project is replaced by its last good copy where it
does not parse, check or fit. At boot no project is the run's own: each one that is broken is replaced by its copy,
and left out if that does not help.
"""

from __future__ import annotations

import typing as t

from ..errors import DocklessError, host_errors
from ..linux import lock
from . import documents, json_lines, recovery, store
from .request import Request
from .store import AnyDocument, Documents, Entry, HostDocument
from .target import Target, compute_target

Entries = t.Mapping[str, Entry]
Chosen = dict[str, AnyDocument]  # by project; "" is the host's


class Choice(t.NamedTuple):
    """The documents of a run, before and after its edit, and what they mean for this host.

    problems  a sentence for each document that is broken
    left_out  projects that the run does nothing about, although their objects may be there
    """

    present: Documents
    edited: Documents
    target: Target
    problems: tuple[str, ...] = ()
    left_out: frozenset[str] = frozenset()


def choose(entries: Entries, request: Request, distrusted: t.Container[str] = ()) -> Choice:
    """Return the documents of a run. Raises DocklessError if there is no right choice.

    distrusted are projects whose copy is used although their document can be read.
    """
    picker = _Picker(entries, request)
    for name, entry in entries.items():
        picker.pick(name, entry, name in distrusted)
    try:
        return picker.choice()
    except DocklessError as error:
        if request.boot:
            picker.pick_what_fits()
        elif not picker.pick_copies_of_others(error):
            error.path = _with_project(error.path, entries)
            raise
    return picker.choice()


def read(project: str | None, wait_s: float) -> Choice:
    """Return what is declared, for a command that only reads. Raises DocklessError."""
    request = Request(project, check=True, wait_s=wait_s)
    with lock.lock_for_reading(wait_s), host_errors():
        return choose(recovery.start(request).entries, request)


class _Picker:
    def __init__(self, entries: Entries, request: Request) -> None:
        self._entries = entries
        self._request = request
        self._chosen: Chosen = {}
        self._problems: list[str] = []
        self._left_out: set[str] = set()

    def choice(self) -> Choice:
        """Return the choice. Raises DocklessError if the chosen documents do not fit together."""
        return self._with(self._chosen, self._request.boot)

    def pick(self, name: str, entry: Entry, is_distrusted: bool) -> None:
        """Choose a project's document if it can be read, otherwise its copy. Raises DocklessError if neither can be."""
        if entry.document is not None and not is_distrusted:
            self._chosen[name] = entry.document
            return
        error = entry.error or DocklessError(f"{store.path_of(name)} cannot be applied")
        is_own = self._request.project in (None, name) and bool(name)
        if not self._request.boot and (is_own or entry.copy is None):
            raise error
        self._replace(name, error, entry.copy)

    def pick_what_fits(self) -> None:
        """Choose for each project the document or copy with which the others still fit, and leave out the rest.

        Documents that are as they were last verified come first: of two that exclude each other, the changed one is at
        fault. A project may need a network of another one, so each is tried again as long as others are added.
        """
        proposed, self._chosen = self._chosen, {}
        self._chosen[""] = self._fitting_host(proposed.get("", HostDocument()))
        is_changed = {name: proposed[name] != self._entries[name].copy for name in proposed if name}
        waiting = sorted(is_changed, key=lambda name: (is_changed[name], name))
        errors = self._add({name: proposed[name] for name in waiting})
        copies = {name: self._entries[name].copy for name in errors if is_changed[name]}
        still_waiting = self._add({name: copy for name, copy in copies.items() if copy is not None})
        for name, error in errors.items():
            is_replaced = name in self._chosen and name not in still_waiting
            self._replace(name, error, self._chosen[name] if is_replaced else None)

    def pick_copies_of_others(self, error: DocklessError) -> bool:
        """Replace other projects' documents that changed since they were verified, until the rest fits."""
        if self._request.project is None:
            return False
        for name in [name for name in self._chosen if name != self._request.project]:
            copy = self._entries[name].copy
            if copy is None or copy == self._chosen[name]:
                continue
            self._replace(name, error, copy)
            if self._error_of(self._chosen) is None:
                return True
        return False

    def _fitting_host(self, proposed: AnyDocument) -> AnyDocument:
        error = self._error_of({"": proposed})
        if error is None:
            return proposed
        copy = self._entries[""].copy or HostDocument()
        self._replace("", error, copy)
        return copy

    def _add(self, waiting: Chosen) -> dict[str, DocklessError]:
        """Choose those documents that fit, and return the error of each other one."""
        errors: dict[str, DocklessError] = {}
        has_progress = True
        while waiting and has_progress:
            has_progress = False
            for name, document in list(waiting.items()):
                error = self._error_of({**self._chosen, name: document})
                if error is not None:
                    errors[name] = error
                    continue
                self._chosen[name] = waiting.pop(name)
                errors.pop(name, None)
                has_progress = True
        return errors

    def _error_of(self, chosen: Chosen) -> DocklessError | None:
        try:
            self._with(chosen, self._request.boot, wait=False)
        except DocklessError as error:
            return error
        return None

    def _with(self, chosen: Chosen, boot: bool, wait: bool = True) -> Choice:
        present = store.documents_of(chosen, self._entries)
        edited = documents.edited(present, self._request)
        origins = {name: store.path_of(name) for name in edited.projects if not self._is_edited(name)}
        target = compute_target(edited, self._request.project, boot, wait, origins)
        return Choice(present, edited, target, tuple(self._problems), frozenset(self._left_out))

    def _is_edited(self, name: str) -> bool:
        return name == self._request.project and self._request.edit is not dict

    def _replace(self, name: str, error: DocklessError, copy: AnyDocument | None) -> None:
        """Choose the copy in place of a document, nothing without one, and note why."""
        subject = f"The document of project {name}" if name else "The host's document"
        reason = _located(error, name, self._entries[name])
        if copy is not None:
            self._chosen[name] = copy
            self._problems.append(f"{subject} is not used: {reason.rstrip('.')}. Its last good copy is used.")
            return
        self._chosen.pop(name, None)
        if not name:
            self._chosen[name] = HostDocument()
            self._problems.append(f"{subject} is not used: {reason.rstrip('.')}. There is no last good copy.")
            return
        self._left_out.add(name)
        self._problems.append(
            f"{subject} is not used: {reason.rstrip('.')}. There is no last good copy that can be used, so that the "
            "project is left out. What exists of it stays."
        )


def _located(error: DocklessError, name: str, entry: Entry) -> str:
    """Return an error about a document, with the file and the line of the option that it is about."""
    origin = store.path_of(name)
    if error.path.startswith(origin):
        option = error.path[len(origin) + 2 :]
        path = f"{_place(origin, option, entry)}: {option}".rstrip(": ")
        return str(DocklessError(error.what, error.remedy, path))
    return str(error) if str(error).startswith(origin) else f"{origin}: {error}"


def _with_project(path: str, entries: Entries) -> str:
    """Return the path of an option that begins with a file, with the project's name and the line too."""
    for name, entry in entries.items():
        origin = store.path_of(name)
        if name and path.startswith(origin):
            option = path[len(origin) + 2 :]
            return f"project {name} ({_place(origin, option, entry)}): {option}".rstrip(": ")
    return path


def _place(origin: str, option: str, entry: Entry) -> str:
    content = entry.source.content or b""
    keys = ("declaration", *json_lines.keys_of(option))
    return f"{origin}, line {json_lines.line_of(content.decode(errors='replace'), keys)}"
