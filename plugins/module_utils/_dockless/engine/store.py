# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Stores documents: one for each project, one for the host, and the last good copy of each.

Documents are written after a run was verified, so that each one that is written works. The copies are for a boot that
finds a document that was damaged.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import typing as t

from ..errors import DocklessError
from ..linux import safe_directories
from ..names import ETC_DIRECTORY, NAME

Json = dict[str, t.Any]
FORMAT = 1
HOST_FILE = "host.json"
_PROJECTS = "projects"
_LAST_GOOD = "last-good"
_SUFFIX = ".json"
_D = t.TypeVar("_D")


class Document(t.NamedTuple):
    """A project's declaration, in the keys of Compose, and its leases (addresses, ports, names)."""

    project: str
    declaration: Json
    leases: Json


class HostDocument(t.NamedTuple):
    """The host's defaults, and the leases of its default bridge."""

    defaults: Json = {}
    leases: Json = {}


class Documents(t.NamedTuple):
    """Everything that is declared on this host."""

    projects: dict[str, Document]
    host: HostDocument


def path_of(project: str) -> str:
    """Return the path of a project's document. Raises DocklessError for an invalid name."""
    if not NAME.match(project):
        raise DocklessError(
            f"{project!r} is not a project name",
            "Use up to 63 letters, digits, dots, dashes and underscores, a letter or digit first.",
        )
    return f"{ETC_DIRECTORY}/{_PROJECTS}/{project}{_SUFFIX}"


def load_all() -> Documents:
    """Return every document. Raises DocklessError with file and line of a broken one."""
    return Documents({project: _load_project(project, ()) for project in _project_names()}, _load_host(()))


def load_all_or_last_good() -> tuple[Documents, list[str]]:
    """Return every document, with its last good copy in place of each broken one, and a warning for each of those.

    A broken one without a good copy is left out, with a warning too.
    """
    warnings: list[str] = []
    projects = {}
    for project in _project_names():
        document = _or_last_good(functools.partial(_load_project, project), warnings)
        if document is not None:
            projects[project] = document
    host = _or_last_good(_load_host, warnings)
    return Documents(projects, host or HostDocument()), warnings


def write(document: Document) -> None:
    """Write a project's document and its last good copy, each only if it differs."""
    path_of(document.project)
    content = {
        "format": FORMAT,
        "project": document.project,
        "declaration": document.declaration,
        "leases": document.leases,
    }
    for below in ((_PROJECTS,), (_LAST_GOOD, _PROJECTS)):
        _write(below, document.project + _SUFFIX, content)


def write_host(document: HostDocument) -> None:
    """Write the host's document and its last good copy, each only if it differs."""
    content = {"format": FORMAT, "defaults": document.defaults, "leases": document.leases}
    for below in ((), (_LAST_GOOD,)):
        _write(below, HOST_FILE, content)


def remove(project: str) -> None:
    """Remove a project's document, then its last good copy, if they exist."""
    path_of(project)
    for below in ((_PROJECTS,), (_LAST_GOOD, _PROJECTS)):
        _remove(below, project + _SUFFIX)


def remove_all() -> None:
    """Remove the host's document, its last good copy, and the directories that are empty then."""
    for below in ((), (_LAST_GOOD,)):
        _remove(below, HOST_FILE)
    for directory in ((_LAST_GOOD, _PROJECTS), (_LAST_GOOD,), (_PROJECTS,), ()):
        with contextlib.suppress(OSError):  # it has other files
            os.rmdir("/".join((ETC_DIRECTORY, *directory)))


def parse(text: str, origin: str) -> Json:
    """Return the document in a JSON text. Raises DocklessError with origin and line."""
    try:
        content = json.loads(text)
    except ValueError as error:
        line = getattr(error, "lineno", 1)
        reason = getattr(error, "msg", str(error))
        raise DocklessError(f"{origin}, line {line}: not JSON: {reason}", _remedy(origin)) from None
    if not isinstance(content, dict):
        raise DocklessError(
            f"{origin}, line 1: the document must be an object, not {type(content).__name__}", _remedy(origin)
        )
    return content


def _remedy(origin: str) -> str:
    return f"Fix the file {origin}, or remove it and apply the project again."


