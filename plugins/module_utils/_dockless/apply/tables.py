# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""The firewall of the host, and the nft tables of sandboxes. firewall/host_firewall.py has the order of loading."""

from __future__ import annotations

import contextlib
import os

from ..errors import DocklessError
from ..linux import conntrack, netns, nft
from ..state.firewall import Firewall
from ..state.objects import NftTable
from ..state.plan import Step
from .run import Run, Steps


def load_guards(run: Run, steps: Steps) -> None:
    """Load what guards links before these exist or change: the rules, and the elements that close or check them."""
    for step in steps:
        before = _before(step)
        first = step.new(Firewall).before_links(before)
        is_loaded = before is not None and (before.rules, before.elements) == (first.rules, first.elements)
        if not is_loaded:
            run.hook(step)
            run.tables.change_firewall(before, first)


def load_firewall(run: Run, steps: Steps) -> None:
    """Load the elements that open something, and cut connections that the firewall would not let begin any more."""
    for step in run.passed(steps):
        before, after = _before(step), step.new(Firewall)
        run.tables.change_firewall(after.before_links(before), after)
        _cut_connections(before, after)


def remove_firewall(run: Run, steps: Steps) -> None:
    """Delete the firewall, or the elements that had to stay as long as links were there that they close."""
    for step in run.passed(steps):
        before = step.old(Firewall)
        if step.after is None:
            run.tables.remove_firewall()
            _cut_connections(before, None)
            continue
        after = step.new(Firewall)
        run.tables.change_firewall(before, after)
        _cut_connections(before, after)


def load_tables(run: Run, steps: Steps) -> None:
    """Load the tables of sandboxes side by side, each by a process of its own."""
    of_sandboxes = list(run.passed(steps))
    if not of_sandboxes:
        return
    from concurrent import futures  # a run without names does not pay for this import

    with futures.ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        errors = list(pool.map(lambda step: _failure(run, step.new(NftTable)), of_sandboxes))
    for step, error in zip(of_sandboxes, errors):
        if error is not None:
            run.fail(step, error)


def remove_tables(run: Run, steps: Steps) -> None:
    """Delete the tables of sandboxes."""
    for step in run.passed(steps):
        try:
            with contextlib.suppress(FileNotFoundError), netns.entered_named(step.key[1]):
                nft.replace("")
        except DocklessError as error:
            run.fail(step, error)


def _failure(run: Run, table: NftTable) -> DocklessError | None:
    """Load a sandbox's table and return why that failed, None if it did not."""
    try:
        run.tables.put(table)
    except DocklessError as error:
        return error
    return None


def _before(step: Step) -> Firewall | None:
    return step.old(Firewall) if step.before is not None else None


def _cut_connections(before: Firewall | None, after: Firewall | None) -> None:
    old = before.elements if before is not None else frozenset()
    new = after.elements if after is not None else frozenset()
    conntrack.follow(old, new)
