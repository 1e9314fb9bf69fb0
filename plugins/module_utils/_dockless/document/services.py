# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""A network's services: names over several sandboxes, with or without a virtual address."""

from __future__ import annotations

import re
import typing as t

from ..errors import refuse
from ..model.host import SERVICE_DNSRR, SERVICE_VIP, Backend, IPAddress, Service, ServicePort
from ..model.topology import TASKS
from . import values
from .ports import PROTOCOLS
from .readers import boolean, choice, integer, is_list, is_mapping, one_or_list_of, read, scalar, shown, wrong_type

WEIGHT_LIMIT = 256
_PORT = re.compile(r"(?:([0-9]{1,5}):)?([0-9]{1,5})(?:/([a-zA-Z]+))?\Z")
_FORMS = "Write it like 80, 53/udp or 8080:80 (the service's port before that of its sandboxes, in quotes)."


def _vips(value: t.Any, path: str) -> tuple[IPAddress, ...]:
    found: tuple[IPAddress, ...] = one_or_list_of(values.address)(value, path)
    for version in (4, 6):
        same = [address for address in found if address.version == version]
        if len(same) > 1:
            refuse(
                path,
                f"{same[0]} and {same[1]} are two addresses of one family",
                "Give one for IPv4 and one for IPv6 at most.",
            )
    return found


def _ports(value: t.Any, path: str) -> tuple[ServicePort, ...]:
    if not is_list(value):
        wrong_type(value, path, "a list")
    found: dict[tuple[int, str], ServicePort] = {}
    for index, entry in enumerate(value):
        port = _port(entry, f"{path}[{index}]")
        if found.setdefault((port.port, port.protocol), port) is not port:
            refuse(f"{path}[{index}]", f"the port {port.port}/{port.protocol} is there already", "List it once.")
    return tuple(found.values())


def _port(entry: t.Any, path: str) -> ServicePort:
    match = _PORT.match(scalar(entry, path))
    if match is None:
        refuse(path, f"{shown(entry)} is not a port of a service", _FORMS)
    target = int(match.group(2))
    port = int(match.group(1) or target)
    protocol = (match.group(3) or "tcp").lower()
    for number in (port, target):
        if not 0 < number < 65536:
            refuse(path, f"{number} is not a port", "Ports go from 1 to 65535.")
    if protocol not in PROTOCOLS:
        refuse(path, f"{shown(match.group(3))} is not a protocol with ports", "Choose tcp or udp or sctp.")
    return ServicePort(port, target, protocol)


_BACKEND = {"weight": integer(1, WEIGHT_LIMIT), "drain": boolean}


def _backends(value: t.Any, path: str) -> tuple[Backend, ...]:
    """Return the sandboxes from a dictionary of settings by name, or from a list of names."""
    if is_mapping(value):
        return tuple(
            Backend(_sandbox(name, path), **read(spec if spec is not None else {}, f"{path}.{name}", _BACKEND))
            for name, spec in value.items()
        )
    if not is_list(value):
        wrong_type(value, path, "a list or a dictionary of sandboxes")
    for index, name in enumerate(value):
        if name in value[:index]:
            refuse(f"{path}[{index}]", f"the sandbox {shown(name)} is listed twice", "List it once.")
    return tuple(Backend(_sandbox(name, f"{path}[{index}]")) for index, name in enumerate(value))


def _sandbox(name: t.Any, path: str) -> str:
    return values.name(name, path, "sandbox's name")


_KEYS = {
    "vip": _vips,
    "ports": _ports,
    "sandboxes": _backends,
    "sticky": boolean,
    "mode": choice(SERVICE_VIP, SERVICE_DNSRR),
}


def parse_services(value: t.Any, path: str) -> tuple[Service, ...]:
    """Return the services of a network by name.

    Of each: vip (an address, or one a family), ports (SERVICE_PORT[:TARGET][/PROTOCOL]), sandboxes
    (names, or a dictionary with weight and drain), sticky, and mode (vip or dnsrr).
    """
    if not is_mapping(value):
        wrong_type(value, path, "a dictionary of services by name")
    return tuple(_service(name, spec, path) for name, spec in value.items())


def _service(name: t.Any, spec: t.Any, path: str) -> Service:
    name = values.domain(name, path)
    path = f"{path}.{name}"
    if name.partition(".")[0].lower() == TASKS:
        refuse(
            path, f"names that begin with {TASKS} are those of the sandboxes behind a service", "Choose another name."
        )
    said = read(spec if spec is not None else {}, path, _KEYS)
    service = Service(
        name,
        said.get("mode", SERVICE_VIP),
        said.get("vip", ()),
        said.get("ports", ()),
        said.get("sandboxes"),
        said.get("sticky", False),
        path,
    )
    if service.mode == SERVICE_DNSRR:
        _refuse_without_address(service, said)
    return service


def _refuse_without_address(service: Service, said: t.Mapping[str, t.Any]) -> None:
    for key in ("vip", "ports", "sticky"):
        if said.get(key):
            refuse(
                f"{service.path}.{key}",
                "mode dnsrr has no virtual address to balance behind",
                f"Remove {key}, or use mode: vip.",
            )
    for backend in service.backends or ():
        if backend.weight != 1:
            refuse(
                f"{service.path}.sandboxes.{backend.sandbox}.weight",
                "mode dnsrr gives every sandbox the same part",
                "Remove weight, or use mode: vip.",
            )
