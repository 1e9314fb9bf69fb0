# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""WireGuard: keys first, then kill-switch routes, links and peers, and the routes to peers last."""

from __future__ import annotations

import contextlib
import errno
import itertools
import socket
import typing as t

from ..errors import KernelError
from ..linux import addresses, links, routes, wireguard
from ..linux.rtnetlink import RTM_DELADDR, RTM_DELROUTE, RTM_NEWADDR, RTM_NEWROUTE
from ..linux.wireguard import DevicePeer
from ..names import TUNNEL_GROUP
from ..state.plan import CREATE, UPDATE, Step
from ..state.wireguard import KillSwitchRoute, WireguardKey, WireguardLink, WireguardPeer
from .namespaces import NetnsHandle, StepMessage
from .run import Run, Steps
from .settings import write_settings

_DISCARD_PORT = 9  # RFC 863


def build_wireguard(run: Run, steps: Steps) -> None:
    """Create and change keys, kill-switch routes, links and peers. Raises DocklessError."""
    for step in run.passed(_of_kind("wireguard_key", steps)):
        wireguard.create_key(step.new(WireguardKey).slot, fresh=step.action == UPDATE)
    kill_switches = [
        _kill_switch(RTM_NEWROUTE, step.new(KillSwitchRoute), step)
        for step in run.passed(_of_kind("kill_switch_route", steps))
    ]
    run.host.send(kill_switches)
    for step in run.passed(_of_kind("wireguard_link", steps)):
        _build_link(step, run.host)
    _build_peers(list(run.passed(_of_kind("wireguard_peer", steps))), run.host)


def _of_kind(kind: str, steps: Steps) -> list[Step]:
    return [step for step in steps if step.key[0] == kind]


def _kill_switch(message_type: int, route: KillSwitchRoute, step: Step) -> StepMessage:
    return bytearray(routes.kill_switch(message_type, route.destination)), step


# ---- links -------------------------------------------------------------------


def _build_link(step: Step, host: NetnsHandle) -> None:
    before = step.old(WireguardLink) if step.before is not None else None
    after = step.new(WireguardLink)
    if before is None:
        _create_link(step, after, host)
    if before is None or (before.public_key, before.listen_port) != (after.public_key, after.listen_port):
        wireguard.set_identity(after.name, after.slot, after.listen_port)
    write_settings(step, after.name, sorted(set(after.conf) - set(before.conf if before else ())))
    host.send([(bytearray(message), step) for message in _link_messages(before, after, host.index(after.name))])


def _link_messages(before: WireguardLink | None, after: WireguardLink, index: int) -> t.Iterator[bytes]:
    """Yield the messages that finish a link: its group first and up last, as rules match its packets by group."""
    present = before.address.split() if before else []
    yield links.change(index, mtu=after.mtu, alias=after.label, group=TUNNEL_GROUP)
    for cidr in present:
        if cidr != after.address:
            yield bytes(addresses.address(RTM_DELADDR, index, cidr))
    if after.address not in present:
        yield bytes(addresses.address(RTM_NEWADDR, index, after.address))
    yield links.change(index, up=after.up)


def _create_link(step: Step, link: WireguardLink, host: NetnsHandle) -> None:
    """Create a link in the kernel, or by wireguard-go where the kernel has no WireGuard."""
    try:
        host.send([(bytearray(links.wireguard(link.name, link.mtu)), step)])
    except KernelError as error:
        if error.errno != errno.EOPNOTSUPP:
            raise
        wireguard.spawn(link.name)
    host.forget_indexes()


# ---- peers -------------------------------------------------------------------


def _build_peers(steps: Steps, host: NetnsHandle) -> None:
    """Configure the peers of each link, then set the routes to them; delete stale routes last.

    By then another link may have taken over a route, which is not deleted.
    """
    by_link = sorted(steps, key=lambda step: step.new(WireguardPeer).link)
    for link, part in itertools.groupby(by_link, key=lambda step: step.new(WireguardPeer).link):
        wireguard.put_peers(link, [_device_peer(step.new(WireguardPeer)) for step in part])
    new_routes: list[StepMessage] = []
    for step in steps:
        peer = step.new(WireguardPeer)
        if peer.routed:
            new_routes += _route_messages(RTM_NEWROUTE, step, peer, peer.allowed.split(), host)
    host.send(new_routes)
    _open_sessions(steps)
    for step in steps:
        if step.before is not None:
            before, after = step.old(WireguardPeer), step.new(WireguardPeer)
            still_routed = after.allowed.split() if after.routed else []
            stale = [cidr for cidr in before.allowed.split() if cidr not in still_routed]
            host.send_removals(list(_route_messages(RTM_DELROUTE, step, before, stale, host)))


def _device_peer(peer: WireguardPeer) -> DevicePeer:
    return DevicePeer(peer.public_key, peer.endpoint, tuple(peer.allowed.split()))


def _route_messages(
    message_type: int, step: Step, peer: WireguardPeer, cidrs: t.Iterable[str], host: NetnsHandle
) -> t.Iterator[StepMessage]:
    try:
        index = host.index(peer.link)
    except OSError as error:
        if error.errno != errno.ENODEV:
            raise
        return
    for cidr in cidrs:
        yield routes.route(message_type, index, cidr, "", 0), step


def _open_sessions(steps: Steps) -> None:
    """Send a datagram to each new peer, which starts a handshake.

    The peer may hold a session of an earlier link of this host, and would wait for an answer on that.
    """
    for step in steps:
        peer = step.new(WireguardPeer)
        if step.action == CREATE and peer.endpoint and peer.routed:
            address = peer.allowed.split()[0].partition("/")[0]
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as sender:
                sender.sendto(b"", (address, _DISCARD_PORT))


# ---- removal -----------------------------------------------------------------


def remove_keys(run: Run, steps: Steps) -> None:
    """Remove private keys."""
    for step in run.passed(steps):
        wireguard.forget_key(step.old(WireguardKey).slot)


def remove_kill_switches(run: Run, steps: Steps) -> None:
    """Delete kill-switch routes."""
    for step in run.passed(steps):
        run.host.send_removals([_kill_switch(RTM_DELROUTE, step.old(KillSwitchRoute), step)])


def remove_links(run: Run, steps: Steps) -> None:
    """Delete links, and end the wireguard-go process of each that has one."""
    for step in run.passed(steps):
        name = step.old(WireguardLink).name
        run.host.forget_indexes()
        with wireguard.followed_to_its_end(name):
            try:
                index = run.host.index(name)
            except OSError as error:
                if error.errno != errno.ENODEV:
                    raise
                continue
            run.host.send_removals([(bytearray(links.delete(index)), step)])
            run.host.forget_indexes()


def remove_peers(run: Run, steps: Steps) -> None:
    """Remove peers from their links. A route stays where the same host is a peer again, with a new key."""
    for step in run.passed(steps):
        peer = step.old(WireguardPeer)
        wireguard.remove_peers(peer.link, [peer.public_key])
        device = wireguard.show(peer.link)
        still_used: set[str] = set()
        for other in device.peers if device else ():
            still_used.update(other.allowed)
        unused = [cidr for cidr in peer.allowed.split() if cidr not in still_used]
        run.host.send_removals(list(_route_messages(RTM_DELROUTE, step, peer, unused, run.host)))
