# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Parses published and exposed ports, in the short and the long form of the Compose specification.

Short: [[HOST_IP:]HOST_PORT:]TARGET[/PROTOCOL], where ports may be ranges (8000-8005). HOST_IP and HOST_PORT may be
empty, as in Docker: all addresses, and a free port.
Long: a dictionary, see _LONG_FORM.
"""

from __future__ import annotations

import ipaddress
import re
import typing as t

from ..errors import refuse
from ..model import addresses
from ..model.addresses import LINK_LOCAL, IPAddress, IPNetwork
from ..model.sandbox import PortMapping
from . import values
from .readers import anything, choice, either, is_list, is_mapping, list_of, read, scalar, shown, text, wrong_type

PortRange = tuple[int, int]  # first and last port
ExposedPort = tuple[int, str]  # port and protocol
HIGHEST_PORT = 65535
_PROTOCOLS = ("tcp", "udp", "sctp")
_SHORT_FORM = re.compile(
    r"(?:(?:(?P<ip>\[[0-9a-fA-F:.%]*\]|[^:/\[\]]*):)?(?P<host>[0-9-]*):)?"
    r"(?P<target>[0-9-]+)(?:/(?P<protocol>[a-zA-Z]+))?\Z"
)
_RANGE = re.compile(r"(?P<first>[0-9]{1,5})(?:-(?P<last>[0-9]{1,5}))?\Z")
_MAPPING_FORMS = "Use 8080:80, 127.0.0.1:8080:80/tcp, [fd00::1]:8080:80 or 8000-8005:9000-9005, in quotes."
# Ports that Compose files name alone and without quotes. What else YAML can have made them of is nothing that anybody
# publishes: 80 is 1:20 in base 60 and 0120 in octal. 21 (0025), 1433 (23:53) and 1883 (31:23) are left out for that.
_LOW_UNQUOTED_PORTS = (22, 23, 25, 53, 80, 110, 143, 389, 443, 465, 587, 636, 993, 995, 3000, 3001)
_HIGH_UNQUOTED_PORTS = (
    3306,
    4000,
    5000,
    5173,
    5432,
    5672,
    6379,
    8000,
    8080,
    8081,
    8086,
    8443,
    8888,
    9000,
    9090,
    9092,
    9100,
    9200,
    11211,
    15672,
    27017,
)
_UNQUOTED_PORTS = frozenset(_LOW_UNQUOTED_PORTS + _HIGH_UNQUOTED_PORTS)
_EXPOSED_FORMS = "Use 80, 53/udp or 3000-3005."


class _Entry(t.NamedTuple):
    """One entry of ports before its ranges are expanded. published is None if dockless assigns a free host port."""

    host_ip: IPAddress | None
    published: PortRange | None
    target: PortRange
    protocol: str
    source_ranges: tuple[IPNetwork, ...] = ()


def _source_range(value: t.Any, path: str) -> IPNetwork:
    """Return a network in CIDR notation; an address alone is a network of one address."""
    if isinstance(value, str) and addresses.is_address(value):
        address = values.address(value, path)
        return addresses.network_of(address, address.max_prefixlen)
    return values.network(value, path)


_read_source_ranges = list_of(_source_range)


def _source_ranges(value: t.Any, path: str) -> tuple[IPNetwork, ...]:
    """Return the networks sorted, IPv4 first, without overlaps: the kernel refuses overlapping elements in a set."""
    networks = _read_source_ranges(value, path)
    if not networks:
        refuse(
            path,
            "an empty list allows no client to use the port",
            "List the networks of the clients, or remove source_ranges to allow all clients.",
        )
    merged: list[IPNetwork] = []
    for version in (4, 6):
        merged += ipaddress.collapse_addresses(network for network in networks if network.version == version)
    return tuple(merged)


_LONG_FORM = {
    "target": scalar,  # port in the sandbox, or a range; required
    "published": scalar,  # port of the host, or a range; by default, or with 0, dockless assigns a free one
    "host_ip": text,  # address of the host; default: all
    "protocol": choice(*_PROTOCOLS),  # default tcp
    "source_ranges": _source_ranges,  # networks or addresses of the clients that may use the port; default: all
    "mode": choice("host", "ingress"),  # accepted, no effect
    "name": anything,  # accepted, no effect
    "app_protocol": anything,  # accepted, no effect
}


def parse_ports(project: str, sandbox: str, value: t.Any, path: str) -> tuple[PortMapping, ...]:
    """Return the port mappings of a sandbox, one for each port of a range. path is the list's.

    value is a list of entries in the short form (also one of _UNQUOTED_PORTS as a number) or the long form. Raises
    DocklessError for two entries that map the same ports.
    """
    if not is_list(value):
        wrong_type(value, path, "a list")
    mappings: list[PortMapping] = []
    for index, entry in enumerate(value):
        mappings.extend(parse_port(project, sandbox, entry, f"{path}[{index}]"))
    if len(mappings) > 1:
        _refuse_repeated(mappings)
    return tuple(mappings)


def parse_port(project: str, sandbox: str, entry: t.Any, path: str) -> t.Iterator[PortMapping]:
    """Yield the port mappings of one entry. path is the entry's."""
    parsed = _parse_entry(entry, path)
    for target, host_port, host_port_end in _expand_ranges(parsed, path):
        yield PortMapping(
            project,
            sandbox,
            target,
            parsed.protocol,
            parsed.host_ip,
            host_port,
            host_port_end,
            path,
            parsed.source_ranges,
        )


