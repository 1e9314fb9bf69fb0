# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Parses the options that only networks with the driver overlay have: VNI, VTEP, encryption, the peers."""

from __future__ import annotations

import re
import typing as t

from ..errors import refuse
from ..model import addresses
from ..model.overlay import Overlay, OverlayPeer, PeerSandbox
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

# UDP ports. The firewall distinguishes the two: packets to the second may leave the host through WireGuard only.
VXLAN_PORT = 4789  # RFC 7348
ENCRYPTED_VXLAN_PORT = 4787
_WIREGUARD_PORT = 51820
_HIGHEST_VNI = 0xFFFFFF  # 24 bits (RFC 7348)
_read_udp_port = integer(1, 65535)
_read_slot = choice(*TUNNEL_SLOTS)
_read_slots = list_of(_read_slot)
_PUBLIC_KEY = re.compile(r"[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=\Z")  # 32 bytes in base64
_DOCKER_MTU = "com.docker.network.driver.mtu"
_DOCKER_VNI = "com.docker.network.driver.overlay.vxlanid_list"
_SANDBOX_OPTIONS: dict[str, Reader] = {
    "project": values.name,  # default: the network's project
    "addresses": list_of(values.address),
    "mac_address": values.mac,  # default: derived from the names of project, network and sandbox
    "aliases": list_of(values.domain),
    "hostname": values.domain,
}


def _vtep(value: t.Any, path: str) -> str:
    """Return an address of this host, or the name of the interface that has it."""
    vtep = text(value, path)
    if addresses.is_address(vtep):
        return str(values.address(vtep, path))
    if not INTERFACE.match(vtep):
        refuse(
            path,
            f"{shown(vtep)} is neither a valid address nor a valid interface name",
            "Use the address of this host's VXLAN tunnel end (VTEP) or its interface, such as 192.0.2.2 or eth0.",
        )
    return vtep


def _public_key(value: t.Any, path: str) -> str:
    key = text(value, path)
    if not _PUBLIC_KEY.match(key):
        refuse(path, "the value is not a WireGuard public key", "Use the output of wg pubkey: 32 bytes in base64.")
    return key


def _endpoint(value: t.Any, path: str) -> str:
    """Return ADDRESS:PORT; an IPv6 address has brackets."""
    host, colon, port_text = text(value, path).rpartition(":")
    if not colon:
        refuse(
            path,
            f"{shown(value)} is not a valid address with a port",
            "Use a form such as 192.0.2.3:51820 or [2001:db8::3]:51820.",
        )
    in_brackets = host.startswith("[") and host.endswith("]")
    address = values.address(host[1:-1] if in_brackets else host, path)
    port = _read_udp_port(port_text, path)
    return f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"


def _sandboxes(value: t.Any, path: str) -> tuple[PeerSandbox, ...]:
    if not is_mapping(value):
        wrong_type(value, path, "a dictionary of sandboxes by name")
    return tuple(_sandbox(name, spec, f"{path}.{name}") for name, spec in value.items())


def _sandbox(name: t.Any, spec: t.Any, path: str) -> PeerSandbox:
    options = read(spec if spec is not None else {}, path, _SANDBOX_OPTIONS)
    return PeerSandbox(values.name(name, path, "sandbox name"), **options)


def _public_keys(value: t.Any, path: str) -> tuple[tuple[str, str], ...]:
    """Return (tunnel, public key) pairs."""
    if not is_mapping(value):
        wrong_type(value, path, "a dictionary of public keys by tunnel")
    return tuple((_read_slot(slot, path), _public_key(key, f"{path}.{slot}")) for slot, key in sorted(value.items()))


_PEER_OPTIONS: dict[str, Reader] = {
    "vtep": values.address,  # required
    "sandboxes": _sandboxes,  # by name
    "subnets": one_or_list_of(values.network),  # mode routed: the host's slices of the network's subnets
    "public_key": _public_key,  # of its WireGuard tunnel
    "public_keys": _public_keys,  # of each of its tunnels by tunnel (a, b), while keys are rotated
    "endpoint": _endpoint,  # ADDRESS:PORT of its WireGuard tunnel
}


