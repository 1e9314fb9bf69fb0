# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Builds each host's documents, in which everything is assigned, and one table of peers for all hosts of a network."""

from __future__ import annotations

import typing as t

from ..document.readers import is_mapping
from ..model.network import Subnet
from . import services
from .inventory import shared_options
from .model import (
    EndpointRecord,
    FleetHost,
    HostUnderlay,
    Inventory,
    Key,
    NetworkPosition,
    ResolvedNetwork,
)

Document = dict[str, t.Any]
LocalNames = t.Mapping[Key, str]  # network -> its name in a host's document
_PLAN_OPTIONS = frozenset(("slice_prefix", "slice_prefix_ipv6"))  # for the plan only; no host knows them


class PlannedNetwork(t.NamedTuple):
    """A resolved network and how its members are reached: what documents and peer tables are made of."""

    resolved: ResolvedNetwork
    vteps: t.Mapping[str, str]  # host -> VTEP address, "" if unknown
    mtu: int | None  # None if each host computes it
    tunnels: tuple[str, ...] = ("a",)


Planned = t.Mapping[Key, PlannedNetwork]


def host_documents(
    host: FleetHost,
    inventory: Inventory,
    planned: Planned,
    keys: t.Sequence[Key],
    sandbox_networks: t.Mapping[str, LocalNames],
) -> tuple[list[Document], list[NetworkPosition]]:
    """Return the host's documents in the order in which they are converged, and where overlay networks are in them.

    keys are the overlay networks of which the host is a member. sandbox_networks are those that each of its sandboxes
    is on, by the sandbox's name. The first documents are of other projects, whose networks the host's project joins.
    """
    documents: list[Document] = []
    positions: list[NetworkPosition] = []
    own_networks = dict(host.networks or {})
    own_names: dict[Key, str] = {}
    for key in keys:
        member, network = inventory.members[key][host.name], planned[key]
        if member.spec is not None:
            own_networks[member.local_name] = network_spec(network, host.name, member.spec)
            own_names[key] = member.local_name
        elif network.resolved.overlay.host:
            spec = network_spec(network, host.name, shared_options(network.resolved.overlay.spec))
            positions.append(NetworkPosition(len(documents), key[1], key))
            documents.append({"project": key[0], "networks": {key[1]: spec}, "purge": False})
    positions += [NetworkPosition(len(documents), local_name, key) for key, local_name in own_names.items()]
    own: Document = {"project": host.project}
    if host.networks is not None:
        own["networks"] = own_networks
    if host.sandboxes is not None:
        own["sandboxes"] = _sandboxes(host, planned, sandbox_networks)
    return [*documents, own], positions


