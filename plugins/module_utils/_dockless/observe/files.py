# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Managed files and the resolvers that run with them."""

from __future__ import annotations

import os
import typing as t

from ..dns.systemd_units import DROP_IN, PATHS
from ..linux import files
from ..names import DNS_DIRECTORY, NETNS_ETC_DIRECTORY
from ..resolvers import probe, supervisor, watches
from ..state.keys import Key
from ..state.objects import File, Resolver, State

Keys = t.AbstractSet[Key]
_OPEN, _OPEN_TO_GROUP = 0o055, 0o050
_MARK = "# dockless:"  # how the first line of a managed file begins


class FoundFiles(t.NamedTuple):
    """The managed files, and a sentence for each unmanaged one in a place that is needed."""

    files: list[File]
    conflicts: list[str]


def observe(wanted: State, keys_of_others: Keys) -> FoundFiles:
    """Return the files that wanted names, and those that an earlier run has left."""
    found: list[File] = []
    conflicts: list[str] = []
    managed_directories: dict[str, bool] = {}
    open_directories: dict[str, bool] = {}
    for path in _paths(wanted, keys_of_others):
        content = files.observed(path)
        if content is None:
            continue
        text, mode = content
        if not _is_reachable(os.path.dirname(path), open_directories):
            mode &= 0o700  # whatever the file's own mode says
        file = File(path, text, mode)
        if _is_managed(file, managed_directories):
            found.append(file)
        elif path != DROP_IN or file.key in wanted:
            conflicts.append(f"file {path} exists and is not managed by dockless")
    return FoundFiles(found, conflicts)


def _is_reachable(directory: str, known: dict[str, bool]) -> bool:
    """Return whether the resolver's user can enter and list a directory, and each one above it that dockless made.

    One that belongs to a group is open to that group alone (files.restrict).

    known remembers the answers. A record that the resolver's user cannot read is as good as none.
    """
    if directory not in known:
        status = os.stat(directory)
        needed = _OPEN_TO_GROUP if status.st_gid else _OPEN
        is_open = status.st_mode & needed == needed
        is_top = directory in files.ROOTS or directory == os.path.dirname(directory)
        known[directory] = is_open and (is_top or _is_reachable(os.path.dirname(directory), known))
    return known[directory]


def resolvers(wanted: State, keys_of_others: Keys) -> t.Iterator[Resolver]:
    """Yield the resolvers that answer, each with the digest of the configuration that it runs with."""
    requested = {key: obj for key, obj in wanted.items() if isinstance(obj, Resolver)}
    for resolver in supervisor.configured():
        if resolver.key not in keys_of_others:
            requested.setdefault(resolver.key, resolver)
    digests = supervisor.running(list(requested.values())) if requested else {}
    inodes: dict[str, int] = {}
    for resolver in requested.values():
        if resolver.sandbox in digests:
            program = "replaced" if probe.is_replaced(resolver.sandbox) else "installed"
            if watches.is_deaf(resolver, inodes):
                program = "deaf"
            yield resolver._replace(digest=digests[resolver.sandbox], program=program)


def _paths(wanted: State, keys_of_others: Keys) -> dict[str, None]:
    paths = {key[1]: None for key in wanted if key[0] == "file"}
    leftovers = (
        *(path for path in files.listed(DNS_DIRECTORY) if not path.endswith(".pid")),
        *_left_in_etc(wanted, keys_of_others),
        *PATHS,
        DROP_IN,
    )
    paths.update({path: None for path in leftovers if ("file", path) not in keys_of_others})
    return paths


def _is_managed(file: File, directories: dict[str, bool]) -> bool:
    """Return whether dockless wrote a file. directories remembers the answers for /etc/netns/NAME."""
    if file.path == DROP_IN:
        return file.text.startswith(_MARK)
    if not file.path.startswith(NETNS_ETC_DIRECTORY):
        return True
    directory = os.path.dirname(file.path)
    if directory not in directories:
        directories[directory] = _is_marked(directory)
    return directories[directory]


def _left_in_etc(wanted: State, keys_of_others: Keys) -> t.Iterator[str]:
    for path in files.listed(NETNS_ETC_DIRECTORY):
        key = "file", path
        if key not in wanted and key not in keys_of_others and _is_marked(os.path.dirname(path)):
            yield path


def _is_marked(directory: str) -> bool:
    """Return whether a directory below /etc/netns is managed: its files that allow comments start with the mark."""
    texts = (files.read(f"{directory}/{name}") or "" for name in ("hosts", "resolv.conf", "nsswitch.conf"))
    return any(text.startswith(_MARK) for text in texts)
