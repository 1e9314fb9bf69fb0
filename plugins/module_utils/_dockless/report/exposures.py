# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Exposures: every address and port at which a host accepts packets because of its networks, and from whom."""

from __future__ import annotations

import typing as t

from ..firewall import published_ports
from ..firewall.published_ports import Publication
from ..model import gateways, topology
from ..model.addresses import IPNetwork
from ..model.host import Host
from ..model.network import GATEWAY_UNPROTECTED, Network, Networks
from ..model.overlay import Overlay
from ..model.sandbox import Sandbox
from ..names import TUNNEL_SLOTS
from .rows import Row, wildcard

ANY = "any"  # every protocol; port 0 is every port
_ONLY_THIS_HOST = "this host only"


def exposures(host: Host, project: str | None = None) -> list[Row]:
    """Return a row for each exposure of one project, or of all.

    They are published ports on host addresses, ports and whole sandboxes at their own addresses, and tunnel ports.
    """
    networks = topology.networks_by_key(host)
    rows: list[Row] = []
    for each in sorted(host.projects, key=lambda each: each.name):
        if project not in (None, each.name):
            continue
        for sandbox in sorted(each.sandboxes, key=lambda sandbox: sandbox.name):
            for mapping in sandbox.ports:
                for publication in published_ports.publications(sandbox, mapping, networks):
                    rows += _port_rows(host, networks, sandbox, publication)
            rows += _unprotected_rows(networks, sandbox)
        for network in each.networks:
            if network.spans_hosts and network.peers:
                rows += _tunnel_rows(network, network.overlay_options)
    return rows


def _port_rows(host: Host, networks: Networks, sandbox: Sandbox, publication: Publication) -> t.Iterator[Row]:
    """Yield where a published port is open: on the host, and at the sandbox's own address if that is reachable."""
    sources = _sources(publication)
    if publication.port:
        address = publication.address or wildcard(publication.version)
        yield _row(
            sandbox=sandbox.name,
            version=publication.version,
            protocol=publication.protocol,
            address=address,
            port=publication.port,
            target_port=publication.target_port,
            reachable_from=_reachable_on_host(address, sources),
            host_ip=address,
        )
    reachable_from = _reachable_directly(host, networks[publication.network], publication, sources)
    if reachable_from:
        yield _row(
            sandbox=sandbox.name,
            version=publication.version,
            protocol=publication.protocol,
            address=publication.target,
            port=publication.target_port,
            target_port=publication.target_port,
            reachable_from=reachable_from,
        )


def _unprotected_rows(networks: Networks, sandbox: Sandbox) -> t.Iterator[Row]:
    """Yield the addresses of a sandbox that are open on every port."""
    for endpoint in sandbox.endpoints:
        network = networks[endpoint.network]
        if not network.passes_host or not network.ingress:
            continue
        for version in (4, 6):
            address = endpoint.address(version)
            if address and network.gateway_mode(version) == GATEWAY_UNPROTECTED:
                yield _row(
                    sandbox=sandbox.name,
                    version=version,
                    protocol=ANY,
                    address=address,
                    reachable_from=f"everyone who has a route to {address}",
                )


def _tunnel_rows(network: Network, overlay: Overlay) -> t.Iterator[Row]:
    """Yield the UDP ports of the host's tunnels: VXLAN, or WireGuard for an encrypted network."""
    if not overlay.encrypted:
        others = ", ".join(sorted(str(peer.vtep) for peer in network.peers))
        yield _row(
            version=6 if ":" in overlay.vtep else 4,
            protocol="udp",
            address=overlay.vtep,
            port=overlay.port,
            reachable_from=f"the other hosts: {others}",
            host_ip=overlay.vtep,
        )
        return
    for offset, slot in enumerate(TUNNEL_SLOTS):
        for version in (4, 6) if slot in overlay.tunnels else ():
            yield _row(
                version=version,
                protocol="udp",
                address=wildcard(version),
                port=overlay.tunnel_port + offset,
                reachable_from="everyone; WireGuard answers none but the other hosts",
                host_ip=wildcard(version),
            )


def _row(
    *,
    version: int,
    protocol: str,
    address: str,
    reachable_from: str,
    sandbox: str = "",
    port: int = 0,
    target_port: int = 0,
    host_ip: str = "",
) -> Row:
    return {
        "sandbox": sandbox,
        "host_ip": host_ip,
        "host_port": port if host_ip else 0,
        "protocol": protocol,
        "target_port": target_port,
        "address": address,
        "port": port,
        "family": f"ipv{version}",
        "reachable_from": reachable_from,
    }


def _sources(publication: Publication) -> list[str] | None:
    """Return the sources that may connect, None for all sources. 0.0.0.0/32 and ::/128 stand for no source."""
    if not publication.audience:
        return None
    return [str(network) for network in publication.audience if not _is_nobody(network)]


def _is_nobody(network: IPNetwork) -> bool:
    return network.network_address.is_unspecified and network.num_addresses == 1


def _reachable_on_host(address: str, sources: t.Sequence[str] | None) -> str:
    """Return who reaches a port on a host address."""
    if sources is not None:
        return f"this host, and {', '.join(sources)}" if sources else _ONLY_THIS_HOST
    if address in (wildcard(4), wildcard(6)):
        return "everyone who reaches any address of this host"
    return _ONLY_THIS_HOST if address.startswith("127.") else f"everyone who reaches {address}"


def _reachable_directly(host: Host, network: Network, publication: Publication, sources: t.Sequence[str] | None) -> str:
    """Return who reaches a published port at its sandbox's own address, "" for nobody."""
    if sources == []:
        return ""
    address, version = publication.target, publication.version
    if gateways.are_ports_direct(network, version, host.defaults):
        who = "everyone who" if sources is None else f"who is in {', '.join(sources)} and"
        return f"{who} has a route to {address}"
    links = ", ".join(gateways.trusted_links(network, version, host.defaults))
    if not links:
        return ""
    who = "who" if sources is None else f"who is in {', '.join(sources)} and"
    return f"{who} has a route to {address} by {links}"
