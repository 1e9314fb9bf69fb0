# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""What a run remembers of a resolved project: chosen subnets, addresses, interface names and host ports, as JSON."""

from __future__ import annotations

import typing as t

from .. import names
from ..model.host import Project
from . import host_ports, service_addresses
from .host_ports import PortLeases


def recorded_ports(leases: t.Mapping[str, t.Mapping[str, t.Any]]) -> frozenset[tuple[str, str, int]]:
    return frozenset((row[1], row[2], int(row[4])) for kept in leases.values() for row in kept.get("ports", ()))


Leases = t.Mapping[str, t.Any]  # of one project; the default bridge's are those of project ""

Key = tuple[str, str]


def project_leases(project: Project) -> dict[str, t.Any]:
    """Return what must be remembered of a resolved project, so that nothing is given twice or moved."""
    endpoints = {
        s.name: {
            "/".join(e.network): {"addresses": list(e.addresses), "interface": e.interface_name} for e in s.endpoints
        }
        for s in project.sandboxes
        if s.endpoints
    }
    shims = {
        n.name: [str(a) for a in n.macvlan.addresses] for n in project.networks if n.macvlan and n.macvlan.addresses
    }
    services = {n.name: service_addresses.service_leases(n) for n in project.networks if n.services}
    return {
        "networks": {n.name: [str(s.network) for s in n.subnets] for n in project.networks},
        **({"services": services} if services else {}),
        **({"host_access": shims} if shims else {}),
        "endpoints": endpoints,
        "ports": [[*host_ports.lease_key(m), m.host_port] for s in project.sandboxes for m in s.ports],
    }


def recorded_names(leases: t.Mapping[str, Leases]) -> dict[tuple[str, ...], str]:
    """Return the inner interface name that each pair has by the leases."""
    found: dict[tuple[str, ...], str] = {}
    for project, kept in leases.items():
        for sandbox, endpoints in kept.get("endpoints", {}).items():
            for network, given in endpoints.items():
                name = given.get("interface", "")
                found["veth", "", names.veth_link(project, t.cast(Key, tuple(network.split("/", 1))), sandbox)] = name
                found["link", sandbox, name] = name
    return found


def port_leases(leases: Leases) -> PortLeases:
    found: PortLeases = {}
    for sandbox, protocol, address, target, port in leases.get("ports", ()):
        found.setdefault((sandbox, protocol, address, int(target)), []).append(int(port))
    return found
