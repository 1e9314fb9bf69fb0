# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""What each host is given: its own document with every blank filled in, and of its networks' other hosts one table for all."""

from __future__ import annotations

import typing as t

from ..document.readers import is_mapping
from ..model.host import Subnet
from . import services
from .inventory import OF_ONE_HOST
from .model import (
    EndpointRecord,
    FleetHost,
    FleetOverlay,
    FleetPlan,
    HostUnderlay,
    Inventory,
    Key,
    Membership,
    ResolvedNetwork,
)

Document = dict[str, t.Any]
_OF_THE_PLAN = frozenset(("slice_prefix", "slice_prefix_ipv6"))


class NetworkDocument(t.NamedTuple):
    """A network as hosts must know it: what is given, and how its members are reached."""

    given: ResolvedNetwork
    vteps: t.Mapping[str, str]
    mtu: int | None
    tunnels: tuple[str, ...] = ("a",)


def documents(
    host: FleetHost,
    reading: Inventory,
    drawn: t.Mapping[Key, NetworkDocument],
    keys: t.Sequence[Key],
    mine: t.Mapping[str, t.Mapping[Key, str]],
) -> tuple[list[Document], list[tuple[int, str, Key]]]:
    """Return the host's documents in the order in which they are converged, and where in them which network's peers belong.

    keys are the overlay networks it is a member of. mine are its sandboxes on
    them: name -> real network key -> the network's name in the document. The
    first documents are those of other projects whose networks it joins.
    """
    found: list[Document] = []
    joined: list[tuple[int, str, Key]] = []
    own = dict(host.networks or {})
    for key in keys:
        member = reading.members[key][host.name]
        if member.spec is not None:
            own[member.called] = network_spec(drawn[key], host.name, member)
        elif drawn[key].given.overlay.host:
            joined.append((len(found), key[1], key))
            spec = network_spec(drawn[key], host.name, Membership(key[1], _shared(drawn[key].given.overlay)))
            found.append({"project": key[0], "networks": {key[1]: spec}, "purge": False})
    joined += [
        (len(found), reading.members[key][host.name].called, key)
        for key in keys
        if reading.members[key][host.name].spec is not None
    ]
    said: Document = {"project": host.project}
    if host.networks is not None:
        said["networks"] = own
    if host.sandboxes is not None:
        said["sandboxes"] = _sandboxes(host, drawn, mine)
    return [*found, said], joined


def _shared(overlay: FleetOverlay) -> dict[str, t.Any]:
    return {name: value for name, value in overlay.spec.items() if name not in OF_ONE_HOST}


def network_spec(drawn: NetworkDocument, host: str, member: Membership) -> dict[str, t.Any]:
    """Return a network's declaration for one host, without its peers."""
    given = drawn.given
    spec = {name: value for name, value in (member.spec or {}).items() if name not in _OF_THE_PLAN}
    spec["vni"] = given.vni
    ipam = spec.get("ipam")
    rows = [_row(subnet, given, host) for subnet in given.subnets]
    spec["ipam"] = {**(ipam if is_mapping(ipam) else {}), "config": rows}
    if drawn.vteps.get(host):
        spec["vtep"] = drawn.vteps[host]
    if drawn.mtu:
        spec["mtu"] = drawn.mtu
    if given.services:
        spec["services"] = services.with_service_addresses(spec.get("services") or {}, given.services)
    if given.overlay.encrypted:
        spec["tunnels"] = list(drawn.tunnels)
    return spec


def _row(subnet: Subnet, given: ResolvedNetwork, host: str) -> dict[str, t.Any]:
    """Return one subnet as ipam.config has it; of a routed network its ip_range is the host's slice."""
    if given.overlay.routed:
        part = next(one for one in given.slices[host] if one.version == subnet.version)
        return {"subnet": str(subnet.network), "ip_range": str(part.network), **_aux(part)}
    row: dict[str, t.Any] = {"subnet": str(subnet.network)}
    if subnet.gateway:
        row["gateway"] = str(subnet.gateway)
    if subnet.ip_range:
        row["ip_range"] = str(subnet.ip_range)
    return {**row, **_aux(subnet)}


