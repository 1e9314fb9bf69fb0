# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""One run: lock, observe, plan, apply, verify, record - or back to what was there."""

from __future__ import annotations

import json
import typing as t

from ..allocate.leases import Leases, recorded_interfaces
from ..desired import foreign_firewalls, host_resolvers
from ..errors import DocklessError, VerifyError, join_messages
from ..firewall import coexistence
from ..linux import files, foreign_chains, lock, nft, wireguard
from ..linux import foreign_firewalls as linux_foreign_firewalls
from ..linux.nft import CANONICAL_DIRECTORY
from ..linux.nft_tables import Tables
from ..model import topology
from ..names import HANDOVERS, PENDING_DELETE_GROUP, RUN_DIRECTORY
from ..observe import snapshot
from ..observe import state as observe_state
from ..observe.snapshot import NetnsSnapshot
from ..observe.state import Observation
from ..report.rows import Row
from ..state import plan, rebuilds, render
from ..state.objects import Link, Netns, NftTable, Resolver, State, Sysctl
from ..state.plan import Hook, Plan
from . import no_change_cache, store
from .no_change_cache import PATH
from .store import Document, Documents
from .target import Target, compute_target

Declaration = dict[str, t.Any]
LOCK_TIMEOUT_S = 120.0
_BACK = "The host is as it was before."
_GENERATIONS_KEPT = 4096
_GENERATIONS = RUN_DIRECTORY + "/generations.json"


class Request(t.NamedTuple):
    """What a run is asked to do. project None is every project of the host; defaults, coexist None keep what stands."""

    project: str | None
    edit: t.Callable[[Declaration], Declaration] = dict
    defaults: dict[str, t.Any] | None = None
    remove_project: bool = False
    check: bool = False
    verify: bool = True
    on_mismatch: str = "update"
    boot: bool = False
    question: str = ""  # unchanged.token() of all that the edit rests on; "" is never answered from a note
    coexist: t.Sequence[str] | None = None


class Outcome(t.NamedTuple):
    """What a run did, or in check mode would do."""

    work: Plan
    recorded: tuple[str, ...]
    warnings: tuple[str, ...]
    endpoints: list[Row]
    ports: list[Row]

    @property
    def changed(self) -> bool:
        """Return whether anything differs from what was there."""
        return bool(self.work) or bool(self.recorded)

    @property
    def operations(self) -> list[str]:
        """Return a line for each change."""
        return render.operations(self.work) + list(self.recorded)

    @property
    def before(self) -> str:
        """Return the touched objects as they were."""
        return render.before(self.work)

    @property
    def after(self) -> str:
        """Return the touched objects as they are now, or in check mode would be."""
        return render.after(self.work)


def converge(request: Request, hook: Hook = plan.no_hook) -> Outcome:
    """Do one run. Raises DocklessError; the host is then as it was before, unless the message says otherwise."""
    with (lock.lock_for_reading if request.check else lock.lock)(LOCK_TIMEOUT_S):
        documents, warnings = _load(request)
        wanted_documents = _edited(documents, request)
        goal = compute_target(wanted_documents, request.project, request.boot)
        run = _Converger(goal, request, hook)
        work = run.work(documents)
        resolved = _resolved(wanted_documents, goal, request)
        recorded = _recorded(documents, resolved)
        warnings += goal.warnings
        if not request.check:
            run.apply(work, lambda: _record(resolved, request) if recorded else None)
        warnings += run.obstacles(
            foreign_firewalls.opened_firewalls(step.after for step in work.building) if request.check else ()
        )
        if not request.check:
            if work:
                run.remember()
            if request.question and resolved.projects:
                run.leave_note(warnings)
            if not resolved.projects:
                lock.abandon()
        return Outcome(
            work,
            tuple(recorded),
            (*warnings, *host_resolvers.manual_steps(work, goal.facts)),
            goal.endpoints(request.project),
            goal.ports(request.project),
        )


