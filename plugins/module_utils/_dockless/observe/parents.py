# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Reads facts for macvlan and ipvlan networks: parent interfaces, and the kinds of link that the kernel has."""

from __future__ import annotations

import errno
import os
import struct

from ..linux.links import IFF_UP, LinkRow
from ..linux.netlink import Socket
from ..model.facts import Facts, Parent
from ..model.host import Host
from ..model.macvlan import parse_vlan_name
from ..names import LINK_GROUP
from .snapshot import NetnsSnapshot

_SYSFS = "/sys/class/net"
_NO_INTERFACE = 0x7FFFFFFF  # no interface has this index
# linux/rtnetlink.h and linux/if_link.h
_RTM_NEWLINK = 16
_IFLA_LINK, _IFLA_LINKINFO, _INFO_KIND, _INFO_DATA = 5, 18, 1, 2
_FLAGS = 0x1 | 0x4 | 0x200 | 0x400  # NLM_F_REQUEST, _ACK, _EXCL, _CREATE
# The least IFLA_INFO_DATA of each kind: its first attribute, as a VLAN id or a mode.
_LEAST_DATA = {"vlan": (1, "=H", 1), "macvlan": (1, "=I", 4), "ipvlan": (1, "=H", 0)}


def with_parents(facts: Facts, host: Host, present: NetnsSnapshot) -> Facts:
    """Return the facts with the parents of macvlan and ipvlan networks, and the kinds of link that the kernel lacks.

    Without such networks, the facts are returned as they are.
    """
    networks = [network for network in host.networks() if not network.passes_host]
    if not networks:
        return facts
    names: dict[str, None] = {}  # ordered
    kinds = set()
    by_name = present.by_name()
    for network in networks:
        kinds.add(network.driver)
        parent = network.macvlan_options.parent
        names[parent] = None
        vlan = parse_vlan_name(parent)
        if vlan is not None:
            base, _vlan_id = vlan
            names[base] = None
            if parent not in by_name:
                kinds.add("vlan")
    parents = tuple(_parent(by_name[name], present) for name in names if name in by_name)
    return facts._replace(parents=parents, missing_kinds=frozenset(kind for kind in kinds if not has_kind(kind)))


def has_kind(kind: str) -> bool:
    """Return whether the kernel can create links of a kind: vlan, macvlan or ipvlan.

    It requests one on an interface that does not exist. The kernel refuses that in any case, with EOPNOTSUPP if it does
    not know the kind.
    """
    number, form, value = _LEAST_DATA[kind]
    data = _attribute(number, struct.pack(form, value))
    body = (
        struct.pack("=BxHiII", 0, 0, 0, 0, 0)
        + _attribute(_IFLA_LINK, struct.pack("=I", _NO_INTERFACE))
        + _attribute(_IFLA_LINKINFO, _attribute(_INFO_KIND, kind.encode() + b"\0") + _attribute(_INFO_DATA, data))
    )
    message = struct.pack("=IHHII", 16 + len(body), _RTM_NEWLINK, _FLAGS, 0, 0) + body
    with Socket() as sock:
        refusals = sock.flight([bytearray(message)])
    return not any(refusal.errno == errno.EOPNOTSUPP for refusal in refusals)


def _attribute(number: int, value: bytes) -> bytes:
    padding = b"\0" * (-len(value) % 4)
    return struct.pack("=HH", 4 + len(value), number) + value + padding


def _parent(row: LinkRow, present: NetnsSnapshot) -> Parent:
    master = present.links.get(row.master)
    if master is not None and master.kind == "vrf":
        master = None  # an interface of a VRF can be a parent, unlike a port of a bridge or bond
    return Parent(
        name=row.name,
        mtu=row.mtu,
        kind=row.kind,
        master=master.name if master is not None else "",
        managed=row.group == LINK_GROUP,
        up=bool(row.flags & IFF_UP),
        nic=_nic(row.name),
    )


def _nic(name: str) -> str:
    """Return "wireless", the driver of a network card, or "" if the interface is no network card."""
    if os.path.exists(f"{_SYSFS}/{name}/phy80211"):
        return "wireless"
    try:
        return os.path.basename(os.readlink(f"{_SYSFS}/{name}/device/driver"))
    except OSError:
        return ""
