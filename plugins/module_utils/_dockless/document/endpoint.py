# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""A sandbox's networks: Compose's list of names, or its dictionary with an entry each."""

from __future__ import annotations

import ipaddress
import re
import typing as t

from ..errors import refuse
from ..model.addresses import LINK_LOCAL
from ..model.host import DEFAULT_BRIDGE, Endpoint, IPAddress, LegacyLink, Pairs
from . import values
from .dns import parse_links
from .readers import integer, is_list, is_mapping, list_of, pairs, read, shown, wrong_type

DEFAULT_NETWORK = "default"
DEFAULT_BRIDGE_KEY = ("", DEFAULT_BRIDGE)
_LINK_LOCAL4 = ipaddress.IPv4Network("169.254.0.0/16")
_NUMBER = re.compile(r"-?[0-9]{1,18}\Z")
_PRIORITY = integer(-(2**31), 2**31 - 1)
_IFNAME = "com.docker.network.endpoint.ifname"
_SYSCTLS = "com.docker.network.endpoint.sysctls"


def _link_local(value: t.Any, path: str) -> IPAddress:
    found = values.address(value, path)
    if found not in (_LINK_LOCAL4 if found.version == 4 else LINK_LOCAL):
        refuse(path, f"{found} is not a link-local address", "Give one of 169.254.0.0/16 or fe80::/10.")
    return found


def _sysctls(value: str, path: str) -> Pairs:
    """Return ("net/ipv4/conf/IFNAME/forwarding", "1") and so on; the interface's name is put in when it is known."""
    found = {}
    for setting in filter(None, (part.strip() for part in value.split(","))):
        key, equals, number = setting.partition("=")
        parts = key.split(".")
        if (
            not equals
            or len(parts) != 5
            or parts[0] != "net"
            or parts[1] not in ("ipv4", "ipv6", "mpls")
            or parts[2] not in ("conf", "neigh")
            or parts[3].upper() != "IFNAME"
            or not values.is_sysctl(parts[4])
        ):
            refuse(
                path,
                f"{shown(setting)} is not a setting of one interface",
                "Write it like net.ipv4.conf.IFNAME.forwarding=1.",
            )
        if not _NUMBER.match(number):
            refuse(path, f"{shown(number)} is not the value of {key}", "Give a whole number.")
        found["/".join((*parts[:3], "IFNAME", parts[4]))] = number
    return tuple(sorted(found.items()))


def _driver_opts(value: t.Any, path: str) -> dict[str, t.Any]:
    said: dict[str, t.Any] = {}
    for key, item in pairs(value, path):
        if key == _IFNAME:
            said["interface_name"] = values.interface(item, f"{path}.{key}")
        elif key == _SYSCTLS:
            said["sysctls"] = _sysctls(item, f"{path}.{key}")
        else:
            refuse(
                path, f"{shown(key)} is not a driver option of an endpoint", f"Known options: {_IFNAME}, {_SYSCTLS}."
            )
    return said


_KEYS = {
    "aliases": list_of(values.domain),
    "ipv4_address": values.address_of(4),
    "ipv6_address": values.address_of(6),
    "link_local_ips": list_of(_link_local),
    "mac_address": values.mac,
    "gw_priority": _PRIORITY,
    "priority": _PRIORITY,
    "interface_name": values.interface,
    "driver_opts": _driver_opts,
    "links": parse_links,
}


def parse_endpoints(
    project: str, sandbox: str, value: t.Any, path: str, links: tuple[LegacyLink, ...]
) -> tuple[Endpoint, ...]:
    """Return the attachments in the order written. links are the sandbox's own, seen on each of its networks.

    Of each network: aliases, ipv4_address, ipv6_address, link_local_ips,
    mac_address, gw_priority (or priority), interface_name, links and
    driver_opts (com.docker.network.endpoint.ifname and .sysctls).
    """
    if is_mapping(value):
        return tuple(_endpoint(project, sandbox, name, spec, f"{path}.{name}", links) for name, spec in value.items())
    if not is_list(value):
        wrong_type(value, path, "a list or a dictionary of networks")
    if len(value) > 1:
        _refuse_repeated(value, path)
    return tuple(_endpoint(project, sandbox, name, None, f"{path}[{index}]", links) for index, name in enumerate(value))


def _refuse_repeated(value: t.Sequence[t.Any], path: str) -> None:
    for index, name in enumerate(value):
        if name in value[:index]:
            refuse(f"{path}[{index}]", f"the network {shown(name)} is listed twice", "List it once.")


def _network_key(project: str, name: t.Any, path: str) -> tuple[str, str]:
    name = values.name(name, path, "network's name")
    if name in ("host", "none"):
        refuse(path, f"a sandbox cannot be connected to {name}", f"Use network_mode: {name} instead.")
    return DEFAULT_BRIDGE_KEY if name == DEFAULT_BRIDGE else (project, name)


def _endpoint(
    project: str, sandbox: str, name: t.Any, spec: t.Any, path: str, links: tuple[LegacyLink, ...]
) -> Endpoint:
    key = _network_key(project, name, path)
    if not spec and (spec is None or is_mapping(spec)):
        return Endpoint(project, sandbox, key, links=links, path=path)
    said = read(spec, path, _KEYS)
    options = said.get("driver_opts", {})
    named = said.get("interface_name", "")
    if named and options.get("interface_name", named) != named:
        refuse(
            path + ".driver_opts", "it says another interface name than the option interface_name does", "Say it once."
        )
    return Endpoint(
        project,
        sandbox,
        key,
        ipv4_address=said.get("ipv4_address"),
        ipv6_address=said.get("ipv6_address"),
        link_local_ips=said.get("link_local_ips", ()),
        mac_address=said.get("mac_address", ""),
        aliases=said.get("aliases", ()),
        links=_merged(links, said.get("links", ())),
        gw_priority=said.get("gw_priority", said.get("priority", 0)),
        interface_name=named or options.get("interface_name", ""),
        sysctls=options.get("sysctls", ()),
        path=path,
    )


def _merged(links: tuple[LegacyLink, ...], more: tuple[LegacyLink, ...]) -> tuple[LegacyLink, ...]:
    return links + tuple(link for link in more if link not in links)
