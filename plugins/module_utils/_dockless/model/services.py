# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Which sandboxes stand behind a network's services, and what each is called for it.

A service owns its name: a sandbox that has it as an alias is behind the service, and
is not itself called so. With a virtual address the sandboxes are tasks.SERVICE.
"""

from __future__ import annotations

import typing as t

from . import topology as model_topology
from .host import SERVICE_DNSRR, SERVICE_VIP, Network, Service
from .topology import TASKS, Topology


class Behind(t.NamedTuple):
    """A sandbox behind a service. project is its own, which need not be the network's."""

    project: str
    sandbox: str
    addresses: tuple[str, ...]
    weight: int = 1
    drain: bool = False


class Served(t.NamedTuple):
    """A network's services, each with the sandboxes behind it.

    owned are the names in lower case that no sandbox has for itself; called are those
    that a (project, sandbox) has for what it is behind.
    """

    services: tuple[tuple[Service, tuple[Behind, ...]], ...]
    owned: frozenset[str]
    called: dict[tuple[str, str], list[str]]

    def names(self, project: str, sandbox: str, plain: t.Sequence[str]) -> tuple[str, ...]:
        """Return what a sandbox is called: its own names but the services', and those that it has for a service."""
        return (*(name for name in plain if name.lower() not in self.owned), *self.called.get((project, sandbox), ()))


def _served(topology: Topology, network: Network) -> Served:
    members = _members(topology, network)
    found = tuple((service, tuple(_behind(service, members))) for service in network.services)
    called: dict[tuple[str, str], list[str]] = {}
    for service, behind in found:
        for one in behind:
            if service.mode == SERVICE_VIP or not one.drain:
                name = service.name if service.mode == SERVICE_DNSRR else f"{TASKS}.{service.name}"
                called.setdefault((one.project, one.sandbox), []).append(name)
    return Served(found, frozenset(service.name.lower() for service in network.services), called)


def _members(topology: Topology, network: Network) -> list[tuple[Behind, frozenset[str]]]:
    """Return who is on the network, here and on other hosts, each with its aliases in lower case, in order of name."""
    found = [
        (Behind(sandbox.project, sandbox.name, tuple(model_topology.addresses(endpoint))), endpoint.aliases)
        for sandbox, endpoint in topology.members.get(network.key, ())
    ]
    found += [
        (Behind(there.project or network.project, there.name, tuple(map(str, there.addresses))), there.aliases)
        for peer in network.peers
        for there in peer.sandboxes
    ]
    return sorted((one, frozenset(alias.lower() for alias in aliases)) for one, aliases in found)


def _behind(service: Service, members: t.Sequence[tuple[Behind, frozenset[str]]]) -> t.Iterator[Behind]:
    declared = None if service.backends is None else {backend.sandbox: backend for backend in service.backends}
    for one, aliases in members:
        if declared is None:
            if service.name.lower() in aliases:
                yield one
        elif one.sandbox in declared:
            yield one._replace(weight=declared[one.sandbox].weight, drain=declared[one.sandbox].drain)


def address_lines(served: Served, network: Network) -> list[str]:
    """Return the lines of hosts(5) that give services their virtual addresses."""
    return [
        f"{address} {service.name}.{network.name} {service.name}"
        for service, behind in served.services
        for address in service.vips
    ]


def rows(served: Served | None) -> dict[str, t.Any]:
    """Return services by name as people are shown them, each with the sandboxes behind it."""
    return {
        service.name: {
            "mode": service.mode,
            "vip": [str(vip) for vip in service.vips],
            "sticky": service.sticky,
            "ports": [
                f"{port.port}:{port.target}/{port.protocol}"
                if port.port != port.target
                else f"{port.port}/{port.protocol}"
                for port in service.ports
            ],
            "sandboxes": {
                one.sandbox: {
                    "project": one.project,
                    "addresses": list(one.addresses),
                    "weight": one.weight,
                    "drain": one.drain,
                }
                for one in behind
            },
        }
        for service, behind in (served.services if served else ())
    }