def _expand_ranges(entry: _Entry, path: str) -> t.Iterator[tuple[int, int, int]]:
    """Yield target port, host port (0: any free one) and the end of the range to choose the host port from (or 0)."""
    first, last = entry.target
    if entry.published is None:
        for target in range(first, last + 1):
            yield target, 0, 0
        return
    low, high = entry.published
    if first == last and low != high:
        yield first, low, high
        return
    if high - low != last - first:
        refuse(
            path,
            f"{high - low + 1} host ports cannot be mapped to {last - first + 1} target ports",
            "Use ranges of the same length, or one target port.",
        )
    for offset in range(high - low + 1):
        yield first + offset, low + offset, 0


def parse_expose(value: t.Any, path: str) -> tuple[ExposedPort, ...]:
    """Return the ports that a sandbox exposes, each once, from Compose's expose: 80, "80", "53/udp", "3000-3005"."""
    if not is_list(value):
        wrong_type(value, path, "a list")
    exposed: dict[ExposedPort, None] = {}
    for index, entry in enumerate(value):
        exposed.update(dict.fromkeys(parse_exposed(entry, f"{path}[{index}]")))
    return tuple(exposed)


def parse_exposed(entry: t.Any, path: str) -> list[ExposedPort]:
    """Return the ports of one entry of expose. path is the entry's."""
    ports, slash, protocol = scalar(entry, path).partition("/")
    protocol = read_protocol(protocol or "tcp", path)
    first, last = _range(ports, path, _EXPOSED_FORMS)
    return [(port, protocol) for port in range(first, last + 1)]


def _parse_entry(entry: t.Any, path: str) -> _Entry:
    if isinstance(entry, str):
        return _parse_short_form(entry, path)
    if is_mapping(entry):
        return _parse_long_form(entry, path)
    if not isinstance(entry, int) or isinstance(entry, bool):
        wrong_type(entry, path, "a port as text or a dictionary")
    check_unquoted(entry, path)
    return _Entry(None, None, (entry, entry), "tcp")


def check_unquoted(number: int, path: str) -> None:
    """Raise DocklessError for a number that YAML 1.1 can have made of an unquoted 22:22 (base 60) or 0022 (octal).

    What was written is lost, and the wrong port would be published without notice: 22:22 is 1342, 0022 is 18.
    """
    if number in _UNQUOTED_PORTS:
        return
    written = f"{number // 60}:{number % 60:02}" if number >= 60 else f"0{number:o}"
    refuse(
        path,
        f"{number} is not in quotes, and YAML reads {written} without quotes as the same number",
        'Put the port in quotes, as in "80" or "22:22".',
    )


