# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Published ports as elements of the firewall's maps: one for each port, or for each range that keeps its numbers."""

from __future__ import annotations

import ipaddress
import typing as t

from ..model.gateways import are_ports_direct, mode_of, publishing_endpoint, trusted_links
from ..model.host import GATEWAY_ROUTED, Host, IPNetwork, PortMapping, Sandbox
from ..model.topology import Networks, address_of
from .rules import Elements


class Publication(t.NamedTuple):
    """What a mapping is in one family. address "" is every address of the host, port 0 none: target is reached at its own address."""

    version: int
    protocol: str
    address: str
    port: int
    target: str
    target_port: int
    network: tuple[str, str]  # key of the Network that leads to it
    audience: tuple[IPNetwork, ...] = ()  # who may come; empty is everybody


def publications(sandbox: Sandbox, mapping: PortMapping, networks: Networks) -> t.Iterator[Publication]:
    """Yield what a mapping is in each family that it has.

    A wildcard binds the families that the sandbox has; translation cannot cross from one to the other. A routed
    network translates nothing: the port is open at the sandbox's own address.
    """
    for version in (4, 6):
        endpoint = publishing_endpoint(sandbox, networks, version)
        if endpoint is None or mapping.host_ip is not None and mapping.host_ip.version != version:
            continue
        network = networks[endpoint.network]
        every = mapping.host_ip is None or mapping.host_ip.is_unspecified
        routed = mode_of(network, version) == GATEWAY_ROUTED
        yield Publication(
            version,
            mapping.protocol,
            "" if every or routed else str(mapping.host_ip),
            0 if routed else mapping.host_port,
            address_of(endpoint, version),
            mapping.target_port,
            network.key,
            tuple(found for found in mapping.source_ranges if found.version == version) or _nobody(mapping, version),
        )


def all_publications(host: Host, networks: Networks) -> t.Iterator[Publication]:
    """Yield every publication of a host."""
    for project in host.projects:
        for sandbox in project.sandboxes:
            for mapping in sandbox.ports:
                yield from publications(sandbox, mapping, networks)


def add_elements(host: Host, networks: Networks, elements: Elements) -> None:
    """Put the published ports into the maps."""
    alike: dict[tuple[str, ...], list[int]] = {}
    guests: dict[tuple[int, str], list[IPNetwork]] = {}
    direct = {
        (key, version)
        for key, network in networks.items()
        for version in (4, 6)
        if are_ports_direct(network, version, host.defaults) or trusted_links(network, version, host.defaults)
    }
    for found in all_publications(host, networks):
        if (found.network, found.version) in direct:
            place = f"{found.target} . {found.protocol} . {found.target_port}"
            guests.setdefault((found.version, place), []).extend(found.audience or (_everybody(found.version),))
        if not found.port:
            continue
        if found.audience:
            _restrict(found, elements)
        if found.port == found.target_port:
            alike.setdefault((str(found.version), found.protocol, found.address, found.target), []).append(found.port)
        else:
            _single(found.version, found.protocol, found.address, found.port, found.target, found.target_port, elements)
    for (version, place), sources in guests.items():  # one target may have several ports of the host, for others each
        elements[f"targets{version}"] += [f"{source} . {place}" for source in ipaddress.collapse_addresses(sources)]
    _fill_runs(alike, elements)


def _fill_runs(alike: t.Mapping[tuple[str, ...], t.Iterable[int]], elements: Elements) -> None:
    """Put ports that keep their numbers into the maps, neighbours as one element."""
    for (version, protocol, address, target), ports in alike.items():
        for first, last in _runs(ports):
            if first == last:
                _single(int(version), protocol, address, first, target, first, elements)
            else:
                name, prefix = _place("ranges", int(version), address)
                elements[name].append(f"{prefix}{protocol} . {first}-{last} : {target}")


def _nobody(mapping: PortMapping, version: int) -> tuple[IPNetwork, ...]:
    """Return an audience of one address that nobody has, for the family that a list of the other leaves out."""
    if not mapping.source_ranges:
        return ()
    return (ipaddress.ip_network("0.0.0.0/32" if version == 4 else "::/128"),)


def _everybody(version: int) -> IPNetwork:
    return ipaddress.ip_network("0.0.0.0/0" if version == 4 else "::/0")


def _restrict(found: Publication, elements: Elements) -> None:
    address = found.address or _everybody(found.version)
    port = f"{address} . {found.protocol} . {found.port}"
    elements[f"restricted{found.version}"].append(port)
    elements[f"allowed{found.version}"] += [f"{source} . {port}" for source in found.audience]


def _single(
    version: int, protocol: str, address: str, port: int, target: str, target_port: int, elements: Elements
) -> None:
    name, prefix = _place("published", version, address)
    elements[name].append(f"{prefix}{protocol} . {port} : {target} . {target_port}")


def _place(kind: str, version: int, address: str) -> tuple[str, str]:
    return (f"{kind}{version}_on", f"{address} . ") if address else (f"{kind}{version}", "")


def _runs(ports: t.Iterable[int]) -> t.Iterator[tuple[int, int]]:
    """Yield the first and last of each run of numbers without a gap."""
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
