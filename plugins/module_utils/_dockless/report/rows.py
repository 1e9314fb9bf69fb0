# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""What a resolved host gives back to people: endpoints and ports, in one shape everywhere."""

from __future__ import annotations

import typing as t

from ..firewall import published_ports
from ..firewall.published_ports import Publication
from ..model import topology
from ..model.gateways import next_hop
from ..model.host import Endpoint, Host, Network, Project

Row = dict[str, t.Any]


def endpoints(host: Host, project: str | None = None) -> list[Row]:
    """Return the endpoints of one project, or of all, in order of sandbox and declaration."""
    networks = topology.networks_of(host)
    return [
        _endpoint(e, networks[e.network], p)
        for p in _projects(host, project)
        for s in sorted(p.sandboxes, key=lambda s: s.name)
        for e in s.endpoints
    ]


def ports(host: Host, project: str | None = None) -> list[Row]:
    """Return one row for each binding of each published port, as docker port shows them."""
    networks = topology.networks_of(host)
    return [
        {
            "sandbox": s.name,
            "host_ip": _host_ip(found),
            "host_port": found.port,
            "protocol": m.protocol,
            "target_port": m.target_port,
        }
        for p in _projects(host, project)
        for s in sorted(p.sandboxes, key=lambda s: s.name)
        for m in s.ports
        for found in published_ports.publications(s, m, networks)
    ]


def _host_ip(found: Publication) -> str:
    """Return where a port is bound, "" where it is open at the sandbox's own address alone."""
    if not found.port:
        return ""
    return found.address or ("0.0.0.0" if found.version == 4 else "::")


def _projects(host: Host, project: str | None) -> list[Project]:
    return [p for p in sorted(host.projects, key=lambda p: p.name) if project is None or p.name == project]


def _endpoint(endpoint: Endpoint, network: Network, project: Project) -> Row:
    gateways = [via for via in (next_hop(endpoint, network, version) for version in (4, 6)) if via]
    return {
        "project": project.name,
        "network": network.name,
        "sandbox": endpoint.sandbox,
        "interface": endpoint.interface_name,
        "addresses": list(endpoint.addresses),
        "mac_address": endpoint.mac_address,
        "gateway": gateways[0] if gateways else "",
        "aliases": list(endpoint.aliases),
    }
