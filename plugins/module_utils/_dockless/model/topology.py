# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Who is on which network, over all projects of a host: what names are computed from."""

from __future__ import annotations

import typing as t

from ..errors import DocklessError
from .dns_names import is_dns_name
from .host import (
    DEFAULT_BRIDGE,
    MODE_CONTAINER,
    SERVICE_VIP,
    Endpoint,
    Host,
    HostNames,
    LegacyLink,
    Network,
    Sandbox,
    Subnet,
)

NetworkKey = tuple[str, str]
Member = tuple[Sandbox, Endpoint]
TASKS = "tasks"  # tasks.SERVICE are the addresses behind a virtual one


class Topology(t.NamedTuple):
    """The networks of a host by key, the endpoints on each, and the names there that have a dot.

    known_to_host are networks whose names the host's own resolver is told to look for here.
    """

    networks: dict[NetworkKey, Network]
    members: dict[NetworkKey, list[Member]]
    dotted: dict[NetworkKey, list[str]]
    known_to_host: tuple[NetworkKey, ...] = ()

    @property
    def host_zones(self) -> tuple[str, ...]:
        """Return the domains of those names."""
        return tuple(dict.fromkeys(network for project, network in self.known_to_host))


def read_topology(host: Host) -> Topology:
    """Return the topology of a resolved host (external networks stand under their owner's key)."""
    networks = networks_of(host)
    members: dict[NetworkKey, list[Member]] = {}
    for project in host.projects:
        for sandbox in project.sandboxes:
            for endpoint in sandbox.endpoints:
                members.setdefault(endpoint.network, []).append((sandbox, endpoint))
    dotted = {key: _dotted(found, networks[key]) for key, found in members.items()}
    return Topology(networks, members, dotted, _known_to_host(host.defaults.host_names, networks, members))


def _known_to_host(
    wish: HostNames | None, networks: Networks, members: t.Container[NetworkKey]
) -> tuple[NetworkKey, ...]:
    """Return the networks that the host is to know, if there is a name on them. Raises DocklessError for one that is not declared."""
    if wish is None:
        return ()
    possible = {
        f"{key[0]}/{key[1]}": key for key, network in networks.items() if has_names(network) and is_dns_name(key[1])
    }
    for index, name in enumerate(wish.networks):
        if name not in possible:
            raise DocklessError(
                f"the host is to know the names of network {name}, and no network with names is called so",
                "Write it like PROJECT/NETWORK, or take it out.",
                f"defaults.host_names.networks[{index}]",
            )
    return tuple(
        key
        for name, key in sorted(possible.items())
        if (not wish.networks or name in wish.networks)
        and (key in members or networks[key].records or networks[key].services)
    )


def _dotted(members: t.Iterable[Member], network: Network) -> list[str]:
    called = [name for sandbox, endpoint in members for name in (sandbox.name, sandbox.hostname, *endpoint.aliases)]
    called += [
        name
        for peer in network.peers
        for there in peer.sandboxes
        for name in (there.name, there.hostname, *there.aliases)
    ]
    served = [TASKS] if any(service.mode == SERVICE_VIP for service in network.services) else []
    names = (*called, *(service.name for service in network.services))
    return served + list(dict.fromkeys(name for name in names if "." in name and is_dns_name(name)))


def has_names(network: Network) -> bool:
    """Return whether the sandboxes of the network find each other by name."""
    return network.dns_enabled and not is_default_bridge(network.key)


def networks_of_sandbox(sandbox: Sandbox, topology: Topology) -> list[Network]:
    """Return the networks the sandbox is on, in the order of its endpoints."""
    return [topology.networks[endpoint.network] for endpoint in sandbox.endpoints]


def netns_of(sandbox: Sandbox) -> str:
    """Return the name of the sandbox's own namespace."""
    return sandbox.netns or sandbox.name


def host_name(sandbox: Sandbox) -> str:
    """Return what the sandbox calls itself."""
    return sandbox.hostname or sandbox.name


def addresses(endpoint: Endpoint) -> list[str]:
    """Return the endpoint's addresses without prefix length; link-local ones have no names."""
    local = {str(address) for address in endpoint.link_local_ips}
    return [text for text in (cidr.partition("/")[0] for cidr in endpoint.addresses) if text not in local]


def own_addresses(sandbox: Sandbox) -> frozenset[str]:
    """Return all addresses of the sandbox, link-local ones too, without prefix length."""
    return frozenset(cidr.partition("/")[0] for endpoint in sandbox.endpoints for cidr in endpoint.addresses)


def linked(link: LegacyLink, endpoint: Endpoint, topology: Topology) -> Member | None:
    """Return what a link points at on the endpoint's network; None while it does not exist.

    The own project's sandbox comes first where another project has one of that name.
    """
    found = [m for m in topology.members[endpoint.network] if m[0].name == link.sandbox]
    return min(found, key=lambda member: member[0].project != endpoint.project, default=None)


Networks = t.Mapping[tuple[str, str], Network]


def networks_of(host: Host) -> dict[tuple[str, str], Network]:
    """Return every network of the host by its key; external entries are not networks."""
    return {n.key: n for p in host.projects for n in p.networks if not n.external}


def endpoints_by_network(host: Host) -> dict[tuple[str, str], list[Endpoint]]:
    """Return the endpoints of each network, in order of project and sandbox."""
    found: dict[tuple[str, str], list[Endpoint]] = {}
    for project in sorted(host.projects, key=lambda p: p.name):
        for sandbox in sorted(project.sandboxes, key=lambda s: s.name):
            for endpoint in sandbox.endpoints:
                found.setdefault(endpoint.network, []).append(endpoint)
    return found


def is_default_bridge(key: tuple[str, str]) -> bool:
    """Return whether key is the host's one default bridge network."""
    return key == ("", DEFAULT_BRIDGE)


def address_of(endpoint: Endpoint, version: int) -> str:
    """Return the endpoint's first address of a family without its prefix length, or ""."""
    for cidr in endpoint.addresses:
        if (":" in cidr) == (version == 6) and not cidr.startswith("fe80:"):
            return cidr.partition("/")[0]
    return ""


def subnet_of(network: Network, version: int) -> Subnet | None:
    """Return the network's first subnet of a family."""
    for subnet in network.subnets:
        if subnet.version == version:
            return subnet
    return None


def turns_ipv6_off(sandbox: Sandbox) -> bool:
    """Return whether the sandbox's own settings leave it without IPv6, whatever its networks have."""
    return ("net/ipv6/conf/all/disable_ipv6", "1") in sandbox.sysctls


def effective_netns(project: t.Mapping[str, Sandbox], sandbox: Sandbox) -> str:
    """Return the namespace's name that a sandbox lives in: its partner's for container:, "" for host."""
    seen = set()
    while sandbox.mode == MODE_CONTAINER and sandbox.name not in seen:
        seen.add(sandbox.name)
        sandbox = project[sandbox.partner]
    return "" if sandbox.mode == "host" else sandbox.netns or sandbox.name
