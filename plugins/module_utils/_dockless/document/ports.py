# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Published and exposed ports, in Compose's short and long forms.

Short: [[HOST_IP:]HOST_PORT:]TARGET[/PROTOCOL], where ports may be ranges.
Long: a dictionary of target, published, host_ip, protocol, source_ranges (who may
use it), and of mode, name and app_protocol, which have no effect here.
"""

from __future__ import annotations

import ipaddress
import re
import typing as t

from ..errors import refuse
from ..model import addresses
from ..model.addresses import LINK_LOCAL
from ..model.host import IPAddress, IPNetwork, PortMapping
from . import values
from .readers import anything, choice, is_list, is_mapping, list_of, read, scalar, shown, text, wrong_type

Range = tuple[int, int]
Exposed = tuple[int, str]
PROTOCOLS = ("tcp", "udp", "sctp")
_SHORT = re.compile(
    r"(?:(?:(?P<ip>\[[0-9a-fA-F:.%]*\]|[^:/\[\]]*):)?(?P<host>[0-9-]*):)?(?P<target>[0-9-]+)(?:/(?P<protocol>[a-zA-Z]+))?\Z"
)
_RANGE = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?\Z")
_FORMS = "Write it like 8080:80, 127.0.0.1:8080:80/tcp, [fd00::1]:8080:80 or 8000-8005:9000-9005 (in quotes)."
_EXPOSED = "Write it like 80, 53/udp or 3000-3005."


def _source(value: t.Any, path: str) -> IPNetwork:
    """Return a network of clients, also from one address."""
    if isinstance(value, str) and addresses.is_address(value):
        return addresses.network_of(values.address(value, path), 32 if "." in value else 128)
    return values.network(value, path)


def _sources(value: t.Any, path: str) -> tuple[IPNetwork, ...]:
    """Return networks of clients in order, none within another: the kernel takes no elements that overlap."""
    said = _SOURCES(value, path)
    if not said:
        refuse(path, "an empty list would let nobody in", "Name who may use the port, or remove it for everybody.")
    found = (ipaddress.collapse_addresses(one for one in said if one.version == version) for version in (4, 6))
    return tuple(network for part in found for network in part)


_SOURCES = list_of(_source)
_LONG = {
    "source_ranges": _sources,
    "target": scalar,
    "published": scalar,
    "host_ip": text,
    "protocol": choice(*PROTOCOLS),
    "mode": choice("host", "ingress"),
    "name": anything,
    "app_protocol": anything,
}


class _Port(t.NamedTuple):
    """One entry, ranges not yet spread. published None asks for a free port."""

    host_ip: IPAddress | None
    published: Range | None
    target: Range
    protocol: str
    source_ranges: tuple[IPNetwork, ...] = ()


def parse_ports(project: str, sandbox: str, value: t.Any, path: str) -> tuple[PortMapping, ...]:
    """Return the mappings of a sandbox, ranges spread to one each. path is that of the list."""
    if not is_list(value):
        wrong_type(value, path, "a list")
    found: list[PortMapping] = []
    for index, entry in enumerate(value):
        found.extend(_spread(project, sandbox, entry, f"{path}[{index}]"))
    if len(found) > 1:
        _refuse_repeated(found)
    return tuple(found)


def parse_expose(value: t.Any, path: str) -> tuple[Exposed, ...]:
    """Return the ports that a sandbox exposes, each once, from 80, "80", "53/udp" and "3000-3005"."""
    if not is_list(value):
        wrong_type(value, path, "a list")
    found: dict[Exposed, None] = {}
    for index, entry in enumerate(value):
        where = f"{path}[{index}]"
        ports, slash, protocol = scalar(entry, where).partition("/")
        protocol = _protocol(protocol or "tcp", where)
        first, last = _range(ports, where, _EXPOSED)
        found.update(((port, protocol), None) for port in range(first, last + 1))
    return tuple(found)


def _spread(project: str, sandbox: str, entry: t.Any, path: str) -> t.Iterator[PortMapping]:
    port = _entry(entry, path)
    first, last = port.target
    if port.published is None:
        for target in range(first, last + 1):
            yield PortMapping(project, sandbox, target, port.protocol, port.host_ip, 0, 0, path, port.source_ranges)
        return
    low, high = port.published
    if first == last and low != high:
        yield PortMapping(project, sandbox, first, port.protocol, port.host_ip, low, high, path, port.source_ranges)
        return
    if high - low != last - first:
        refuse(
            path,
            f"{high - low + 1} host ports cannot be mapped to {last - first + 1} target ports",
            "Give ranges of the same length, or one target port.",
        )
    for offset in range(high - low + 1):
        yield PortMapping(
            project, sandbox, first + offset, port.protocol, port.host_ip, low + offset, 0, path, port.source_ranges
        )


def _entry(entry: t.Any, path: str) -> _Port:
    if isinstance(entry, str):
        return _short(entry, path)
    if is_mapping(entry):
        return _long(entry, path)
    if isinstance(entry, int) and not isinstance(entry, bool):
        if not 0 < entry < 65536:
            refuse(
                path, f"{entry} is not a port", "Quote ports: YAML reads an unquoted 22:22 as one number in base 60."
            )
        return _Port(None, None, (entry, entry), "tcp")
    wrong_type(entry, path, "a port as text or a dictionary")


def _short(entry: str, path: str) -> _Port:
    match = _SHORT.match(entry)
    if match is None:
        _malformed(entry, path)
    ip, host, target, protocol = match.groups()
    if host == "" and not ip:
        refuse(path, f"{shown(entry)} has an empty host port", f"Write {target} for a free one.")
    if ip == "":
        refuse(path, f"{shown(entry)} has an empty host address", f"Write {host}:{target} for all addresses.")
    return _Port(
        host_ip(ip.strip("[]"), path) if ip else None,
        _range(host, path) if host else None,
        _range(target, path),
        _protocol(protocol, path) if protocol else "tcp",
    )


def _malformed(entry: str, path: str) -> t.NoReturn:
    if entry.count(":") > 2 and "[" not in entry:
        refuse(path, f"{shown(entry)} has an IPv6 address without brackets", "Write it like [fd00::1]:8080:80.")
    refuse(path, f"{shown(entry)} is not a port mapping", _FORMS)


def _long(entry: t.Mapping[str, t.Any], path: str) -> _Port:
    said = read(entry, path, _LONG)
    if "target" not in said:
        refuse(path, "the port mapping has no target", "Give target, the port inside the sandbox.")
    published = said.get("published", "")
    return _Port(
        host_ip(said["host_ip"].strip("[]"), path + ".host_ip") if "host_ip" in said else None,
        _range(published, path + ".published") if published not in ("", "0") else None,
        _range(said["target"], path + ".target"),
        said.get("protocol", "tcp"),
        said.get("source_ranges", ()),
    )


def _range(value: str, path: str, forms: str = _FORMS) -> Range:
    match = _RANGE.match(value)
    if match is None:
        refuse(path, f"{shown(value)} is not a port or a range of ports", forms)
    first = int(match.group(1))
    last = int(match.group(2) or first)
    if not 0 < first <= last < 65536:
        refuse(
            path,
            f"{value} is not a range of ports" if match.group(2) else f"{first} is not a port",
            "Ports go from 1 to 65535, and a range from its lower to its higher port.",
        )
    return first, last


def _protocol(value: str, path: str) -> str:
    if value.lower() not in PROTOCOLS:
        refuse(path, f"{shown(value)} is not a protocol with ports", "Choose tcp or udp or sctp.")
    return value.lower()


def host_ip(value: t.Any, path: str) -> IPAddress:
    """Return a host address to publish on. Those that address translation cannot serve are refused."""
    found = values.address(value, path)
    if found.version == 6 and (found.is_loopback or found in LINK_LOCAL):
        refuse(
            path,
            f"a port cannot be published on {found}: no proxy runs here, and the kernel does not "
            "translate IPv6 loopback and link-local destinations",
            "Publish on 127.0.0.1, or on a global or unique local IPv6 address of the host.",
        )
    if found.is_multicast:
        refuse(path, f"a port cannot be published on {found}, a multicast address", "Give an address of the host.")
    return found


def _refuse_repeated(found: t.Sequence[PortMapping]) -> None:
    seen: dict[tuple[t.Any, ...], str] = {}
    for port in found:
        key = port.target_port, port.protocol, port.host_ip, port.host_port, port.host_port_end
        if key in seen:
            refuse(port.path, f"the port mapping is there already, at {seen[key]}", "Remove one of them.")
        seen[key] = port.path
