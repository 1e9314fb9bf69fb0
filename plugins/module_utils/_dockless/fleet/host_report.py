# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Host reports, as JSON: a host writes one before a fleet is planned, and the controller reads it.

The writer is host_report(), which the module overlay_member calls. The reader is parse_host_report(), which the action
plugin fleet_plan calls. This is the format, in which everything but vtep and mtu may be missing or empty:

    vtep: 192.0.2.11                 # "" if unknown
    mtu: 1500
    public_keys: {a: KEY}            # by tunnel; the module overlay_member adds it
    interfaces: {eth0: 192.0.2.11}
    taken: [192.0.2.0/24]            # HostReport.used_subnets
    networks:                        # the host's own, HostReport.networks
      PROJECT/NETWORK:
        vni: 256
        subnets: [10.60.0.0/16]
        reserved: [10.60.0.1]
        services: {NAME: [ADDRESS]}
        slices: [10.60.1.0/24]       # mode routed
        endpoints:
          PROJECT/SANDBOX: {addresses: [10.60.0.2], mac_address: MAC, aliases: [NAME], hostname: NAME}
    peers:                           # HostReport.remote and HostReport.peers
      PROJECT/NETWORK:
        HOST: {vtep: …, tunnel: …, public_keys: …, endpoint: …, slices: …, endpoints: …}
"""

from __future__ import annotations

import typing as t

from ..allocate.leases import EndpointLease, Leases
from ..document.readers import is_list, is_mapping
from ..errors import DocklessError
from ..model.facts import Facts
from .inventory import is_overlay
from .json_values import (
    READ_ERRORS,
    Json,
    key_text,
    read_addresses,
    read_endpoint,
    read_key,
    read_networks,
    read_services,
)
from .model import HostReport, HostUnderlay, Key, PriorNetwork
from .services import declared_addresses

Document = tuple[t.Mapping[str, t.Any], Leases]  # declaration and leases
_LINK_LOCAL = ("fe80:", "169.254.")
_ENDPOINT_FIELDS = ("addresses", "mac_address", "aliases", "hostname")

# ---- written on the host -----------------------------------------------------


def host_report(documents: t.Mapping[str, Document], facts: Facts, vtep: str, peers: bool) -> Json:
    """Return the report of this host. Raises DocklessError if it does not have the VTEP address or interface.

    documents are those of each project on the host. peers adds what they say of other hosts, which is large on a
    network of many hosts.
    """
    networks: Json = {}
    remote: Json = {}
    used_subnets = {str(route) for route in facts.routes}
    for project, (declaration, leases) in sorted(documents.items()):
        specs = _mapping_in(declaration, "networks")
        for name, subnets in leases.networks.items():
            spec = specs.get(name)
            if not is_overlay(spec):
                used_subnets.update(subnets)
                continue
            networks[f"{project}/{name}"] = _network_row(spec)
            if peers and is_mapping(spec.get("peers")):
                remote[f"{project}/{name}"] = _peer_rows(project, spec["peers"])
    _add_endpoints(networks, documents)
    return {
        **_underlay_row(facts, vtep),
        # The first address of a link counts: it is set last.
        "interfaces": {found.link: str(found.address) for found in reversed(facts.underlay)},
        "taken": sorted(used_subnets),
        "networks": networks,
        "peers": remote,
    }


def _mapping_in(parent: t.Mapping[str, t.Any], key: str) -> t.Mapping[str, t.Any]:
    value = parent.get(key)
    return value if is_mapping(value) else {}


def _underlay_row(facts: Facts, vtep: str) -> Json:
    """Return the VTEP address and the MTU of its link.

    vtep is an address of this host or one of its interfaces; "" chooses the first address of the uplink.
    """
    for found in facts.underlay:
        is_chosen = vtep in (str(found.address), found.link) if vtep else found.link == facts.uplink
        if is_chosen:
            return {"vtep": str(found.address), "mtu": found.mtu}
    if vtep:
        raise DocklessError(
            f"this host has no address {vtep} and no interface of that name with an address",
            "Set an address of the underlay, or the interface that has it.",
            "vtep",
        )
    return {"vtep": "", "mtu": facts.mtu}


def _network_row(spec: t.Mapping[str, t.Any]) -> Json:
    """Return an overlay network as its declaration on this host has it, still without endpoints."""
    configs = _mapping_in(spec, "ipam").get("config") or ()
    configs = [config for config in configs if is_mapping(config)]
    row: Json = {
        "vni": spec.get("vni") or 0,
        "subnets": [config["subnet"] for config in configs if config.get("subnet")],
        "reserved": [address for config in configs for address in _reserved_addresses(config)],
        "endpoints": {},
    }
    services = declared_addresses(spec)
    if services:
        row["services"] = services
    if spec.get("mode") == "routed":
        row["slices"] = [config["ip_range"] for config in configs if config.get("ip_range")]
    return row


def _reserved_addresses(config: t.Mapping[str, t.Any]) -> list[str]:
    addresses = [config.get("gateway"), *_mapping_in(config, "aux_addresses").values()]
    return [address for address in addresses if address]


def _add_endpoints(networks: Json, documents: t.Mapping[str, Document]) -> None:
    """Add the host's sandboxes to its overlay networks, whichever project they belong to."""
    for project, (declaration, leases) in sorted(documents.items()):
        sandboxes = _mapping_in(declaration, "sandboxes")
        for sandbox, endpoints in leases.endpoints.items():
            for key, lease in endpoints.items():
                network = networks.get(key_text(key))
                if network is not None:
                    row = _endpoint_row(sandboxes.get(sandbox), key[1], lease)
                    network["endpoints"][f"{project}/{sandbox}"] = row


