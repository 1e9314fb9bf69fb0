# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""What a host tells of itself before a fleet is planned: from its documents and facts to values that go into JSON.

parse_memory of fleet_ledger.py reads it on the controller.
"""

from __future__ import annotations

import typing as t

from ..allocate.leases import EndpointLease, Leases
from ..document.readers import is_list, is_mapping
from ..errors import DocklessError
from ..model.facts import Facts, UnderlayAddress
from .inventory import is_overlay
from .services import reported_services

Json = dict[str, t.Any]
Document = tuple[t.Mapping[str, t.Any], Leases]  # declaration and leases
_LINK_LOCAL = ("fe80:", "169.254.")


def host_report(documents: t.Mapping[str, Document], facts: Facts, vtep: str, peers: bool) -> Json:
    """Return what the host has: how it is reached, what it uses, and its overlay networks with its own sandboxes on them.

    documents are those of each project. peers adds what its documents say of
    other hosts, which is much on a wide network.
    """
    networks: Json = {}
    others: Json = {}
    taken = {str(route) for route in facts.routes}
    for project, (declaration, leases) in sorted(documents.items()):
        for name, subnets in leases.networks.items():
            spec = _part(declaration, "networks").get(name)
            if is_overlay(spec):
                networks[f"{project}/{name}"] = _network(spec)
                if peers and is_mapping(spec.get("peers")):
                    others[f"{project}/{name}"] = {
                        host: _peer(project, row) for host, row in spec["peers"].items() if is_mapping(row)
                    }
            else:
                taken.update(subnets)
    for project, (declaration, leases) in sorted(documents.items()):
        for sandbox, endpoints in leases.endpoints.items():
            for key, lease in endpoints.items():
                network = "/".join(key)
                if network in networks:
                    spec = _part(declaration, "sandboxes").get(sandbox)
                    networks[network]["endpoints"][f"{project}/{sandbox}"] = _endpoint(spec, network, lease)
    interfaces = {found.link: str(found.address) for found in reversed(facts.underlay)}
    return {
        **_underlay(facts, vtep),
        "interfaces": interfaces,
        "taken": sorted(taken),
        "networks": networks,
        "peers": others,
    }


def _part(declaration: t.Mapping[str, t.Any], kind: str) -> t.Mapping[str, t.Any]:
    found = declaration.get(kind)
    return found if is_mapping(found) else {}


def _underlay(facts: Facts, vtep: str) -> Json:
    """Return the VTEP address that is asked for, else the first of the way out; none where there is none."""
    found: UnderlayAddress | None = None
    for one in facts.underlay:
        if vtep in (str(one.address), one.link) or (not vtep and one.link == facts.uplink):
            found = one
            break
    if vtep and found is None:
        raise DocklessError(
            f"this host has no address {vtep}, nor a link of that name with an address",
            "Give an address of the underlay or the interface that has it.",
            "vtep",
        )
    return {"vtep": str(found.address), "mtu": found.mtu} if found else {"vtep": "", "mtu": facts.mtu}


def _network(spec: t.Mapping[str, t.Any]) -> Json:
    ipam = spec.get("ipam")
    rows = [row for row in (ipam.get("config") or () if is_mapping(ipam) else ()) if is_mapping(row)]
    found: Json = {
        "vni": spec.get("vni") or 0,
        "subnets": [row["subnet"] for row in rows if row.get("subnet")],
        "endpoints": {},
    }
    found["reserved"] = [
        address for row in rows for address in (row.get("gateway"), *_part(row, "aux_addresses").values()) if address
    ]
    services = reported_services(spec)
    if services:
        found["services"] = services
    if spec.get("mode") == "routed":
        found["slices"] = [row["ip_range"] for row in rows if row.get("ip_range")]
    return found


def _endpoint(spec: t.Any, network: str, lease: EndpointLease) -> Json:
    """Return a sandbox's addresses and names. Its network may have another name in an external project's document."""
    addresses = [cidr.partition("/")[0] for cidr in lease.addresses]
    found: Json = {"addresses": [address for address in addresses if not address.startswith(_LINK_LOCAL)]}
    spec = spec if is_mapping(spec) else {}
    networks = spec.get("networks")
    options = networks.get(network.partition("/")[2]) if is_mapping(networks) else None
    for name, value in (
        ("hostname", spec.get("hostname")),
        ("mac_address", (options or {}).get("mac_address")),
        ("aliases", (options or {}).get("aliases")),
    ):
        if value and (is_list(value) or isinstance(value, str)):
            found[name] = value
    return found


def _keys(row: t.Mapping[str, t.Any]) -> dict[str, str]:
    found = dict(_part(row, "public_keys"))
    return found or ({"a": row["public_key"]} if row.get("public_key") else {})


def _peer(project: str, row: t.Mapping[str, t.Any]) -> Json:
    found = {
        "vtep": row.get("vtep", ""),
        "public_keys": _keys(row),
        "endpoint": row.get("endpoint", ""),
        "endpoints": {},
    }
    if found["public_keys"]:  # then its VTEP address is one inside the tunnels
        found.update(vtep="", tunnel=row.get("vtep", ""))
    for name, sandbox in _part(row, "sandboxes").items():
        sandbox = sandbox if is_mapping(sandbox) else {}
        kept = {key: sandbox[key] for key in ("addresses", "mac_address", "aliases", "hostname") if sandbox.get(key)}
        found["endpoints"][f"{sandbox.get('project') or project}/{name}"] = kept
    if row.get("subnets"):
        found["slices"] = row["subnets"]
    return found
