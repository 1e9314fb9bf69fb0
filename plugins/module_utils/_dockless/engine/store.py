# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Reads documents: one for each project, one for the host, and the last good copy of each.

Documents are written after a run was verified (transaction), so that each one that is written works. The copies are
for a boot that finds a document that was damaged. docs/reliability.md has the policy for documents of other versions.
"""

from __future__ import annotations

import json
import typing as t

from ..errors import DocklessError
from ..names import NAME
from . import document_files, json_lines, transaction
from .document_files import PROJECTS, SUFFIX, Json
from .lease_shape import check_leases
from .transaction import LAST_GOOD, Change, Record

FORMAT = 1


class Document(t.NamedTuple):
    """A project's declaration, in the keys of Compose, and its leases (addresses, ports, names)."""

    project: str
    declaration: Json
    leases: Json


class HostDocument(t.NamedTuple):
    """The host's defaults, and the leases of its default bridge."""

    defaults: Json = {}
    leases: Json = {}


AnyDocument = t.Union[Document, HostDocument]


class Source(t.NamedTuple):
    """The files that a document was read from.

    content     of the document's file, None if it does not exist
    is_copied   whether the last good copy is equal
    is_private  whether only root can read both
    """

    content: bytes | None = None
    is_copied: bool = True
    is_private: bool = True

    @property
    def digest(self) -> str:
        """Return the digest of the document's file, "" if it does not exist."""
        return document_files.digest(self.content)


class Documents(t.NamedTuple):
    """Everything that is declared on this host. sources are by project; "" is the host."""

    projects: t.Mapping[str, Document]
    host: HostDocument
    sources: t.Mapping[str, Source] = {}


class Entry(t.NamedTuple):
    """One stored document.

    document  None where the file is broken; error has the reason
    copy      its last good copy, None if there is none that can be used
    """

    document: AnyDocument | None
    copy: AnyDocument | None
    source: Source
    error: DocklessError | None = None


def name_of(project: str) -> str:
    """Return the name of a project's file below /etc/dockless, of the host's for "". Raises DocklessError."""
    if project and not NAME.match(project):
        raise DocklessError(
            f"{project!r} is not a project name",
            "Use up to 63 letters, digits, dots, dashes and underscores, a letter or digit first.",
        )
    return document_files.name_for(project)


def path_of(project: str) -> str:
    """Return the path of a project's document, of the host's for "". Raises DocklessError for an invalid name."""
    return document_files.path_of(name_of(project))


def load_all() -> Documents:
    """Return every document. Raises DocklessError with file and line of a broken one."""
    entries = load(transaction.pending_commit())
    for entry in entries.values():
        if entry.error is not None:
            raise entry.error
    return documents_of({name: entry.document for name, entry in entries.items()}, entries)


def load(commit: Record | None) -> dict[str, Entry]:
    """Return every document by project; "" is the host's. Raises DocklessError if directories cannot be read.

    commit is one that is not completed: its documents count.
    """
    changes = commit.changes if commit else {}
    entries = {project: _entry(project, changes) for project in ("", *_project_names(changes))}
    return {name: entry for name, entry in entries.items() if entry.document is not None or entry.error is not None}


def documents_of(chosen: t.Mapping[str, AnyDocument | None], entries: t.Mapping[str, Entry]) -> Documents:
    """Return the chosen documents, with the sources of those that are the stored ones and not their copies."""
    projects = {name: one for name, one in chosen.items() if isinstance(one, Document)}
    host = chosen.get("")
    sources = {name: entries[name].source for name, one in chosen.items() if one is entries[name].document}
    return Documents(projects, host if isinstance(host, HostDocument) else HostDocument(), sources)


def text_of(document: Document) -> str:
    """Return the text of a project's file."""
    return _text(
        {
            "format": FORMAT,
            "project": document.project,
            "declaration": document.declaration,
            "leases": document.leases,
        }
    )


def host_text(document: HostDocument) -> str:
    """Return the text of the host's file."""
    return _text({"format": FORMAT, "defaults": document.defaults, "leases": document.leases})


