# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Endpoints and published ports of a resolved host, in the one shape that all modules return."""

from __future__ import annotations

import typing as t

from ..firewall import published_ports
from ..firewall.published_ports import Publication
from ..model import topology
from ..model.gateways import next_hop
from ..model.host import Host, Project
from ..model.network import Network
from ..model.sandbox import Endpoint, Sandbox

Row = dict[str, t.Any]


def endpoints(host: Host, project: str | None = None) -> list[Row]:
    """Return the endpoints of one project, or of all, in order of sandbox and declaration."""
    networks = topology.networks_by_key(host)
    rows = []
    for owner, sandbox in _selected(host, project):
        rows += [_endpoint(endpoint, networks[endpoint.network], owner) for endpoint in sandbox.endpoints]
    return rows


def ports(host: Host, project: str | None = None) -> list[Row]:
    """Return one row for each binding of each published port, as docker port shows them."""
    networks = topology.networks_by_key(host)
    rows = []
    for _owner, sandbox in _selected(host, project):
        for mapping in sandbox.ports:
            publications = published_ports.publications(sandbox, mapping, networks)
            rows += [_port(sandbox, publication) for publication in publications]
    return rows


def wildcard(version: int) -> str:
    """Return the address that stands for every address of a family."""
    return "0.0.0.0" if version == 4 else "::"


def _selected(host: Host, project: str | None) -> t.Iterator[tuple[Project, Sandbox]]:
    """Yield the sandboxes of one project, or of all, with their project, in order of the names of both."""
    for owner in sorted(host.projects, key=lambda one: one.name):
        if project in (None, owner.name):
            for sandbox in sorted(owner.sandboxes, key=lambda one: one.name):
                yield owner, sandbox


def _endpoint(endpoint: Endpoint, network: Network, project: Project) -> Row:
    hops = (next_hop(endpoint, network, version) for version in (4, 6))
    return {
        "project": project.name,
        "network": network.name,
        "sandbox": endpoint.sandbox,
        "interface": endpoint.interface_name,
        "addresses": list(endpoint.addresses),
        "mac_address": endpoint.mac_address,
        "gateway": next((hop for hop in hops if hop), ""),
        "aliases": list(endpoint.aliases),
    }


def _port(sandbox: Sandbox, publication: Publication) -> Row:
    host_ip = ""
    if publication.port:  # otherwise the port is open at the sandbox's own address alone
        host_ip = publication.address or wildcard(publication.version)
    return {
        "sandbox": sandbox.name,
        "host_ip": host_ip,
        "host_port": publication.port,
        "protocol": publication.protocol,
        "target_port": publication.target_port,
    }
