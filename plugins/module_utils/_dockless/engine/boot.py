# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""A boot where the host refuses a project: the others are created one by one."""

from __future__ import annotations

import typing as t

from ..errors import DocklessError
from . import recovery, store
from .request import Outcome, Request, joined

Run = t.Callable[[Request, t.Sequence[str]], Outcome]  # the second are projects whose last good copy is to be used


def converge_each(request: Request, error: DocklessError, run: Run) -> Outcome:
    """Converge each project by itself, from its last good copy if its document fails. Raises error if none succeeds."""
    outcomes, problems = [], []
    for name in filter(None, recovery.start(request._replace(check=True)).entries):
        own = request._replace(project=name)
        try:
            outcomes.append(run(own, ()))
        except DocklessError as first:
            try:
                outcomes.append(run(own, (name,)))
                problems.append(f"The document of project {name} is not used: {first} Its last good copy is used.")
            except DocklessError:
                problems.append(f"Project {name} ({store.path_of(name)}) is left out: {first}")
    if not outcomes:
        raise error
    return joined(outcomes, problems)
