# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Parses veth pairs that belong to no network: a direct link between two namespaces."""

from __future__ import annotations

import ipaddress
import typing as t

from ..errors import refuse
from ..model import addresses
from ..model.addresses import IPAddress, IPNetwork
from ..model.host import VethEnd, VethPair
from . import values
from .readers import boolean, is_mapping, list_of, read, shown, text

Route = tuple[str, str]  # destination in CIDR notation, and the gateway's address or ""
_ROUTE_FORMS = "Use a form such as 10.2.0.0/16 via 10.1.0.1, or a dictionary of destination and via."
_ROUTE_OPTIONS = {
    "destination": text,  # CIDR, an address, or default
    "via": values.address,  # gateway; default: the destination is on the link
}


def _route(value: t.Any, path: str) -> Route:
    """Return a route from "DESTINATION [via GATEWAY]" (as in ip-route(8)) or from a dictionary of _ROUTE_OPTIONS."""
    options = read(value, path, _ROUTE_OPTIONS) if is_mapping(value) else _split_route(value, path)
    if "destination" not in options:
        refuse(path, "the route has no destination", _ROUTE_FORMS)
    gateway: IPAddress | None = options.get("via")
    gateway_text = str(gateway or "")
    if options["destination"] == "default":
        is_ipv6 = gateway is not None and gateway.version == 6
        return ("::/0" if is_ipv6 else "0.0.0.0/0"), gateway_text
    destination = _destination(options["destination"], path)
    if gateway is not None and gateway.version != destination.version:
        refuse(
            path,
            f"{destination} cannot be reached through {gateway}, because they are not of the same family",
            "Use a gateway of the destination's family.",
        )
    return str(destination), gateway_text


def _split_route(value: t.Any, path: str) -> dict[str, t.Any]:
    words = text(value, path).split()
    has_gateway = len(words) == 3 and words[1] == "via"
    if len(words) != 1 and not has_gateway:
        refuse(path, f"{shown(value)} is not a valid route", _ROUTE_FORMS)
    if not has_gateway:
        return {"destination": words[0]}
    return {"destination": words[0], "via": values.address(words[2], path)}


def _destination(value: str, path: str) -> IPNetwork:
    if addresses.is_address(value):
        return ipaddress.ip_network(value)
    return values.network(value, path)


_END_OPTIONS = {
    "name": values.interface,  # required, except for the first end: default is the key
    "netns": values.name,  # name below /run/netns; default: the host's namespace
    "master": values.interface,  # bridge or other interface that the end is attached to
    "addresses": list_of(values.cidr),  # CIDR
    "routes": list_of(_route),
    "mac_address": values.mac,
    "mtu": values.mtu,  # bytes
    "up": boolean,  # default true
}


def _peer(value: t.Any, path: str) -> dict[str, t.Any]:
    return read(value, path, _END_OPTIONS)


_PAIR_OPTIONS = {
    **_END_OPTIONS,  # of the first end
    "peer": _peer,  # _END_OPTIONS of the second end; required
}


def parse_veth(project: str, key: t.Any, spec: t.Any, path: str) -> VethPair:
    """Return the veth pair that spec declares.

    key is the first end, as "NAME" or "NETNS/NAME"; the options name and netns in spec take precedence. spec is a
    dictionary of _PAIR_OPTIONS. Raises DocklessError if both ends would have the same name in one namespace.
    """
    netns, slash, name = text(key, path).rpartition("/")
    options = read(spec, path, _PAIR_OPTIONS)
    peer_options = options.pop("peer", {})
    if "name" not in peer_options:
        refuse(path + ".peer", "the second end of the pair has no name", "Set peer.name.")
    options.setdefault("name", name)
    if netns:
        options.setdefault("netns", values.name(netns, path))
    end = _end(values.interface(options["name"], path), options)
    peer = _end(peer_options["name"], peer_options)
    if (end.netns, end.name) == (peer.netns, peer.name):
        refuse(
            path + ".peer.name",
            f"both ends are named {end.name} and are in the same namespace",
            "Change the name or netns of one of them.",
        )
    return VethPair(project, end, peer, path)


def _end(name: str, options: dict[str, t.Any]) -> VethEnd:
    return VethEnd(
        name,
        netns=options.get("netns", ""),
        master=options.get("master", ""),
        addresses=options.get("addresses", ()),
        routes=options.get("routes", ()),
        mac_address=options.get("mac_address", ""),
        mtu=options.get("mtu", 1500),
        up=options.get("up", True),
    )
