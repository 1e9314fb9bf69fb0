# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""What a network on one of the host's interfaces declares beside what a bridge network does, and what it cannot have."""

from __future__ import annotations

import re
import typing as t

from ..errors import refuse
from ..model.host import Macvlan
from ..names import RESERVED_INTERFACES
from . import values
from .readers import Reader, boolean, choice, integer, one_or_list_of, pairs, shown, text

_PARENT = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.@-]{0,14}\Z")  # dots too: links on VLANs have them
_DOCKER = "com.docker.network."
_MODES = {"macvlan": ("bridge", "private", "vepa", "passthru"), "ipvlan": ("l2", "l3", "l3s")}


def _parent(value: t.Any, path: str) -> str:
    """Return the name of an interface, or of a VLAN of one: eth0.60."""
    value = text(value, path)
    if not _PARENT.match(value) or value in RESERVED_INTERFACES:
        refuse(
            path,
            f"{shown(value)} is not an interface that networks can sit on",
            "Give one of this host, like eth0, or eth0.60 for VLAN 60 on it.",
        )
    base, dot, number = value.rpartition(".")
    if base and number.isdigit() and not 1 <= int(number) <= 4094:
        refuse(path, f"{number} is not the number of a VLAN", "Give one from 1 to 4094.")
    return value


def _of_bridges(value: t.Any, path: str) -> t.NoReturn:
    refuse(
        path,
        "a macvlan or ipvlan network has no bridge on this host, and its packets do not pass this host's firewall",
        "Remove it.",
    )


def _flag(value: t.Any, path: str) -> str:
    if value not in ("", "bridge"):
        refuse(path, f"the flag {shown(value)} of ipvlan networks is not served here", "Remove it.")
    return "bridge"


def _driver_opts(driver: str) -> Reader:
    mode = choice(*_MODES[driver])
    readers: dict[str, tuple[str, Reader]] = {
        "parent": ("parent", _parent),
        f"{driver}_mode": ("mode", mode),
        _DOCKER + "driver.mtu": ("mtu", integer(68, 65535)),
        _DOCKER + "enable_ipv4": ("enable_ipv4", boolean),
        _DOCKER + "enable_ipv6": ("enable_ipv6", boolean),
    }
    if driver == "ipvlan":
        readers["ipvlan_flag"] = ("", _flag)

    def reader(value: t.Any, path: str) -> dict[str, t.Any]:
        said = {}
        for key, item in pairs(value, path):
            if key not in readers:
                refuse(
                    path,
                    f"{shown(key)} is not a driver option of {driver} networks",
                    f"Known options: {', '.join(sorted(readers))}.",
                )
            own, read = readers[key]
            said[own] = read(item, f"{path}.{key}")
        said.pop("", None)
        return said

    return reader


def _keys(driver: str) -> dict[str, Reader]:
    bridge = (
        "isolate",
        "icc",
        "masquerade",
        "gateway_mode_ipv4",
        "gateway_mode_ipv6",
        "bridge_name",
        "default_publish_address",
        "egress",
        "ingress",
        "trusted_host_interfaces",
        "host_ipv4",
        "host_ipv6",
        "port_security",
    )
    mode = choice(*_MODES[driver])
    return {
        **dict.fromkeys(bridge, _of_bridges),
        "parent": _parent,
        "mode": mode,
        f"{driver}_mode": mode,
        "host_access": boolean,
        "host_access_address": one_or_list_of(values.address),
        "driver_opts": _driver_opts(driver),
    }


MACVLAN, IPVLAN = _keys("macvlan"), _keys("ipvlan")


def macvlan_of(said: t.Mapping[str, t.Any], path: str) -> Macvlan:
    """Return what is special to a network of the driver macvlan or ipvlan among what it says."""
    driver = said["driver"]
    mode = said.get("mode", said.get(f"{driver}_mode", _MODES[driver][0]))
    if said.get(f"{driver}_mode", mode) != mode:
        refuse(f"{path}.{driver}_mode", "it says another mode than the option mode does", "Say it once.")
    found = Macvlan(said.get("parent", ""), mode, said.get("host_access", False), said.get("host_access_address", ()))
    if mode == "passthru" and not found.parent:
        refuse(
            path + ".mode",
            "passthru hands a parent over to a sandbox, and the network has none",
            "Give it a parent, or choose another mode.",
        )
    if found.addresses and not found.host_access:
        refuse(
            path + ".host_access_address",
            "the host has no address on the network, because host_access is not set",
            "Set host_access: true.",
        )
    if found.host_access and mode in ("private", "vepa", "passthru"):
        refuse(
            path + ".host_access",
            f"in the mode {mode} the host and its sandboxes cannot reach each other",
            "Use mode: bridge, or remove it.",
        )
    return found
