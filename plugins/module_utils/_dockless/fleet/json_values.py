# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Values that the ledger file and host reports share, as JSON has them. Readers raise READ_ERRORS for other JSON."""

from __future__ import annotations

import ipaddress
import typing as t

from .model import EndpointRecord, HostUnderlay, Key

Json = dict[str, t.Any]
# What readers raise for JSON of another shape.
READ_ERRORS = (KeyError, TypeError, ValueError, AttributeError)


def read_key(name: str) -> Key:
    """Return the key in "PROJECT/NAME"."""
    project, slash, own_name = name.partition("/")
    if not slash:
        raise ValueError(f"{name!r} is not PROJECT/NAME")
    return project, own_name


def key_text(key: Key) -> str:
    """Return "PROJECT/NAME"."""
    return "/".join(key)


def read_networks(texts: t.Iterable[str]) -> tuple[str, ...]:
    """Return IP networks in their canonical form."""
    return tuple(str(ipaddress.ip_network(text)) for text in texts)


def read_addresses(texts: t.Iterable[str]) -> tuple[str, ...]:
    """Return IP addresses in their canonical form."""
    return tuple([str(ipaddress.ip_address(text)) for text in texts])


def read_services(network: t.Mapping[str, t.Any]) -> dict[str, tuple[str, ...]]:
    """Return the virtual addresses of a network's services."""
    return {str(name): read_addresses(addresses) for name, addresses in network.get("services", {}).items()}


def read_endpoint(row: t.Mapping[str, t.Any], host: str) -> EndpointRecord:
    """Return the record of an endpoint on a host."""
    return EndpointRecord(
        host,
        read_addresses(row.get("addresses", ())),
        row.get("mac_address", ""),
        tuple(row.get("aliases", ())),
        row.get("hostname", ""),
    )


def set_fields(record: EndpointRecord | HostUnderlay) -> Json:
    """Return the fields that are not empty, by name."""
    return {field: value for field, value in record._asdict().items() if value}
