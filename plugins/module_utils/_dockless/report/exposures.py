# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Everything that a host lets in because of its networks: address, family, protocol and port, for whom, and from where."""

from __future__ import annotations

import typing as t

from ..firewall import published_ports
from ..model import gateways, topology
from ..model.host import GATEWAY_UNPROTECTED, Host, IPNetwork, Network, PortMapping, Sandbox
from ..model.topology import Networks
from .rows import Row

ANY = "any"  # every protocol; port 0 is every port


def exposures(host: Host, project: str | None = None) -> list[Row]:
    """Return a row for each way in of one project, or of all: ports of the host, sandboxes' own addresses, ends of tunnels."""
    networks = topology.networks_of(host)
    rows: list[Row] = []
    for each in sorted(host.projects, key=lambda p: p.name):
        if project not in (None, each.name):
            continue
        for sandbox in sorted(each.sandboxes, key=lambda s: s.name):
            for mapping in sandbox.ports:
                rows += _of_port(host, networks, sandbox, mapping)
            rows += _of_sandbox(networks, sandbox)
        for network in each.networks:
            rows += _of_tunnels(network)
    return rows


def _of_port(host: Host, networks: Networks, sandbox: Sandbox, mapping: PortMapping) -> t.Iterator[Row]:
    for found in published_ports.publications(sandbox, mapping, networks):
        guests = None if not found.audience else [str(network) for network in found.audience if not _is_nobody(network)]
        if found.port:
            address = found.address or ("0.0.0.0" if found.version == 4 else "::")
            yield _row(
                sandbox.name,
                found.version,
                found.protocol,
                address,
                found.port,
                found.target_port,
                _audience(address, guests),
                address,
            )
        directly = _directly(host, networks[found.network], found.version, found.target, guests)
        if directly:
            yield _row(
                sandbox.name,
                found.version,
                found.protocol,
                found.target,
                found.target_port,
                found.target_port,
                directly,
            )


def _of_sandbox(networks: Networks, sandbox: Sandbox) -> t.Iterator[Row]:
    """Yield the addresses of a sandbox that are reached as a whole."""
    for endpoint in sandbox.endpoints:
        network = networks[endpoint.network]
        for version in (4, 6):
            address = topology.address_of(endpoint, version)
            if (
                network.passes_host
                and network.ingress
                and address
                and gateways.mode_of(network, version) == GATEWAY_UNPROTECTED
            ):
                yield _row(sandbox.name, version, ANY, address, 0, 0, f"everyone who has a route to {address}")


def _of_tunnels(network: Network) -> t.Iterator[Row]:
    overlay = network.overlay
    if overlay is None or not network.peers:
        return
    version = 6 if ":" in overlay.vtep else 4
    if not overlay.encrypted:
        others = ", ".join(sorted(str(peer.vtep) for peer in network.peers))
        yield _row("", version, "udp", overlay.vtep, overlay.port, 0, f"the other hosts: {others}", overlay.vtep)
        return
    for offset, slot in enumerate(("a", "b")):
        if slot in overlay.tunnels:
            for family, address in ((4, "0.0.0.0"), (6, "::")):
                yield _row(
                    "",
                    family,
                    "udp",
                    address,
                    overlay.tunnel_port + offset,
                    0,
                    "everyone; WireGuard answers none but the other hosts",
                    address,
                )


def _row(
    sandbox: str,
    version: int,
    protocol: str,
    address: str,
    port: int,
    target_port: int,
    audience: str,
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
        "reachable_from": audience,
    }


def _is_nobody(network: IPNetwork) -> bool:
    return network.network_address.is_unspecified and network.num_addresses == 1


def _audience(address: str, guests: t.Sequence[str] | None) -> str:
    """Return who reaches a port of the host; guests None is everybody."""
    if guests is not None:
        return ", and ".join(["this host", ", ".join(guests)]) if guests else "this host only"
    if address in ("0.0.0.0", "::"):
        return "everyone who reaches any address of this host"
    return "this host only" if address.startswith("127.") else f"everyone who reaches {address}"


def _directly(host: Host, network: Network, version: int, address: str, guests: t.Sequence[str] | None) -> str:
    """Return who reaches a published port at its sandbox's own address, "" for nobody; guests None is everybody."""
    whoever = "everyone who" if guests is None else f"who is in {', '.join(guests)} and"
    if guests == []:
        return ""
    if gateways.are_ports_direct(network, version, host.defaults):
        return f"{whoever} has a route to {address}"
    links = ", ".join(gateways.trusted_links(network, version, host.defaults))
    return f"{'who' if guests is None else whoever} has a route to {address} by {links}" if links else ""
