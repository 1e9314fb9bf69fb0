# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Reads facts for macvlan and ipvlan networks: parent interfaces, and the kinds of link that the kernel has."""

from __future__ import annotations

import errno
import os
import struct

from ..linux.links import IFF_UP, LinkRow
from ..linux.netlink import Socket
from ..model import macvlan
from ..model.facts import Facts, Parent
from ..model.host import Host
from ..names import LINK_GROUP
from .snapshot import NetnsSnapshot

_SYSFS = "/sys/class/net"
_RTM_NEWLINK, _FLAGS = 16, 0x1 | 0x4 | 0x200 | 0x400  # a request, acknowledged, that makes and replaces nothing
_NOWHERE = 0x7FFFFFFF  # no interface has this number


def with_parents(facts: Facts, host: Host, present: NetnsSnapshot) -> Facts:
    """Return the facts with what they need to tell of parents, where any network has one."""
    networks = [network for network in host.networks() if not network.passes_host]
    if not networks:
        return facts
    asked: dict[str, None] = {}
    kinds = set()
    by_name = present.by_name()
    for network in networks:
        kinds.add(network.driver)
        parent = network.macvlan_options.parent
        vlan = macvlan.parse_vlan_name(parent)
        asked.update({parent: None, **({vlan[0]: None} if vlan else {})})
        if vlan and parent not in by_name:
            kinds.add("vlan")
    found = tuple(_parent(by_name[name], present) for name in asked if name in by_name)
    return facts._replace(parents=found, missing_kinds=frozenset(kind for kind in kinds if not has_kind(kind)))


def _parent(row: LinkRow, present: NetnsSnapshot) -> Parent:
    master = present.links.get(row.master)
    busy = master.name if master is not None and master.kind != "vrf" else ""
    return Parent(row.name, row.mtu, row.kind, busy, row.group == LINK_GROUP, bool(row.flags & IFF_UP), _nic(row.name))


def _nic(name: str) -> str:
    """Return wireless, or the driver of a network card, "" where the interface is no device."""
    if os.path.exists(f"{_SYSFS}/{name}/phy80211"):
        return "wireless"
    try:
        return os.path.basename(os.readlink(f"{_SYSFS}/{name}/device/driver"))
    except OSError:
        return ""


def has_kind(kind: str) -> bool:
    """Return whether the kernel can make links of a kind, by asking for one on an interface that cannot be.

    It refuses in any case; that it does not know the kind is told first.
    """

    def attribute(number: int, value: bytes) -> bytes:
        return struct.pack("=HH", 4 + len(value), number) + value + b"\0" * (-len(value) % 4)

    data = {
        "vlan": attribute(1, struct.pack("=H", 1)),
        "macvlan": attribute(1, struct.pack("=I", 4)),
        "ipvlan": attribute(1, struct.pack("=H", 0)),
    }
    body = (
        struct.pack("=BxHiII", 0, 0, 0, 0, 0)
        + attribute(5, struct.pack("=I", _NOWHERE))
        + attribute(18, attribute(1, kind.encode() + b"\0") + attribute(2, data[kind]))
    )
    message = struct.pack("=IHHII", 16 + len(body), _RTM_NEWLINK, _FLAGS, 0, 0) + body
    with Socket() as sock:
        refusals = sock.flight([bytearray(message)])
    return not any(refusal.errno == errno.EOPNOTSUPP for refusal in refusals)
