# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Who is on which network, over all projects of a host: what names are computed from."""
from __future__ import annotations

import re
import typing as t

from ..errors import DocklessError
from .gateways import Networks, gateway_of, is_default_bridge, networks_of, publishing_endpoint
from .host import SERVICE_VIP, Endpoint, Host, HostNames, Link, Network, Sandbox

NetworkKey = t.Tuple[str, str]
Member = t.Tuple[Sandbox, Endpoint]
TASKS = "tasks"  # tasks.SERVICE are the addresses behind a virtual one
_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_DOMAIN = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\Z")


class Topology(t.NamedTuple):
    """The networks of a host by key, the endpoints on each, and the names there that have a dot.

    known_to_host are networks whose names the host's own resolver is told to look for here.
    """

    networks: t.Dict[NetworkKey, Network]
    members: t.Dict[NetworkKey, t.List[Member]]
    dotted: t.Dict[NetworkKey, t.List[str]]
    known_to_host: t.Tuple[NetworkKey, ...] = ()

    @property
    def host_zones(self) -> t.Tuple[str, ...]:
        """Return the domains of those names."""
        return tuple(dict.fromkeys(network for project, network in self.known_to_host))


def read(host: Host) -> Topology:
    """Return the topology of a resolved host (external networks stand under their owner's key)."""
    networks = networks_of(host)
    members: t.Dict[NetworkKey, t.List[Member]] = {}
    for project in host.projects:
        for sandbox in project.sandboxes:
            for endpoint in sandbox.endpoints:
                members.setdefault(endpoint.network, []).append((sandbox, endpoint))
    dotted = {key: _dotted(found, networks[key]) for key, found in members.items()}
    return Topology(networks, members, dotted, _known_to_host(host.defaults.host_names, networks, members))


def _known_to_host(wish: t.Optional[HostNames], networks: Networks, members: t.Container[NetworkKey]) -> t.Tuple[NetworkKey, ...]:
    """Return the networks that the host is to know, if there is a name on them. Raises DocklessError for one that is not declared."""
    if wish is None:
        return ()
    possible = {f"{key[0]}/{key[1]}": key for key, network in networks.items() if has_names(network) and is_domain(key[1])}
    for index, name in enumerate(wish.networks):
        if name not in possible:
            raise DocklessError(f"the host is to know the names of network {name}, and no network with names is called so",
                                "Write it like PROJECT/NETWORK, or take it out.", f"defaults.host_names.networks[{index}]")
    return tuple(key for name, key in sorted(possible.items())
                 if (not wish.networks or name in wish.networks) and (key in members or networks[key].records or networks[key].services))


def _dotted(members: t.Iterable[Member], network: Network) -> t.List[str]:
    called = [name for sandbox, endpoint in members for name in (sandbox.name, sandbox.hostname, *endpoint.aliases)]
    called += [name for peer in network.peers for there in peer.sandboxes for name in (there.name, there.hostname, *there.aliases)]
    served = [TASKS] if any(service.mode == SERVICE_VIP for service in network.services) else []
    names = (*called, *(service.name for service in network.services))
    return served + list(dict.fromkeys(name for name in names if "." in name and is_domain(name)))


def has_names(network: Network) -> bool:
    """Return whether the sandboxes of the network find each other by name."""
    return network.dns_enabled and not is_default_bridge(network.key)


def joined(sandbox: Sandbox, topology: Topology) -> t.List[Network]:
    """Return the networks the sandbox is on, in the order of its endpoints."""
    return [topology.networks[endpoint.network] for endpoint in sandbox.endpoints]


def netns_of(sandbox: Sandbox) -> str:
    """Return the name of the sandbox's own namespace."""
    return sandbox.netns or sandbox.name


def host_name(sandbox: Sandbox) -> str:
    """Return what the sandbox calls itself."""
    return sandbox.hostname or sandbox.name


def addresses(endpoint: Endpoint) -> t.List[str]:
    """Return the endpoint's addresses without prefix length; link-local ones have no names."""
    local = {str(address) for address in endpoint.link_local_ips}
    return [text for text in (cidr.partition("/")[0] for cidr in endpoint.addresses) if text not in local]


def own_addresses(sandbox: Sandbox) -> t.FrozenSet[str]:
    """Return all addresses of the sandbox, link-local ones too, without prefix length."""
    return frozenset(cidr.partition("/")[0] for endpoint in sandbox.endpoints for cidr in endpoint.addresses)


def is_domain(text: str) -> bool:
    """Return whether text can stand as a domain name in a DNS file (RFC 1035, and underscores)."""
    return len(text) <= 253 and _DOMAIN.match(text) is not None


def linked(link: Link, endpoint: Endpoint, topology: Topology) -> t.Optional[Member]:
    """Return what a link points at on the endpoint's network; None while it does not exist.

    The own project's sandbox comes first where another project has one of that name.
    """
    found = [m for m in topology.members[endpoint.network] if m[0].name == link.sandbox]
    return min(found, key=lambda member: member[0].project != endpoint.project, default=None)


def gateways(sandbox: Sandbox, topology: Topology) -> t.List[str]:
    """Return the address of the host as the sandbox sees it: where its default route of each family goes."""
    winners = ((publishing_endpoint(sandbox, topology.networks, version), version) for version in (4, 6))
    found = [str(gateway_of(topology.networks[winner.network], version)) for winner, version in winners if winner]
    parents = (topology.networks[endpoint.network].macvlan for endpoint in sandbox.endpoints)
    return found or [str(address) for parent in parents if parent for address in parent.addresses][:2]