def _peers(value: t.Any, path: str) -> tuple[OverlayPeer, ...]:
    """Return the other hosts of a network. On a fleet, fleet/host_documents.peer_table() writes this format."""
    if not is_mapping(value):
        wrong_type(value, path, "a dictionary of hosts by name")
    return tuple(_peer(name, spec, f"{path}.{name}") for name, spec in value.items())


def _peer(name: t.Any, spec: t.Any, path: str) -> OverlayPeer:
    options = read(spec if spec is not None else {}, path, _PEER_OPTIONS)
    if "vtep" not in options:
        refuse(path, "the host has no vtep", "Set vtep to the address of its VXLAN tunnel end (VTEP).")
    return OverlayPeer(values.name(name, path, "host name"), **options)


def _tunnels(value: t.Any, path: str) -> tuple[str, ...]:
    slots: tuple[str, ...] = _read_slots(value, path)
    if not slots or len(set(slots)) < len(slots):
        refuse(
            path,
            "the list does not contain one or two different tunnels",
            "Use [a], or [a, b] while keys are rotated: the first tunnel is the one for sending.",
        )
    return slots


_OWN_OPTIONS: dict[str, Reader] = {
    "vni": integer(1, _HIGHEST_VNI),  # VXLAN network identifier; a fleet plan assigns it, otherwise required
    "mode": choice("l2", "routed"),  # one layer-2 network (default), or a slice of the subnet for each host
    "control_plane": choice("static", "evpn"),  # entries from peers (default), or from FRR's bgpd
    "vtep": _vtep,  # this host's VXLAN tunnel end: address or interface; by default chosen
    "port": _read_udp_port,  # UDP port of VXLAN; default 4789, encrypted 4787
    "encrypted": boolean,  # true: VXLAN packets pass through WireGuard only
    "tunnel_port": integer(1, 65534),  # UDP port of WireGuard tunnel a, the next one is tunnel b's; default 51820
    "tunnels": _tunnels,  # the host's WireGuard tunnels, the one for sending first; default [a]
}


def _driver_opts(value: t.Any, path: str) -> dict[str, t.Any]:
    """Return driver options: _OWN_OPTIONS, and those of Docker's overlay driver under dockless' names."""
    options = {}
    for key, item in pairs(value, path):
        where = f"{path}.{key}"
        if key == "encrypted" and item == "":  # Docker enables it by the name alone
            options[key] = True
        elif key in _OWN_OPTIONS:
            options[key] = _OWN_OPTIONS[key](item, where)
        elif key == _DOCKER_MTU:
            options["mtu"] = values.mtu(item, where)
        elif key == _DOCKER_VNI:
            options["vni"] = _OWN_OPTIONS["vni"](item, where)
        else:
            refuse(
                path,
                f"unknown driver option {shown(key)} of a network with driver overlay",
                f"Known options: {', '.join([*sorted(_OWN_OPTIONS), _DOCKER_MTU, _DOCKER_VNI])}.",
            )
    return options


OVERLAY_OPTIONS: dict[str, Reader] = {
    **_OWN_OPTIONS,
    "peers": _peers,  # the network's other hosts by name; the action plugin of fleets fills it in
    "driver_opts": _driver_opts,
}


def build_overlay(options: t.Mapping[str, t.Any], path: str) -> Overlay:
    """Return the overlay part of a network with these parsed options. vni is 0 until one is assigned.

    Raises DocklessError for options that contradict each other.
    """
    encrypted = options.get("encrypted", False)
    overlay = Overlay(
        vni=options.get("vni", 0),
        mode=options.get("mode", "l2"),
        control_plane=options.get("control_plane", "static"),
        vtep=options.get("vtep", ""),
        port=options.get("port", ENCRYPTED_VXLAN_PORT if encrypted else VXLAN_PORT),
        encrypted=encrypted,
        tunnel_port=options.get("tunnel_port", _WIREGUARD_PORT),
        tunnels=options.get("tunnels", ("a",)),
    )
    if overlay.mode == "routed" and overlay.control_plane == "evpn":
        refuse(
            path + ".control_plane",
            "a network with mode routed cannot use EVPN, because each host has one static route to every other host",
            "Remove control_plane, or set mode: l2.",
        )
    return overlay
