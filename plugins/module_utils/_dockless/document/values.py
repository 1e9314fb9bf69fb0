# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Readers of networking values: names, interfaces, addresses, MAC addresses, DNS names, sysctls.

A value that passes a reader is safe to use in a path, a configuration file and nft's input.
"""

from __future__ import annotations

import ipaddress
import re
import typing as t

from ..errors import refuse
from ..model import addresses
from ..model.addresses import MAPPED, IPAddress, IPNetwork
from ..model.dns_names import NAME_LIMIT, is_dns_name
from ..names import INTERFACE, INTERFACE_LIMIT, NAME, RESERVED_INTERFACES
from .readers import Reader, integer, shown, text, wrong_type

_MAC = re.compile(r"[0-9a-f]{2}(?::[0-9a-f]{2}){5}\Z")
_HOST_INTERFACE = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.@-]{0,14}\Z")
_SYSCTL_PART = re.compile(r"[a-zA-Z0-9_.-]+\Z")
_RESOLVER_OPTION = re.compile(r"[a-z0-9][a-z0-9-]*(?::[0-9]+)?\Z")
_NAME_RULE = "Use 1 to 63 letters, digits, dots, dashes and underscores; start with a letter or digit."
_DNS_NAME_RULE = "Use labels of 1 to 63 letters, digits, dashes and underscores, separated by dots."
_EXAMPLE_ADDRESS = {4: "172.20.0.5", 6: "fd00:20::5"}

mtu = integer(68, 65535)  # bytes; 68 is IPv4's minimum (RFC 791)


def name(value: t.Any, path: str, kind: str = "name") -> str:
    """Return the name of a project, network, sandbox or namespace. dockless uses it as a file name.

    kind is what messages call it, such as "sandbox name".
    """
    if isinstance(value, str) and NAME.match(value):
        return value
    if not isinstance(value, str):
        wrong_type(value, path, "text", "Put it in quotes.")
    if not NAME.match(value):
        refuse(path, f"{shown(value)} is not a valid {kind}", _NAME_RULE)
    return str(value)


def interface(value: t.Any, path: str) -> str:
    """Return the name of an interface that dockless creates: one link and one directory below /proc/sys/net.

    Dots are refused, because sysctl(8) separates directories with them.
    """
    link = text(value, path)
    if not INTERFACE.match(link):
        refuse(
            path,
            f"{shown(link)} is not a valid interface name",
            f"Use at most {INTERFACE_LIMIT} letters, digits, dashes and underscores.",
        )
    if link in RESERVED_INTERFACES:
        refuse(path, f"the interface name {link} is reserved", "Choose another name.")
    return link


def is_host_interface(link: str) -> bool:
    """Return whether text can be the name of an interface that already exists on the host, such as eth0.60."""
    return _HOST_INTERFACE.match(link) is not None and link not in RESERVED_INTERFACES


def host_interface(value: t.Any, path: str) -> str:
    """Return the name of an interface that exists on the host. Dots are allowed: VLAN links have them (eth0.60)."""
    link = text(value, path)
    if not _HOST_INTERFACE.match(link):
        refuse(
            path,
            f"{shown(link)} is not a valid interface name",
            f"Use at most {INTERFACE_LIMIT} letters, digits, dots, dashes and underscores.",
        )
    if link in RESERVED_INTERFACES:
        refuse(
            path,
            f"{link} is not a network interface through which packets from outside enter this host",
            "Name one interface, such as eth0.",
        )
    return link


def domain(value: t.Any, path: str) -> str:
    """Return a DNS name without its final dot (RFC 1123; underscores are allowed, because service names have them)."""
    written = text(value, path)
    without_dot = written[:-1] if written.endswith(".") else written
    if len(written) > NAME_LIMIT or not is_dns_name(without_dot):
        refuse(path, f"{shown(written)} is not a valid DNS name", _DNS_NAME_RULE)
    return without_dot


def search_domain(value: t.Any, path: str) -> str:
    """Return a search domain; "." means no search domain, as in resolv.conf(5)."""
    return "." if value == "." else domain(value, path)


def resolver_option(value: t.Any, path: str) -> str:
    """Return one option of resolv.conf(5), such as ndots:2 or use-vc."""
    option = text(value, path)
    if not _RESOLVER_OPTION.match(option):
        refuse(path, f"{shown(option)} is not a valid resolv.conf option", "Use one such as ndots:2 or use-vc.")
    return option


def mac(value: t.Any, path: str) -> str:
    """Return a unicast MAC address in lower case, separated by colons. Dashes as separators are accepted."""
    address_text = text(value, path).lower().replace("-", ":")
    if not _MAC.match(address_text):
        refuse(path, f"{shown(address_text)} is not a valid MAC address", "Use one such as 02:42:ac:11:00:02.")
    is_group_address = int(address_text[:2], 16) & 1
    if is_group_address or address_text == "00:00:00:00:00:00":
        refuse(
            path,
            f"{address_text} is not a unicast MAC address",
            "Use a unicast address, such as 02:42:ac:11:00:02.",
        )
    return address_text


def address(value: t.Any, path: str) -> IPAddress:
    """Return an IPv4 or IPv6 address. IPv4-mapped IPv6 addresses are refused, because they belong to neither family."""
    found = addresses.parse_address(text(value, path))
    if found is None or (found.version == 6 and found in MAPPED):
        refuse(
            path,
            f"{shown(value)} is not a valid IP address",
            f"Use one such as {_EXAMPLE_ADDRESS[4]} or {_EXAMPLE_ADDRESS[6]}.",
        )
    return found


def address_of(version: int) -> Reader:
    """Return a reader of addresses of one family; version is 4 or 6."""

    def reader(value: t.Any, path: str) -> IPAddress:
        found = addresses.parse_address(text(value, path))
        if found is None or found.version != version or (version == 6 and found in MAPPED):
            refuse(
                path,
                f"{shown(value)} is not a valid IPv{version} address",
                f"Use one such as {_EXAMPLE_ADDRESS[version]}.",
            )
        return found

    return reader


def network(value: t.Any, path: str) -> IPNetwork:
    """Return a network in CIDR notation; its host bits must be zero."""
    written = text(value, path)
    try:
        if "/" not in written or "%" in written:
            raise ValueError
        found = ipaddress.ip_network(written, strict=False)
    except ValueError:
        refuse(
            path,
            f"{shown(written)} is not a valid network in CIDR notation",
            "Add the prefix length, as in 172.20.0.0/16.",
        )
    if ipaddress.ip_address(written.partition("/")[0]) != found.network_address:
        refuse(path, f"{shown(written)} has host bits set", f"Use {found}.")
    return found


def with_prefix(value: t.Any, path: str) -> tuple[IPAddress, int]:
    """Return an address and its prefix length, from CIDR notation."""
    written = text(value, path)
    try:
        if "/" not in written or "%" in written:
            raise ValueError
        found = ipaddress.ip_interface(written)
    except ValueError:
        refuse(
            path,
            f"{shown(written)} is not a valid address with a prefix length",
            "Use one such as 10.0.0.1/24.",
        )
    return found.ip, found.network.prefixlen


def cidr(value: t.Any, path: str) -> str:
    """Return an interface's address in CIDR notation, in canonical form."""
    found, length = with_prefix(value, path)
    return f"{found}/{length}"


def is_sysctl(part: str) -> bool:
    """Return whether text is one component of a sysctl's path and stays within its directory."""
    return bool(_SYSCTL_PART.match(part)) and part not in (".", "..")


def net_sysctl(value: t.Any, path: str) -> str:
    """Return the path of a sysctl of a network namespace below /proc/sys, from either form that sysctl(8) accepts.

    In the form with dots, a slash stands for a dot within a component (net.ipv4.conf.eth0/60.forwarding).
    """
    written = text(value, path)
    first_dot, first_slash = written.find("."), written.find("/")
    is_dotted = first_slash < 0 or 0 <= first_dot < first_slash
    key = written.translate({ord("."): "/", ord("/"): "."}) if is_dotted else written
    parts = key.split("/")
    if parts[0] != "net" or len(parts) < 3 or not all(map(is_sysctl, parts)):
        refuse(
            path,
            f"{shown(written)} is not a sysctl of a network namespace",
            "Use one that starts with net., such as net.ipv4.ip_unprivileged_port_start.",
        )
    return key
