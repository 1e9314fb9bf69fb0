# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""What the kernel says of a link's own kind, and of a bridge port -> the pairs of kernel.Link.data and kernel.Link.port."""

from __future__ import annotations

import ipaddress
import struct
import typing as t

if t.TYPE_CHECKING:
    from ..state.objects import Conf, Data

Attributes = t.Mapping[int, bytes]
MACVLAN_MODES = {
    1: "private",
    2: "vepa",
    4: "bridge",
    8: "passthru",
    16: "source",
}  # linux/if_link.h, as iproute2 calls them
# Places among a bridge port's attributes (IFLA_BRPORT_*).
_PORT = {"bcast_flood": 30, "isolated": 33, "learning": 8, "mcast_flood": 27, "neigh_suppress": 32, "unicast_flood": 9}


def data(kind: str, found: Attributes) -> Data:
    """Return the settings of a vxlan, vlan, macvlan or ipvlan device that we choose; () for any other kind."""
    return _READERS[kind](found) if kind in _READERS else ()


def port(found: Attributes) -> Conf:
    """Return a bridge port's settings, by the names of bridge(8)."""
    return tuple((name, found[place][0]) for name, place in _PORT.items() if place in found)


def _vxlan(found: Attributes) -> Data:
    local = found.get(4) or found.get(17) or b""
    return (
        ("id", _number(found.get(1))),
        ("learning", _number(found.get(7))),
        ("local6" if len(local) == 16 else "local", str(ipaddress.ip_address(local)) if local else ""),
        ("port", struct.unpack("!H", found[15])[0] if 15 in found else 0),
    )


def _number(value: bytes | None) -> int:
    return int.from_bytes(value or b"", _ORDER)


_ORDER: t.Any = "little" if struct.pack("=H", 1) == b"\x01\0" else "big"
_READERS: dict[str, t.Callable[[Attributes], Data]] = {
    "vxlan": _vxlan,
    "vlan": lambda found: (("id", _number(found.get(1))),),
    "macvlan": lambda found: (("mode", MACVLAN_MODES.get(_number(found.get(1)), "")),),
    "ipvlan": lambda found: (("mode", _number(found.get(1))),),
}
