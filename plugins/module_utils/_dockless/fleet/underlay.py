# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""How the hosts of an overlay network reach each other: VTEP addresses, tunnels, and the MTU that fits all of them."""

from __future__ import annotations

import ipaddress
import typing as t

from ..document import values
from ..errors import DocklessError, refuse
from ..model.addresses import is_address
from .model import FleetHost, FleetOverlay, HostUnderlay, Membership

_VXLAN, _VXLAN6 = 50, 70  # bytes that the outer headers take
_TUNNEL, _TUNNEL6 = 60, 80


def assign_vteps(
    overlay: FleetOverlay,
    members: t.Mapping[str, Membership],
    hosts: t.Mapping[str, FleetHost],
    underlays: t.Mapping[str, HostUnderlay],
) -> dict[str, str]:
    """Return each member's VTEP address, "" where it is not known yet.

    Raises DocklessError where a host that was read has none, two have the same, or families are mixed.
    """
    found: dict[str, str] = {}
    owner: dict[str, str] = {}
    for name, member in sorted(members.items()):
        vtep = _vtep(name, member, hosts.get(name), underlays.get(name, HostUnderlay()), overlay.encrypted)
        if not vtep and name in hosts and hosts[name].memory is not None and not overlay.encrypted:
            raise DocklessError(
                f"no VTEP address is known of host {name}, which is on the overlay network {'/'.join(overlay.key)}",
                "Set its variable dockless_vtep to an address or an interface of the underlay.",
                f"host {name}",
            )
        if vtep and owner.setdefault(vtep, name) != name:
            raise DocklessError(
                f"the VTEP address {vtep} is that of host {owner[vtep]} too",
                "Give each host its own, by dockless_vtep.",
                f"host {name}",
            )
        found[name] = vtep
    _refuse_mixed(overlay, found)
    return found


def _vtep(name: str, member: Membership, host: FleetHost | None, underlay: HostUnderlay, encrypted: bool) -> str:
    if encrypted:
        return underlay.tunnel
    said = str((member.spec or {}).get("vtep") or "")
    for candidate in (said, host.vtep if host else ""):
        if is_address(candidate):
            return str(ipaddress.ip_address(candidate))
        if candidate and host and host.memory and candidate in host.memory.interfaces:
            return host.memory.interfaces[candidate]
        if candidate and host and host.memory:
            refuse(
                f"host {name}",
                f"it has no interface {candidate} with an address, which should hold its VTEP address",
                "Set dockless_vtep, or the network's vtep, to one that it has.",
            )
    return underlay.vtep


def _refuse_mixed(overlay: FleetOverlay, vtep: t.Mapping[str, str]) -> None:
    sorts: dict[bool, str] = {}
    for name, address in vtep.items():
        if address:
            sorts.setdefault(":" in address, name)
    if len(sorts) == 2:
        raise DocklessError(
            f"the network {'/'.join(overlay.key)} has VTEP addresses of both families: {vtep[sorts[False]]} on host {sorts[False]} "
            f"and {vtep[sorts[True]]} on host {sorts[True]}",
            "Give all of its hosts addresses of one family, by dockless_vtep.",
        )


def common_mtu(overlay: FleetOverlay, vtep: t.Mapping[str, str], underlays: t.Mapping[str, HostUnderlay]) -> int | None:
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


def assign_tunnels(
    names: t.Collection[str],
    underlays: t.Mapping[str, HostUnderlay],
    pool: str,
    port: int,
    hosts: t.Mapping[str, FleetHost],
    slots: t.Collection[str] = ("a", "b"),
) -> dict[str, HostUnderlay]:
    """Return the hosts of encrypted networks with an address in the tunnels, the one of before or the lowest free of pool, and an endpoint.

    slots are the tunnels there are to be: of hosts that were read, keys of others are about to go and are forgotten.
    Raises DocklessError when the pool is exhausted.
    """
    space = values.network(pool, "tunnel_subnet")
    before = {
        name: one.tunnel for name, one in underlays.items() if one.tunnel and ipaddress.ip_address(one.tunnel) in space
    }
    taken = set(before.values())
    free = (str(address) for address in space.hosts() if str(address) not in taken)
    found = {}
    for name in sorted(names):
        one = underlays.get(name, HostUnderlay())
        address = before.get(name, "")
        if not address:
            address = next(free, "")
        if not address:
            raise DocklessError(
                f"no address is left in {pool} for the tunnels of host {name}", "Give a larger tunnel_subnet."
            )
        outer = f"[{one.vtep}]" if ":" in one.vtep else one.vtep
        if name in hosts and hosts[name].memory is not None:
            one = one._replace(public_keys={slot: key for slot, key in one.public_keys.items() if slot in slots})
        found[name] = one._replace(
            tunnel=address, endpoint=_said(hosts, name) or (f"{outer}:{port}" if outer else one.endpoint)
        )
    return found


def _said(hosts: t.Mapping[str, FleetHost], name: str) -> str:
    return hosts[name].endpoint if name in hosts else ""
