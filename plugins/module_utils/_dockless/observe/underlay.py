# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Waits at boot for the host's VTEP addresses, because networks are created while the host still gets its addresses."""

from __future__ import annotations

import ipaddress
import select
import socket
import time

from ..model.addresses import is_address
from ..model.facts import Facts, UnderlayAddress, VxlanDevice
from ..model.host import Host
from ..names import LINK_GROUP, PENDING_DELETE_GROUP
from . import snapshot
from .snapshot import NetnsSnapshot

WAIT_S = 20.0
_ADDRESS_EVENTS = 0x10 | 0x100  # RTMGRP_IPV4_IFADDR, RTMGRP_IPV6_IFADDR (linux/rtnetlink.h)


def await_vteps(host: Host) -> None:
    """Return when this host has each address that a network declares as its VTEP, or after WAIT_S seconds."""
    vteps = _declared_vteps(host)
    if not vteps:
        return
    deadline = time.monotonic() + WAIT_S
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE) as events:
        # Before the addresses are read: an address that is added between the two must not be missed.
        events.bind((0, _ADDRESS_EVENTS))
        while vteps - _present_addresses():
            remaining = deadline - time.monotonic()
            if remaining <= 0 or not select.select([events], [], [], remaining)[0]:
                return
            try:
                events.recv(1 << 16)
            except OSError:  # the socket's buffer overflowed: read the addresses again
                continue


def with_missing_vteps(facts: Facts, host: Host) -> tuple[Facts, list[str]]:
    """Return the facts as if the host had all declared VTEP addresses, and a warning for each that is missing.

    Otherwise the whole run would be refused, with the networks that need no other host. The kernel sends as soon
    as the address is added.
    """
    missing = sorted(_declared_vteps(host) - {str(each.address) for each in facts.underlay})
    assumed = tuple(UnderlayAddress(ipaddress.ip_address(text), "", facts.mtu) for text in missing)
    warnings = [
        f"This host does not have the address {text} yet. Overlay networks with that vtep reach no other host until "
        "it is added."
        for text in missing
    ]
    return facts._replace(underlay=facts.underlay + assumed), warnings


def foreign_vxlan_devices(present: NetnsSnapshot) -> tuple[VxlanDevice, ...]:
    """Return the VXLAN devices of a namespace that dockless does not manage, sorted by name."""
    found = []
    for row in present.links.values():
        is_own = row.group in (LINK_GROUP, PENDING_DELETE_GROUP)
        if row.kind == "vxlan" and not is_own:
            settings = dict(row.data)
            found.append(VxlanDevice(row.name, int(settings.get("id", 0)), int(settings.get("port", 0))))
    return tuple(sorted(found))


def _declared_vteps(host: Host) -> set[str]:
    """Return the VTEPs that are declared as addresses. Those of encrypted networks are created by dockless itself."""
    vteps = set()
    for network in host.networks():
        if network.spans_hosts and not network.is_encrypted:
            vteps.add(network.overlay_options.vtep)
    return {vtep for vtep in vteps if is_address(vtep)}


def _present_addresses() -> set[str]:
    return {cidr.partition("/")[0] for _index, cidr in snapshot.read_host().addresses}
