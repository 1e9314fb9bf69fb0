# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""The sandboxes behind a network's services (backends), and the names that they have for it.

A service owns its name: a sandbox that has it as an alias is a backend and does not get the name itself. If the service
has a virtual address, its backends are called tasks.SERVICE.
"""

from __future__ import annotations

import typing as t

from .network import SERVICE_DNSRR, SERVICE_VIP, Network, Service
from .topology import TASKS, Topology

_Aliases = frozenset[str]  # in lower case


class ServiceBackend(t.NamedTuple):
    """A sandbox behind a service. project is its own, which may differ from the network's."""

    project: str
    sandbox: str
    addresses: tuple[str, ...]  # without prefix length
    weight: int = 1
    drain: bool = False


class NetworkServices(t.NamedTuple):
    """The services of a network, each with its backends.

    service_names are the services' names in lower case, which no sandbox has for itself. backend_names are the names
    that a (project, sandbox) has as a backend.
    """

    services: tuple[tuple[Service, tuple[ServiceBackend, ...]], ...]
    service_names: frozenset[str]
    backend_names: dict[tuple[str, str], list[str]]

    def names(self, project: str, sandbox: str, own_names: t.Sequence[str]) -> tuple[str, ...]:
        """Return all names of a sandbox: its own ones without those of services, and those that it has as a backend."""
        own = (name for name in own_names if name.lower() not in self.service_names)
        return (*own, *self.backend_names.get((project, sandbox), ()))


def network_services(topology: Topology, network: Network) -> NetworkServices:
    """Return the services of a network with their backends."""
    members = _members(topology, network)
    services = tuple((service, tuple(_backends(service, members))) for service in network.services)
    backend_names: dict[tuple[str, str], list[str]] = {}
    for service, backends in services:
        name = service.name if service.mode == SERVICE_DNSRR else f"{TASKS}.{service.name}"
        for backend in backends:
            # The name of a dnsrr service resolves to its backends without drained ones; tasks.SERVICE resolves to all.
            if service.mode == SERVICE_VIP or not backend.drain:
                backend_names.setdefault((backend.project, backend.sandbox), []).append(name)
    service_names = frozenset(service.name.lower() for service in network.services)
    return NetworkServices(services, service_names, backend_names)


def address_lines(network: Network) -> list[str]:
    """Return the lines of hosts(5) with the virtual addresses of a network's services."""
    lines = []
    for service in network.services:
        hostnames = f"{service.name}.{network.name} {service.name}"
        lines += [f"{address} {hostnames}" for address in service.vips]
    return lines


def _members(topology: Topology, network: Network) -> list[tuple[ServiceBackend, _Aliases]]:
    """Return the sandboxes of a network on all hosts as possible backends, with their aliases, in order of name."""
    found = []
    for sandbox, endpoint in topology.members.get(network.key, ()):
        addresses = tuple(endpoint.named_addresses)
        found.append((ServiceBackend(sandbox.project, sandbox.name, addresses), _lower(endpoint.aliases)))
    for peer in network.peers:
        for remote in peer.sandboxes:
            addresses = tuple(map(str, remote.addresses))
            backend = ServiceBackend(remote.project or network.project, remote.name, addresses)
            found.append((backend, _lower(remote.aliases)))
    return sorted(found, key=lambda member: member[0])


def _lower(aliases: t.Iterable[str]) -> _Aliases:
    return frozenset(alias.lower() for alias in aliases)


def _backends(service: Service, members: t.Sequence[tuple[ServiceBackend, _Aliases]]) -> t.Iterator[ServiceBackend]:
    """Yield the declared backends of a service, or if it declares none the sandboxes with its name as an alias."""
    if service.backends is None:
        yield from (member for member, aliases in members if service.name.lower() in aliases)
        return
    declared = {backend.sandbox: backend for backend in service.backends}
    for member, _aliases in members:
        backend = declared.get(member.sandbox)
        if backend is not None:
            yield member._replace(weight=backend.weight, drain=backend.drain)