def network_spec(network: PlannedNetwork, host: str, declared: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Return a network's declaration for one host, with everything assigned, but without peers."""
    resolved = network.resolved
    spec = {name: value for name, value in declared.items() if name not in _PLAN_OPTIONS}
    spec["vni"] = resolved.vni
    ipam = spec.get("ipam")
    configs = [_ipam_config(subnet, resolved, host) for subnet in resolved.subnets]
    spec["ipam"] = {**(ipam if is_mapping(ipam) else {}), "config": configs}
    if network.vteps.get(host):
        spec["vtep"] = network.vteps[host]
    if network.mtu:
        spec["mtu"] = network.mtu
    if resolved.services:
        spec["services"] = services.with_service_addresses(spec.get("services") or {}, resolved.services)
    if resolved.overlay.encrypted:
        spec["tunnels"] = list(network.tunnels)
    return spec


def peer_table(
    network: PlannedNetwork, members: t.Iterable[str], underlays: t.Mapping[str, HostUnderlay]
) -> dict[str, Document]:
    """Return a network's hosts by name, as the option peers of the other hosts has them.

    document/overlay._peers() reads this format, and host_report.py reports it back.
    A host is left out while its VTEP address is unknown, or on an encrypted network its public key.
    """
    resolved = network.resolved
    rows: dict[str, Document] = {}
    for name in sorted(members):
        vtep = network.vteps.get(name)
        underlay = underlays.get(name, HostUnderlay())
        keys = {tunnel: key for tunnel, key in underlay.public_keys.items() if tunnel in network.tunnels}
        is_reachable = bool(vtep) and (bool(keys) or not resolved.overlay.encrypted)
        if not is_reachable:
            continue
        rows[name] = {"vtep": vtep, "sandboxes": {}}
        if resolved.overlay.encrypted:
            rows[name]["public_keys"] = keys
            if underlay.endpoint:
                rows[name]["endpoint"] = underlay.endpoint
        if resolved.slices.get(name):
            rows[name]["subnets"] = [str(part.network) for part in resolved.slices[name]]
    for sandbox, record in sorted([*resolved.endpoints.items(), *resolved.staying.items()]):
        if record.host in rows:
            rows[record.host]["sandboxes"][sandbox[1]] = _peer_sandbox(resolved, sandbox, record)
    return rows


def with_peers(spec: t.Mapping[str, t.Any], rows: t.Mapping[str, Document], host: str) -> Document:
    """Return a network's declaration with the rows of its peer table as peers, except that of this host.

    Peers that the declaration has already stay.
    """
    declared = spec.get("peers")
    peers = dict(declared) if is_mapping(declared) else {}
    peers.update((name, row) for name, row in rows.items() if name != host)
    return {**spec, "peers": peers}


def _ipam_config(subnet: Subnet, resolved: ResolvedNetwork, host: str) -> dict[str, t.Any]:
    """Return one subnet as ipam.config has it. ip_range of a routed network is the host's slice."""
    config: dict[str, t.Any] = {"subnet": str(subnet.network)}
    if resolved.overlay.routed:
        part = next(part for part in resolved.slices[host] if part.version == subnet.version)
        return {**config, "ip_range": str(part.network), **_aux_addresses(part)}
    if subnet.gateway:
        config["gateway"] = str(subnet.gateway)
    if subnet.ip_range:
        config["ip_range"] = str(subnet.ip_range)
    return {**config, **_aux_addresses(subnet)}


def _aux_addresses(subnet: Subnet) -> dict[str, t.Any]:
    if not subnet.aux_addresses:
        return {}
    return {"aux_addresses": {name: str(address) for name, address in subnet.aux_addresses}}


def _sandboxes(host: FleetHost, planned: Planned, sandbox_networks: t.Mapping[str, LocalNames]) -> Document:
    """Return the host's sandboxes, with fixed addresses on overlay networks."""
    sandboxes = dict(host.sandboxes or {})
    for name, local_names in sandbox_networks.items():
        spec = dict(sandboxes[name] or {})
        spec["networks"] = _sandbox_networks(spec.get("networks"), (host.project, name), planned, local_names)
        sandboxes[name] = spec
    return sandboxes


def _sandbox_networks(declared: t.Any, sandbox: Key, planned: Planned, local_names: LocalNames) -> dict[str, t.Any]:
    """Return a sandbox's networks with their options. declared is a dictionary, a list, or None."""
    if declared is None:  # the sandbox joins the default network of its project, which is an overlay
        declared = list(local_names.values())
    networks = dict(declared) if is_mapping(declared) else dict.fromkeys(declared)
    for key, local_name in local_names.items():
        resolved = planned[key].resolved
        record = resolved.endpoints[sandbox]
        options = {**(networks[local_name] or {}), **_fixed_addresses(record)}
        if sandbox in resolved.explicit_macs:
            options["mac_address"] = record.mac_address
        networks[local_name] = options
    return networks


def _fixed_addresses(record: EndpointRecord) -> dict[str, str]:
    return {"ipv6_address" if ":" in address else "ipv4_address": address for address in record.addresses}


def _peer_sandbox(resolved: ResolvedNetwork, sandbox: Key, record: EndpointRecord) -> Document:
    """Return a sandbox as other hosts must know it."""
    ipv4_only = sandbox in resolved.ipv4_only
    row: Document = {"addresses": [address for address in record.addresses if not (ipv4_only and ":" in address)]}
    if record.mac_address:
        row["mac_address"] = record.mac_address
    if sandbox[0] != resolved.overlay.key[0]:
        row["project"] = sandbox[0]
    if record.aliases:
        row["aliases"] = list(record.aliases)
    if record.hostname:
        row["hostname"] = record.hostname
    return row
