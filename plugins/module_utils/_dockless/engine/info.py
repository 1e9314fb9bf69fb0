# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""What a host has, for people: networks as docker network inspect shows them, ports, exposures, leases, drift."""

from __future__ import annotations

import typing as t

from .. import names
from ..desired.services import Services
from ..linux import lock
from ..model import services, topology
from ..model.host import MODE_CONTAINER, MODE_HOST, MODE_NETWORKS, Sandbox
from ..report import exposures
from ..report.name_resolution import ResolutionReport
from ..report.networks import matches, network_row
from ..report.rows import Row
from ..state import render
from . import converge, store
from .converge import LOCK_TIMEOUT_S, Request
from .target import Target, compute_target


def read_info(project: str | None = None, filters: t.Mapping[str, t.Any] | None = None) -> dict[str, t.Any]:
    """Return everything about one project, or all. Raises DocklessError; changes nothing.

    filters: name (part of a network's name), driver, label (KEY or KEY=VALUE), type (builtin, custom).
    """
    with lock.lock_for_reading(LOCK_TIMEOUT_S):
        documents = store.load_all()
        goal = compute_target(documents, project)
    looked_up = ResolutionReport(goal.host, goal.states, goal.facts)
    networks = [n for n in _networks(goal, project) if matches(n, filters or {})]
    served = Services(topology.read_topology(goal.host)).of
    known = topology.networks_of(goal.host)
    for network in networks:
        key = (network["project"], network["name"])
        network["services"] = services.rows(served.get(key))
        network["names"] = looked_up.on_network(known[key])
    return {
        "networks": networks,
        "sandboxes": _sandboxes(goal, project, looked_up),
        "endpoints": goal.endpoints(project),
        "ports": goal.ports(project),
        "exposures": exposures.exposures(goal.host, project),
        "leases": {
            name: document.leases for name, document in sorted(documents.projects.items()) if project in (None, name)
        },
        "drift": drift(project),
        "warnings": list(goal.warnings),
    }


def drift(project: str | None) -> list[str]:
    """Return a line for each difference between what is recorded and what is there."""
    outcome = converge.converge(Request(project, check=True, on_mismatch="recreate"))
    return render.operations(outcome.work)


def _networks(goal: Target, project: str | None) -> list[Row]:
    members = topology.endpoints_by_network(goal.host)
    used = {key for key, endpoints in members.items() for e in endpoints if project in (None, e.project)}
    return [
        network_row(n, members.get(n.key, []))
        for p in goal.host.projects
        for n in p.networks
        if project in (None, p.name) or n.key in used
    ]


def _sandboxes(goal: Target, project: str | None, looked_up: ResolutionReport) -> list[Row]:
    rows = []
    for each in goal.host.projects:
        if project not in (None, each.name):
            continue
        others = {s.name: s for s in each.sandboxes}
        for sandbox in sorted(each.sandboxes, key=lambda s: s.name):
            netns = sandbox.netns or sandbox.name
            rows.append(
                {
                    "project": each.name,
                    "name": sandbox.name,
                    "id": names.short_id(each.name, sandbox.name),
                    "network_mode": _mode(sandbox),
                    "labels": dict(sandbox.labels),
                    "netns": "" if sandbox.mode == MODE_HOST else f"/run/netns/{netns}",
                    "shares": topology.effective_netns(others, sandbox) if sandbox.mode == MODE_CONTAINER else "",
                    "networks": [e.network[1] for e in sandbox.endpoints],
                    "expose": [f"{p}/{q}" for p, q in sandbox.expose],
                    "hostname": sandbox.hostname or sandbox.name,
                    **looked_up.of_sandbox(sandbox),
                }
            )
    return rows


def _mode(sandbox: Sandbox) -> str:
    if sandbox.mode == MODE_CONTAINER:
        return f"container:{sandbox.partner}"
    if sandbox.mode == MODE_NETWORKS:
        return "bridge" if any(topology.is_default_bridge(e.network) for e in sandbox.endpoints) else "networks"
    return sandbox.mode
