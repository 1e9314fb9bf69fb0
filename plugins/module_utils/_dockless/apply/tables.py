# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""The nft tables of the host and of sandboxes."""

from __future__ import annotations

import contextlib
import os

from ..firewall import host_table, port_security
from ..linux import netns, nft
from ..state.objects import HOST, NftTable
from .run import Run, Steps


def load_guards(run: Run, steps: Steps) -> None:
    """Load the rules that guard links before these exist or change: rules without data, and the table of port security.

    The latter comes before the links because the kernel announces a changed MAC address immediately.
    """
    for step in steps:
        table = step.new(NftTable)
        before = step.old(NftTable) if step.before is not None else None
        ports = port_security.port_table_in(table.text)
        if before is not None and ports == port_security.port_table_in(before.text):
            continue
        run.hook(step)
        text = host_table.empty_table(ports) if before is None else ports
        run.tables.put(NftTable(HOST, text))


def load_tables(run: Run, steps: Steps) -> None:
    """Load sandboxes' tables side by side, each by a process of its own; then the host's, which publishes ports."""
    of_sandboxes = list(run.passed([step for step in steps if step.key[1] != HOST]))
    if of_sandboxes:
        from concurrent import futures  # a run without names does not pay for this import

        with futures.ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            list(pool.map(lambda step: run.tables.put(step.new(NftTable)), of_sandboxes))
    for step in run.passed([step for step in steps if step.key[1] == HOST]):
        run.tables.publish(step.old(NftTable) if step.before is not None else None, step.new(NftTable))


def remove_tables(run: Run, steps: Steps) -> None:
    """Delete tables. A step about the host's may also be its change to the closed form."""
    for step in run.passed(steps):
        if step.key[1] == HOST:
            run.tables.publish(step.old(NftTable), step.new(NftTable) if step.after is not None else None)
            continue
        with contextlib.suppress(FileNotFoundError), netns.entered_named(step.key[1]):
            nft.replace("")
