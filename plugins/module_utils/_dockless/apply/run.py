# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""The state that the phases of one execution share, and what becomes of a step that fails."""

from __future__ import annotations

import contextlib
import errno
import os
import typing as t

from ..errors import EXHAUSTED, DocklessError, KernelError
from ..linux.netns_records import NetnsRecords
from ..linux.nft_tables import Tables
from ..model.facts import Facts
from ..state.dependencies import Interface, interfaces_of
from ..state.inside import Inside
from ..state.keys import Key
from ..state.objects import HOST
from ..state.plan import CREATE, Hook, Step
from .namespaces import GONE, NetnsHandle, NetnsHandles, StepMessage, refused

Steps = t.Sequence[Step]
# Settings that each new namespace gives its interfaces, by the namespace's name.
InheritedSettings = t.Mapping[str, t.Mapping[str, int]]
Spoiled = dict[str, str]  # the first failure inside each sandbox, by the name of its namespace
# Errors that the host is the reason of, wherever they appear.
_HOST_ERRORS = EXHAUSTED | {errno.ENOBUFS}
_CAUSED_FROM_INSIDE = GONE | {errno.EEXIST}


class Context(t.NamedTuple):
    """What the executions of one run have in common."""

    facts: Facts
    tables: Tables
    records: NetnsRecords
    inside: Inside


class Run:
    """Open namespaces, and what a phase leaves for a later one.

    A step inside a sandbox that exists can fail because of what root does there. It spoils that sandbox alone: the
    failure is kept in spoiled, and the other steps go on. In a sandbox that the run itself makes nobody is inside
    before it has its name, and a failure there ends the run as one of the host does.
    """

    def __init__(self, context: Context, steps: Steps, hook: Hook) -> None:
        self.facts = context.facts
        self.tables = context.tables
        self.records = context.records
        self.handles = NetnsHandles(self.fail, self.fail_on_host)
        self.hook = hook
        self.spoiled: Spoiled = {}
        self._inside = context.inside
        self._new = {step.key[1] for step in steps if step.key[0] == "netns" and step.action == CREATE}
        self._failed: set[Key] = set()
        self._missing: set[Interface] = set()
        self.links_to_raise: list[StepMessage] = []  # bridges: raising them after their ports exist is faster
        self.uplinks_to_raise: list[StepMessage] = []  # vxlan devices: the firewall must be loaded before
        self.recreated_directories: list[str] = []  # of records: a resolver's watch ends with the old directory

    @property
    def host(self) -> NetnsHandle:
        """Return the host's own namespace."""
        return self.handles.get(HOST)

    def fail(self, step: Step, error: DocklessError) -> None:
        """Keep the failure of a step inside a sandbox. Raises the error if it is not one."""
        sandboxes = self._inside.of(step)
        is_of_host = getattr(error, "errno", 0) in _HOST_ERRORS or not sandboxes
        if is_of_host or not self._new.isdisjoint(sandboxes):
            raise error
        for name in sandboxes:
            self.spoiled.setdefault(name, error.what)
        self._failed.add(step.key)
        if step.action == CREATE:
            self._missing.update(interfaces_of(step.subject))

    def fail_on_host(self, step: Step, error: KernelError) -> None:
        """Do the same for what failed in the host's namespace: root inside can remove an end, or take its name."""
        if error.errno not in _CAUSED_FROM_INSIDE:
            raise error
        self.fail(step, error)

    @contextlib.contextmanager
    def tolerating(self, step: Step, on_host: bool = False) -> t.Iterator[None]:
        """Let a with block that carries out a step fail as fail() has it, or fail_on_host()."""
        try:
            yield
        except (KernelError, OSError) as error:
            failure = error if isinstance(error, KernelError) else refused(step, error.errno or 0, _words(error))
            if on_host:
                self.fail_on_host(step, failure)
            else:
                self.fail(step, failure)

    def is_possible(self, step: Step) -> bool:
        """Return whether neither the step nor the making of its interface has failed."""
        place = getattr(step.subject, "netns", HOST), getattr(step.subject, "link", "")
        return step.key not in self._failed and place not in self._missing

    def passed(self, steps: t.Iterable[Step]) -> t.Iterator[Step]:
        """Yield each step after its hook was called. Every step passes here before its change is sent."""
        for step in steps:
            self.hook(step)
            yield step


def _words(error: OSError) -> str:
    """Return the text of an error that says more than its number."""
    text = error.strerror or ""
    return "" if text == os.strerror(error.errno or 0) else text


@contextlib.contextmanager
def absence_is_fine() -> t.Iterator[None]:
    """Ignore that what is to be removed is gone."""
    try:
        yield
    except (KernelError, OSError) as error:
        if error.errno not in GONE:
            raise
