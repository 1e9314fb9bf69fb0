# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""The servers to which the resolver of a sandbox forwards queries that it cannot answer."""

from __future__ import annotations

import functools
import ipaddress
import typing as t

from ..model.addresses import IPAddress
from ..model.facts import Facts
from ..model.host import Defaults
from ..model.network import Network
from ..model.sandbox import Endpoint, Sandbox
from ..model.topology import Topology
from ..names import RESOLVER_PORT


class Upstreams(t.NamedTuple):
    """The servers to which a resolver forwards queries that it cannot answer.

    addresses: as ADDRESS or ADDRESS#PORT. followed: the host's file that lists exactly these servers, "" if none does.
    are_missing: the host has none at present. The resolver then refuses those queries, as a resolver does that fails;
    it does not answer that the names do not exist, which a client could remember.
    """

    addresses: tuple[str, ...] = ()
    followed: str = ""
    are_missing: bool = False

    @property
    def are_listed(self) -> bool:
        """Return whether dockless writes a file that lists them. resolv.conf(5) has no ports, so not with a port."""
        return bool(self.addresses) and not self.followed and not any("#" in address for address in self.addresses)


def servers(sandbox: Sandbox, topology: Topology, facts: Facts, defaults: Defaults) -> Upstreams:
    """Return the upstream servers of a sandbox's resolver. The first of these cases that applies decides:

    1. None of its networks forwards queries and has egress: servers on its own networks.
    2. The option dns names servers (of the sandbox, then of its networks, then of the defaults), or all of its networks
       have forward: servers, with which the host's servers are not used: the named servers.
    3. The sandbox reaches none of the host's servers, which have loopback addresses, or addresses of a family in which
       the sandbox has no route: the host's forwarder.
    4. The servers of the host. If a sandbox can reach all of them, its resolver follows the host's file.
    """
    forwarding = [n for n in topology.networks_of(sandbox) if _forward_mode(sandbox, n) != "none"]
    uplinks = [network for network in forwarding if network.has_egress]
    if not uplinks:
        return Upstreams(_servers_on_own_networks(sandbox, forwarding))
    named = sandbox.dns or tuple(address for network in uplinks for address in network.dns) or defaults.dns
    if named or all(_forward_mode(sandbox, network) == "servers" for network in uplinks):
        return Upstreams(_without_own(named, sandbox))
    found = host_servers(facts.nameservers)
    if facts.nameservers and not _reaches_any(found, sandbox, topology):
        forwarder = _forwarder(sandbox, topology)
        if forwarder or not found:
            return Upstreams(forwarder)
    reaches_all = len(found) == len(facts.nameservers)
    return Upstreams(found, facts.resolv_conf if reaches_all else "", are_missing=not found)


def has_resolver(sandbox: Sandbox, topology: Topology) -> bool:
    """Return whether a sandbox has a resolver: it has names to resolve, on a network or of its own."""
    has_names = any(network.has_names for network in topology.networks_of(sandbox)) or bool(sandbox.records)
    return bool(sandbox.endpoints) and has_names


@functools.lru_cache(maxsize=64)
def host_servers(nameservers: tuple[str, ...]) -> tuple[str, ...]:
    """Return those of the host's servers that have an address which a sandbox can reach as well."""
    found = []
    for text in nameservers:
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            continue
        # 0.0.0.0 and :: are the host itself. A zone, as in fe80::1%eth0, names a link that no sandbox has.
        if not address.is_loopback and not address.is_unspecified and "%" not in text:
            found.append(str(address))
    return tuple(dict.fromkeys(found))


def _reaches_any(servers_of_host: t.Iterable[str], sandbox: Sandbox, topology: Topology) -> bool:
    """Return whether a sandbox has a route out in the family of a server, through a network that forwards queries."""
    families = {6 if ":" in server else 4 for server in servers_of_host}
    return any(
        _has_route(endpoint, network, version, sandbox)
        for endpoint, network in _uplinks(sandbox, topology)
        for version in families
    )


def _forwarder(sandbox: Sandbox, topology: Topology) -> tuple[str, ...]:
    """Return the address and port of the host's forwarder: the first gateway that the sandbox reaches."""
    for endpoint, network in _uplinks(sandbox, topology):
        for version in (4, 6):
            if network.passes_host and _has_route(endpoint, network, version, sandbox):
                return (f"{network.gateway(version)}#{RESOLVER_PORT}",)
    return ()


def _uplinks(sandbox: Sandbox, topology: Topology) -> t.Iterator[tuple[Endpoint, Network]]:
    """Yield the endpoints whose networks forward queries and have egress."""
    for endpoint in sandbox.endpoints:
        network = topology.networks[endpoint.network]
        if network.has_egress and _forward_mode(sandbox, network) != "none":
            yield endpoint, network


def _has_route(endpoint: Endpoint, network: Network, version: int, sandbox: Sandbox) -> bool:
    """Return whether packets of a family leave through a network. On macvlan and ipvlan, the address decides."""
    is_disabled = version == 6 and sandbox.disables_ipv6
    if is_disabled or not endpoint.address(version):
        return False
    return not network.passes_host or network.gateway(version) is not None


def _forward_mode(sandbox: Sandbox, network: Network) -> str:
    return sandbox.forward or network.forward


def _without_own(addresses: t.Iterable[IPAddress], sandbox: Sandbox) -> tuple[str, ...]:
    """Return addresses as text, without those of the sandbox: one that serves DNS must not query itself."""
    own = sandbox.all_addresses
    return tuple(text for text in dict.fromkeys(map(str, addresses)) if text not in own)


def _servers_on_own_networks(sandbox: Sandbox, networks: t.Sequence[Network]) -> tuple[str, ...]:
    """Return the named servers that are on the sandbox's own networks, which a sandbox without egress still reaches."""
    named = sandbox.dns or tuple(address for network in networks for address in network.dns)
    subnets = [s.network for n in networks if n.passes_host for s in n.subnets]
    reachable = (address for address in named if any(address in subnet for subnet in subnets))
    return _without_own(reachable, sandbox)
