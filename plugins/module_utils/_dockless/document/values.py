# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Readers of a network's own kinds of value: names, addresses, MACs, DNS names.

What passes here may stand in a path, a configuration file or an nft text.
"""

from __future__ import annotations

import ipaddress
import re
import typing as t

from ..errors import refuse
from ..model import addresses
from ..model.addresses import MAPPED
from ..model.dns_names import NAME_LIMIT, is_dns_name
from ..model.host import IPAddress, IPNetwork
from ..names import INTERFACE, INTERFACE_LIMIT, NAME, RESERVED_INTERFACES
from .readers import Reader, shown, text, wrong_type

_MAC = re.compile(r"[0-9a-f]{2}(?::[0-9a-f]{2}){5}\Z")
_HOST_INTERFACE = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.@-]{0,14}\Z")
_SYSCTL_PART = re.compile(r"[a-zA-Z0-9_.-]+\Z")
_OPTION = re.compile(r"[a-z0-9][a-z0-9-]*(?::[0-9]+)?\Z")
_NAME_RULE = "Use 1 to 63 letters, digits, dots, dashes and underscores, beginning with a letter or digit."


def name(value: t.Any, path: str, kind: str = "name") -> str:
    """Return a name of a project, network, sandbox or namespace: it may become a file name."""
    if isinstance(value, str) and NAME.match(value):
        return value
    if not isinstance(value, str):
        wrong_type(value, path, "text", "Put it in quotes.")
    if not NAME.match(value):
        refuse(path, f"{shown(value)} is not a {kind}", _NAME_RULE)
    return str(value)


def interface(value: t.Any, path: str) -> str:
    """Return an interface name that stands for exactly one link under /proc/sys/net."""
    value = text(value, path)
    if not INTERFACE.match(value):
        refuse(
            path,
            f"{shown(value)} is not an interface name",
            f"Use at most {INTERFACE_LIMIT} letters, digits, dashes and underscores.",
        )
    if value in RESERVED_INTERFACES:
        refuse(path, f"{value} is a reserved interface name", "Choose another name.")
    return value


def interface_of_host(value: t.Any, path: str) -> str:
    """Return the name of an interface that somebody else made: dots are allowed, as links on VLANs have them."""
    value = text(value, path)
    if not _HOST_INTERFACE.match(value):
        refuse(
            path,
            f"{shown(value)} is not an interface name",
            f"Use at most {INTERFACE_LIMIT} letters, digits, dots, dashes and underscores.",
        )
    if value in RESERVED_INTERFACES:
        refuse(path, f"{value} is not one interface of this host that packets come in by", "Name one, like eth0.")
    return value


def domain(value: t.Any, path: str) -> str:
    """Return a DNS name (RFC 1123; underscores too, as service names have them), without the final dot."""
    value = text(value, path)
    name_without_dot = value[:-1] if value.endswith(".") else value
    if len(value) > NAME_LIMIT or not is_dns_name(name_without_dot):
        refuse(
            path,
            f"{shown(value)} is not a DNS name",
            "Use labels of 1 to 63 letters, digits, dashes and underscores, joined by dots.",
        )
    return name_without_dot


def search_domain(value: t.Any, path: str) -> str:
    """Return a search domain; "." means none, as in resolv.conf(5)."""
    return "." if value == "." else domain(value, path)


def resolver_option(value: t.Any, path: str) -> str:
    """Return one option of resolv.conf(5): ndots:2, use-vc."""
    value = text(value, path)
    if not _OPTION.match(value):
        refuse(path, f"{shown(value)} is not an option of resolv.conf", "Write it like ndots:2 or use-vc.")
    return value


def mac(value: t.Any, path: str) -> str:
    """Return a unicast MAC address in lower case with colons."""
    value = text(value, path).lower().replace("-", ":")
    if not _MAC.match(value):
        refuse(path, f"{shown(value)} is not a MAC address", "Write it like 02:42:ac:11:00:02.")
    if int(value[:2], 16) & 1 or value == "00:00:00:00:00:00":
        refuse(
            path, f"{value} is not the MAC address of one interface", "Use a unicast address, like 02:42:ac:11:00:02."
        )
    return value


def address(value: t.Any, path: str) -> IPAddress:
    """Return an IP address of either family; IPv4-mapped ones are refused, for they are neither."""
    found = addresses.parse_address(text(value, path))
    if found is None or (found.version == 6 and found in MAPPED):
        refuse(path, f"{shown(value)} is not an IP address", "Write it like 172.20.0.5 or fd00:20::5.")
    return found


def address_of(version: int) -> Reader:
    """Return a reader of addresses of one family."""

    def reader(value: t.Any, path: str) -> IPAddress:
        found = addresses.parse_address(text(value, path))
        if found is None or found.version != version or (version == 6 and found in MAPPED):
            sample = "172.20.0.5" if version == 4 else "fd00:20::5"
            refuse(path, f"{shown(value)} is not an IPv{version} address", f"Write it like {sample}.")
        return found

    return reader


def network(value: t.Any, path: str) -> IPNetwork:
    """Return a network in CIDR notation whose host bits are zero."""
    value = text(value, path)
    try:
        if "/" not in value or "%" in value:
            raise ValueError
        found = ipaddress.ip_network(value, strict=False)
    except ValueError:
        refuse(path, f"{shown(value)} is not a network", "Write it with its prefix length, like 172.20.0.0/16.")
    if ipaddress.ip_address(value.partition("/")[0]) != found.network_address:
        refuse(path, f"{shown(value)} has host bits set", f"Write {found}.")
    return found


def with_prefix(value: t.Any, path: str) -> tuple[IPAddress, int]:
    """Return an address and its prefix length."""
    value = text(value, path)
    try:
        if "/" not in value or "%" in value:
            raise ValueError
        found = ipaddress.ip_interface(value)
    except ValueError:
        refuse(path, f"{shown(value)} is not an address with a prefix length", "Write it like 10.0.0.1/24.")
    return found.ip, found.network.prefixlen


def cidr(value: t.Any, path: str) -> str:
    """Return an interface's address as CIDR text, in its canonical form."""
    found, length = with_prefix(value, path)
    return f"{found}/{length}"


def is_sysctl(part: str) -> bool:
    """Return whether the text is one component of a sysctl's name, and no way out of its directory."""
    return bool(_SYSCTL_PART.match(part)) and part not in (".", "..")


def net_sysctl(value: t.Any, path: str) -> str:
    """Return the name of a network sysctl with slashes, from either form of sysctl(8)."""
    value = written = text(value, path)
    dot, slash = value.find("."), value.find("/")
    if slash < 0 or 0 <= dot < slash:  # dots separate, and a slash stands for a dot within a name
        value = value.translate({ord("."): "/", ord("/"): "."})
    parts = value.split("/")
    if parts[0] != "net" or len(parts) < 3 or not all(map(is_sysctl, parts)):
        refuse(
            path,
            f"{shown(written)} is not a sysctl of a network namespace",
            "Give one that begins with net., like net.ipv4.ip_unprivileged_port_start.",
        )
    return value
