# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Leases: the choices of a run, recorded so that the next run makes the same ones.

They hold subnets, addresses, interface names and host ports, but no MACs: those are derived from names. The leases
of one project are stored as JSON in its document:

    {"networks": {NETWORK: [SUBNET, ...]},
     "services": {NETWORK: {SERVICE: [ADDRESS, ...]}},
     "host_access": {NETWORK: [ADDRESS, ...]},
     "endpoints": {SANDBOX: {PROJECT/NETWORK: {"addresses": [CIDR, ...], "interface": NAME}}},
     "ports": [[SANDBOX, PROTOCOL, HOST_IP, TARGET_PORT, HOST_PORT], ...]}

services and host_access are left out if they are empty. The default bridge's leases are those of project "".
"""

from __future__ import annotations

import types
import typing as t

from .. import names
from ..model.host import Project
from ..model.network import Network
from ..model.sandbox import Endpoint, PortMapping

NetworkKey = tuple[str, str]  # (project, network)
PortKey = tuple[str, str, str, int]  # (sandbox, protocol, host address or "", target port)
Json = dict[str, t.Any]
_NONE: t.Mapping[str, t.Any] = types.MappingProxyType({})


class EndpointLease(t.NamedTuple):
    """The addresses (CIDR) of an endpoint, and the name of its interface inside the sandbox."""

    addresses: tuple[str, ...] = ()
    interface: str = ""


class PortLease(t.NamedTuple):
    """The host port of a mapping. host_ip is "" if the mapping was bound to every address."""

    sandbox: str
    protocol: str
    host_ip: str
    target_port: int
    host_port: int

    @classmethod
    def from_mapping(cls, mapping: PortMapping) -> PortLease:
        """Return the lease of a resolved mapping."""
        host_ip = str(mapping.host_ip or "")
        return cls(mapping.sandbox, mapping.protocol, host_ip, mapping.target_port, mapping.host_port)

    @property
    def key(self) -> PortKey:
        """Return the mapping without its host port, which the next run does not know yet."""
        return self.sandbox, self.protocol, self.host_ip, self.target_port


class Leases(t.NamedTuple):
    """The leases of one project. networks, services and host_access are by network name, endpoints by sandbox name."""

    networks: t.Mapping[str, t.Sequence[str]] = _NONE
    services: t.Mapping[str, t.Mapping[str, t.Sequence[str]]] = _NONE
    host_access: t.Mapping[str, t.Sequence[str]] = _NONE
    endpoints: t.Mapping[str, t.Mapping[NetworkKey, EndpointLease]] = _NONE
    ports: tuple[PortLease, ...] = ()

    @classmethod
    def from_project(cls, project: Project) -> Leases:
        """Return the leases of a resolved project."""
        endpoints = {
            sandbox.name: {e.network: EndpointLease(e.addresses, e.interface_name) for e in sandbox.endpoints}
            for sandbox in project.sandboxes
            if sandbox.endpoints
        }
        host_access = {
            network.name: [str(address) for address in network.macvlan_options.addresses]
            for network in project.networks
            if not network.passes_host and network.macvlan_options.addresses
        }
        return cls(
            {network.name: [str(subnet.network) for subnet in network.subnets] for network in project.networks},
            {network.name: service_leases(network) for network in project.networks if network.services},
            host_access,
            endpoints,
            tuple(PortLease.from_mapping(mapping) for sandbox in project.sandboxes for mapping in sandbox.ports),
        )

    @classmethod
    def from_json(cls, content: t.Mapping[str, t.Any]) -> Leases:
        """Return the leases of a project's document."""
        endpoints = {
            sandbox: {_network_key(text): _endpoint_lease(row) for text, row in rows.items()}
            for sandbox, rows in content.get("endpoints", _NONE).items()
        }
        ports = tuple(
            PortLease(sandbox, protocol, host_ip, int(target_port), int(host_port))
            for sandbox, protocol, host_ip, target_port, host_port in content.get("ports", ())
        )
        return cls(
            content.get("networks", _NONE),
            content.get("services", _NONE),
            content.get("host_access", _NONE),
            endpoints,
            ports,
        )

    def to_json(self) -> Json:
        """Return the leases as the project's document has them."""
        content: Json = {"networks": _as_lists(self.networks)}
        if self.services:
            content["services"] = {network: _as_lists(services) for network, services in self.services.items()}
        if self.host_access:
            content["host_access"] = _as_lists(self.host_access)
        content["endpoints"] = {
            sandbox: {
                "/".join(network): {"addresses": list(lease.addresses), "interface": lease.interface}
                for network, lease in endpoints.items()
            }
            for sandbox, endpoints in self.endpoints.items()
        }
        content["ports"] = [list(lease) for lease in self.ports]
        return content


ProjectLeases = t.Mapping[str, Leases]  # by project
NO_LEASES = Leases()


def endpoint_lease(leases: ProjectLeases, endpoint: Endpoint) -> EndpointLease:
    """Return the lease of an endpoint, an empty one if it is new."""
    endpoints = leases.get(endpoint.project, NO_LEASES).endpoints.get(endpoint.sandbox)
    return endpoints.get(endpoint.network, EndpointLease()) if endpoints else EndpointLease()


def service_leases(network: Network) -> dict[str, tuple[str, ...]]:
    """Return the virtual addresses of a resolved network's services, by service."""
    return {service.name: tuple(map(str, service.vips)) for service in network.services if service.vips}


def recorded_ports(leases: ProjectLeases) -> frozenset[tuple[str, str, int]]:
    """Return (protocol, host address or "", host port) of every recorded mapping."""
    return frozenset(
        (lease.protocol, lease.host_ip, lease.host_port) for project in leases.values() for lease in project.ports
    )


def recorded_interfaces(leases: ProjectLeases) -> dict[tuple[str, ...], str]:
    """Return the recorded interface name inside the sandbox, by the key of the veth pair and by that of the link."""
    found: dict[tuple[str, ...], str] = {}
    for project, recorded in leases.items():
        for sandbox, endpoints in recorded.endpoints.items():
            for network, lease in endpoints.items():
                found["veth", "", names.veth_link(project, network, sandbox)] = lease.interface
                found["link", sandbox, lease.interface] = lease.interface
    return found


def _network_key(text: str) -> NetworkKey:
    project, _slash, network = text.partition("/")
    return project, network


def _endpoint_lease(row: t.Mapping[str, t.Any]) -> EndpointLease:
    return EndpointLease(tuple(row.get("addresses", ())), row.get("interface", ""))


def _as_lists(values: t.Mapping[str, t.Sequence[str]]) -> dict[str, list[str]]:
    return {name: list(each) for name, each in values.items()}
