# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""What a network reaches over: other hosts and their sandboxes, or an interface of this host. Part of the model; see model.py."""
from __future__ import annotations

import ipaddress
import typing as t

IPNetwork = t.Union[ipaddress.IPv4Network, ipaddress.IPv6Network]
IPAddress = t.Union[ipaddress.IPv4Address, ipaddress.IPv6Address]


class PeerSandbox(t.NamedTuple):
    """A sandbox on another host, as its network knows it. An empty mac_address is the one that its names give it."""

    name: str
    project: str = ""  # the network's own unless given
    addresses: t.Tuple[IPAddress, ...] = ()
    mac_address: str = ""
    aliases: t.Tuple[str, ...] = ()
    hostname: str = ""


class Peer(t.NamedTuple):
    """Another host of an overlay: its end of the tunnels (RFC 7348, 3), and who lives there.

    subnets are its slices of a routed network. public_key and endpoint are those of its WireGuard link, behind
    which vtep is.
    """

    name: str
    vtep: IPAddress
    sandboxes: t.Tuple[PeerSandbox, ...] = ()
    subnets: t.Tuple[IPNetwork, ...] = ()
    public_key: str = ""
    endpoint: str = ""
    public_keys: t.Tuple[t.Tuple[str, str], ...] = ()  # of each of its tunnels, while keys are renewed


class Overlay(t.NamedTuple):
    """What makes a network span hosts. vni 0 is not chosen yet; vtep is an address, or until it is resolved an interface."""

    vni: int = 0
    mode: str = "l2"  # or routed
    control_plane: str = "static"  # or evpn
    vtep: str = ""
    port: int = 4789
    encrypted: bool = False
    tunnel_port: int = 51820  # UDP port of the host's tunnel a; that of b is the next one
    tunnels: t.Tuple[str, ...] = ("a",)  # what is sent goes by the first that the other host has, what comes by any is taken
    whole: t.Tuple[IPNetwork, ...] = ()  # of a routed network: the subnets that this host has a slice of


class Macvlan(t.NamedTuple):
    """What a macvlan or ipvlan network sits on: parent, or nothing (""). addresses are the host's own, where it has access."""

    parent: str = ""
    mode: str = "bridge"  # or private, vepa, passthru; ipvlan: l2, l3, l3s
    host_access: bool = False
    addresses: t.Tuple[IPAddress, ...] = ()
