# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Removes unused objects: networks without sandboxes, and managed objects that no document declares."""

from __future__ import annotations

from ..model import topology
from ..report.networks import Filters, matches, network_row
from . import converge, fitting
from .request import WAIT_S, Declaration, Outcome, Request


def prune(project: str, filters: Filters, check: bool, wait_s: float = WAIT_S) -> Outcome:
    """Remove a project's unused networks, and managed objects that no document declares. Raises DocklessError.

    The filter label (KEY or KEY=VALUE) limits which networks. One that sandboxes of another project have joined is in
    use.
    """
    names = unused(project, filters, wait_s)

    def edit(declaration: Declaration) -> Declaration:
        networks = {name: spec for name, spec in (declaration.get("networks") or {}).items() if name not in names}
        return {**declaration, "networks": networks}

    return converge.converge(Request(project, edit if names else dict, check=check, wait_s=wait_s))


def unused(project: str, filters: Filters, wait_s: float = WAIT_S) -> list[str]:
    """Return the networks of a project that no sandbox of any project has joined."""
    host = fitting.read(project, wait_s).target.host
    members = topology.endpoints_by_network(host)
    return [
        network.name
        for network in host.networks()
        if network.project == project and network.key not in members and matches(network_row(network, ()), filters)
    ]