def _parse_short_form(entry: str, path: str) -> _Entry:
    match = _SHORT_FORM.match(entry)
    if match is None:
        _refuse_malformed(entry, path)
    ip, host, target, protocol = match.groups()
    return _Entry(
        host_ip(ip.strip("[]"), path) if ip else None,
        _range(host, path, _MAPPING_FORMS) if host else None,
        _range(target, path, _MAPPING_FORMS),
        read_protocol(protocol, path) if protocol else "tcp",
    )


def _refuse_malformed(entry: str, path: str) -> t.NoReturn:
    if entry.count(":") > 2 and "[" not in entry:
        refuse(
            path,
            f"{shown(entry)} contains an IPv6 address without brackets",
            "Use brackets, as in [fd00::1]:8080:80.",
        )
    refuse(path, f"{shown(entry)} is not a valid port mapping", _MAPPING_FORMS)


def _parse_long_form(entry: t.Mapping[str, t.Any], path: str) -> _Entry:
    options = read(entry, path, _LONG_FORM)
    if "target" not in options:
        refuse(path, "the port mapping has no target", "Set target to the port in the sandbox.")
    published = options.get("published", "")
    wants_free_port = published in ("", "0")
    return _Entry(
        host_ip(options["host_ip"].strip("[]"), path + ".host_ip") if "host_ip" in options else None,
        None if wants_free_port else _range(published, path + ".published", _MAPPING_FORMS),
        _range(options["target"], path + ".target", _MAPPING_FORMS),
        options.get("protocol", "tcp"),
        options.get("source_ranges", ()),
    )


def _range(value: str, path: str, forms: str) -> PortRange:
    match = _RANGE.match(value)
    if match is None:
        refuse(path, f"{shown(value)} is not a valid port or port range", forms)
    first = int(match["first"])
    last = int(match["last"] or first)
    if not 0 < first <= last <= HIGHEST_PORT:
        refuse(
            path,
            f"{value} is not a valid port range" if match["last"] else f"{first} is not a valid port",
            f"Use ports from 1 to {HIGHEST_PORT}, the lower port of a range first.",
        )
    return first, last


def read_protocol(value: str, path: str) -> str:
    """Return tcp, udp or sctp, from any case."""
    if value.lower() not in _PROTOCOLS:
        refuse(path, f"the protocol {shown(value)} is not supported", f"Use {either(_PROTOCOLS)}.")
    return value.lower()


def host_ip(value: t.Any, path: str) -> IPAddress:
    """Return an address of the host on which ports can be published.

    Raises DocklessError for IPv6 loopback and link-local addresses: the kernel does not translate packets that are
    sent to them (Docker serves them with its userland proxy), and for multicast addresses.
    """
    found = values.address(value, path)
    if found.version == 6 and (found.is_loopback or found in LINK_LOCAL):
        refuse(
            path,
            f"a port cannot be published on {found}, because the kernel does not translate IPv6 loopback and "
            "link-local destinations and dockless runs no proxy",
            "Publish on 127.0.0.1, or on a global or unique local IPv6 address of the host.",
        )
    if found.is_multicast:
        refuse(
            path,
            f"a port cannot be published on {found}, because it is a multicast address",
            "Use an address of the host.",
        )
    return found


def _refuse_repeated(mappings: t.Sequence[PortMapping]) -> None:
    paths: dict[tuple[t.Any, ...], str] = {}
    for port in mappings:
        key = (port.target_port, port.protocol, port.host_ip, port.host_port, port.host_port_end)
        if key in paths:
            refuse(port.path, f"{paths[key]} maps the same ports", "Remove one of the two.")
        paths[key] = port.path
