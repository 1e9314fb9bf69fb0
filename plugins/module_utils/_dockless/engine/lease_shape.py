# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Checks the shape of the leases in a document, which a person or another version may have written."""

from __future__ import annotations

import functools
import ipaddress
import typing as t

from ..document.readers import Reader, is_list, is_mapping, read, shown, wrong_type
from ..errors import refuse
from ..names import INTERFACE


def check_leases(leases: t.Any) -> None:
    """Raise DocklessError with the path of a lease that is none, such as leases.ports[0]."""
    read(leases, "leases", _LEASES)


def _objects(reader: Reader) -> Reader:
    """Return the reader of an object with any keys, whose values are for the other reader."""

    def each(value: t.Any, path: str) -> None:
        if not is_mapping(value):
            wrong_type(value, path, "an object")
        for key, item in value.items():
            reader(item, f"{path}.{key}")

    return each


def _lists(reader: Reader) -> Reader:
    def each(value: t.Any, path: str) -> None:
        if not is_list(value):
            wrong_type(value, path, "a list")
        for index, item in enumerate(value):
            reader(item, f"{path}[{index}]")

    return each


def _address(value: t.Any, path: str) -> None:
    if not isinstance(value, str) or not _is_address(value):
        refuse(path, f"{shown(value)} is not an address")


def _subnet(value: t.Any, path: str) -> None:
    if not isinstance(value, str) or not _is_subnet(value):
        refuse(path, f"{shown(value)} is not a subnet")


def _interface(value: t.Any, path: str) -> None:
    if not isinstance(value, str) or (value and not INTERFACE.match(value)):
        refuse(path, f"{shown(value)} is not the name of an interface")


def _port(value: t.Any, path: str) -> None:
    """Take [SANDBOX, PROTOCOL, HOST_IP, TARGET_PORT, HOST_PORT]."""
    if not is_list(value) or [type(item) for item in value] != [str, str, str, int, int]:
        refuse(path, f"{shown(value)} is not a list of sandbox, protocol, host address, target port and host port")
    if value[2]:
        _address(value[2], f"{path}[2]")
    for index in (3, 4):
        if not 0 < value[index] < 1 << 16:
            refuse(f"{path}[{index}]", f"{value[index]} is not a port")


@functools.cache
def _is_address(text: str) -> bool:
    """Return whether the text is an address or a CIDR. Cached, because a run checks the same leases several times."""
    try:
        ipaddress.ip_interface(text)
    except ValueError:
        return False
    return True


def _is_subnet(text: str) -> bool:
    try:
        ipaddress.ip_network(text)
    except ValueError:
        return False
    return True


def _endpoint(value: t.Any, path: str) -> None:
    read(value, path, _ENDPOINT)


_ENDPOINT: dict[str, Reader] = {"addresses": _lists(_address), "interface": _interface}
_LEASES: dict[str, Reader] = {
    "networks": _objects(_lists(_subnet)),
    "services": _objects(_objects(_lists(_address))),
    "host_access": _objects(_lists(_address)),
    "endpoints": _objects(_objects(_endpoint)),
    "ports": _lists(_port),
}
