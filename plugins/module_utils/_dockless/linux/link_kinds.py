# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""The kinds of link whose own settings dockless chooses: the name, encoding and decoding of each setting.

A kind's settings are pairs in a fixed order, (("id", 300), ("learning", 0), …), as in state.objects.Link.data.
"""

from __future__ import annotations

import ipaddress
import struct
import sys
import typing as t

if t.TYPE_CHECKING:
    from ..state.keys import Conf
    from ..state.objects import Data

Attributes = t.Mapping[int, bytes]
# linux/if_link.h, with iproute2's names
MACVLAN_MODES = {1: "private", 2: "vepa", 4: "bridge", 8: "passthru", 16: "source"}
# Settings of a bridge port by the names of bridge(8), with the numbers of their IFLA_BRPORT_* attributes.
PORT_ATTRIBUTES = {
    "bcast_flood": 30,
    "isolated": 33,
    "learning": 8,
    "mcast_flood": 27,
    "neigh_suppress": 32,
    "unicast_flood": 9,
}


class LinkKind(t.NamedTuple):
    """attributes names the kernel's constant for each setting; decode reads the settings from IFLA_INFO_DATA."""

    attributes: t.Mapping[str, str]
    decode: t.Callable[[Attributes], Data]


def encode_settings(kind: str, settings: Data) -> list[tuple[str, object]]:
    """Return a kind's settings as attributes of IFLA_INFO_DATA."""
    return [(LINK_KINDS[kind].attributes[name], value) for name, value in settings]


def decode_settings(kind: str, found: Attributes) -> Data:
    """Return the settings that IFLA_INFO_DATA holds; () for a kind whose settings dockless does not choose."""
    return LINK_KINDS[kind].decode(found) if kind in LINK_KINDS else ()


def decode_port(found: Attributes) -> Conf:
    """Return the settings of a bridge port from IFLA_INFO_SLAVE_DATA."""
    return tuple((name, found[number][0]) for name, number in PORT_ATTRIBUTES.items() if number in found)


def _number(value: bytes | None) -> int:
    return int.from_bytes(value or b"", sys.byteorder)


def _decode_vxlan(found: Attributes) -> Data:
    local = found.get(4) or found.get(17) or b""
    return (
        ("id", _number(found.get(1))),
        ("learning", _number(found.get(7))),
        ("local6" if len(local) == 16 else "local", str(ipaddress.ip_address(local)) if local else ""),
        ("port", struct.unpack("!H", found[15])[0] if 15 in found else 0),
    )


def _decode_vlan(found: Attributes) -> Data:
    return (("id", _number(found.get(1))),)


def _decode_macvlan(found: Attributes) -> Data:
    return (("mode", MACVLAN_MODES.get(_number(found.get(1)), "")),)


def _decode_ipvlan(found: Attributes) -> Data:
    return (("mode", _number(found.get(1))),)


LINK_KINDS: dict[str, LinkKind] = {
    "vxlan": LinkKind(
        {
            "id": "IFLA_VXLAN_ID",
            "learning": "IFLA_VXLAN_LEARNING",
            "local": "IFLA_VXLAN_LOCAL",
            "local6": "IFLA_VXLAN_LOCAL6",
            "port": "IFLA_VXLAN_PORT",
        },
        _decode_vxlan,
    ),
    "vlan": LinkKind({"id": "IFLA_VLAN_ID"}, _decode_vlan),
    "macvlan": LinkKind({"mode": "IFLA_MACVLAN_MODE"}, _decode_macvlan),
    "ipvlan": LinkKind({"mode": "IFLA_IPVLAN_MODE"}, _decode_ipvlan),
}
