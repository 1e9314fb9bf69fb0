# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Records the answer of a run for the next equal request, if the cache can tell whether it still holds."""

from __future__ import annotations

import json
import typing as t

from ..errors import DocklessError, reason_of
from ..model.facts import Facts
from ..observe import uplink
from ..observe.state import Observation
from ..state.objects import Netns, Resolver, State, Sysctl
from ..state.wireguard import WireguardLink
from . import document_files, no_change_cache
from .no_change_cache import Files
from .request import Request
from .store import Documents
from .target import Target
from .transaction import Change


class Run(t.NamedTuple):
    """A run that succeeded: what it was asked, what it knew, and what it has seen last.

    settings  of the host, read before the run decided anything
    seen      the last observation, and the files as they were before it
    """

    request: Request
    target: Target
    wanted: State
    documents: Documents
    changes: t.Mapping[str, Change]
    settings: list[t.Any]
    seen: tuple[Observation, Files]
    warnings: t.Sequence[str]


def record(run: Run) -> None:
    """Record the answer of a run. Raises OSError or DocklessError if the file cannot be written."""
    observation, files = run.seen
    found_documents = no_change_cache.documents()
    is_reliable = run.request.verify and files.is_settled and not _depends_on_more(run.target, run.wanted)
    is_known = _are_as_written(found_documents, run) and _is_as_known(observation, run.target.facts)
    if not is_reliable or not is_known:
        no_change_cache.remove()
        return
    project = run.request.project
    answer = {
        "changed": False,
        "operations": [],
        "warnings": list(run.warnings),
        "problems": [],
        "endpoints": run.target.endpoints(project),
        "ports": run.target.ports(project),
    }
    digests = {obj.sandbox: obj.digest for obj in run.wanted.values() if isinstance(obj, Resolver)}
    before = (found_documents, run.settings, files)
    no_change_cache.write(run.request.question, observation.snapshot, before, digests, json.dumps(answer))


def attempt(what: str, work: t.Callable[[], None]) -> list[str]:
    """Do work that is not needed, and return a warning if it fails."""
    try:
        work()
    except (DocklessError, OSError) as error:
        return [f"{what} cannot be changed in /run/dockless: {reason_of(error)}"]
    return []


def _are_as_written(found: t.Mapping[str, list[t.Any]], run: Run) -> bool:
    """Return whether the documents are those that the run read and wrote: somebody may have edited one since then."""
    expected = {name: change.content for name, change in run.changes.items()}
    for project, source in run.documents.sources.items():
        expected.setdefault(document_files.name_for(project), source.content)
    present = {path: row[1] for path, row in found.items() if len(row) > 1}
    wanted = {document_files.path_of(name): content for name, content in expected.items() if content is not None}
    projects = {path for path in present if path.startswith(document_files.path_of("projects/"))}
    return all(present.get(path) == content for path, content in wanted.items()) and projects <= set(wanted)


def _is_as_known(observation: Observation, facts: Facts) -> bool:
    """Return whether the host's own routes and addresses are still those that the run decided by."""
    found = uplink.read_uplink(observation.snapshot.host)
    known = (facts.routes, facts.addresses, facts.next_hops, facts.mtu, facts.uplink)
    return known == (found.routes, found.addresses, found.next_hops, found.mtu, found.link)


def _depends_on_more(target: Target, wanted: State) -> bool:
    """Return whether something is declared that a snapshot of namespaces and files does not show."""
    if target.host.defaults.coexist:
        return True
    return any(
        isinstance(obj, (Sysctl, WireguardLink)) or (isinstance(obj, Netns) and bool(obj.inode))
        for obj in wanted.values()
    )
