# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Networks as network_info returns them, and the filters that select networks."""

from __future__ import annotations

import typing as t

from ..model.macvlan import Macvlan
from ..model.network import Network, Subnet
from ..model.overlay import Overlay, OverlayPeer
from ..model.sandbox import Endpoint
from .rows import Row

# Option values by name: name, driver, type, label.
Filters = t.Mapping[str, t.Any]


def network_row(network: Network, endpoints: t.Sequence[Endpoint]) -> Row:
    """Return one network with the endpoints on it. Drivers add keys of their own."""
    row: Row = {
        "project": network.project,
        "name": network.name,
        "driver": network.driver,
        "bridge_name": network.bridge_name,
        "scope": "fleet" if network.spans_hosts else "local",
        "internal": network.internal,
        "isolate": network.isolate,
        "icc": network.icc,
        "masquerade": network.masquerade,
        "mtu": network.mtu,
        "enable_ipv4": network.enable_ipv4,
        "enable_ipv6": network.enable_ipv6,
        "dns_enabled": network.dns_enabled,
        "labels": dict(network.labels),
    }
    if network.spans_hosts:
        row.update(_overlay(network, network.overlay_options))
    row.update(_gateway(network) if network.passes_host else _macvlan(network.macvlan_options))
    row["ipam"] = {"config": [_subnet(subnet) for subnet in network.subnets]}
    row["endpoints"] = {endpoint.sandbox: _endpoint(endpoint) for endpoint in endpoints}
    return row


def matches(network: Row, filters: Filters) -> bool:
    """Return whether a network's row passes all filters: name (a part of it), driver, type and label."""
    kind = "builtin" if network["project"] == "" else "custom"
    labels = filters.get("label") or []
    if isinstance(labels, str):
        labels = [labels]
    return (
        str(filters.get("name") or "") in network["name"]
        and filters.get("driver") in (None, network["driver"])
        and filters.get("type") in (None, kind)
        and all(_has_label(network["labels"], label) for label in labels)
    )


def _gateway(network: Network) -> Row:
    return {
        "egress": network.egress,
        "ingress": network.ingress,
        "gateway_mode_ipv4": network.gateway_mode_ipv4,
        "gateway_mode_ipv6": network.gateway_mode_ipv6,
        "trusted_host_interfaces": list(network.trusted),
        "port_security": network.port_security,
    }


def _macvlan(macvlan: Macvlan) -> Row:
    return {
        "parent": macvlan.parent,
        "mode": macvlan.mode,
        "host_access": [str(address) for address in macvlan.addresses],
    }


def _overlay(network: Network, overlay: Overlay) -> Row:
    return {
        "vni": overlay.vni,
        "mode": overlay.mode,
        "control_plane": overlay.control_plane,
        "vtep": overlay.vtep,
        "port": overlay.port,
        "encrypted": overlay.encrypted,
        "peers": {peer.name: _peer(peer) for peer in network.peers},
    }


def _peer(peer: OverlayPeer) -> Row:
    return {
        "vtep": str(peer.vtep),
        "subnets": [str(subnet) for subnet in peer.subnets],
        "sandboxes": {sandbox.name: [str(address) for address in sandbox.addresses] for sandbox in peer.sandboxes},
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


def _endpoint(endpoint: Endpoint) -> Row:
    return {
        "project": endpoint.project,
        "mac_address": endpoint.mac_address,
        "interface": endpoint.interface_name,
        "ipv4_address": _first_cidr(endpoint, 4),
        "ipv6_address": _first_cidr(endpoint, 6),
    }


def _first_cidr(endpoint: Endpoint, version: int) -> str:
    return next((cidr for cidr in endpoint.addresses if (":" in cidr) == (version == 6)), "")


def _has_label(labels: t.Mapping[str, str], wanted: str) -> bool:
    """Return whether a label KEY exists, or has the value of KEY=VALUE."""
    key, equals, value = wanted.partition("=")
    return key in labels and (not equals or labels[key] == value)
