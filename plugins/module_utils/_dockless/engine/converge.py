# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""One run: lock, load, observe, plan, apply, verify, record, or roll back."""

from __future__ import annotations

import typing as t

from ..allocate.leases import Leases, recorded_interfaces
from ..desired import foreign_firewalls as desired_firewalls
from ..desired import host_resolvers
from ..errors import DocklessError, RollbackError, VerifyError, host_errors, join_messages, printable, reason_of
from ..firewall import coexistence
from ..linux import files, foreign_chains, foreign_firewalls, lock, netns
from ..linux.netns_records import NetnsRecords
from ..model import topology
from ..names import HANDOVERS, PENDING_DELETE_GROUP
from ..observe import snapshot
from ..observe import state as actual_state
from ..observe.snapshot import NetnsSnapshot
from ..observe.state import Observation, Question
from ..state import inside, plan, rebuilds, render
from ..state.firewall import FIREWALL_KEY, OTHER_RULES, Firewall
from ..state.inside import Inside
from ..state.keys import Key
from ..state.objects import Link, Netns, NftTable, State, Sysctl
from ..state.plan import Hook, Plan
from . import boot, documents, fitting, last_answer, nft_cache, no_change_cache, recovery, transit
from .fitting import Choice
from .last_answer import attempt
from .request import Outcome, Request
from .sandbox_faults import SandboxFaults
from .store import Documents
from .target import compute_target
from .transaction import Change, Record, Transaction

if t.TYPE_CHECKING:
    from ..apply.executor import Executor

_ROLLED_BACK = "The host is as it was before."


def converge(request: Request, hook: Hook = plan.no_hook) -> Outcome:
    """Do one run. Raises DocklessError; the host is then as it was before, unless the message states otherwise.

    hook is called with each step before its change is sent. At boot, a project whose objects cannot be created does not
    stop the others.
    """
    try:
        return _converge(request, hook)
    except DocklessError as error:
        if not request.boot or request.check or request.project is not None:
            raise
        return boot.converge_each(request, error, lambda own, distrusted: _converge(own, hook, distrusted))


def _converge(request: Request, hook: Hook, distrusted: t.Sequence[str] = ()) -> Outcome:
    acquire = lock.lock_for_reading if request.check else lock.lock
    with acquire(request.wait_s), host_errors(), netns.Home() as home:
        settings = no_change_cache.settings() if request.question else []
        start = recovery.start(request)
        undone = recovery.take_back(start, request.check, lambda own: _repair(own, start, home))
        choice = fitting.choose(start.entries, request, distrusted)
        target = choice.target
        run = _Run(choice, request, hook, home)
        transit_found = transit.converge(target.facts.transit, target.host.defaults.ip_forward_no_drop, request.check)
        work = run.plan()
        wanted = documents.with_leases(choice.edited, target, request)
        lines, changes = documents.changes(choice.present, wanted, request)
        problems = [*start.warnings, *choice.problems, *undone.warnings]
        if request.check:
            warnings = run.blocking_chains(after=work)
        else:
            record = Record(documents.projects_of(request, wanted), request.on_mismatch, changes)
            with Transaction(record, undone.failed, start.is_repeated) as transaction:
                run.apply(work, transaction.commit)
            warnings = run.blocking_chains()
            problems += [*transaction.warnings, *run.finish(work, wanted)]
            if request.question and wanted.projects:
                problems += run.record_answer(changes, settings, [*target.warnings, *warnings], bool(problems))
        # The recorded answer has nothing of transit_found: it must not repeat what is repaired.
        warnings = [*problems, *target.warnings, *warnings, *run.faults.warnings(), *transit_found.warnings]
        warnings += host_resolvers.manual_steps(work, target.facts)
        endpoints, ports = target.endpoints(request.project), target.ports(request.project)
        recorded = (*undone.operations, *transit_found.operations, *lines)
        return Outcome(work, recorded, tuple(map(printable, warnings)), endpoints, ports, choice.problems)


def _repair(request: Request, start: recovery.Start, home: netns.Home) -> None:
    """Make a project as its document declares it. The caller has the lock."""
    run = _Run(fitting.choose(start.entries, request), request, plan.no_hook, home)
    run.apply(run.plan(), lambda: None)


