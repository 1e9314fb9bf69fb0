# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""What networks and sandboxes say about names: servers, search, extra hosts, records, links."""

from __future__ import annotations

import ipaddress
import typing as t

from ..errors import refuse
from ..model import addresses
from ..model.host import DnsRecord, LegacyLink
from . import values
from .readers import choice, integer, is_list, is_mapping, list_of, one_or_list_of, read, shown, text, wrong_type

HOST_GATEWAY = "host-gateway"
_KINDS = ("A", "AAAA", "CNAME", "SRV", "TXT", "PTR")
_PORT = integer(0, 65535)
FORWARD = choice("host", "servers", "none")
DNS = {
    "dns": one_or_list_of(values.address),
    "dns_search": one_or_list_of(values.search_domain),
    "dns_opt": one_or_list_of(values.resolver_option),
}


def _kind(value: t.Any, path: str) -> str:
    word = text(value, path).upper()
    if word not in _KINDS:
        refuse(path, f"{shown(value)} is not a type of record that can be served", "Choose " + ", ".join(_KINDS) + ".")
    return word


_RECORD = {"name": text, "type": _kind, "value": text}


def _record(value: t.Any, path: str) -> DnsRecord:
    said = read(value, path, _RECORD)
    for key in ("name", "value"):
        if key not in said:
            refuse(path, f"the DNS record has no {key}", "Give name, type and value.")
    kind, owner = said.get("type", "A"), said["name"]
    if kind == "PTR" and addresses.is_address(owner):
        owner = ipaddress.ip_address(owner).reverse_pointer
    return DnsRecord(values.domain(owner, path + ".name"), kind, _CHECKS[kind](said["value"], path + ".value"))


def _address_text(version: int) -> t.Callable[[t.Any, str], str]:
    reader = values.address_of(version)
    return lambda value, path: str(reader(value, path))


def _srv(value: str, path: str) -> str:
    """Return "priority weight port target" (RFC 2782)."""
    parts = value.split()
    if len(parts) != 4:
        refuse(
            path,
            f"{shown(value)} is not the value of an SRV record",
            "Write priority, weight, port and target: 0 5 5060 sip.",
        )
    numbers = [str(_PORT(part, path)) for part in parts[:3]]
    return " ".join(numbers + [values.domain(parts[3], path)])


def _txt(value: str, path: str) -> str:
    if len(value.encode()) > 255:
        refuse(path, "the text of a TXT record is longer than 255 bytes", "Shorten it, or split it over two records.")
    return value


_CHECKS: dict[str, t.Callable[[t.Any, str], str]] = {
    "A": _address_text(4),
    "AAAA": _address_text(6),
    "CNAME": values.domain,
    "PTR": values.domain,
    "SRV": _srv,
    "TXT": _txt,
}
parse_records = list_of(_record)


def parse_extra_hosts(value: t.Any, path: str) -> tuple[tuple[str, str], ...]:
    """Return (name, address) of a list of "name:address" or "name=address", or of a dictionary.

    A dictionary's value may be a list of addresses. "host-gateway" stands for
    an address of the host and is kept.
    """
    if is_mapping(value):
        found = [
            (key, one, f"{path}.{key}") for key, item in value.items() for one in (item if is_list(item) else (item,))
        ]
    elif is_list(value):
        found = [_split_host(item, f"{path}[{index}]") for index, item in enumerate(value)]
    else:
        wrong_type(value, path, "a dictionary or a list of name:address")
    return tuple((values.domain(name, where), _host_address(address, where)) for name, address, where in found)


def _split_host(value: t.Any, path: str) -> tuple[str, str, str]:
    value = text(value, path)
    separator = "=" if "=" in value else ":"
    name, found, address = value.partition(separator)
    if not found or not address:
        refuse(path, f"{shown(value)} is not a host entry", "Write it like db.example:10.0.0.5 or db.example=10.0.0.5.")
    return name, address, path


def _host_address(value: t.Any, path: str) -> str:
    if value == HOST_GATEWAY:
        return HOST_GATEWAY
    bare = value[1:-1] if isinstance(value, str) and value[:1] == "[" and value[-1:] == "]" else value
    return str(values.address(bare, path))


def parse_links(value: t.Any, path: str) -> tuple[LegacyLink, ...]:
    """Return legacy links of a list of "sandbox" or "sandbox:alias"."""
    if not is_list(value):
        wrong_type(value, path, "a list")
    return tuple(_link(item, f"{path}[{index}]") for index, item in enumerate(value))


def _link(value: t.Any, path: str) -> LegacyLink:
    sandbox, colon, alias = text(value, path).partition(":")
    return LegacyLink(values.name(sandbox, path, "sandbox's name"), values.domain(alias or sandbox, path))
