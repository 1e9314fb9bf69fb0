# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Which sandboxes are on which network, over all projects of a host."""

from __future__ import annotations

import typing as t

from .. import names
from ..errors import DocklessError
from .dns_names import is_dns_name, is_public
from .host import Host, HostNames
from .network import SERVICE_VIP, Network, NetworkKey, Networks
from .sandbox import MODE_CONTAINER, MODE_HOST, Endpoint, LegacyLink, Sandbox

Member = tuple[Sandbox, Endpoint]
# tasks.SERVICE resolves to the addresses of the sandboxes behind a virtual address.
TASKS = "tasks"


class Topology(t.NamedTuple):
    """The networks of a resolved host, and the sandboxes on each."""

    networks: dict[NetworkKey, Network]
    members: dict[NetworkKey, list[Member]]
    # Names on a network that contain a dot and are not below the network's zone. A resolver must answer them, even
    # negatively, and not forward them.
    dotted: dict[NetworkKey, list[str]]
    # Networks whose names the host itself resolves, because of the option host_names.
    known_to_host: tuple[NetworkKey, ...] = ()

    @property
    def host_zones(self) -> tuple[str, ...]:
        """The DNS domains that the host itself resolves: the names of the networks in known_to_host."""
        return tuple(dict.fromkeys(name for _project, name in self.known_to_host))

    @property
    def zones(self) -> list[str]:
        """The names of this host's networks that no sandbox of the host asks other servers about."""
        return sorted({network.name for network in self.networks.values() if has_zone(network)})

    def networks_of(self, sandbox: Sandbox) -> list[Network]:
        """Return the networks that a sandbox is on, in the order of its endpoints."""
        return [self.networks[endpoint.network] for endpoint in sandbox.endpoints]

    def link_target(self, link: LegacyLink, endpoint: Endpoint) -> Member | None:
        """Return the sandbox that a link of an endpoint names, with its endpoint there; None if it does not exist yet.

        If several projects have a sandbox of that name on the network, the one of the endpoint's own project is meant.
        """
        targets = [member for member in self.members[endpoint.network] if member[0].name == link.sandbox]
        return min(targets, key=lambda member: member[0].project != endpoint.project, default=None)


def read_topology(host: Host) -> Topology:
    """Return the topology of a resolved host, in which endpoints have the key of the owner's network.

    Raises DocklessError if the option host_names lists a network that does not exist or has no names.
    """
    networks = networks_by_key(host)
    members: dict[NetworkKey, list[Member]] = {}
    for sandbox in host.sandboxes():
        for endpoint in sandbox.endpoints:
            members.setdefault(endpoint.network, []).append((sandbox, endpoint))
    dotted = {key: _dotted_names(networks[key], on_network) for key, on_network in members.items()}
    return Topology(networks, members, dotted, _known_to_host(host.defaults.host_names, networks, members))


def has_zone(network: Network) -> bool:
    """Return whether all names below a network's name are the network's own.

    A network with the name of a public domain has single names there, and no zone.
    """
    return network.has_names and is_dns_name(network.name) and not is_public(network.name)


def networks_by_key(host: Host) -> dict[NetworkKey, Network]:
    """Return the networks of a host by key, without external entries."""
    return {network.key: network for network in host.networks() if not network.external}


def endpoints_by_network(host: Host) -> dict[NetworkKey, list[Endpoint]]:
    """Return the endpoints of each network, in order of project and sandbox."""
    endpoints: dict[NetworkKey, list[Endpoint]] = {}
    for sandbox in sorted(host.sandboxes(), key=lambda one: (one.project, one.name)):
        for endpoint in sandbox.endpoints:
            endpoints.setdefault(endpoint.network, []).append(endpoint)
    return endpoints


def bridged_ends(host: Host) -> list[str]:
    """Return the names of the host's ends of veth pairs outside of networks that are ports of a network's bridge."""
    bridges = {network.bridge_name for network in host.networks() if network.bridge_name}
    ends = [end for project in host.projects for pair in project.veth_pairs for end in (pair.end, pair.peer)]
    return [end.name for end in ends if not end.netns and end.master in bridges]


def effective_netns(sandboxes: t.Mapping[str, Sandbox], sandbox: Sandbox) -> str:
    """Return the name of the namespace that a sandbox uses: its own, its partner's (mode container), or "" (mode host).

    sandboxes: the sandboxes of its project by name. Raises KeyError if a partner is not among them.
    """
    visited = set()
    while sandbox.mode == MODE_CONTAINER and sandbox.name not in visited:
        visited.add(sandbox.name)
        sandbox = sandboxes[sandbox.partner]
    return "" if sandbox.mode == MODE_HOST else sandbox.netns_name


def _known_to_host(
    option: HostNames | None, networks: Networks, members: t.Container[NetworkKey]
) -> tuple[NetworkKey, ...]:
    """Return the networks whose names the host resolves, as far as they have any name yet.

    Raises DocklessError if the option lists a network that does not exist or has no names.
    """
    if option is None:
        return ()
    eligible = {}
    for key, network in networks.items():
        if has_zone(network):
            eligible["/".join(key)] = key
    for index, reference in enumerate(option.networks):
        if reference not in eligible:
            raise DocklessError(
                f"there is no network {reference} with names that the host could resolve",
                "Write it as PROJECT/NETWORK, or remove it.",
                f"defaults.host_names.networks[{index}]",
            )
    found = []
    for reference, key in sorted(eligible.items()):
        is_selected = not option.networks or reference in option.networks
        has_any_name = key in members or bool(networks[key].records or networks[key].services)
        if is_selected and has_any_name:
            found.append(key)
    return tuple(found)


def _dotted_names(network: Network, members: t.Iterable[Member]) -> list[str]:
    """Return the names with a dot on a network; first of all tasks, if a service has a virtual address."""
    plain: list[str] = []
    for sandbox, endpoint in members:
        plain += [sandbox.name, sandbox.hostname, *endpoint.aliases, names.short_id(sandbox.project, sandbox.name)]
    for peer in network.peers:
        for remote in peer.sandboxes:
            project = remote.project or network.project
            plain += [remote.name, remote.hostname, *remote.aliases, names.short_id(project, remote.name)]
    plain += [service.name for service in network.services]
    qualified = [] if has_zone(network) else [f"{name}.{network.name}" for name in plain if name]
    dotted = [name for name in dict.fromkeys((*plain, *qualified)) if "." in name and is_dns_name(name)]
    has_tasks = any(service.mode == SERVICE_VIP for service in network.services)
    return [TASKS, *dotted] if has_tasks else dotted
