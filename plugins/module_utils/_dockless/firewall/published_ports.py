# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Published ports as elements of the firewall's maps, one for each port or range of ports that keep their numbers."""

from __future__ import annotations

import ipaddress
import typing as t

from ..model.addresses import IPNetwork
from ..model.gateways import are_ports_direct, publishing_endpoint, trusted_links
from ..model.host import Host
from ..model.network import GATEWAY_ROUTED, Networks
from ..model.sandbox import PortMapping, Sandbox
from .nft_text import SetElements

_EVERYBODY: dict[int, IPNetwork] = {4: ipaddress.ip_network("0.0.0.0/0"), 6: ipaddress.ip_network("::/0")}
_NOBODY: dict[int, IPNetwork] = {4: ipaddress.ip_network("0.0.0.0/32"), 6: ipaddress.ip_network("::/128")}


class Publication(t.NamedTuple):
    """A port mapping in one IP version."""

    version: int
    protocol: str
    address: str  # of the host, "" for all of its addresses
    port: int  # of the host, 0 if the target is reached at its own address only
    target: str  # the sandbox's address
    target_port: int
    network: tuple[str, str]  # key of the Network by which the target is reached
    audience: tuple[IPNetwork, ...] = ()  # the sources that may connect, none for all sources


def publications(sandbox: Sandbox, mapping: PortMapping, networks: Networks) -> t.Iterator[Publication]:
    """Yield a mapping in each IP version that it has.

    A wildcard address stands for the IP versions that the sandbox has, because translation cannot change the version. A
    routed network translates nothing: the port is open at the sandbox's own address.
    """
    for version in (4, 6):
        endpoint = publishing_endpoint(sandbox, networks, version)
        if endpoint is None or (mapping.host_ip is not None and mapping.host_ip.version != version):
            continue
        network = networks[endpoint.network]
        on_all_addresses = mapping.host_ip is None or mapping.host_ip.is_unspecified
        routed = network.gateway_mode(version) == GATEWAY_ROUTED
        yield Publication(
            version=version,
            protocol=mapping.protocol,
            address="" if on_all_addresses or routed else str(mapping.host_ip),
            port=0 if routed else mapping.host_port,
            target=endpoint.address(version),
            target_port=mapping.target_port,
            network=network.key,
            audience=_audience(mapping, version),
        )


def all_publications(host: Host, networks: Networks) -> t.Iterator[Publication]:
    """Yield every publication of a host."""
    for sandbox in host.sandboxes():
        for mapping in sandbox.ports:
            yield from publications(sandbox, mapping, networks)


def add_elements(host: Host, networks: Networks, elements: SetElements) -> None:
    """Add the published ports to the firewall's sets and maps."""
    # Ports that keep their numbers, by version, protocol, the host's address and the target's.
    unchanged: dict[tuple[int, str, str, str], list[int]] = {}
    # Sources that may connect to targets at their own addresses, by version, and by address, protocol and port as text.
    direct_sources: dict[tuple[int, str], list[IPNetwork]] = {}
    direct_networks = _networks_with_direct_ports(host, networks)
    for found in all_publications(host, networks):
        if (found.network, found.version) in direct_networks:
            target = f"{found.target} . {found.protocol} . {found.target_port}"
            sources = direct_sources.setdefault((found.version, target), [])
            sources.extend(found.audience or (_EVERYBODY[found.version],))
        if not found.port:
            continue
        if found.audience:
            _restrict(found, elements)
        if found.port == found.target_port:
            key = (found.version, found.protocol, found.address, found.target)
            unchanged.setdefault(key, []).append(found.port)
        else:
            name, prefix = _map_and_prefix("published", found.version, found.address)
            port = f"{prefix}{found.protocol} . {found.port}"
            elements[name].append(f"{port} : {found.target} . {found.target_port}")
    # A target may have several ports of the host, each with other sources.
    for (version, target), sources in direct_sources.items():
        elements[f"targets{version}"] += [f"{source} . {target}" for source in _collapsed(sources)]
    _add_unchanged_ports(unchanged, elements)


def _networks_with_direct_ports(host: Host, networks: Networks) -> set[tuple[tuple[str, str], int]]:
    """Return the networks, each with an IP version, where published ports are also reached at the sandbox's address."""
    return {
        (key, version)
        for key, network in networks.items()
        for version in (4, 6)
        if are_ports_direct(network, version, host.defaults) or trusted_links(network, version, host.defaults)
    }


def _add_unchanged_ports(
    unchanged: t.Mapping[tuple[int, str, str, str], t.Iterable[int]], elements: SetElements
) -> None:
    """Add ports that keep their numbers, each run of consecutive numbers as one element."""
    for (version, protocol, address, target), ports in unchanged.items():
        for first, last in _runs(ports):
            if first == last:
                name, prefix = _map_and_prefix("published", version, address)
                elements[name].append(f"{prefix}{protocol} . {first} : {target} . {first}")
            else:
                name, prefix = _map_and_prefix("ranges", version, address)
                elements[name].append(f"{prefix}{protocol} . {first}-{last} : {target}")


def _audience(mapping: PortMapping, version: int) -> tuple[IPNetwork, ...]:
    """Return the source_ranges of an IP version.

    A list with ranges of the other version only admits nobody of this one.
    """
    found = tuple(source for source in mapping.source_ranges if source.version == version)
    return (_NOBODY[version],) if mapping.source_ranges and not found else found


def _restrict(found: Publication, elements: SetElements) -> None:
    address = found.address or _EVERYBODY[found.version]
    port = f"{address} . {found.protocol} . {found.port}"
    elements[f"restricted{found.version}"].append(port)
    elements[f"allowed{found.version}"] += [f"{source} . {port}" for source in found.audience]


def _map_and_prefix(kind: str, version: int, address: str) -> tuple[str, str]:
    """Return the name of the map for ports on one address or on all, and what its keys begin with."""
    return (f"{kind}{version}_on", f"{address} . ") if address else (f"{kind}{version}", "")


def _collapsed(sources: t.Iterable[IPNetwork]) -> t.Iterator[IPNetwork]:
    """Return the same addresses in as few networks as possible. All have the same IP version."""
    return t.cast(
        "t.Iterator[IPNetwork]", ipaddress.collapse_addresses(t.cast("t.Iterable[ipaddress.IPv4Network]", sources))
    )


def _runs(ports: t.Iterable[int]) -> t.Iterator[tuple[int, int]]:
    """Yield the first and the last number of each run of consecutive numbers."""
    first = last = 0
    for port in sorted(set(ports)):
        if first and port == last + 1:
            last = port
            continue
        if first:
            yield first, last
        first = last = port
    if first:
        yield first, last
