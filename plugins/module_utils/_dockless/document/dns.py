# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Parses name resolution options of networks and sandboxes: servers, search domains, extra hosts, records, links."""

from __future__ import annotations

import ipaddress
import typing as t

from ..errors import refuse
from ..model import addresses
from ..model.network import DnsRecord
from ..model.sandbox import LegacyLink
from . import values
from .readers import (
    choice,
    either,
    integer,
    is_list,
    is_mapping,
    list_of,
    one_or_list_of,
    read,
    shown,
    text,
    wrong_type,
)

HOST_GATEWAY = "host-gateway"  # Docker's placeholder for an address of the host
_LONGEST_TXT = 255  # bytes of one character-string (RFC 1035, section 3.3)
_SRV_NUMBER = integer(0, 65535)
read_forward = choice("host", "servers", "none")
DNS_OPTIONS = {
    "dns": one_or_list_of(values.address),  # upstream servers
    "dns_search": one_or_list_of(values.search_domain),  # search domains; "." for none
    "dns_opt": one_or_list_of(values.resolver_option),  # options of resolv.conf(5)
}


def _address_text(version: int) -> t.Callable[[t.Any, str], str]:
    read_address = values.address_of(version)
    return lambda value, path: str(read_address(value, path))


def _srv(value: str, path: str) -> str:
    """Return "PRIORITY WEIGHT PORT TARGET" (RFC 2782)."""
    parts = value.split()
    if len(parts) != 4:
        refuse(
            path,
            f"{shown(value)} is not a valid value of an SRV record",
            "Use priority, weight, port and target, as in 0 5 5060 sip.",
        )
    numbers = [str(_SRV_NUMBER(part, path)) for part in parts[:3]]
    return " ".join([*numbers, values.domain(parts[3], path)])


def _txt(value: str, path: str) -> str:
    if len(value.encode()) > _LONGEST_TXT:
        refuse(
            path,
            f"the text of a TXT record is longer than {_LONGEST_TXT} bytes",
            "Shorten it, or split it into two records.",
        )
    return value


# Record type -> reader of the record's value.
_RECORD_VALUES: dict[str, t.Callable[[t.Any, str], str]] = {
    "A": _address_text(4),
    "AAAA": _address_text(6),
    "CNAME": values.domain,
    "SRV": _srv,
    "TXT": _txt,
    "PTR": values.domain,
}


def _record_type(value: t.Any, path: str) -> str:
    record_type = text(value, path).upper()
    if record_type not in _RECORD_VALUES:
        refuse(path, f"the record type {shown(value)} is not supported", f"Use {either(list(_RECORD_VALUES))}.")
    return record_type


_RECORD_OPTIONS = {
    "name": text,  # owner name; of a PTR record also an address
    "type": _record_type,  # default A
    "value": text,
}


def _record(value: t.Any, path: str) -> DnsRecord:
    options = read(value, path, _RECORD_OPTIONS)
    for key in ("name", "value"):
        if key not in options:
            refuse(path, f"the DNS record has no {key}", "Set name, type and value.")
    record_type = options.get("type", "A")
    owner = options["name"]
    if record_type == "PTR" and addresses.is_address(owner):
        owner = ipaddress.ip_address(owner).reverse_pointer
    owner = values.domain(owner, path + ".name")
    return DnsRecord(owner, record_type, _RECORD_VALUES[record_type](options["value"], path + ".value"))


parse_records = list_of(_record)


def parse_extra_hosts(value: t.Any, path: str) -> tuple[tuple[str, str], ...]:
    """Return (name, address) pairs of Compose's extra_hosts.

    Accepts a list of "NAME:ADDRESS" or "NAME=ADDRESS", or a dictionary of an address or a list of addresses by name.
    IPv6 addresses may have brackets. The address "host-gateway" stands for an address of the host; it is returned as
    it is.
    """
    if is_mapping(value):
        entries = _entries_of_mapping(value, path)
    elif is_list(value):
        entries = [_split_host(item, f"{path}[{index}]") for index, item in enumerate(value)]
    else:
        wrong_type(value, path, "a dictionary or a list of NAME:ADDRESS")
    return tuple((values.domain(name, where), _host_address(address, where)) for name, address, where in entries)


def _entries_of_mapping(value: t.Mapping[t.Any, t.Any], path: str) -> list[tuple[t.Any, t.Any, str]]:
    """Return (name, address, option path) of each address."""
    entries = []
    for name, item in value.items():
        host_addresses = item if is_list(item) else (item,)
        entries += [(name, address, f"{path}.{name}") for address in host_addresses]
    return entries


def _split_host(value: t.Any, path: str) -> tuple[t.Any, t.Any, str]:
    """Return (name, address, option path)."""
    entry = text(value, path)
    separator = "=" if "=" in entry else ":"
    name, found, address = entry.partition(separator)
    if not found or not address:
        refuse(
            path,
            f"{shown(entry)} is not a valid host entry",
            "Use NAME:ADDRESS or NAME=ADDRESS, such as db.example:10.0.0.5.",
        )
    return name, address, path


def _host_address(value: t.Any, path: str) -> str:
    if value == HOST_GATEWAY:
        return HOST_GATEWAY
    in_brackets = isinstance(value, str) and value.startswith("[") and value.endswith("]")
    return str(values.address(value[1:-1] if in_brackets else value, path))


def parse_links(value: t.Any, path: str) -> tuple[LegacyLink, ...]:
    """Return legacy links from a list of "SANDBOX" or "SANDBOX:ALIAS" (Compose's links)."""
    if not is_list(value):
        wrong_type(value, path, "a list")
    return tuple(_link(item, f"{path}[{index}]") for index, item in enumerate(value))


def _link(value: t.Any, path: str) -> LegacyLink:
    sandbox, colon, alias = text(value, path).partition(":")
    return LegacyLink(values.name(sandbox, path, "sandbox name"), values.domain(alias or sandbox, path))
