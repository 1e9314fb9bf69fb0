# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""What a host has, for people: networks as docker network inspect shows them, ports, exposures, leases, drift."""
from __future__ import annotations

import typing as t

from .. import names
from ..linux import lock
from ..model import gateways, services, topology
from ..model.host import MODE_CONTAINER, MODE_HOST, MODE_NETWORKS, Endpoint, Network, Sandbox, Subnet
from ..model.services import Services
from ..model.spans import Overlay
from ..report import exposures
from ..report.name_resolution import Names
from ..report.rows import Row
from ..state import render
from . import converge, store
from .converge import LOCK_TIMEOUT_S, Request
from .target import Goal, set_goal


def inspect(project: t.Optional[str] = None, filters: t.Optional[t.Mapping[str, t.Any]] = None) -> t.Dict[str, t.Any]:
    """Return everything about one project, or all. Raises DocklessError; changes nothing.

    filters: name (part of a network's name), driver, label (KEY or KEY=VALUE), type (builtin, custom).
    """
    with lock.lock_for_reading(LOCK_TIMEOUT_S):
        documents = store.load_all()
        goal = set_goal(documents, project)
    looked_up = Names(goal.host, goal.states, goal.facts)
    networks = [n for n in _networks(goal, project) if matches(n, filters or {})]
    served = Services(topology.read(goal.host)).of
    known = gateways.networks_of(goal.host)
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
        "leases": {name: document.leases for name, document in sorted(documents.projects.items()) if project in (None, name)},
        "drift": drift(project),
        "warnings": list(goal.warnings),
    }


def drift(project: t.Optional[str]) -> t.List[str]:
    """Return a line for each difference between what is recorded and what is there."""
    outcome = converge.converge(Request(project, check=True, on_mismatch="recreate"))
    return render.operations(outcome.work)


def _networks(goal: Goal, project: t.Optional[str]) -> t.List[Row]:
    members = gateways.endpoints_by_network(goal.host)
    used = {key for key, endpoints in members.items() for e in endpoints if project in (None, e.project)}
    return [network_row(n, members.get(n.key, [])) for p in goal.host.projects for n in p.networks
            if project in (None, p.name) or n.key in used]


def network_row(network: Network, endpoints: t.Sequence[Endpoint]) -> Row:
    """Return one network as inspect() shows it."""
    return {
        "project": network.project, "name": network.name, "driver": network.driver, "bridge_name": network.bridge_name,
        "scope": "fleet" if network.overlay else "local", "internal": network.internal, "isolate": network.isolate, "icc": bool(network.icc),
        "masquerade": bool(network.masquerade), "mtu": network.mtu, "enable_ipv4": network.enable_ipv4,
        "enable_ipv6": bool(network.enable_ipv6), "dns_enabled": network.dns_enabled, "labels": dict(network.labels),
        **(_overlay(network, network.overlay) if network.overlay else {}), **(_gateway(network) if network.macvlan is None else {}),
        **({"parent": network.macvlan.parent, "mode": network.macvlan.mode, "host_access": [str(a) for a in network.macvlan.addresses]}
           if network.macvlan else {}),
        "ipam": {"config": [_subnet(s) for s in network.subnets]},
        "endpoints": {e.sandbox: {"project": e.project, "mac_address": e.mac_address, "interface": e.interface_name,
                                  "ipv4_address": _cidr(e, 4), "ipv6_address": _cidr(e, 6)} for e in endpoints},
    }


def _gateway(network: Network) -> Row:
    return {"egress": network.egress, "ingress": network.ingress, "gateway_mode_ipv4": network.gateway_mode_ipv4,
            "gateway_mode_ipv6": network.gateway_mode_ipv6, "trusted_host_interfaces": list(network.trusted), "port_security": network.port_security}


def _overlay(network: Network, overlay: Overlay) -> Row:
    return {"vni": overlay.vni, "mode": overlay.mode, "control_plane": overlay.control_plane, "vtep": overlay.vtep, "port": overlay.port,
            "encrypted": overlay.encrypted,
            "peers": {p.name: {"vtep": str(p.vtep), "subnets": [str(s) for s in p.subnets],
                               "sandboxes": {s.name: [str(a) for a in s.addresses] for s in p.sandboxes}} for p in network.peers}}


def _subnet(subnet: Subnet) -> Row:
    row: Row = {"subnet": str(subnet.network)}
    if subnet.gateway is not None:
        row["gateway"] = str(subnet.gateway)
    if subnet.ip_range is not None:
        row["ip_range"] = str(subnet.ip_range)
    if subnet.aux_addresses:
        row["aux_addresses"] = {name: str(address) for name, address in subnet.aux_addresses}
    return row


def _cidr(endpoint: Endpoint, version: int) -> str:
    return next((c for c in endpoint.addresses if (":" in c) == (version == 6)), "")


def _sandboxes(goal: Goal, project: t.Optional[str], looked_up: Names) -> t.List[Row]:
    rows = []
    for each in goal.host.projects:
        if project not in (None, each.name):
            continue
        others = {s.name: s for s in each.sandboxes}
        for sandbox in sorted(each.sandboxes, key=lambda s: s.name):
            netns = sandbox.netns or sandbox.name
            rows.append({
                "project": each.name, "name": sandbox.name, "id": names.short_id(each.name, sandbox.name), "network_mode": _mode(sandbox),
                "labels": dict(sandbox.labels),
                "netns": "" if sandbox.mode == MODE_HOST else f"/run/netns/{netns}",
                "shares": gateways.netns_of(others, sandbox) if sandbox.mode == MODE_CONTAINER else "",
                "networks": [e.network[1] for e in sandbox.endpoints], "expose": [f"{p}/{q}" for p, q in sandbox.expose],
                "hostname": sandbox.hostname or sandbox.name, **looked_up.of_sandbox(sandbox)})
    return rows


def _mode(sandbox: Sandbox) -> str:
    if sandbox.mode == MODE_CONTAINER:
        return f"container:{sandbox.partner}"
    if sandbox.mode == MODE_NETWORKS:
        return "bridge" if any(gateways.is_default_bridge(e.network) for e in sandbox.endpoints) else "networks"
    return sandbox.mode


def matches(network: Row, filters: t.Mapping[str, t.Any]) -> bool:
    """Return whether a network of inspect() passes the filters."""
    builtin = network["project"] == ""
    labels = [filters["label"]] if isinstance(filters.get("label"), str) else filters.get("label") or []
    return (str(filters.get("name") or "") in network["name"]
            and filters.get("driver") in (None, network["driver"])
            and filters.get("type") in (None, "builtin" if builtin else "custom")
            and all(_labelled(network["labels"], label) for label in labels))


def _labelled(labels: t.Mapping[str, str], wanted: str) -> bool:
    key, equals, value = wanted.partition("=")
    return key in labels and (not equals or labels[key] == value)
