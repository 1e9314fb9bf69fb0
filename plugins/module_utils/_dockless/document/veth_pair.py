# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""A veth pair outside any network: two namespaces joined by hand."""

from __future__ import annotations

import ipaddress
import typing as t

from ..errors import refuse
from ..model import addresses
from ..model.host import VethEnd, VethPair
from . import values
from .network import MTU
from .readers import boolean, is_mapping, list_of, read, shown, text

Route = tuple[str, str]
_FORM = "Write it like 10.2.0.0/16 via 10.1.0.1, or as a dictionary of destination and via."
_ROUTE = {"destination": text, "via": values.address}


def _route(value: t.Any, path: str) -> Route:
    """Return (destination, via or ""); the destination default takes via's family."""
    if is_mapping(value):
        said = read(value, path, _ROUTE)
    else:
        words = text(value, path).split()
        if len(words) not in (1, 3) or (len(words) == 3 and words[1] != "via"):
            refuse(path, f"{shown(value)} is not a route", _FORM)
        said = {"destination": words[0]}
        if len(words) == 3:
            said["via"] = values.address(words[2], path)
    if "destination" not in said:
        refuse(path, "the route has no destination", _FORM)
    via = said.get("via")
    if said["destination"] == "default":
        return ("::/0" if via is not None and via.version == 6 else "0.0.0.0/0"), str(via or "")
    destination = _destination(said["destination"], path)
    if via is not None and via.version != destination.version:
        refuse(
            path,
            f"{destination} cannot be reached via {via}, of the other family",
            "Give a gateway of the same family.",
        )
    return str(destination), str(via or "")


def _destination(value: str, path: str) -> t.Any:
    if addresses.is_address(value):
        return ipaddress.ip_network(value)
    return values.network(value, path)


_END = {
    "name": values.interface,
    "netns": values.name,
    "master": values.interface,
    "addresses": list_of(values.cidr),
    "routes": list_of(_route),
    "mac_address": values.mac,
    "mtu": MTU,
    "up": boolean,
}


def _peer(value: t.Any, path: str) -> dict[str, t.Any]:
    return read(value, path, _END)


_PAIR = {**_END, "peer": _peer}


def parse_veth(project: str, key: t.Any, spec: t.Any, path: str) -> VethPair:
    """Return the pair. key is the first end's "NAME" or "NETNS/NAME", which name and netns may also say.

    Of each end (the second under peer): name, netns (not said: the host's
    own), master, addresses (CIDR), routes, mac_address, mtu in bytes, up.
    """
    netns, slash, name = text(key, path).rpartition("/")
    said = read(spec, path, _PAIR)
    peer = said.pop("peer", {})
    if "name" not in peer:
        refuse(path + ".peer", "the pair's other end has no name", "Give peer.name.")
    said.setdefault("name", name)
    if netns:
        said.setdefault("netns", values.name(netns, path))
    end = _end(values.interface(said["name"], path), said)
    other = _end(peer["name"], peer)
    if (end.netns, end.name) == (other.netns, other.name):
        refuse(
            path + ".peer.name",
            f"both ends would be {end.name} in one namespace",
            "Give one of them another name or netns.",
        )
    return VethPair(project, end, other, path)


def _end(name: str, said: dict[str, t.Any]) -> VethEnd:
    return VethEnd(
        name,
        said.get("netns", ""),
        said.get("master", ""),
        said.get("addresses", ()),
        said.get("routes", ()),
        said.get("mac_address", ""),
        said.get("mtu"),
        said.get("up", True),
    )