def _aux(subnet: Subnet) -> dict[str, t.Any]:
    return (
        {"aux_addresses": {name: str(address) for name, address in subnet.aux_addresses}}
        if subnet.aux_addresses
        else {}
    )


def _sandboxes(
    host: FleetHost, drawn: t.Mapping[Key, NetworkDocument], mine: t.Mapping[str, t.Mapping[Key, str]]
) -> Document:
    found = dict(host.sandboxes or {})
    for name, networks in mine.items():
        spec = dict(found[name] or {})
        said = spec.get("networks")
        if said is None:
            said = list(networks.values())  # it names none, so it joins its project's default one
        options = dict(said) if is_mapping(said) else dict.fromkeys(said)
        for key, called in networks.items():
            given = drawn[key].given
            entry = given.endpoints[host.project, name]
            options[called] = {**(options[called] or {}), **_fixed(entry)}
            if (host.project, name) in given.salted:
                options[called]["mac_address"] = entry.mac_address
        spec["networks"] = options
        found[name] = spec
    return found


def _fixed(entry: EndpointRecord) -> dict[str, str]:
    return {"ipv6_address" if ":" in address else "ipv4_address": address for address in entry.addresses}


def peer_table(
    drawn: NetworkDocument, members: t.Iterable[str], underlays: t.Mapping[str, HostUnderlay]
) -> dict[str, Document]:
    """Return the network's hosts as the others must know them; a host without a VTEP address yet is left out."""
    given = drawn.given
    rows: dict[str, Document] = {}
    for name in sorted(members):
        vtep = drawn.vteps.get(name)
        underlay = underlays.get(name, HostUnderlay())
        keys = {slot: key for slot, key in underlay.public_keys.items() if slot in drawn.tunnels}
        if not vtep or (given.overlay.encrypted and not keys):
            continue
        rows[name] = {"vtep": vtep, "sandboxes": {}}
        if given.overlay.encrypted:
            rows[name]["public_keys"] = keys
            if underlay.endpoint:
                rows[name]["endpoint"] = underlay.endpoint
        if given.slices.get(name):
            rows[name]["subnets"] = [str(part.network) for part in given.slices[name]]
    for one, entry in sorted([*given.endpoints.items(), *given.staying.items()]):
        if entry.host in rows:
            rows[entry.host]["sandboxes"][one[1]] = _peer(given, one, entry)
    return rows


def _peer(given: ResolvedNetwork, one: Key, entry: EndpointRecord) -> Document:
    told: Document = {"addresses": [a for a in entry.addresses if ":" not in a or one not in given.ipv4_only]}
    if entry.mac_address:
        told["mac_address"] = entry.mac_address
    if one[0] != given.overlay.key[0]:
        told["project"] = one[0]
    if entry.aliases:
        told["aliases"] = list(entry.aliases)
    if entry.hostname:
        told["hostname"] = entry.hostname
    return told


def slice_of(plan: FleetPlan, host: str) -> list[Document]:
    """Return the documents of one host with the peers in place; those that its inventory names beside the plan's stay."""
    found = [dict(document) for document in plan.documents[host]]
    for number, called, key in plan.joined[host]:
        networks = found[number]["networks"]
        found[number]["networks"] = {**networks, called: with_peers(networks[called], plan.tables[key], host)}
    return found


def with_peers(spec: t.Mapping[str, t.Any], rows: t.Mapping[str, Document], host: str) -> Document:
    """Return a network's declaration with every host of the table but the one as peers."""
    given = spec.get("peers")
    return {
        **spec,
        "peers": {**(given if is_mapping(given) else {}), **{name: row for name, row in rows.items() if name != host}},
    }
