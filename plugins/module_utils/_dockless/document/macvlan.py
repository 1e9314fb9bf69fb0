# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Parses the options that only networks with the drivers macvlan and ipvlan have, and refuses those of bridges."""

from __future__ import annotations

import typing as t

from ..errors import refuse
from ..model.macvlan import Macvlan
from . import values
from .readers import Reader, boolean, choice, one_or_list_of, pairs, shown, text

_DOCKER = "com.docker.network."
_HIGHEST_VLAN = 4094  # IEEE 802.1Q; 0 and 4095 are reserved
# Driver -> modes; the first is the default.
_MODES = {"macvlan": ("bridge", "private", "vepa", "passthru"), "ipvlan": ("l2", "l3", "l3s")}
_MODES_WITHOUT_HOST = ("private", "vepa", "passthru")  # the kernel passes no packets between host and sandboxes
_BRIDGE_OPTIONS = (
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


def _parent(value: t.Any, path: str) -> str:
    """Return the name of a host interface, or of a VLAN on one: eth0.60."""
    link = text(value, path)
    if not values.is_host_interface(link):
        refuse(
            path,
            f"{shown(link)} cannot be the parent interface of a network",
            "Use an interface of this host, such as eth0, or eth0.60 for VLAN 60 on eth0.",
        )
    base, dot, vlan = link.rpartition(".")
    if base and vlan.isdigit() and not 1 <= int(vlan) <= _HIGHEST_VLAN:
        refuse(path, f"{vlan} is not a valid VLAN ID", f"Use a number from 1 to {_HIGHEST_VLAN}.")
    return link


def _refuse_bridge_option(value: t.Any, path: str) -> t.NoReturn:
    option = path.rpartition(".")[2]
    refuse(
        path,
        f"{option} is not available for macvlan and ipvlan networks, because they have no bridge on this host and "
        "their packets bypass its firewall",
        f"Remove {option}.",
    )


def _ipvlan_flag(value: t.Any, path: str) -> str:
    if value not in ("", "bridge"):
        refuse(path, f"the ipvlan flag {shown(value)} is not supported", "Remove it.")
    return "bridge"


def _driver_opts(driver: str) -> Reader:
    """Return a reader of Docker's driver_opts; the result has dockless' names of the options."""
    options: dict[str, tuple[str, Reader]] = {
        "parent": ("parent", _parent),
        f"{driver}_mode": ("mode", choice(*_MODES[driver])),
        _DOCKER + "driver.mtu": ("mtu", values.mtu),
        _DOCKER + "enable_ipv4": ("enable_ipv4", boolean),
        _DOCKER + "enable_ipv6": ("enable_ipv6", boolean),
    }
    if driver == "ipvlan":
        options["ipvlan_flag"] = ("", _ipvlan_flag)  # only its default is supported, so its value is not needed

    def reader(value: t.Any, path: str) -> dict[str, t.Any]:
        found = {}
        for key, item in pairs(value, path):
            if key not in options:
                refuse(
                    path,
                    f"unknown driver option {shown(key)} of a network with driver {driver}",
                    f"Known options: {', '.join(sorted(options))}.",
                )
            option, read_item = options[key]
            found[option] = read_item(item, f"{path}.{key}")
        found.pop("", None)
        return found

    return reader


def _options(driver: str) -> dict[str, Reader]:
    read_mode = choice(*_MODES[driver])
    return {
        **dict.fromkeys(_BRIDGE_OPTIONS, _refuse_bridge_option),
        "parent": _parent,  # host interface, or a VLAN on one (eth0.60); default: none, an isolated network
        "mode": read_mode,  # default: the first of _MODES
        f"{driver}_mode": read_mode,  # Docker's name of mode
        "host_access": boolean,  # true: the host has an interface and an address on the network
        "host_access_address": one_or_list_of(values.address),  # the host's addresses; by default assigned
        "driver_opts": _driver_opts(driver),  # Docker's names of the above
    }


MACVLAN_OPTIONS = _options("macvlan")
IPVLAN_OPTIONS = _options("ipvlan")


def build_macvlan(options: t.Mapping[str, t.Any], path: str) -> Macvlan:
    """Return the macvlan or ipvlan part of a network with these parsed options; options["driver"] is the driver.

    Raises DocklessError for options that contradict each other.
    """
    mode = _mode(options, path)
    macvlan = Macvlan(
        parent=options.get("parent", ""),
        mode=mode,
        host_access=options.get("host_access", False),
        addresses=options.get("host_access_address", ()),
    )
    if mode == "passthru" and not macvlan.parent:
        refuse(
            path + ".mode",
            "mode passthru requires a parent interface, because one sandbox takes over the parent",
            "Set parent, or use another mode.",
        )
    if macvlan.addresses and not macvlan.host_access:
        refuse(
            path + ".host_access_address",
            "host_access_address requires host_access, because the host otherwise has no address on the network",
            "Set host_access: true, or remove host_access_address.",
        )
    if macvlan.host_access and mode in _MODES_WITHOUT_HOST:
        refuse(
            path + ".host_access",
            f"host_access is not available in mode {mode}, because the host and the sandboxes cannot reach each other",
            "Use mode: bridge, or remove host_access.",
        )
    return macvlan


def _mode(options: t.Mapping[str, t.Any], path: str) -> str:
    driver = options["driver"]
    dockers_name = f"{driver}_mode"
    mode: str = options.get("mode", options.get(dockers_name, _MODES[driver][0]))
    if options.get(dockers_name, mode) != mode:
        refuse(
            f"{path}.{dockers_name}",
            f"the mode is set twice with different values: {options[dockers_name]} here and {mode} in mode",
            "Remove one of the two.",
        )
    return mode