class _Converger:
    """The shell around one goal."""

    def __init__(self, goal: Target, request: Request, hook: Hook) -> None:
        self._goal = goal
        self._request = request
        self._wanted = goal.state_of(request.project)
        self._kept = goal.kept(request.project)
        self._tables = Tables(_generations())
        self._hook = hook
        self._before: State = {}

    def work(self, documents: Documents) -> Plan:
        """Return what there is to do. Raises DocklessError where something foreign is in the way."""
        present = self._goal.present
        self._documents = documents
        if not self._request.check and self._remove_leftovers(present):
            present = snapshot.read_host()
        seen = self._observe(self._wanted, present)
        if seen.conflicts:
            raise DocklessError(join_messages(seen.conflicts), "Remove or rename it, or choose another name.")
        self._before = plan.without_unrestorable(seen.state)
        self._sight = seen.snapshot
        work = plan.make_plan(self._wanted, seen.state, self._kept)
        if work.clearing or self._request.on_mismatch == "fail":
            rebuilds.refuse_rebuilds(
                work,
                self._wanted,
                self._request.on_mismatch,
                recorded_interfaces({name: Leases.from_json(d.leases) for name, d in documents.projects.items()}),
            )
        return work

    def obstacles(self, opening: t.Collection[str]) -> tuple[str, ...]:
        """Return a sentence for each foreign firewall chain that would drop our traffic; opening are firewalls that a run would open."""
        host = self._goal.host
        open_ways = coexistence.allowed_directions(host, topology.networks_of(host))
        bridges = [
            thing.name
            for thing in self._wanted.values()
            if isinstance(thing, Link) and thing.kind == "bridge" and thing.name in open_ways
        ]
        families = {
            "ip6" if subnet.version == 6 else "ip" for p in host.projects for n in p.networks for subnet in n.subnets
        }
        found = foreign_chains.blocking_chains(bridges, families) if bridges else []
        return tuple(
            foreign_firewalls.blocking_chain_warning(each, host.defaults.coexist)
            for each in found
            if each.firewall not in opening and each.is_relevant(open_ways)
        )

    def apply(self, work: Plan, record: t.Callable[[], None]) -> None:
        """Do the work, verify it and record what is wanted; on any failure go back."""
        try:
            if work:
                self._execute(work)
            record()
        except BaseException as error:
            self._go_back(error, work)
            if isinstance(error, OSError):
                raise DocklessError(f"this host refused: {error}", _BACK) from error
            if isinstance(error, DocklessError):
                error.remedy = f"{error.remedy} {_BACK}".strip()
            raise

    def _execute(self, work: Plan) -> None:
        from ..apply.executor import Executor

        executor = Executor(self._goal.facts, self._tables, self._hook)
        executor.remove(work.clearing)
        executor.build(work.building)
        if self._request.verify:
            self._verify(removed=False)
        executor.remove(work.removal)
        if self._request.verify and work.removal:
            self._verify(removed=True)

    def remember(self) -> None:
        """Keep what nft said, so that the next run need not ask again; nothing depends on it."""
        texts = {thing.text for thing in self._wanted.values() if isinstance(thing, NftTable)}
        if not texts or self._request.remove_project:
            return
        for text in texts:
            nft.cache_listing(text, self._tables.canonical(text))
        files.write(_GENERATIONS, json.dumps(dict(list(self._tables.known.items())[-_GENERATIONS_KEPT:])), 0o600)

    def leave_note(self, warnings: t.Sequence[str]) -> None:
        """Leave a note for the next run that asks the same, unless the answer rests on what a note cannot hold."""
        kinds = {key[0] for key in self._wanted}
        attached = any(isinstance(thing, Netns) and thing.inode for thing in self._wanted.values())
        if (
            not self._request.verify
            or attached
            or kinds & {"sysctl", "wireguard_link"}
            or self._goal.host.defaults.coexist
        ):
            if files.read(PATH) is not None:
                files.remove(PATH)
            return
        goal, project = self._goal, self._request.project
        text = json.dumps(
            {
                "changed": False,
                "operations": [],
                "warnings": list(warnings),
                "endpoints": goal.endpoints(project),
                "ports": goal.ports(project),
            }
        )
        resolvers = {thing.sandbox: thing.digest for thing in self._wanted.values() if isinstance(thing, Resolver)}
        paths = [key[1] for key in self._wanted if key[0] == "file"]
        files.write(
            PATH, no_change_cache.render_record(self._request.question, self._sight, paths, resolvers, text), 0o600
        )

    def _observe(self, wanted: State, host: NetnsSnapshot | None = None) -> Observation:
        seen = observe_state.observe(wanted, self._kept, self._goal.facts, self._tables, host or snapshot.read_host())
        named = {
            *self._goal.host.defaults.coexist,
            *linux_foreign_firewalls.named_firewalls(self._documents.host.defaults),
        }  # now and before
        seen.state.update((thing.key, thing) for thing in linux_foreign_firewalls.observe(named))
        return seen

    def _declared_before(self) -> State:
        """Return what the documents of before wanted: settings of namespaces are not observed where nobody wants them."""
        try:
            return compute_target(self._documents, None, boot=True).state_of(None)
        except DocklessError:
            return {}

    def _remove_leftovers(self, present: NetnsSnapshot) -> bool:
        """Remove what an earlier run had doomed, or in another's place, when it was stopped: it has our mark no more, but it is in the way."""
        if not files.listed(HANDOVERS) and not any(row.group == PENDING_DELETE_GROUP for row in present.links.values()):
            return False
        from ..apply.executor import Executor

        Executor(self._goal.facts, self._tables).remove_leftovers()
        return True

    def _verify(self, removed: bool) -> None:
        seen = self._observe(self._wanted)
        self._sight = seen.snapshot
        left = plan.make_plan(self._wanted, seen.state, self._kept)
        undone = left.clearing + left.building + (left.removal if removed else ())
        if undone:
            raise VerifyError(
                "after apply the host differs from what was asked for: "
                + join_messages(render.operations(Plan(building=undone))),
                "Something else changes these objects; look for it, then run again.",
            )

    def _go_back(self, error: BaseException, work: Plan) -> None:
        if not work:
            return
        from ..apply.executor import Executor

        executor = Executor(self._goal.facts, self._tables)
        try:
            self._remove_leftovers(snapshot.read_host())
            self._before = _completed(self._before, self._declared_before())
            back = plan.make_plan(self._before, self._observe(self._before).state, self._kept)
            executor.remove(back.clearing)
            executor.build(back.building)
            executor.remove(back.removal)
        except (DocklessError, OSError) as second:
            raise DocklessError(f"{error}", f"Going back to what was there failed too: {second}. Run again.") from error