def parse_document(project: str, content: bytes, origin: str) -> Document:
    """Return the document in a project's file. Raises DocklessError with origin and line."""
    found = document_files.parse(content, origin)
    _check(found, content, origin, ("project", "declaration", "leases"))
    if found.get("project") != project:
        document_files.refuse(
            content,
            origin,
            ("project",),
            f"the document is of project {found.get('project')!r}, but the file is named after {project!r}",
        )
    return Document(project, found["declaration"], found["leases"])


def parse_host_document(content: bytes, origin: str) -> HostDocument:
    """Return the document in the host's file. Raises DocklessError with origin and line."""
    found = document_files.parse(content, origin)
    _check(found, content, origin, ("defaults", "leases"))
    return HostDocument(found["defaults"], found["leases"])


def _entry(project: str, changes: t.Mapping[str, Change]) -> Entry:
    """Read a document and its copy. A committed change counts as written, and as copied."""
    name = name_of(project)
    change = changes.get(name)
    copy, copy_mode = _copy_of(name) if change is None else (change.content, document_files.MODE)
    try:
        found = document_files.read(name)
    except DocklessError as error:
        return Entry(None, _parsed_copy(project, copy), Source(), error)
    content, mode = found or (None, document_files.MODE)
    if change is not None:
        content = change.result(content)
    is_private = mode == copy_mode == document_files.MODE
    source = Source(content, copy == content, is_private)
    if content is None and not project:
        source = Source()  # without a copy either, this document has its defaults
    if content is None:
        return Entry(None if project else HostDocument(), None, source)
    try:
        document = _parsed(project, content, document_files.path_of(name))
    except DocklessError as error:
        return Entry(None, _parsed_copy(project, copy), source, error)
    return Entry(document, document if copy == content else _parsed_copy(project, copy), source)


def _copy_of(name: str) -> tuple[bytes | None, int]:
    """Return content and mode of the copy. One that cannot be read is no copy."""
    try:
        return document_files.read(f"{LAST_GOOD}/{name}") or (None, document_files.MODE)
    except DocklessError:
        return None, document_files.MODE


def _parsed(project: str, content: bytes, origin: str) -> AnyDocument:
    return parse_document(project, content, origin) if project else parse_host_document(content, origin)


def _parsed_copy(project: str, content: bytes | None) -> AnyDocument | None:
    """Return the document in a copy, None if it is broken: only the document's own error is of interest."""
    if content is None:
        return None
    try:
        return _parsed(project, content, document_files.path_of(f"{LAST_GOOD}/{name_of(project)}"))
    except DocklessError:
        return None


def _project_names(changes: t.Mapping[str, Change]) -> list[str]:
    """Return the projects that have a document, or a committed one that is not written yet."""
    files = [*document_files.names_in(PROJECTS.rstrip("/")), *(name[len(PROJECTS) :] for name in changes)]
    # Temporary files of a killed run begin with a dot, which no name does.
    return sorted(
        {file[: -len(SUFFIX)] for file in files if file.endswith(SUFFIX) and NAME.match(file[: -len(SUFFIX)])}
    )


def _check(found: Json, content: bytes, origin: str, keys: t.Sequence[str]) -> None:
    """Raise DocklessError if the document is of a newer version, has an unknown key, or lacks one."""
    if found.get("format") != FORMAT:
        document_files.refuse(
            content,
            origin,
            ("format",),
            f"format {found.get('format')!r} is unknown; this version reads format {FORMAT}",
        )
    for key in found:
        if key not in ("format", *keys):
            document_files.refuse(content, origin, (key,), f"unknown key {key!r}")
    for key in keys:
        if key != "project" and not isinstance(found.get(key), dict):
            document_files.refuse(content, origin, (key,), f"{key} must be an object")
    try:
        check_leases(found["leases"])
    except DocklessError as error:
        document_files.refuse(content, origin, json_lines.keys_of(error.path), f"{error.path}: {error.what}")


def _text(content: Json) -> str:
    return (_pretty(content, 3) + "\n").encode("utf-8", "backslashreplace").decode()


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
