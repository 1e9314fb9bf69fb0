# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""What a network that spans hosts declares beside what a bridge network does: its number, its ends, its other hosts."""

from __future__ import annotations

import re
import typing as t

from ..errors import refuse
from ..model import addresses
from ..model.host import Overlay, OverlayPeer, PeerSandbox
from ..names import INTERFACE, TUNNEL_SLOTS
from . import values
from .readers import (
    Reader,
    boolean,
    choice,
    integer,
    is_mapping,
    list_of,
    one_or_list_of,
    pairs,
    read,
    shown,
    text,
    wrong_type,
)

PORT, SEALED_PORT = (
    4789,
    4787,
)  # of VXLAN (RFC 7348), and of what is sent through a tunnel only: the firewall tells them by it
_UDP_PORT = integer(1, 65535)
_KEY = re.compile(r"[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=\Z")  # 32 bytes in base64
_DOCKER = "com.docker.network.driver."


def _vtep(value: t.Any, path: str) -> str:
    """Return an address, or the name of the interface that has it."""
    value = text(value, path)
    if addresses.is_address(value):
        return str(values.address(value, path))
    if not INTERFACE.match(value):
        refuse(
            path,
            f"{shown(value)} is neither an address nor an interface",
            "Give this host's end of the tunnels, like 192.0.2.2 or eth0.",
        )
    return value


def _public_key(value: t.Any, path: str) -> str:
    value = text(value, path)
    if not _KEY.match(value):
        refuse(path, "this is not a WireGuard public key", "Give 32 bytes in base64, as wg pubkey prints them.")
    return value


def _endpoint(value: t.Any, path: str) -> str:
    """Return ADDRESS:PORT, an IPv6 address in brackets."""
    host, colon, port = text(value, path).rpartition(":")
    if not colon:
        refuse(
            path,
            f"{shown(value)} is not an address with a port",
            "Write it like 192.0.2.3:51820 or [2001:db8::3]:51820.",
        )
    found = values.address(host[1:-1] if host[:1] == "[" and host[-1:] == "]" else host, path)
    return f"[{found}]:{_UDP_PORT(port, path)}" if found.version == 6 else f"{found}:{_UDP_PORT(port, path)}"


_SANDBOX: dict[str, Reader] = {
    "project": values.name,
    "addresses": list_of(values.address),
    "mac_address": values.mac,
    "aliases": list_of(values.domain),
    "hostname": values.domain,
}


def _sandbox(name: t.Any, value: t.Any, path: str) -> PeerSandbox:
    said = read(value if value is not None else {}, path, _SANDBOX)
    return PeerSandbox(values.name(name, path, "sandbox's name"), **said)


def _sandboxes(value: t.Any, path: str) -> tuple[PeerSandbox, ...]:
    if not is_mapping(value):
        wrong_type(value, path, "a dictionary of sandboxes by name")
    return tuple(_sandbox(name, spec, f"{path}.{name}") for name, spec in value.items())


def _public_keys(value: t.Any, path: str) -> tuple[tuple[str, str], ...]:
    if not is_mapping(value):
        wrong_type(value, path, "a dictionary of public keys by tunnel")
    return tuple(
        (choice(*TUNNEL_SLOTS)(slot, path), _public_key(key, f"{path}.{slot}")) for slot, key in sorted(value.items())
    )


_PEER: dict[str, Reader] = {
    "vtep": values.address,
    "sandboxes": _sandboxes,
    "subnets": one_or_list_of(values.network),
    "public_key": _public_key,
    "public_keys": _public_keys,
    "endpoint": _endpoint,
}


def _peer(name: t.Any, value: t.Any, path: str) -> OverlayPeer:
    said = read(value if value is not None else {}, path, _PEER)
    if "vtep" not in said:
        refuse(path, "the host has no vtep", "Give the address that its end of the tunnels has.")
    return OverlayPeer(values.name(name, path, "host's name"), **said)


def _peers(value: t.Any, path: str) -> tuple[OverlayPeer, ...]:
    if not is_mapping(value):
        wrong_type(value, path, "a dictionary of hosts by name")
    return tuple(_peer(name, spec, f"{path}.{name}") for name, spec in value.items())


def _tunnels(value: t.Any, path: str) -> tuple[str, ...]:
    found = list_of(choice(*TUNNEL_SLOTS))(value, path)
    if not found or len(set(found)) < len(found):
        refuse(
            path,
            "these are not one or two tunnels",
            "Give [a], or while keys are renewed [a, b]: what is sent goes by the first.",
        )
    return tuple(found)


_OWN: dict[str, Reader] = {
    "vni": integer(1, 0xFFFFFF),
    "mode": choice("l2", "routed"),
    "control_plane": choice("static", "evpn"),
    "vtep": _vtep,
    "port": _UDP_PORT,
    "encrypted": boolean,
    "tunnel_port": integer(1, 65534),
    "tunnels": _tunnels,
}


def _driver_opts(value: t.Any, path: str) -> dict[str, t.Any]:
    """Return driver options: our own words without prefix, and those that Docker's overlay driver has."""
    said = {}
    for key, item in pairs(value, path):
        where = f"{path}.{key}"
        if key in _OWN:
            said[key] = _OWN[key]("true" if key == "encrypted" and item == "" else item, where)
        elif key == _DOCKER + "mtu":
            said["mtu"] = integer(68, 65535)(item, where)
        elif key == _DOCKER + "overlay.vxlanid_list":
            said["vni"] = _OWN["vni"](item, where)
        else:
            refuse(
                path,
                f"{shown(key)} is not a driver option of an overlay",
                f"Known options: {', '.join(sorted(_OWN))}, {_DOCKER}mtu, {_DOCKER}overlay.vxlanid_list.",
            )
    return said


OVERLAY: dict[str, Reader] = {**_OWN, "peers": _peers, "driver_opts": _driver_opts}


def overlay_of(said: t.Mapping[str, t.Any], path: str) -> Overlay:
    """Return what is special to an overlay among what its network says; vni 0 is not chosen yet."""
    sealed = said.get("encrypted", False)
    found = Overlay(
        vni=said.get("vni", 0),
        mode=said.get("mode", "l2"),
        control_plane=said.get("control_plane", "static"),
        vtep=said.get("vtep", ""),
        port=said.get("port", SEALED_PORT if sealed else PORT),
        encrypted=sealed,
        tunnel_port=said.get("tunnel_port", 51820),
        tunnels=said.get("tunnels", ("a",)),
    )
    if found.mode == "routed" and found.control_plane == "evpn":
        refuse(
            path + ".control_plane",
            "a routed network needs no control plane: each host has one route to every other",
            "Remove control_plane, or set mode: l2.",
        )
    return found
