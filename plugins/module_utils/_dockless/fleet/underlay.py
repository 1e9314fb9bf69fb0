# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""How the hosts of an overlay network reach each other: VTEP addresses, tunnels, and the MTU that fits all of them."""

from __future__ import annotations

import ipaddress
import typing as t

from ..document import values
from ..errors import DocklessError, refuse
from ..model.addresses import is_address
from ..model.overlay import VXLAN_OVERHEAD, WIREGUARD_OVERHEAD
from .model import FleetHost, FleetOverlay, HostUnderlay, Membership

Underlays = t.Mapping[str, HostUnderlay]
Hosts = t.Mapping[str, FleetHost]


def assign_vteps(
    overlay: FleetOverlay, members: t.Mapping[str, Membership], hosts: Hosts, underlays: Underlays
) -> dict[str, str]:
    """Return each member's VTEP address, "" while it is unknown.

    Raises DocklessError if a host that was read has none, if two hosts have the same one, or if families are mixed.
    """
    found: dict[str, str] = {}
    owners: dict[str, str] = {}
    for name, member in sorted(members.items()):
        host, underlay = hosts.get(name), underlays.get(name, HostUnderlay())
        vtep = underlay.tunnel if overlay.encrypted else _vtep(name, member, host, underlay)
        was_read = host is not None and host.report is not None
        if not vtep and was_read and not overlay.encrypted:
            raise DocklessError(
                f"the VTEP address of host {name}, which is on the overlay network {overlay.title}, is unknown",
                "Set its variable dockless_vtep to an address or an interface of the underlay.",
                f"host {name}",
            )
        if vtep and owners.setdefault(vtep, name) != name:
            raise DocklessError(
                f"host {owners[vtep]} has the VTEP address {vtep} too",
                "Set a different dockless_vtep on each host.",
                f"host {name}",
            )
        found[name] = vtep
    _refuse_mixed_families(overlay, found)
    return found


def common_mtu(overlay: FleetOverlay, vteps: t.Mapping[str, str], underlays: Underlays) -> int | None:
    """Return the MTU in bytes that fits every member.

    None if an MTU is declared, or if each host computes the same one. Without a common MTU, a sandbox could
    send larger packets than a remote host can receive, and they would be lost.
    """
    members = [underlays[name] for name in vteps if name in underlays]
    link_mtus = {underlay.mtu for underlay in members if underlay.mtu}
    if overlay.mtu or len(link_mtus) < 2:
        return None
    mtu = min(link_mtus)
    if overlay.encrypted:
        has_ipv6_endpoint = any(underlay.endpoint.startswith("[") for underlay in members)
        mtu -= WIREGUARD_OVERHEAD[6 if has_ipv6_endpoint else 4]
    has_ipv6_vtep = any(":" in vtep for vtep in vteps.values())
    return mtu - VXLAN_OVERHEAD[6 if has_ipv6_vtep else 4]


def assign_tunnels(
    names: t.Collection[str],
    underlays: Underlays,
    pool: str,
    port: int,
    hosts: Hosts,
    tunnels: t.Collection[str] = ("a", "b"),
) -> dict[str, HostUnderlay]:
    """Return the hosts of encrypted networks, each with an address inside the tunnels and an endpoint.

    An address is the one of before, or the lowest free one of pool. tunnels are those that hosts have after this run:
    of a host that was read, the keys of other tunnels are left out, because the run removes them. port is the UDP port
    of the first tunnel. Raises DocklessError if the pool is exhausted.
    """
    space = values.network(pool, "tunnel_subnet")
    before = {
        name: underlay.tunnel
        for name, underlay in underlays.items()
        if underlay.tunnel and ipaddress.ip_address(underlay.tunnel) in space
    }
    taken = set(before.values())
    free = (str(address) for address in space.hosts() if str(address) not in taken)
    found = {}
    for name in sorted(names):
        underlay = underlays.get(name, HostUnderlay())
        address = before.get(name) or next(free, "")
        if not address:
            raise DocklessError(
                f"{pool} has no address left for the tunnels of host {name}", "Set a larger tunnel_subnet."
            )
        host = hosts.get(name)
        if host is not None and host.report is not None:
            keys = {tunnel: key for tunnel, key in underlay.public_keys.items() if tunnel in tunnels}
            underlay = underlay._replace(public_keys=keys)
        found[name] = underlay._replace(tunnel=address, endpoint=_endpoint(host, underlay, port))
    return found


def _vtep(name: str, member: Membership, host: FleetHost | None, underlay: HostUnderlay) -> str:
    """Return a host's VTEP address by the network's vtep, the variable dockless_vtep, or what is known of the host.

    Raises DocklessError if the first of these names an interface that the host does not have.
    """
    network_vtep = str((member.spec or {}).get("vtep") or "")
    for declared in (network_vtep, host.vtep if host else ""):
        if is_address(declared):
            return str(ipaddress.ip_address(declared))
        if not declared or host is None or host.report is None:
            continue
        if declared in host.report.interfaces:
            return host.report.interfaces[declared]
        refuse(
            f"host {name}",
            f"interface {declared}, which dockless_vtep or the network's vtep names, does not exist or has no address",
            "Set dockless_vtep, or the network's vtep, to an interface of the host that has an address.",
        )
    return underlay.vtep


def _refuse_mixed_families(overlay: FleetOverlay, vteps: t.Mapping[str, str]) -> None:
    ipv4 = [name for name, vtep in vteps.items() if vtep and ":" not in vtep]
    ipv6 = [name for name, vtep in vteps.items() if ":" in vtep]
    if ipv4 and ipv6:
        raise DocklessError(
            f"network {overlay.title} has VTEP addresses of both families: {vteps[ipv4[0]]} on host {ipv4[0]} "
            f"and {vteps[ipv6[0]]} on host {ipv6[0]}",
            "Set dockless_vtep to addresses of one family on all hosts of the network.",
        )


def _endpoint(host: FleetHost | None, underlay: HostUnderlay, port: int) -> str:
    """Return ADDRESS:PORT of a host's first tunnel: as declared, at its VTEP address, or as before."""
    if host is not None and host.endpoint:
        return host.endpoint
    if not underlay.vtep:
        return underlay.endpoint
    return f"[{underlay.vtep}]:{port}" if ":" in underlay.vtep else f"{underlay.vtep}:{port}"
