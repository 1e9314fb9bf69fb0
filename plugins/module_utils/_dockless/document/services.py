# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Parses a network's option services: names that stand for several sandboxes, with or without a virtual address."""

from __future__ import annotations

import re
import typing as t

from ..errors import refuse
from ..model.addresses import IPAddress
from ..model.network import SERVICE_DNSRR, SERVICE_VIP, Backend, Service, ServicePort
from ..model.topology import TASKS
from . import values
from .ports import HIGHEST_PORT, check_unquoted, read_protocol
from .readers import boolean, choice, integer, is_list, is_mapping, one_or_list_of, read, scalar, shown, wrong_type

HIGHEST_WEIGHT = 256
_PORT = re.compile(r"(?:(?P<port>[0-9]{1,5}):)?(?P<target>[0-9]{1,5})(?:/(?P<protocol>[a-zA-Z]+))?\Z")
_PORT_FORMS = "Use a form such as 80, 53/udp or 8080:80 (the service's port, then the sandboxes' port), in quotes."
_read_addresses = one_or_list_of(values.address)
_BACKEND_OPTIONS = {
    "weight": integer(1, HIGHEST_WEIGHT),  # share of new connections relative to the other sandboxes; default 1
    "drain": boolean,  # true: no new connections; existing ones continue
}


def _vips(value: t.Any, path: str) -> tuple[IPAddress, ...]:
    vips: tuple[IPAddress, ...] = _read_addresses(value, path)
    for version in (4, 6):
        of_version = [vip for vip in vips if vip.version == version]
        if len(of_version) > 1:
            refuse(
                path,
                f"{of_version[0]} and {of_version[1]} are both IPv{version} addresses",
                "Use at most one IPv4 and one IPv6 address.",
            )
    return vips


def _ports(value: t.Any, path: str) -> tuple[ServicePort, ...]:
    if not is_list(value):
        wrong_type(value, path, "a list")
    ports: dict[tuple[int, str], ServicePort] = {}
    for index, entry in enumerate(value):
        port = _port(entry, f"{path}[{index}]")
        key = (port.port, port.protocol)
        if key in ports:
            refuse(f"{path}[{index}]", f"port {port.port}/{port.protocol} is listed twice", "Remove one of the two.")
        ports[key] = port
    return tuple(ports.values())


def _port(entry: t.Any, path: str) -> ServicePort:
    if isinstance(entry, int) and not isinstance(entry, bool):
        check_unquoted(entry, path)
    match = _PORT.match(scalar(entry, path))
    if match is None:
        refuse(path, f"{shown(entry)} is not a valid service port", _PORT_FORMS)
    target = int(match["target"])
    port = int(match["port"] or target)
    for number in (port, target):
        if not 0 < number <= HIGHEST_PORT:
            refuse(path, f"{number} is not a valid port", f"Use a port from 1 to {HIGHEST_PORT}.")
    return ServicePort(port, target, read_protocol(match["protocol"] or "tcp", path))


def _backends(value: t.Any, path: str) -> tuple[Backend, ...]:
    """Return the backends from a list of sandbox names, or from a dictionary of _BACKEND_OPTIONS by sandbox name."""
    if is_mapping(value):
        return tuple(_backend(name, options, path) for name, options in value.items())
    if not is_list(value):
        wrong_type(value, path, "a list or a dictionary of sandboxes")
    for index, name in enumerate(value):
        if name in value[:index]:
            refuse(f"{path}[{index}]", f"the sandbox {shown(name)} is listed twice", "Remove one of the two.")
    return tuple(Backend(_sandbox_name(name, f"{path}[{index}]")) for index, name in enumerate(value))


def _backend(name: t.Any, options: t.Any, path: str) -> Backend:
    sandbox = _sandbox_name(name, path)
    return Backend(sandbox, **read(options if options is not None else {}, f"{path}.{sandbox}", _BACKEND_OPTIONS))


def _sandbox_name(name: t.Any, path: str) -> str:
    return values.name(name, path, "sandbox name")


_OPTIONS = {
    "mode": choice(SERVICE_VIP, SERVICE_DNSRR),  # vip (default), or DNS round robin without a virtual address
    "vip": _vips,  # virtual address, or a list with one for each family; by default dockless assigns it
    "ports": _ports,  # list of SERVICE_PORT[:TARGET_PORT][/PROTOCOL]; by default all ports are balanced
    "sandboxes": _backends,  # by default the sandboxes that have the service's name as an alias
    "sticky": boolean,  # true: connections from one client go to one sandbox
}


def parse_services(value: t.Any, path: str) -> tuple[Service, ...]:
    """Return a network's services from a dictionary of _OPTIONS by service name (a DNS name).

    Raises DocklessError for a name that starts with the label tasks, and for options that need a virtual address while
    the mode is dnsrr.
    """
    if not is_mapping(value):
        wrong_type(value, path, "a dictionary of services by name")
    return tuple(_service(name, spec, path) for name, spec in value.items())


def _service(name: t.Any, spec: t.Any, path: str) -> Service:
    name = values.domain(name, path)
    path = f"{path}.{name}"
    if name.partition(".")[0].lower() == TASKS:
        refuse(
            path,
            f"names that start with {TASKS} are reserved for the addresses of a service's sandboxes",
            "Choose another name.",
        )
    options = read(spec if spec is not None else {}, path, _OPTIONS)
    service = Service(
        name,
        mode=options.get("mode", SERVICE_VIP),
        vips=options.get("vip", ()),
        ports=options.get("ports", ()),
        backends=options.get("sandboxes"),
        sticky=options.get("sticky", False),
        path=path,
    )
    if service.mode == SERVICE_DNSRR:
        _refuse_options_of_vip(service, options)
    return service


def _refuse_options_of_vip(service: Service, options: t.Mapping[str, t.Any]) -> None:
    for key in ("vip", "ports", "sticky"):
        if options.get(key):
            refuse(
                f"{service.path}.{key}",
                f"{key} cannot be combined with mode dnsrr, because the service then has no virtual address",
                f"Remove {key}, or use mode: vip.",
            )
    for backend in service.backends or ():
        if backend.weight != 1:
            refuse(
                f"{service.path}.sandboxes.{backend.sandbox}.weight",
                "weight cannot be combined with mode dnsrr, because every sandbox gets the same share",
                "Remove weight, or use mode: vip.",
            )
