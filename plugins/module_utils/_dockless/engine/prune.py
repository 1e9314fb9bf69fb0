# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Removes unused objects: networks without sandboxes, and managed objects that no document declares."""

from __future__ import annotations

from ..linux import lock
from ..model import topology
from ..report.networks import Filters, matches, network_row
from . import converge, store
from .converge import LOCK_TIMEOUT_S
from .request import Declaration, Outcome, Request
from .target import compute_target


def prune(project: str, filters: Filters, check: bool) -> Outcome:
    """Remove a project's unused networks, and managed objects that no document declares. Raises DocklessError.

    The filter label (KEY or KEY=VALUE) limits which networks. One that sandboxes of another project have joined is in
    use.
    """
    names = unused(project, filters)

    def edit(declaration: Declaration) -> Declaration:
        networks = {name: spec for name, spec in (declaration.get("networks") or {}).items() if name not in names}
        return {**declaration, "networks": networks}

    return converge.converge(Request(project, edit if names else dict, check=check))


def unused(project: str, filters: Filters) -> list[str]:
    """Return the networks of a project that no sandbox of any project has joined."""
    with lock.lock_for_reading(LOCK_TIMEOUT_S):
        host = compute_target(store.load_all(), project).host
    members = topology.endpoints_by_network(host)
    return [
        network.name
        for network in host.networks()
        if network.project == project and network.key not in members and matches(network_row(network, ()), filters)
    ]
