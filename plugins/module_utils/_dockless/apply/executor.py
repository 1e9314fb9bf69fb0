# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Carries out a plan: creates and changes objects phase by phase, then removes them kind by kind.

Every step passes one hook before its change is sent.
"""

from __future__ import annotations

import contextlib
import itertools
import typing as t

from ..linux import files, links, rtnetlink
from ..names import HANDOVERS, PENDING_DELETE_GROUP
from ..state import plan
from ..state.objects import HOST, Link
from ..state.plan import DELETE, Hook, Step
from .phases import PHASES, REMOVERS
from .run import Context, Run, Spoiled, Steps


class Executor:
    """Executes the parts of one plan. Raises DocklessError where pyroute2 is missing, before anything is changed.

    spoiled has the first failure inside each sandbox, of all that was executed.
    """

    def __init__(self, context: Context, hook: Hook = plan.no_hook) -> None:
        rtnetlink.require()
        self._context = context
        self._hook = hook
        self.spoiled: Spoiled = {}

    def build(self, steps: Steps) -> None:
        """Create and update. Raises DocklessError at the first refusal outside of existing sandboxes.

        What was done until then stays.
        """
        with self._run(steps) as run:
            for phase in PHASES:
                phase.build(run, [step for step in steps if phase.takes(step)])

    def remove(self, steps: Steps) -> None:
        """Delete, in the order of the steps."""
        with self._run(steps) as run:
            for kind, part in itertools.groupby(steps, key=lambda step: step.key[0]):
                REMOVERS[kind](run, list(part))

    def remove_leftovers(self) -> None:
        """Delete links that a killed run marked for deletion, and end resolvers that stood in for restarting ones."""
        if files.listed(HANDOVERS):
            from ..resolvers import handover

            handover.end_leftovers()
        marked = Link(HOST, "marked for deletion", "", "", 0, "")
        step = Step(DELETE, marked.key, marked, None, "a killed run marked it")
        with self._run([]) as run:
            run.host.send_removals([(bytearray(links.delete_group(PENDING_DELETE_GROUP)), step)])

    @contextlib.contextmanager
    def _run(self, steps: Steps) -> t.Iterator[Run]:
        run = Run(self._context, steps, self._hook)
        with run.handles:
            yield run
        self.spoiled = {**run.spoiled, **self.spoiled}
