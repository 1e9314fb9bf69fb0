# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Carries out a plan: creates and changes objects phase by phase, then removes them kind by kind.

Every step passes one hook before its change is sent.
"""

from __future__ import annotations

import itertools

from ..linux import files, links, rtnetlink
from ..linux.nft_tables import Tables
from ..model.facts import Facts
from ..names import HANDOVERS, PENDING_DELETE_GROUP
from ..state import plan
from ..state.objects import HOST, Link
from ..state.plan import DELETE, Hook, Step
from .namespaces import NetnsHandles
from .phases import PHASES, REMOVERS
from .run import Run, Steps


class Executor:
    """Executes the parts of one plan. Raises DocklessError where pyroute2 is missing, before anything is changed."""

    def __init__(self, facts: Facts, tables: Tables, hook: Hook = plan.no_hook) -> None:
        rtnetlink.require()
        self._facts = facts
        self._tables = tables
        self._hook = hook

    def build(self, steps: Steps) -> None:
        """Create and update. Raises DocklessError at the first refusal; what was done until then stays."""
        with NetnsHandles() as handles:
            run = Run(self._facts, self._tables, self._hook, handles)
            for phase in PHASES:
                phase.build(run, [step for step in steps if phase.takes(step)])

    def remove(self, steps: Steps) -> None:
        """Delete, in the order of the steps."""
        with NetnsHandles() as handles:
            run = Run(self._facts, self._tables, self._hook, handles)
            for kind, part in itertools.groupby(steps, key=lambda step: step.key[0]):
                REMOVERS[kind](run, list(part))

    def remove_leftovers(self) -> None:
        """Delete links that a killed run marked for deletion, and end resolvers that stood in for restarting ones."""
        if files.listed(HANDOVERS):
            from ..resolvers import handover

            handover.end_leftovers()
        marked = Link(HOST, "marked for deletion", "", "", 0, "")
        step = Step(DELETE, marked.key, marked, None, "a killed run marked it")
        with NetnsHandles() as handles:
            handles.get(HOST).send_removals([(bytearray(links.delete_group(PENDING_DELETE_GROUP)), step)])
