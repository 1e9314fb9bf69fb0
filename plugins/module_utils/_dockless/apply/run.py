# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""The state that the phases of one execution share."""

from __future__ import annotations

import contextlib
import typing as t

from ..errors import KernelError
from ..linux.nft_tables import Tables
from ..model.facts import Facts
from ..state.objects import HOST
from ..state.plan import Hook, Step
from .namespaces import GONE, NetnsHandle, NetnsHandles, StepMessage

Steps = t.Sequence[Step]
# Settings that each new namespace gives its interfaces, by the namespace's name.
InheritedSettings = t.Mapping[str, t.Mapping[str, int]]


class Run:
    """Open namespaces, and what a phase leaves for a later one."""

    def __init__(self, facts: Facts, tables: Tables, hook: Hook, handles: NetnsHandles) -> None:
        self.facts = facts
        self.tables = tables
        self.handles = handles
        self.hook = hook
        self.links_to_raise: list[StepMessage] = []  # bridges: raising them after their ports exist is faster
        self.uplinks_to_raise: list[StepMessage] = []  # vxlan devices: the firewall must be loaded before
        self.recreated_directories: list[str] = []  # of records: a resolver's watch ends with the old directory

    @property
    def host(self) -> NetnsHandle:
        """Return the host's own namespace."""
        return self.handles.get(HOST)

    def passed(self, steps: t.Iterable[Step]) -> t.Iterator[Step]:
        """Yield each step after its hook was called. Every step passes here before its change is sent."""
        for step in steps:
            self.hook(step)
            yield step


@contextlib.contextmanager
def absence_is_fine() -> t.Iterator[None]:
    """Ignore that what is to be removed is gone."""
    try:
        yield
    except (KernelError, OSError) as error:
        if error.errno not in GONE:
            raise
