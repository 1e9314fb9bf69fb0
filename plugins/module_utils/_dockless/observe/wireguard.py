# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""WireGuard links, their peers, their keys, and the kill-switch routes behind them."""

from __future__ import annotations

import typing as t

from .. import names
from ..linux import wireguard
from ..linux.links import IFF_UP, LinkRow
from ..linux.wireguard import Device
from ..names import LAST_METRIC, TUNNEL_GROUP
from ..state.objects import HOST, State
from ..state.wireguard import KillSwitchRoute, WireguardKey, WireguardLink, WireguardPeer
from .snapshot import NetnsSnapshot

_LINK_KINDS = frozenset(("wireguard", "tun"))  # the kernel's, and wireguard-go's


def observe(host: NetnsSnapshot, wanted: State, state: State) -> list[str]:
    """Add WireGuard objects to state, and remove from it the routes that belong to them.

    Return a sentence for each unmanaged interface that has a wanted link's name. A key that no link has or is declared
    to have is left out: it was made beforehand so that other hosts can be configured with its public key.
    """
    slots = {obj.slot for obj in wanted.values() if isinstance(obj, WireguardKey)}
    conflicts = []
    for row in host.links.values():
        desired = wanted.get(("wireguard_link", HOST, row.name))
        desired = desired if isinstance(desired, WireguardLink) else None
        if row.group == TUNNEL_GROUP or _is_half_made(row, desired):
            link, peers = _link(row, host, desired)
            state.update({link.key: link, **{peer.key: peer for peer in peers}})
            slots.add(link.slot)
        elif desired is not None:
            conflicts.append(
                f"interface {row.name} exists on this host and is not managed by dockless (link group {row.group})"
            )
    _separate_routes(host, wanted, state)
    state.update((key.key, key) for key in _keys(slots, wanted))
    return conflicts


def _is_half_made(row: LinkRow, desired: WireguardLink | None) -> bool:
    """Return whether a killed run has left the link before it got its group."""
    return desired is not None and row.kind in _LINK_KINDS and row.alias in ("", desired.label)


def _link(
    row: LinkRow, host: NetnsSnapshot, desired: WireguardLink | None
) -> tuple[WireguardLink, list[WireguardPeer]]:
    device = wireguard.show(row.name)
    slot = _slot(row, desired)
    addresses = [cidr for index, cidr in host.addresses if index == row.ifindex and not cidr.startswith("fe80:")]
    link = WireguardLink(
        HOST,
        row.name,
        slot,
        _public_key(device, slot, desired),
        device.listen_port if device else 0,
        row.mtu,
        " ".join(sorted(addresses)),
        row.alias,
        up=bool(row.flags & IFF_UP),
        conf=row.conf(desired.conf) if desired else row.settings(),
        answering=device is not None and row.group == TUNNEL_GROUP,
    )
    return link, list(_peers(device, row, host))


def _slot(row: LinkRow, desired: WireguardLink | None) -> str:
    if row.alias.startswith(names.tunnel_label("")):
        return row.alias.rpartition(" ")[2]
    return desired.slot if desired else ""


def _public_key(device: Device | None, slot: str, desired: WireguardLink | None) -> str:
    """Return the link's public key; "" as in a declared link that accepts any key, where it is that of the slot."""
    if device is None:
        return ""
    accepts_any = desired is not None and not desired.public_key
    return "" if accepts_any and device.public_key == wireguard.public_key(slot) else device.public_key


def _peers(device: Device | None, row: LinkRow, host: NetnsSnapshot) -> t.Iterator[WireguardPeer]:
    routed = {route.destination for route in host.routes if route.ifindex == row.ifindex}
    for peer in device.peers if device else ():
        is_routed = routed.issuperset(peer.allowed)
        yield WireguardPeer(HOST, row.name, peer.public_key, peer.endpoint, " ".join(peer.allowed), is_routed)


def _separate_routes(host: NetnsSnapshot, wanted: State, state: State) -> None:
    """Take the routes to peers, which are part of these, and kill-switch routes out of the plain routes."""
    of_peers: set[tuple[str, str]] = set()
    for obj in (*state.values(), *wanted.values()):
        if isinstance(obj, WireguardPeer):
            of_peers.update((obj.link, cidr) for cidr in obj.allowed.split())
    for route in host.routes:
        key = ("route", HOST, route.destination, str(route.metric))
        if route.metric == LAST_METRIC:
            state.pop(key, None)
            kill_switch = KillSwitchRoute(HOST, route.destination)
            state[kill_switch.key] = kill_switch
        elif (host.name_of(route.ifindex), route.destination) in of_peers:
            state.pop(key, None)


def _keys(slots: set[str], wanted: State) -> t.Iterator[WireguardKey]:
    """Yield the keys that the host has, with the public key only where the declaration has it."""
    existing = wireguard.slots_with_key() if slots else ()
    for slot in sorted(slots.intersection(existing)):
        desired = wanted.get(("wireguard_key", slot))
        is_known = isinstance(desired, WireguardKey) and bool(desired.public_key)
        yield WireguardKey(slot, wireguard.public_key(slot) or "" if is_known else "")
