# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""At boot, the ends of tunnels: networks are made while the host still gets its addresses."""

from __future__ import annotations

import ipaddress
import select
import socket
import time

from ..model.addresses import is_address
from ..model.facts import Facts, UnderlayAddress
from ..model.host import Host
from . import snapshot

WAIT_S = 20.0
_ADDRESS_EVENTS = 0x10 | 0x100  # RTMGRP_IPV4_IFADDR, RTMGRP_IPV6_IFADDR (linux/rtnetlink.h)


def await_vteps(host: Host) -> None:
    """Return when this host has every address that a tunnel is to end at, or after WAIT_S seconds."""
    wanted = _ends(host)
    if not wanted:
        return
    deadline = time.monotonic() + WAIT_S
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE) as events:
        events.bind((0, _ADDRESS_EVENTS))  # before the first look, so that none comes between the two
        while wanted - _present():
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([events], [], [], left)[0]:
                return
            try:
                events.recv(1 << 16)
            except OSError:  # more events than fit: look again
                continue


def with_missing_vteps(facts: Facts, host: Host) -> tuple[Facts, list[str]]:
    """Return the facts as if the missing ends were there, and a warning for each: the kernel sends when they come.

    Without them the whole run would be refused, and with it the networks that need no other host.
    """
    missing = sorted(_ends(host) - {str(each.address) for each in facts.underlay})
    ends = tuple(UnderlayAddress(ipaddress.ip_address(text), "", facts.mtu) for text in missing)
    return facts._replace(underlay=facts.underlay + ends), [
        f"this host has no address {text} yet: overlay networks that end there reach no other host until it has"
        for text in missing
    ]


def _ends(host: Host) -> set[str]:
    networks = [network for project in host.projects for network in project.networks if network.spans_hosts]
    overlays = [network.overlay_options for network in networks if not network.is_encrypted]
    return {overlay.vtep for overlay in overlays if is_address(overlay.vtep)}


def _present() -> set[str]:
    return {cidr.partition("/")[0] for index, cidr in snapshot.read_host().addresses}