def _completed(observed: State, declared: State) -> State:
    """Return the observed state with the sysctls that its namespaces were given."""
    state = dict(observed)
    for key, thing in declared.items():
        there = state.get(("netns", key[1]))
        if isinstance(thing, Netns) and isinstance(there, Netns):
            state[key] = there._replace(defaults=thing.defaults)
        elif isinstance(thing, Sysctl) and there is not None:
            state.setdefault(key, thing)
    return state


def _load(request: Request) -> tuple[Documents, tuple[str, ...]]:
    if not request.boot:
        return store.load_all(), ()
    documents, warnings = store.load_all_or_last_good()
    return documents, tuple(warnings)


def _edited(documents: Documents, request: Request) -> Documents:
    projects = dict(documents.projects)
    if request.remove_project and request.project:
        projects.pop(request.project, None)
    elif request.project:
        before = projects.get(request.project, Document(request.project, {}, {}))
        projects[request.project] = before._replace(declaration=request.edit(before.declaration))
    host = documents.host
    if request.defaults is not None:
        host = host._replace(defaults=request.defaults)
    if request.coexist is not None:
        host = host._replace(defaults={**host.defaults, "coexist": list(request.coexist)})
    return Documents(projects, host)


def _resolved(documents: Documents, goal: Target, request: Request) -> Documents:
    """Put what was chosen into the documents that this run answers for."""
    projects = {
        name: document._replace(leases=goal.leases_of(name)) if request.project in (None, name) else document
        for name, document in documents.projects.items()
    }
    return Documents(projects, documents.host._replace(leases=goal.leases_of("")))


def _recorded(before: Documents, after: Documents) -> list[str]:
    lines = []
    for name in sorted(set(before.projects) | set(after.projects)):
        old, new = before.projects.get(name), after.projects.get(name)
        if new is None:
            lines.append(f"forget project {name}")
        elif old is None or (old.declaration, old.leases) != (new.declaration, new.leases):
            lines.append(f"record project {name}")
    if before.host != after.host:
        lines.append("record the host's defaults")
    return lines


def _record(documents: Documents, request: Request) -> None:
    for name, document in documents.projects.items():
        if request.project in (None, name):
            store.write(document)
    if request.project and request.project not in documents.projects:
        store.remove(request.project)
    if documents.projects:
        store.write_host(documents.host)
    else:
        for slot in wireguard.slots_with_key():
            wireguard.forget_key(slot)
        store.remove_all()
        for path in files.listed(CANONICAL_DIRECTORY) + [_GENERATIONS, PATH]:
            files.remove(path)
        files.remove_empty_directory(CANONICAL_DIRECTORY)


def _generations() -> dict[int, tuple[int, str]]:
    try:
        known = json.loads(files.read(_GENERATIONS) or "{}")
    except ValueError:
        return {}
    return {int(inode): (int(pair[0]), str(pair[1])) for inode, pair in known.items()}
