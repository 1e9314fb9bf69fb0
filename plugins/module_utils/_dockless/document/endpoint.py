# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Parses a sandbox's option networks: one endpoint for each network that the sandbox joins."""

from __future__ import annotations

import ipaddress
import re
import typing as t

from ..errors import refuse
from ..model.addresses import LINK_LOCAL, IPAddress
from ..model.network import DEFAULT_BRIDGE, Pairs
from ..model.sandbox import Endpoint, LegacyLink
from . import values
from .dns import parse_links
from .readers import integer, is_list, is_mapping, list_of, pairs, read, shown, wrong_type

DEFAULT_NETWORK = "default"  # a sandbox that names no network joins this one of its project, as in Compose
DEFAULT_BRIDGE_KEY = ("", DEFAULT_BRIDGE)
_LINK_LOCAL_IPV4 = ipaddress.IPv4Network("169.254.0.0/16")
_SYSCTL_NUMBER = re.compile(r"-?[0-9]{1,18}\Z")
_PRIORITY = integer(-(2**31), 2**31 - 1)
_IFNAME = "com.docker.network.endpoint.ifname"
_SYSCTLS = "com.docker.network.endpoint.sysctls"


def _link_local_ip(value: t.Any, path: str) -> IPAddress:
    found = values.address(value, path)
    if found not in (_LINK_LOCAL_IPV4 if found.version == 4 else LINK_LOCAL):
        refuse(path, f"{found} is not a link-local address", "Use an address of 169.254.0.0/16 or fe80::/10.")
    return found


def _sysctls(value: str, path: str) -> Pairs:
    """Return sysctls of one interface from Docker's "net.ipv4.conf.IFNAME.forwarding=1,...", sorted.

    Each is a path below /proc/sys and a number: ("net/ipv4/conf/IFNAME/forwarding", "1"). IFNAME stays in the path,
    because the interface's name is chosen later.
    """
    found = {}
    for part in value.split(","):
        setting = part.strip()
        if not setting:
            continue
        key, equals, number = setting.partition("=")
        parts = key.split(".")
        if not equals or not _is_interface_sysctl(parts):
            refuse(
                path,
                f"{shown(setting)} is not a setting of one interface",
                "Use one such as net.ipv4.conf.IFNAME.forwarding=1.",
            )
        if not _SYSCTL_NUMBER.match(number):
            refuse(path, f"{shown(number)} is not a valid value of {key}", "Use a whole number.")
        found["/".join((*parts[:3], "IFNAME", parts[4]))] = number
    return tuple(sorted(found.items()))


def _is_interface_sysctl(parts: t.Sequence[str]) -> bool:
    """Return whether parts are net, a family, conf or neigh, IFNAME in any case, and a setting."""
    if len(parts) != 5:
        return False
    net, family, group, interface, setting = parts
    return (
        net == "net"
        and family in ("ipv4", "ipv6", "mpls")
        and group in ("conf", "neigh")
        and interface.upper() == "IFNAME"
        and values.is_sysctl(setting)
    )


def _driver_opts(value: t.Any, path: str) -> dict[str, t.Any]:
    options: dict[str, t.Any] = {}
    for key, item in pairs(value, path):
        if key == _IFNAME:
            options["interface_name"] = values.interface(item, f"{path}.{key}")
        elif key == _SYSCTLS:
            options["sysctls"] = _sysctls(item, f"{path}.{key}")
        else:
            refuse(path, f"unknown driver option {shown(key)}", f"Known options: {_IFNAME}, {_SYSCTLS}.")
    return options


_OPTIONS = {
    "aliases": list_of(values.domain),  # further DNS names of the sandbox on this network
    "ipv4_address": values.address_of(4),  # fixed address
    "ipv6_address": values.address_of(6),
    "link_local_ips": list_of(_link_local_ip),  # added to the interface; they have no DNS names
    "mac_address": values.mac,
    "gw_priority": _PRIORITY,  # the endpoint with the highest one has the default route
    "priority": _PRIORITY,  # the endpoint with the highest one gets the sandbox's mac_address; no other effect
    "interface_name": values.interface,  # in the sandbox
    "driver_opts": _driver_opts,  # Docker's com.docker.network.endpoint.ifname and .sysctls
    "links": parse_links,  # "SANDBOX" or "SANDBOX:ALIAS", for this network only
}


def parse_endpoints(
    project: str, sandbox: str, value: t.Any, path: str, links: tuple[LegacyLink, ...]
) -> tuple[Endpoint, ...]:
    """Return a sandbox's endpoints in the order written, from Compose's networks.

    value is a list of network names, or a dictionary of options (see _OPTIONS; None for none) by network name. links
    are the sandbox's own; they apply on each of its networks. Raises DocklessError for a network that is listed twice
    and for the predefined networks host and none.
    """
    if is_mapping(value):
        return tuple(_endpoint(project, sandbox, name, spec, f"{path}.{name}", links) for name, spec in value.items())
    if not is_list(value):
        wrong_type(value, path, "a list or a dictionary of networks")
    if len(value) > 1:
        _refuse_repeated(value, path)
    return tuple(_endpoint(project, sandbox, name, None, f"{path}[{index}]", links) for index, name in enumerate(value))


def _refuse_repeated(names: t.Sequence[t.Any], path: str) -> None:
    for index, name in enumerate(names):
        if name in names[:index]:
            refuse(f"{path}[{index}]", f"the network {shown(name)} is listed twice", "Remove one of the two.")


def _network_key(project: str, name: t.Any, path: str) -> tuple[str, str]:
    name = values.name(name, path, "network name")
    if name in ("host", "none"):
        refuse(path, f"a sandbox cannot be connected to the network {name}", f"Use network_mode: {name} instead.")
    return DEFAULT_BRIDGE_KEY if name == DEFAULT_BRIDGE else (project, name)


def _endpoint(
    project: str, sandbox: str, name: t.Any, spec: t.Any, path: str, links: tuple[LegacyLink, ...]
) -> Endpoint:
    key = _network_key(project, name, path)
    if spec is None or spec == {}:  # most endpoints have no options
        return Endpoint(project, sandbox, key, links=links, path=path)
    options = read(spec, path, _OPTIONS)
    driver_opts = options.get("driver_opts", {})
    return Endpoint(
        project,
        sandbox,
        key,
        ipv4_address=options.get("ipv4_address"),
        ipv6_address=options.get("ipv6_address"),
        link_local_ips=options.get("link_local_ips", ()),
        mac_address=options.get("mac_address", ""),
        aliases=options.get("aliases", ()),
        links=_merge_links(links, options.get("links", ())),
        gw_priority=options.get("gw_priority", 0),
        interface_name=_interface_name(options, driver_opts, path),
        sysctls=driver_opts.get("sysctls", ()),
        priority=options.get("priority", 0),
        path=path,
    )


def _interface_name(options: t.Mapping[str, t.Any], driver_opts: t.Mapping[str, t.Any], path: str) -> str:
    own: str = options.get("interface_name", "")
    dockers: str = driver_opts.get("interface_name", "")
    if own and dockers and own != dockers:
        refuse(
            path + ".driver_opts",
            f"the interface name is set twice: {dockers} here and {own} in interface_name",
            "Remove one of the two.",
        )
    return own or dockers


def _merge_links(links: tuple[LegacyLink, ...], more: tuple[LegacyLink, ...]) -> tuple[LegacyLink, ...]:
    return links + tuple(link for link in more if link not in links)
