# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Parses the driver options of Docker's bridge driver, and reads values that networks' options share with them."""

from __future__ import annotations

import typing as t

from ..errors import refuse
from ..model.addresses import LINK_LOCAL, IPAddress
from ..model.network import GATEWAY_ISOLATED, GATEWAY_NAT, GATEWAY_ROUTED, GATEWAY_UNPROTECTED
from . import values
from .ports import host_ip
from .readers import Reader, boolean, choice, list_of, pairs, shown

_DOCKER = "com.docker.network."
_LONGEST_PREFIX = 11  # characters; leaves four for the number in an interface name of 15
read_gateway_mode = choice(GATEWAY_NAT, GATEWAY_UNPROTECTED, GATEWAY_ROUTED, GATEWAY_ISOLATED)
_read_interfaces = list_of(values.host_interface)
_UNSUPPORTED = frozenset(
    (
        "bridge.firewalld_zone",
        "bridge.default_bridge",
        "advertise_addr_nmsgs",
        "advertise_addr_ms",
        "driver.overlay.vxlanid_list",
        "internal",
        "windowsshim.dnsservers",
    )
)


def read_host_interfaces(value: t.Any, path: str) -> tuple[str, ...]:
    """Return names of host interfaces, from a list or from Docker's form with colons ("eth0:eth1")."""
    interfaces: tuple[str, ...] = _read_interfaces(value.split(":") if isinstance(value, str) else value, path)
    return interfaces


def source_address_of(version: int) -> Reader:
    """Return a reader of addresses of one family that can be the source of packets that leave this host."""
    read_address = values.address_of(version)

    def reader(value: t.Any, path: str) -> IPAddress:
        address: IPAddress = read_address(value, path)
        is_local = address.is_loopback or address in LINK_LOCAL
        if is_local or address.is_multicast or address.is_unspecified:
            refuse(
                path,
                f"{address} cannot be the source address of packets that leave this host, because replies to it are "
                "not routed back",
                "Use an address of this host that other hosts can reach.",
            )
        return address

    return reader


def _interface_prefix(value: t.Any, path: str) -> str:
    prefix = values.interface(value, path)
    if len(prefix) > _LONGEST_PREFIX or prefix[-1].isdigit():
        refuse(
            path,
            f"{shown(prefix)} cannot be the prefix of interface names, because a number is appended to it",
            f"Use at most {_LONGEST_PREFIX} characters that do not end in a digit.",
        )
    return prefix


# Docker's name without com.docker.network. -> (dockless' name, reader).
_OPTIONS: dict[str, tuple[str, Reader]] = {
    "bridge.name": ("bridge_name", values.interface),
    "bridge.enable_ip_masquerade": ("masquerade", boolean),
    "bridge.enable_icc": ("icc", boolean),
    "bridge.inhibit_ipv4": ("inhibit_ipv4", boolean),  # true: the bridge has no IPv4 address
    "bridge.host_binding_ipv4": ("default_publish_address", host_ip),
    "bridge.gateway_mode_ipv4": ("gateway_mode_ipv4", read_gateway_mode),
    "bridge.gateway_mode_ipv6": ("gateway_mode_ipv6", read_gateway_mode),
    "bridge.trusted_host_interfaces": ("trusted_host_interfaces", read_host_interfaces),
    "host_ipv4": ("host_ipv4", source_address_of(4)),
    "host_ipv6": ("host_ipv6", source_address_of(6)),
    "driver.mtu": ("mtu", values.mtu),
    "container_iface_prefix": ("iface_prefix", _interface_prefix),  # of interfaces in sandboxes; default eth
    "enable_ipv4": ("enable_ipv4", boolean),
    "enable_ipv6": ("enable_ipv6", boolean),
}


def parse_bridge_driver_opts(value: t.Any, path: str) -> dict[str, t.Any]:
    """Return the options of Docker's bridge driver under dockless' names, from a dictionary or a list of KEY=VALUE."""
    options = {}
    for key, item in pairs(value, path):
        short = key[len(_DOCKER) :] if key.startswith(_DOCKER) else ""
        if short in _UNSUPPORTED:
            refuse(f"{path}.{key}", f"dockless does not support Docker's option {key}", "Remove it.")
        if short not in _OPTIONS:
            known = ", ".join(_DOCKER + option for option in sorted(_OPTIONS))
            refuse(path, f"unknown driver option {shown(key)}", f"Known options: {known}.")
        option, read_item = _OPTIONS[short]
        options[option] = read_item(item, f"{path}.{key}")
    return options
