# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Addresses and MAC addresses of all sandboxes on one overlay network, over all hosts."""

from __future__ import annotations

import typing as t

from ..allocate import ipam
from ..allocate.mac_addresses import free_mac
from ..errors import DocklessError, refuse
from ..model.host import Endpoint, IPAddress, Network, Subnet
from .model import EndpointDeclaration, EndpointRecord, FleetOverlay, Key

Leases = t.Mapping[Key, t.Sequence[str]]
Entries = t.Mapping[Key, EndpointRecord]
RefuseNewAssignment = t.Callable[[str], None]


def check_declarations(places: t.Sequence[EndpointDeclaration], staying: Entries) -> None:
    """Raise DocklessError where two sandboxes are one, or want one address or one MAC address."""
    seen: dict[Key, EndpointDeclaration] = {}
    wanted: dict[t.Any, EndpointDeclaration] = {}
    used = {address: (one, entry) for one, entry in staying.items() for address in entry.addresses}
    for place in places:
        first = seen.setdefault(place.key, place)
        if first is not place:
            refuse(
                _path(place),
                f"the sandbox {place.endpoint.sandbox} is on network {'/'.join(place.endpoint.network)} on host {first.host} too",
                "Declare it on one host, in that host's own variables, or give the two different names.",
            )
        for address in _asked(place.endpoint):
            other = wanted.setdefault(address, place)
            if other is not place:
                refuse(
                    _path(place),
                    f"{address} is asked for by sandbox {other.endpoint.sandbox} on host {other.host} too",
                    "Give each its own, or none.",
                )
            owner = used.get(str(address))
            if owner and owner[0] != place.key:
                one, entry = owner
                refuse(
                    _path(place),
                    f"{address} is that of sandbox {'/'.join(one)} on host {entry.host}, which still has it",
                    f"Run over host {entry.host} too, or give another address.",
                )


def _asked(endpoint: Endpoint) -> t.Iterator[t.Any]:
    for asked in (endpoint.ipv4_address, endpoint.ipv6_address, endpoint.mac_address):
        if asked:
            yield asked


def _path(place: EndpointDeclaration) -> str:
    return f"host {place.host}, {place.endpoint.path}"


def assign(
    overlay: FleetOverlay,
    subnets: t.Sequence[Subnet],
    places: t.Sequence[EndpointDeclaration],
    reserved: t.Iterable[IPAddress],
    leases: Leases,
    refuse_new: RefuseNewAssignment,
) -> dict[Key, tuple[str, ...]]:
    """Return the addresses of each sandbox, without prefix length: fixed ones first, then those of before, then the lowest free.

    reserved are those of sandboxes that nobody declares but somebody has.
    refuse_new is called with a sandbox's name when it gets an address that it
    neither asked for nor had, and may raise. Raises DocklessError when a
    subnet is exhausted.
    """
    taken = list(reserved)
    held = tuple(
        s._replace(aux_addresses=s.aux_addresses + tuple(("", a) for a in taken if a.version == s.version))
        for s in subnets
    )
    network = Network(*overlay.key, subnets=held)
    places = sorted(places, key=lambda place: place.key)
    try:
        endpoints = ipam.assign(network, [place.endpoint for place in places], leases)
    except DocklessError as error:
        error.path = f"host {overlay.host}, networks.{overlay.key[1]}"
        raise
    found = {}
    for place, endpoint in zip(places, endpoints):
        given = endpoint.addresses[: len(endpoint.addresses) - len(endpoint.link_local_ips)]
        addresses = [cidr.partition("/")[0] for cidr in given]
        before = leases.get(place.key, ())
        for address in addresses:
            fixed = endpoint.ipv6_address if ":" in address else endpoint.ipv4_address
            if fixed is None and address not in before:
                refuse_new(endpoint.sandbox)
        found[place.key] = tuple(addresses)
    return found


def check_slice(overlay: FleetOverlay, subnets: t.Sequence[Subnet], places: t.Sequence[EndpointDeclaration]) -> None:
    """Raise DocklessError for a fixed address that lies outside its host's slice."""
    for place in places:
        for asked in (place.endpoint.ipv4_address, place.endpoint.ipv6_address):
            parts = [s.network for s in subnets if s.network and asked and s.version == asked.version]
            if asked and not any(asked in part for part in parts):
                refuse(
                    _path(place),
                    f"{asked} is not within {', '.join(map(str, parts)) or 'any subnet'}, the slice of host {place.host} "
                    f"of the routed network {'/'.join(overlay.key)}",
                    "Give an address of that slice, or none.",
                )


def macs(overlay: FleetOverlay, places: t.Sequence[EndpointDeclaration]) -> tuple[dict[Key, str], set[Key]]:
    """Return each sandbox's MAC address, and which of them their hosts would not compute by themselves."""
    found = {place.key: place.endpoint.mac_address for place in places if place.endpoint.mac_address}
    seen = set(found.values())
    salted: set[Key] = set()
    for place in sorted(places, key=lambda one: one.key):
        if place.key in found:
            continue
        project, sandbox = place.key
        mac, salt = free_mac(project, overlay.key, sandbox, seen)
        seen.add(mac)
        found[place.key] = mac
        if salt:
            salted.add(place.key)
    return found, salted