def _or_last_good(load: t.Callable[[tuple[str, ...]], _D], warnings: list[str]) -> _D | None:
    try:
        return load(())
    except DocklessError as broken:
        try:
            document = load((_LAST_GOOD,))
        except (DocklessError, FileNotFoundError):
            warnings.append(f"{broken.what}. There is no last good copy, so it is left out")
            return None
        warnings.append(f"{broken.what}. Its last good copy is used")
        return document


def _project_names() -> list[str]:
    try:
        with safe_directories.opened(ETC_DIRECTORY, (_PROJECTS,)) as fd:
            found = os.listdir(fd)
    except FileNotFoundError:
        return []
    # Temporary files of a killed run begin with a dot, which no name does.
    return sorted(n[: -len(_SUFFIX)] for n in found if n.endswith(_SUFFIX) and NAME.match(n[: -len(_SUFFIX)]))


def _load_project(project: str, top: tuple[str, ...]) -> Document:
    origin, text = _read((*top, _PROJECTS), project + _SUFFIX)
    content = parse(text, origin)
    _check(content, text, origin, ("declaration", "leases"))
    if content.get("project") != project:
        raise DocklessError(
            f"{origin}, line {_line_of(text, 'project')}: the document is of project {content.get('project')!r}, "
            f"but the file is named after {project!r}",
            _remedy(origin),
        )
    return Document(project, content["declaration"], content["leases"])


def _load_host(top: tuple[str, ...]) -> HostDocument:
    try:
        origin, text = _read(top, HOST_FILE)
    except FileNotFoundError:
        if top:
            raise
        return HostDocument()
    content = parse(text, origin)
    _check(content, text, origin, ("defaults", "leases"))
    return HostDocument(content["defaults"], content["leases"])


def _check(content: Json, text: str, origin: str, objects: t.Sequence[str]) -> None:
    """Raise DocklessError if the document has an unknown format or lacks an object."""
    if content.get("format") != FORMAT:
        raise DocklessError(
            f"{origin}, line {_line_of(text, 'format')}: format {content.get('format')!r} is unknown; "
            f"this version reads format {FORMAT}",
            _remedy(origin),
        )
    for key in objects:
        if not isinstance(content.get(key), dict):
            raise DocklessError(f"{origin}, line {_line_of(text, key)}: {key} must be an object", _remedy(origin))


def _line_of(text: str, key: str) -> int:
    return text.count("\n", 0, max(0, text.find(f'"{key}"'))) + 1


def _read(below: tuple[str, ...], name: str) -> tuple[str, str]:
    """Return path and text. Raises FileNotFoundError."""
    path = "/".join((ETC_DIRECTORY, *below, name))
    with safe_directories.opened(ETC_DIRECTORY, below) as fd:
        found = safe_directories.read(fd, name, path)
    if found is None:
        raise FileNotFoundError(path)
    try:
        return path, found[0].decode()
    except UnicodeDecodeError as error:
        line = found[0].count(b"\n", 0, error.start) + 1
        raise DocklessError(f"{path}, line {line}: not UTF-8", _remedy(path)) from None


def _write(below: tuple[str, ...], name: str, content: Json) -> None:
    path = "/".join((ETC_DIRECTORY, *below, name))
    text = (_pretty(content, 3) + "\n").encode("utf-8", "backslashreplace")
    with safe_directories.opened(ETC_DIRECTORY, below, 0o700) as fd:
        present = safe_directories.read(fd, name, path)
        if present != (text, 0o600):
            safe_directories.replace(fd, name, text, 0o600, os.fsync)


def _pretty(value: object, depth: int, indent: str = "") -> str:
    """Return JSON with a line for each object of the upper levels. json's own indenting is 20 times slower, and longer.

    The order is kept: that of a sandbox's networks decides which is eth0.
    """
    if not depth or not isinstance(value, dict) or not value:
        return json.dumps(value, ensure_ascii=False)
    inner = indent + " "
    rows = (
        f"{inner}{json.dumps(key, ensure_ascii=False)}: {_pretty(each, depth - 1, inner)}"
        for key, each in value.items()
    )
    return "{\n" + ",\n".join(rows) + f"\n{indent}}}"


def _remove(below: tuple[str, ...], name: str) -> None:
    with contextlib.suppress(FileNotFoundError), safe_directories.opened(ETC_DIRECTORY, below) as fd:
        os.unlink(name, dir_fd=fd)
        os.fsync(fd)