def _endpoint_row(sandbox: t.Any, network: str, lease: EndpointLease) -> Json:
    """Return a sandbox's addresses on a network, and its names.

    Options of an external network under another name in the sandbox's document are not found, so they are left out.
    """
    addresses = [cidr.partition("/")[0] for cidr in lease.addresses]
    row: Json = {"addresses": [address for address in addresses if not address.startswith(_LINK_LOCAL)]}
    spec = sandbox if is_mapping(sandbox) else {}
    options = _mapping_in(spec, "networks").get(network) or {}
    declared = {
        "hostname": spec.get("hostname"),
        "mac_address": options.get("mac_address"),
        "aliases": options.get("aliases"),
    }
    for name, value in declared.items():
        if value and (is_list(value) or isinstance(value, str)):
            row[name] = value
    return row


def _peer_rows(project: str, peers: t.Mapping[str, t.Any]) -> Json:
    return {host: _peer_row(project, peer) for host, peer in peers.items() if is_mapping(peer)}


def _peer_row(project: str, peer: t.Mapping[str, t.Any]) -> Json:
    """Return what a network's declaration says of another host. peer has the format of host_documents.peer_table()."""
    public_keys = _mapping_in(peer, "public_keys")
    if not public_keys and peer.get("public_key"):
        public_keys = {"a": peer["public_key"]}
    vtep = peer.get("vtep", "")
    row: Json = {
        "vtep": vtep,
        "public_keys": dict(public_keys),
        "endpoint": peer.get("endpoint", ""),
        "endpoints": {},
    }
    if public_keys:  # on an encrypted network the VTEP address is one inside the tunnels
        row.update(vtep="", tunnel=vtep)
    for name, value in _mapping_in(peer, "sandboxes").items():
        sandbox = value if is_mapping(value) else {}
        owner = sandbox.get("project") or project
        row["endpoints"][f"{owner}/{name}"] = {
            field: sandbox[field] for field in _ENDPOINT_FIELDS if sandbox.get(field)
        }
    if peer.get("subnets"):
        row["slices"] = peer["subnets"]
    return row


# ---- read on the controller --------------------------------------------------


def parse_host_report(report: t.Any, host: str) -> HostReport:
    """Return the report of a host, whose name in the inventory is host. Raises DocklessError if it is no report."""
    try:
        remote: dict[Key, PriorNetwork] = {}
        peers: dict[str, HostUnderlay] = {}
        for name, rows in report.get("peers", {}).items():
            remote[read_key(name)] = _read_remote(rows)
            peers.update((peer, _read_underlay(row)) for peer, row in rows.items())
        return HostReport(
            underlay=_read_underlay(report),
            interfaces=dict(report.get("interfaces", {})),
            used_subnets=read_networks(report.get("taken", ())),
            networks={read_key(name): _read_own(row, host) for name, row in report.get("networks", {}).items()},
            remote=remote,
            peers=peers,
        )
    except READ_ERRORS as error:
        raise DocklessError(
            f"the report of host {host} cannot be read: {error}",
            "Pass what the module dockless.network.overlay_member returned as memory.",
        ) from None


def _read_underlay(row: t.Mapping[str, t.Any]) -> HostUnderlay:
    return HostUnderlay(**{field: row[field] for field in HostUnderlay._fields if row.get(field)})


def _read_own(row: t.Mapping[str, t.Any], host: str) -> PriorNetwork:
    """Return one of the host's own networks."""
    slices = read_networks(row.get("slices", ()))
    return PriorNetwork(
        vni=int(row.get("vni", 0)),
        subnets=read_networks(row.get("subnets", ())),
        members=(host,),
        slices={host: slices} if slices else {},
        endpoints={read_key(name): read_endpoint(one, host) for name, one in row.get("endpoints", {}).items()},
        reserved=read_addresses(row.get("reserved", ())),
        services=read_services(row),
    )


def _read_remote(rows: t.Mapping[str, t.Any]) -> PriorNetwork:
    """Return what a host knows of the other hosts on one network."""
    endpoints, slices = {}, {}
    for peer, row in rows.items():
        for name, endpoint in row.get("endpoints", {}).items():
            endpoints[read_key(name)] = read_endpoint(endpoint, peer)
        if row.get("slices"):
            slices[peer] = read_networks(row["slices"])
    return PriorNetwork(members=tuple(sorted(rows)), slices=slices, endpoints=endpoints)
