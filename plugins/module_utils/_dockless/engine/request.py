# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""The request of a run, and its outcome."""

from __future__ import annotations

import typing as t

from ..report.rows import Row
from ..state import render
from ..state.plan import Plan

WAIT_S = 120.0  # a run of a large host takes a minute
Declaration = dict[str, t.Any]  # networks, sandboxes and veth_pairs of a project, in the keys of Compose


class Request(t.NamedTuple):
    """The request of a run.

    project         the project to converge; None is every project of the host
    edit            returns the project's new declaration from its present one
    defaults        the host's new defaults; None keeps them
    remove_project  remove the project and everything that it declares
    check           only plan
    verify          observe again after applying, and roll back unless the host is as declared
    on_mismatch     update, recreate or fail: what may happen to existing links that differ
    boot            use the last good copy of a broken document, and leave out what is not there yet
    question        no_change_cache.request_digest() of all that edit depends on; "" never uses the cache
    coexist         the firewalls to add rules to, in place of those in the defaults; None keeps them
    wait_s          how long to wait for another run to end, in seconds
    """

    project: str | None
    edit: t.Callable[[Declaration], Declaration] = dict
    defaults: dict[str, t.Any] | None = None
    remove_project: bool = False
    check: bool = False
    verify: bool = True
    on_mismatch: str = "update"
    boot: bool = False
    question: str = ""
    coexist: t.Sequence[str] | None = None
    wait_s: float = WAIT_S


class Outcome(t.NamedTuple):
    """The changes that a run made, or in check mode would make.

    recorded has a line for each document that changed, and for table inet dockless-transit. problems are the warnings
    about documents that are broken.
    """

    work: Plan
    recorded: tuple[str, ...]
    warnings: tuple[str, ...]
    endpoints: list[Row]
    ports: list[Row]
    problems: tuple[str, ...] = ()

    @property
    def changed(self) -> bool:
        """Return whether the host or a document changed."""
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


def joined(outcomes: t.Sequence[Outcome], problems: t.Sequence[str]) -> Outcome:
    """Return several outcomes as one, with further problems."""
    works = [outcome.work for outcome in outcomes]
    work = Plan(*(tuple(step for each in works for step in each[part]) for part in range(len(Plan._fields))))
    all_problems = tuple(dict.fromkeys([*problems, *(text for each in outcomes for text in each.problems)]))
    warnings = dict.fromkeys([*all_problems, *(text for each in outcomes for text in each.warnings)])
    return Outcome(
        work,
        tuple(line for each in outcomes for line in each.recorded),
        tuple(warnings),
        [row for each in outcomes for row in each.endpoints],
        [row for each in outcomes for row in each.ports],
        all_problems,
    )
