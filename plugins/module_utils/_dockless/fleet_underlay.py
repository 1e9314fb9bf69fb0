# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""How the hosts of an overlay network reach each other: VTEP addresses, tunnels, and the MTU that fits all of them."""
from __future__ import annotations

import ipaddress
import typing as t

from .errors import DocklessError
from .fields import refuse
from .fleet_model import FleetHost, Key, Member, Overlay, Underlay

_VXLAN, _VXLAN6 = 50, 70  # bytes that the outer headers take
_TUNNEL, _TUNNEL6 = 60, 80
_DEFAULT_MTU = 1500


def vteps(overlay: Overlay, members: t.Mapping[str, Member], hosts: t.Mapping[str, FleetHost],
          underlays: t.Mapping[str, Underlay]) -> t.Dict[str, str]:
    """Return each member's VTEP address, "" where it is not known yet.

    Raises DocklessError where a host that was read has none, two have the same, or families are mixed.
    """
    found: t.Dict[str, str] = {}
    owner: t.Dict[str, str] = {}
    for name, member in sorted(members.items()):
        vtep = _vtep(name, member, hosts.get(name), underlays.get(name, Underlay()), overlay.encrypted)
        if not vtep and name in hosts and hosts[name].memory is not None and not overlay.encrypted:
            raise DocklessError(f"no VTEP address is known of host {name}, which is on the overlay network {'/'.join(overlay.key)}",
                                "Set its variable dockless_vtep to an address or an interface of the underlay.", f"host {name}")
        if vtep and owner.setdefault(vtep, name) != name:
            raise DocklessError(f"the VTEP address {vtep} is that of host {owner[vtep]} too", "Give each host its own, by dockless_vtep.", f"host {name}")
        found[name] = vtep
    _refuse_mixed(overlay, found)
    return found


def _vtep(name: str, member: Member, host: t.Optional[FleetHost], underlay: Underlay, encrypted: bool) -> str:
    if encrypted:
        return underlay.tunnel
    said = str((member.spec or {}).get("vtep") or "")
    for candidate in (said, host.vtep if host else ""):
        if is_address(candidate):
            return str(ipaddress.ip_address(candidate))
        if candidate and host and host.memory and candidate in host.memory.interfaces:
            return host.memory.interfaces[candidate]
        if candidate and host and host.memory:
            refuse(f"host {name}", f"it has no interface {candidate} with an address, which should hold its VTEP address",
                   "Set dockless_vtep, or the network's vtep, to one that it has.")
    return underlay.vtep


def is_address(value: str) -> bool:
    """Return whether the text is an IP address."""
    try:
        return bool(ipaddress.ip_address(value))
    except ValueError:
        return False


def _refuse_mixed(overlay: Overlay, vtep: t.Mapping[str, str]) -> None:
    sorts: t.Dict[bool, str] = {}
    for name, address in vtep.items():
        if address:
            sorts.setdefault(":" in address, name)
    if len(sorts) == 2:
        raise DocklessError(
            f"the network {'/'.join(overlay.key)} has VTEP addresses of both families: {vtep[sorts[False]]} on host {sorts[False]} "
            f"and {vtep[sorts[True]]} on host {sorts[True]}", "Give all of its hosts addresses of one family, by dockless_vtep.")


def common_mtu(overlay: Overlay, vtep: t.Mapping[str, str], underlays: t.Mapping[str, Underlay]) -> t.Optional[int]:
    """Return the MTU in bytes that fits every member, None where each host finds that by itself.

    A sandbox that may send more than a remote host can receive would lose its large packets.
    """
    found = {underlays[name].mtu for name in vtep if name in underlays and underlays[name].mtu}
    if overlay.mtu or len(found) < 2:
        return None
    lowest = min(found)
    if overlay.encrypted:
        lowest -= _TUNNEL6 if any(underlays[n].endpoint.startswith("[") for n in vtep if n in underlays) else _TUNNEL
    return lowest - (_VXLAN6 if any(":" in address for address in vtep.values()) else _VXLAN)


def row(key: Key, overlay: Overlay, vtep: str, underlay: Underlay) -> t.Dict[str, t.Any]:
    """Return what the other hosts must know of a host to reach it."""
    found: t.Dict[str, t.Any] = {"vtep": vtep}
    if overlay.encrypted:
        found.update(public_key=underlay.public_key, endpoint=underlay.endpoint)
    return found