class _Run:
    """Reads and changes the host for one target."""

    def __init__(self, choice: Choice, request: Request, hook: Hook, home: netns.Home) -> None:
        self._left_out = choice.left_out
        self._target = target = choice.target
        self._home = home
        self._present = present = choice.present  # the documents before the run
        self._request = request
        self._hook = hook
        self._wanted = target.state_of(request.project)
        self._keys_of_others = target.keys_of_others(request.project)
        self._tables = nft_cache.load()
        records = NetnsRecords()
        declared = () if records.exist else documents.namespaces(present)
        self._question = Question(self._keys_of_others, target.facts, self._tables, records, declared)
        self._inside = Inside(self._wanted)
        self._left_alone: set[Key] = set()  # inside sandboxes, where on_mismatch does not allow to repair drift
        self.faults = SandboxFaults(target.host)
        self._first: State = {}  # what a rollback goes back to
        self._seen: tuple[Observation, no_change_cache.Files] | None = None

    # ---- plan ----------------------------------------------------------------

    def plan(self) -> Plan:
        """Return the plan. Raises DocklessError if an unmanaged object has a name that is needed."""
        host = self._target.present
        if not self._request.check and self._remove_leftovers(host):
            host = snapshot.read_host()
        observation = self._observe(self._wanted, host)
        if observation.conflicts:
            raise DocklessError(join_messages(observation.conflicts), "Remove or rename it, or choose another name.")
        self._first = plan.without_unrestorable(observation.state)
        self._inside = Inside(self._wanted, observation.state)
        work = self._planned(observation)
        if work.clearing or self._request.on_mismatch == "fail":
            self._refuse_rebuilds(work)
            work = self._planned(observation) if self._left_alone else work
        return work

    def _planned(self, observation: Observation) -> Plan:
        """Return the plan for what can be planned: not for what root in a sandbox has put something in the place of."""
        self.faults.add_observed(observation)
        wanted, others = self._wanted, self._keys_of_others
        unplanned = inside.depending_on(wanted, observation.blocked | self._left_alone)
        if unplanned:
            wanted = {key: obj for key, obj in wanted.items() if key not in unplanned}
            others = others | unplanned
        work = plan.make_plan(wanted, observation.state, others)
        if self._left_out:  # nothing is removed because a document cannot be read
            work = work._replace(removal=())
        return self.faults.without_floods(work, self._inside) if work.removal else work

    def _refuse_rebuilds(self, work: Plan) -> None:
        """Raise DocklessError for a step that on_mismatch does not allow, unless root in a sandbox is its reason.

        What the declaration leaves as it was has been changed inside. It is left alone, and reported.
        """
        leases = {name: Leases.from_json(one.leases) for name, one in self._present.projects.items()}
        recorded = recorded_interfaces(leases)
        before: State | None = None
        for step, error in rebuilds.refused_steps(work, self._wanted, self._request.on_mismatch, recorded):
            sandboxes = self._inside.of(step)
            if not sandboxes or step.key not in self._wanted:
                raise error
            before = self._declared_before() if before is None else before
            if before.get(step.key) != self._wanted[step.key]:
                raise error
            self.faults.add(sandboxes, str(error))
            self._left_alone.add(step.key)

    def _observe(self, wanted: State, host: NetnsSnapshot | None = None) -> Observation:
        """Return the actual state, rules in other firewalls included."""
        self._home.come_back()
        files_before = no_change_cache.statuses() if self._request.question else no_change_cache.NO_FILES
        host = host or snapshot.read_host()
        observation = actual_state.observe(wanted, self._question, host)
        named_now = self._target.host.defaults.coexist
        named_before = foreign_firewalls.named_firewalls(self._present.host.defaults)
        rules = foreign_firewalls.observe({*named_now, *named_before})
        observation.state.update((obj.key, obj) for obj in rules)
        self._seen = observation, files_before
        return observation

    def _remove_leftovers(self, host: NetnsSnapshot) -> bool:
        """Remove what a killed run left in an unmarked state, and return whether there was anything."""
        is_marked = any(row.group == PENDING_DELETE_GROUP for row in host.links.values())
        if not is_marked and not files.listed(HANDOVERS):
            return False
        self._executor(plan.no_hook).remove_leftovers()
        return True

    def _executor(self, hook: Hook, *states: State) -> Executor:
        """Return an executor for plans about the wanted objects and these states."""
        from ..apply.executor import Executor  # with pyroute2, which a run without changes does not need
        from ..apply.run import Context

        question = self._question
        context = Context(question.facts, question.tables, question.records, Inside(self._wanted, *states))
        return Executor(context, hook)

    # ---- apply ---------------------------------------------------------------

    def apply(self, work: Plan, record: t.Callable[[], None]) -> None:
        """Execute and verify the plan, then record the documents; roll back if any of this fails."""
        try:
            self._question.records.save()
            if work:
                self._execute(work)
            record()
        except BaseException as error:
            outcome = self._roll_back(error, work)
            if isinstance(error, OSError):
                raise DocklessError(f"applying the change failed: {reason_of(error)}", outcome) from error
            if isinstance(error, DocklessError):
                error.remedy = f"{error.remedy} {outcome}".strip()
            raise

    def _execute(self, work: Plan) -> None:
        executor = self._executor(self._hook, self._first)
        self._carry_out(executor, work._replace(removal=()))
        if self._request.verify:
            self._verify(executor, removed=False)
        self._home.come_back()
        executor.remove(work.removal)
        if self._request.verify and work.removal:
            self._verify(executor, removed=True)
        if not self._request.verify:
            self.faults.add_failures(executor.spoiled)

    def _carry_out(self, executor: Executor, work: Plan) -> None:
        """Carry out a plan, in the namespace in which the run began."""
        self._home.come_back()
        executor.remove(work.clearing)
        executor.build(work.building)
        executor.remove(work.removal)

    def _verify(self, executor: Executor, removed: bool) -> None:
        """Plan again. Raises VerifyError unless the new plan has nothing to do outside of sandboxes.

        What it has to do inside is done once more. What root there undoes again is reported. removed: the removal has
        been carried out, too.
        """
        work = self._undone(removed)
        if not work:
            return
        self._refuse_outside(work)
        repair = [[step for step in part if step.key[0] != "resolver"] for part in work]
        self._carry_out(executor, Plan(*map(tuple, repair)))
        work = self._undone(removed)
        self._refuse_outside(work)
        self.faults.add_undone(work.steps, self._inside.among(work.steps), executor.spoiled)

    def _undone(self, removed: bool) -> Plan:
        work = self._planned(self._observe(self._wanted))
        return work if removed else work._replace(removal=())

    def _refuse_outside(self, work: Plan) -> None:
        """Raise VerifyError for steps about objects that no sandbox's root can change."""
        within = self._inside.among(work.steps)
        outside = tuple(step for step in work.steps if step.key not in within)
        if outside:
            operations = join_messages(render.operations(Plan(building=outside)))
            raise VerifyError(
                f"the host is not as declared after the change was applied: {operations}",
                "Another program changes these objects. Find it, then run again.",
            )

    def _roll_back(self, error: BaseException, work: Plan) -> str:
        """Restore the state that was observed first, and return a sentence about the result.

        Raises RollbackError with both reasons if it fails.
        """
        if not work:
            return _ROLLED_BACK
        try:
            self._home.come_back()
            self._remove_leftovers(snapshot.read_host())
            declared = self._declared_before()
            first = _with_own_rules(_with_namespace_settings(self._first, declared), declared)
            present = self._observe(first).state
            executor = self._executor(plan.no_hook, first, present)
            self._carry_out(executor, plan.make_plan(first, present, self._keys_of_others))
            return self._outcome_of_rollback(first, present)
        except (DocklessError, OSError) as second:
            raise RollbackError(f"{error}", f"The rollback failed too: {second}. Run again.") from error

    def _outcome_of_rollback(self, first: State, present: State) -> str:
        """Return a sentence that says which state the host has. Raises VerifyError if it is not the first one."""
        rest = plan.make_plan(first, self._observe(first).state, self._keys_of_others).steps
        within = Inside(self._wanted, first, present).among(rest)
        outside = tuple(step for step in rest if step.key not in within)
        if outside:
            operations = join_messages(render.operations(Plan(building=outside)))
            raise VerifyError(f"the host is not as it was before: {operations}")
        if not rest:
            return _ROLLED_BACK
        self.faults.add_undone(rest, within, {})
        return f"The host is as it was before, except inside {join_messages(self.faults.names())}."

    def _declared_before(self) -> State:
        """Return the state that the documents declared before the run, nothing if they cannot be read.

        Settings of namespaces are observed only where they are declared, so that a rollback takes them from here.
        """
        try:
            return compute_target(self._present, None, boot=True).state_of(None)
        except DocklessError:
            return {}

    # ---- afterwards ----------------------------------------------------------

    def blocking_chains(self, after: Plan | None = None) -> list[str]:
        """Return a sentence for each chain of another firewall that drops packets which dockless allows.

        after is a plan that has not been applied: the firewalls that it would add rules to are left out.
        """
        host = self._target.host
        directions = coexistence.allowed_directions(host, topology.networks_by_key(host))
        bridges = [
            obj.name
            for obj in self._wanted.values()
            if isinstance(obj, Link) and obj.kind == "bridge" and obj.name in directions
        ]
        if not bridges:
            return []
        versions = {subnet.version for network in host.networks() for subnet in network.subnets}
        families = {"ip6" if version == 6 else "ip" for version in versions}
        opened = desired_firewalls.opened_firewalls(step.after for step in after.building) if after else set()
        return [
            desired_firewalls.blocking_chain_warning(chain, host.defaults.coexist)
            for chain in foreign_chains.blocking_chains(bridges, families)
            if chain.firewall not in opened and chain.is_relevant(directions)
        ]

    def finish(self, work: Plan, wanted: Documents) -> list[str]:
        """Write the caches of a run that succeeded, and remove what the last project leaves.

        Return a warning for what fails: that costs time, and nothing else.
        """
        texts = {obj.text for obj in self._wanted.values() if isinstance(obj, NftTable)}
        problems = []
        if work and FIREWALL_KEY in self._wanted and not self._request.remove_project:
            problems += attempt("The cache of nft tables", lambda: nft_cache.save(self._tables, texts))
        problems += attempt("The record of namespaces", self._question.records.prune)
        if not wanted.projects:
            problems += attempt("What the last project leaves", documents.remove_rest)
            lock.abandon()
        return problems

    def record_answer(
        self, changes: t.Mapping[str, Change], settings: list[t.Any], warnings: list[str], has_problems: bool
    ) -> list[str]:
        """Record the answer for the next equal request, and return a warning if that fails.

        A run with problems has no answer that holds: the next one must try again, or report them again.
        """
        if self._seen is None or has_problems or self.faults:
            return attempt("The last answer", no_change_cache.remove)
        answer = last_answer.Run(
            self._request, self._target, self._wanted, self._present, changes, settings, self._seen, warnings
        )
        return attempt("The last answer", lambda: last_answer.record(answer))


def _with_namespace_settings(observed: State, declared: State) -> State:
    """Return the observed state with the settings that its namespaces had by the declaration."""
    state = dict(observed)
    for key, obj in declared.items():
        namespace = state.get(("netns", key[1]))
        if isinstance(obj, Netns) and isinstance(namespace, Netns):
            state[key] = namespace._replace(defaults=obj.defaults)
        elif isinstance(obj, Sysctl) and namespace is not None:
            state.setdefault(key, obj)
    return state


def _with_own_rules(observed: State, declared: State) -> State:
    """Return the observed state, with nft rules that the engine has not written as the documents declared them.

    A rollback never loads what the kernel or nft has printed: some versions of nft print what they cannot read.
    """
    state = dict(observed)
    for key, obj in observed.items():
        is_foreign_table = isinstance(obj, NftTable) and not obj.text
        is_foreign_firewall = isinstance(obj, Firewall) and obj.rules == OTHER_RULES
        if not is_foreign_table and not is_foreign_firewall:
            continue
        if key in declared:
            state[key] = declared[key]
        elif isinstance(obj, Firewall):
            state[key] = obj.closed()
        else:
            del state[key]
    return state
