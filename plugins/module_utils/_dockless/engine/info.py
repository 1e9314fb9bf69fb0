# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Reads the values that network_info returns: networks, sandboxes, endpoints, ports, exposures, leases and drift."""

from __future__ import annotations

import typing as t

from .. import names
from ..desired.services import Services
from ..model import topology
from ..model.network import is_default_bridge
from ..model.sandbox import MODE_CONTAINER, MODE_HOST, MODE_NETWORKS, Sandbox
from ..report import exposures
from ..report.name_resolution import ResolutionReport
from ..report.networks import Filters, matches, network_row
from ..report.rows import Row
from ..report.services import service_rows
from ..state import render
from . import fitting
from .converge import converge
from .document_files import Json
from .request import WAIT_S, Request
from .target import Target


def read_info(project: str | None = None, filters: Filters | None = None, wait_s: float = WAIT_S) -> Json:
    """Return everything about one project, or about all. Raises DocklessError.

    filters select networks: name (part of it), driver, label (KEY or KEY=VALUE), type (builtin, custom).
    """
    choice = fitting.read(project, wait_s)
    target = choice.target
    resolution = ResolutionReport(target.host, target.states, target.facts)
    leases = {name: one.leases for name, one in sorted(choice.present.projects.items()) if project in (None, name)}
    return {
        "networks": _networks(target, project, filters or {}, resolution),
        "sandboxes": _sandboxes(target, project, resolution),
        "endpoints": target.endpoints(project),
        "ports": target.ports(project),
        "exposures": exposures.exposures(target.host, project),
        "leases": leases,
        "drift": drift(project, wait_s),
        "warnings": [*choice.problems, *target.warnings],
    }


def drift(project: str | None, wait_s: float = WAIT_S) -> list[str]:
    """Return a line for each difference between the documents and the host."""
    return render.operations(converge(Request(project, check=True, on_mismatch="recreate", wait_s=wait_s)).work)


def _networks(target: Target, project: str | None, filters: Filters, resolution: ResolutionReport) -> list[Row]:
    """Return the networks of a project and those of others that its sandboxes have joined."""
    members = topology.endpoints_by_network(target.host)
    joined = {key for key, endpoints in members.items() if any(project in (None, one.project) for one in endpoints)}
    services = Services(topology.read_topology(target.host)).of
    rows: list[Row] = []
    for owner in target.host.projects:
        for network in owner.networks:
            row = network_row(network, members.get(network.key, []))
            is_shown = project in (None, owner.name) or network.key in joined
            if is_shown and not network.external and matches(row, filters):
                row["services"] = service_rows(services.get(network.key))
                row["names"] = resolution.on_network(network)
                rows.append(row)
    return rows


def _sandboxes(target: Target, project: str | None, resolution: ResolutionReport) -> list[Row]:
    rows: list[Row] = []
    for owner in target.host.projects:
        if project not in (None, owner.name):
            continue
        others = {sandbox.name: sandbox for sandbox in owner.sandboxes}
        rows.extend(
            {**_sandbox(owner.name, sandbox, others), **resolution.of_sandbox(sandbox)}
            for sandbox in sorted(owner.sandboxes, key=lambda one: one.name)
        )
    return rows


def _sandbox(project: str, sandbox: Sandbox, others: t.Mapping[str, Sandbox]) -> Row:
    shares = topology.effective_netns(others, sandbox) if sandbox.mode == MODE_CONTAINER else ""
    return {
        "project": project,
        "name": sandbox.name,
        "id": names.short_id(project, sandbox.name),
        "network_mode": _mode(sandbox),
        "labels": dict(sandbox.labels),
        "netns": "" if sandbox.mode == MODE_HOST else f"{names.NETNS_DIRECTORY}/{sandbox.netns_name}",
        "shares": shares,
        "networks": [endpoint.network[1] for endpoint in sandbox.endpoints],
        "expose": [f"{port}/{protocol}" for port, protocol in sandbox.expose],
        "hostname": sandbox.effective_hostname,
    }


def _mode(sandbox: Sandbox) -> str:
    if sandbox.mode == MODE_CONTAINER:
        return f"container:{sandbox.partner}"
    if sandbox.mode == MODE_NETWORKS:
        is_on_default_bridge = any(is_default_bridge(one.network) for one in sandbox.endpoints)
        return "bridge" if is_on_default_bridge else "networks"
    return sandbox.mode
