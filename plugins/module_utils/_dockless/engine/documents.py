# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Changes the documents that persist: edits a declaration, adds the leases, and writes documents that differ."""

from __future__ import annotations

from ..document.project import parse_project
from ..errors import DocklessError
from ..linux import files, nft, wireguard
from . import nft_cache, no_change_cache, store
from .request import Request
from .store import Document, Documents
from .target import Target


def load(request: Request) -> tuple[Documents, tuple[str, ...]]:
    """Return the documents and, at boot, a warning for each broken one. Raises DocklessError for these otherwise."""
    if not request.boot:
        return store.load_all(), ()
    documents, warnings = store.load_all_or_last_good()
    return documents, tuple(warnings)


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
    return Documents(projects, host)


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
    """Return the documents with what was chosen for the projects that the run converges."""
    projects = {
        name: document._replace(leases=target.leases_of(name)) if request.project in (None, name) else document
        for name, document in documents.projects.items()
    }
    return Documents(projects, documents.host._replace(leases=target.leases_of("")))


def differences(before: Documents, after: Documents) -> list[str]:
    """Return a line for each document that is to be written or removed."""
    lines = []
    for name in sorted({*before.projects, *after.projects}):
        old, new = before.projects.get(name), after.projects.get(name)
        if new is None:
            lines.append(f"forget project {name}")
        elif old is None or (old.declaration, old.leases) != (new.declaration, new.leases):
            lines.append(f"record project {name}")
    if before.host != after.host:
        lines.append("record the host's defaults")
    return lines


def write(documents: Documents, request: Request) -> None:
    """Write the documents that the run answers for; with the last project, remove everything that persists."""
    for name, document in documents.projects.items():
        if request.project in (None, name):
            store.write(document)
    if request.project and request.project not in documents.projects:
        store.remove(request.project)
    if documents.projects:
        store.write_host(documents.host)
    else:
        _remove_everything()


def _remove_everything() -> None:
    for slot in wireguard.slots_with_key():
        wireguard.forget_key(slot)
    store.remove_all()
    for path in (*files.listed(nft.FINGERPRINT_DIRECTORY), nft_cache.PATH, no_change_cache.PATH):
        files.remove(path)
    files.remove_empty_directory(nft.FINGERPRINT_DIRECTORY)
