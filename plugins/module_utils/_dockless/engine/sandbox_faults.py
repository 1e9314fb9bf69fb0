# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""What is wrong inside sandboxes: a run reports it, and goes on for all others."""

from __future__ import annotations

import typing as t

from ..model.host import Host
from ..observe.state import Observation
from ..state import render
from ..state.inside import Inside
from ..state.keys import Key
from ..state.plan import DELETE, Plan, Step

# Objects with dockless's marks, and undeclared, that a run removes from one sandbox.
_MOST_REMOVALS = 1000


class SandboxFaults:
    """The first fault of each sandbox, by the name of its namespace."""

    def __init__(self, host: Host) -> None:
        """Take the host whose sandboxes the faults are in."""
        self._sandboxes = {sandbox.netns_name: sandbox.name for sandbox in host.sandboxes()}
        self._found: dict[str, str] = {}

    def __bool__(self) -> bool:
        """Return whether there is any."""
        return bool(self._found)

    def add(self, namespaces: t.Iterable[str], what: str) -> None:
        """Add a fault, in words that follow a colon, to sandboxes that have none yet."""
        for name in namespaces:
            self._found.setdefault(name, what)

    def add_observed(self, observation: Observation) -> None:
        """Add what the host's state shows."""
        for name, what in observation.obstructed.items():
            self.add([name], what)
        for name, snapshot in observation.snapshot.sandboxes.items():
            if not snapshot.is_whole and ("netns", name) in observation.state:
                self.add([name], "it holds more interfaces, addresses or routes than dockless reads")

    def add_failures(self, failures: t.Mapping[str, str]) -> None:
        """Add the failures of steps, by sandbox."""
        for name, failure in failures.items():
            self.add([name], failure)

    def add_undone(
        self, steps: t.Sequence[Step], sandboxes: t.Mapping[Key, t.Sequence[str]], failures: t.Mapping[str, str]
    ) -> None:
        """Add what is still to be done after it was done. sandboxes: those of each step; failures: of their steps."""
        for step in steps:
            for name in sandboxes.get(step.key, ()):
                self.add([name], failures.get(name) or render.operations(Plan(building=(step,)))[0])

    def names(self) -> list[str]:
        """Return the names of the sandboxes with a fault."""
        return [self._sandboxes.get(name, name) for name in sorted(self._found)]

    def warnings(self) -> list[str]:
        """Return two sentences for each sandbox with a fault."""
        return [
            f"Sandbox {self._sandboxes.get(name, name)} is not as declared: {what.rstrip('.')}. Everything outside of "
            f"it is. Processes in it may change its network: list them with ip netns pids {name}, then run again."
            for name, what in sorted(self._found.items())
        ]

    def without_floods(self, work: Plan, inside: Inside) -> Plan:
        """Return a plan without the removals in a sandbox in which there are too many, and add that as its fault.

        Root inside can make any number of objects with dockless's marks.
        """
        counts: dict[str, int] = {}
        for step in work.removal:
            for name in inside.of(step):
                counts[name] = counts.get(name, 0) + 1
        flooded = {name for name, count in counts.items() if count > _MOST_REMOVALS}
        if not flooded:
            return work
        for name in flooded:
            self.add([name], f"it holds {counts[name]} objects with marks of dockless that nothing declares")
        left = [step for step in work.removal if step.action != DELETE or flooded.isdisjoint(inside.of(step))]
        return work._replace(removal=tuple(left))
