# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""A network as network_info returns it, and the filters that select networks."""

from __future__ import annotations

import typing as t

from ..model.host import Endpoint, Network, Overlay, Subnet
from .rows import Row


def network_row(network: Network, endpoints: t.Sequence[Endpoint]) -> Row:
    """Return one network as inspect() shows it."""
    return {
        "project": network.project,
        "name": network.name,
        "driver": network.driver,
        "bridge_name": network.bridge_name,
        "scope": "fleet" if network.overlay else "local",
        "internal": network.internal,
        "isolate": network.isolate,
        "icc": network.icc,
        "masquerade": network.masquerade,
        "mtu": network.mtu,
        "enable_ipv4": network.enable_ipv4,
        "enable_ipv6": network.enable_ipv6,
        "dns_enabled": network.dns_enabled,
        "labels": dict(network.labels),
        **(_overlay(network, network.overlay) if network.overlay else {}),
        **(_gateway(network) if network.passes_host else {}),
        **(
            {
                "parent": network.macvlan.parent,
                "mode": network.macvlan.mode,
                "host_access": [str(a) for a in network.macvlan.addresses],
            }
            if network.macvlan
            else {}
        ),
        "ipam": {"config": [_subnet(s) for s in network.subnets]},
        "endpoints": {
            e.sandbox: {
                "project": e.project,
                "mac_address": e.mac_address,
                "interface": e.interface_name,
                "ipv4_address": _cidr(e, 4),
                "ipv6_address": _cidr(e, 6),
            }
            for e in endpoints
        },
    }


def _gateway(network: Network) -> Row:
    return {
        "egress": network.egress,
        "ingress": network.ingress,
        "gateway_mode_ipv4": network.gateway_mode_ipv4,
        "gateway_mode_ipv6": network.gateway_mode_ipv6,
        "trusted_host_interfaces": list(network.trusted),
        "port_security": network.port_security,
    }


def _overlay(network: Network, overlay: Overlay) -> Row:
    return {
        "vni": overlay.vni,
        "mode": overlay.mode,
        "control_plane": overlay.control_plane,
        "vtep": overlay.vtep,
        "port": overlay.port,
        "encrypted": overlay.encrypted,
        "peers": {
            p.name: {
                "vtep": str(p.vtep),
                "subnets": [str(s) for s in p.subnets],
                "sandboxes": {s.name: [str(a) for a in s.addresses] for s in p.sandboxes},
            }
            for p in network.peers
        },
    }


def _subnet(subnet: Subnet) -> Row:
    row: Row = {"subnet": str(subnet.network)}
    if subnet.gateway is not None:
        row["gateway"] = str(subnet.gateway)
    if subnet.ip_range is not None:
        row["ip_range"] = str(subnet.ip_range)
    if subnet.aux_addresses:
        row["aux_addresses"] = {name: str(address) for name, address in subnet.aux_addresses}
    return row


def _cidr(endpoint: Endpoint, version: int) -> str:
    return next((c for c in endpoint.addresses if (":" in c) == (version == 6)), "")


def matches(network: Row, filters: t.Mapping[str, t.Any]) -> bool:
    """Return whether a network of inspect() passes the filters."""
    builtin = network["project"] == ""
    labels = [filters["label"]] if isinstance(filters.get("label"), str) else filters.get("label") or []
    return (
        str(filters.get("name") or "") in network["name"]
        and filters.get("driver") in (None, network["driver"])
        and filters.get("type") in (None, "builtin" if builtin else "custom")
        and all(_labelled(network["labels"], label) for label in labels)
    )


def _labelled(labels: t.Mapping[str, str], wanted: str) -> bool:
    key, equals, value = wanted.partition("=")
    return key in labels and (not equals or labels[key] == value)
