# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Changes the documents that persist: edits a declaration, adds the leases, and finds the documents that differ."""

from __future__ import annotations

import typing as t

from ..document.project import parse_project
from ..errors import DocklessError
from ..linux import files, nft, wireguard
from . import nft_cache, no_change_cache, store
from .document_files import Json
from .request import Request
from .store import Document, Documents, Source
from .target import Target
from .transaction import Change


def edited(documents: Documents, request: Request) -> Documents:
    """Return the documents as the request wants them, without the leases of what is new."""
    projects = dict(documents.projects)
    if request.remove_project and request.project:
        projects.pop(request.project, None)
    elif request.project:
        present = projects.get(request.project, Document(request.project, {}, {}))
        projects[request.project] = present._replace(declaration=request.edit(present.declaration))
    host = documents.host
    if request.defaults is not None:
        host = host._replace(defaults=request.defaults)
    if request.coexist is not None:
        host = host._replace(defaults={**host.defaults, "coexist": list(request.coexist)})
    return documents._replace(projects=projects, host=host)


def namespaces(documents: Documents) -> set[str]:
    """Return the names of the namespaces of all declared sandboxes. A document that is not valid is left out."""
    found = set()
    for name, document in documents.projects.items():
        try:
            project = parse_project(name, document.declaration)
        except DocklessError:
            continue
        found |= {sandbox.netns_name for sandbox in project.sandboxes}
    return found


def with_leases(documents: Documents, target: Target, request: Request) -> Documents:
    """Return the documents with what was chosen for the projects that the run converges.

    At boot, what is left out for the moment keeps its leases.
    """
    projects = {
        name: document._replace(leases=_leases(document.leases, target, name, request.boot))
        if request.project in (None, name)
        else document
        for name, document in documents.projects.items()
    }
    host = documents.host._replace(leases=_leases(documents.host.leases, target, "", request.boot))
    return documents._replace(projects=projects, host=host)


def _leases(before: Json, target: Target, project: str, boot: bool) -> Json:
    after = target.leases_of(project)
    return _joined(before, after) if boot else after


def _joined(before: t.Any, after: t.Any) -> t.Any:
    """Return the leases after a run, with those before it that it did not need."""
    if isinstance(before, dict) and isinstance(after, dict):
        return {**before, **{key: _joined(before.get(key), value) for key, value in after.items()}}
    if isinstance(before, list) and isinstance(after, list) and all(isinstance(each, list) for each in before + after):
        return after + [each for each in before if each not in after]
    return after


def changes(before: Documents, after: Documents, request: Request) -> tuple[list[str], dict[str, Change]]:
    """Return a line and the change of each document that is to be written or removed.

    A document that a boot or another project's run replaced by its last good copy stays as it is, for its author.
    """
    lines: list[str] = []
    found: dict[str, Change] = {}
    for name in sorted({*before.projects, *after.projects}):
        if request.project in (None, name):
            old, new = before.projects.get(name), after.projects.get(name)
            text = None if new is None else store.text_of(new)
            subject = f"project {name}"
            line = f"forget {subject}" if new is None else f"record {subject}" if old != new else ""
            _add_change(before, name, line, text, subject, lines, found)
    host = store.host_text(after.host) if after.projects else None
    line = "record the host's defaults" if before.host != after.host else ""
    _add_change(before, "", line, host, "the host's defaults", lines, found)
    if host is not None and found and before.sources.get("", Source()).content is None:
        found.setdefault(store.name_of(""), Change("", host))
    return lines, found


def _add_change(
    before: Documents,
    project: str,
    line: str,
    text: str | None,
    subject: str,
    lines: list[str],
    found: dict[str, Change],
) -> None:
    """Add the change of one document, if it must be written, removed, copied or made private."""
    source = before.sources.get(project)
    if source is None and (before.projects.get(project) if project else True):
        return  # the stored document is broken
    source = source or Source()
    if not line and source.content is not None:
        text = None if text is None else source.content.decode()  # its author's own form of it
        line = _repair(source, project, subject)
    if line:
        lines.append(line)
    if line or (text is None and source.content is not None):
        found[store.name_of(project)] = Change(source.digest, text)


def _repair(source: Source, project: str, subject: str) -> str:
    """Return a line for what is wrong with the files of a document that itself stays as it is, "" if nothing is."""
    if not source.is_copied:
        return f"record the last good copy of {subject}"
    return "" if source.is_private else f"restore mode 0600 of {store.path_of(project)} and its copy"


def projects_of(request: Request, wanted: Documents) -> tuple[str, ...]:
    """Return the projects whose objects a run changes."""
    return tuple(wanted.projects) if request.project is None else (request.project,)


def remove_rest() -> None:
    """Remove keys and caches, after the last project. Raises OSError or DocklessError."""
    for slot in wireguard.slots_with_key():
        wireguard.forget_key(slot)
    for path in (*files.listed(nft.FINGERPRINT_DIRECTORY), nft_cache.PATH, no_change_cache.PATH):
        files.remove(path)
    files.remove_empty_directory(nft.FINGERPRINT_DIRECTORY)
