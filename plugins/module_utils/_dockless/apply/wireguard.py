# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Making, changing and removing WireGuard links: barrier first, then key, link, peers, and their routes last."""

from __future__ import annotations

import contextlib
import errno
import itertools
import socket
import typing as t

from ..errors import KernelError
from ..linux import rtnetlink, wireguard
from ..linux.rtnetlink import RTM_DELADDR, RTM_DELROUTE, RTM_NEWADDR, RTM_NEWROUTE
from ..linux.wireguard import DevicePeer
from ..names import TUNNEL_GROUP
from ..state.objects import HOST, WireguardLink, WireguardPeer
from ..state.plan import CREATE, UPDATE, Step
from .namespaces import Handle, Handles, Pair
from .steps import write_settings

Steps = t.Sequence[Step]
Passed = t.Callable[[Steps], t.Iterator[Step]]  # hands on each step when its hook lets it pass
KINDS = ("tunnelkey", "barrier", "tunnel", "tunnelpeer")
_DISCARD = 9  # the port of RFC 863
_GONE = frozenset((errno.ESRCH, errno.ENODEV, errno.ENOENT, errno.EADDRNOTAVAIL))


def build_wireguard(steps: Steps, handles: Handles, passed: Passed) -> None:
    """Make and change tunnels. Raises DocklessError."""
    if not any(step.key[0] in KINDS for step in steps):
        return
    host = handles.get(HOST)
    for step in passed(_of("tunnelkey", steps)):
        wireguard.create_key(step.after.slot, fresh=step.action == UPDATE)
    host.send(
        [
            (bytearray(rtnetlink.barrier(RTM_NEWROUTE, step.after.destination)), step)
            for step in passed(_of("barrier", steps))
        ]
    )
    for step in passed(_of("tunnel", steps)):
        _tunnel(step, host)
    _peers(list(passed(_of("tunnelpeer", steps))), host)


def remove_wireguard(steps: Steps, handles: Handles, passed: Passed) -> None:
    """Remove steps of one kind; what is gone already is fine."""
    host = handles.get(HOST)
    for step in passed(steps):
        if step.key[0] == "tunnelkey":
            wireguard.forget_key(step.before.slot)
        elif step.key[0] == "barrier":
            host.withdraw([(bytearray(rtnetlink.barrier(RTM_DELROUTE, step.before.destination)), step)], _GONE)
        elif step.key[0] == "tunnel":
            _delete(step, host)
        else:
            _forget(step, t.cast(WireguardPeer, step.before), host)


def _of(kind: str, steps: Steps) -> list[Step]:
    return [step for step in steps if step.key[0] == kind]


def _tunnel(step: Step, host: Handle) -> None:
    before, after = t.cast(t.Optional[WireguardLink], step.before), t.cast(WireguardLink, step.after)
    if before is None:
        _make(step, after, host)
    if before is None or (before.public_key, before.listen_port) != (after.public_key, after.listen_port):
        wireguard.set_identity(after.name, after.slot, after.listen_port)
    write_settings(step, after.name, sorted(set(after.conf) - set(before.conf if before else ())))
    index = host.index(after.name)
    # The group comes with the first message, and the way up last: a link without it is nobody's, and lets no data in.
    sent: list[bytes] = [rtnetlink.change_link(index, mtu=after.mtu, alias=after.label, group=TUNNEL_GROUP)]
    stale = [cidr for cidr in (before.address.split() if before else []) if cidr != after.address]
    sent += [bytes(rtnetlink.address(RTM_DELADDR, index, cidr)) for cidr in stale]
    if before is None or after.address not in before.address.split():
        sent.append(bytes(rtnetlink.address(RTM_NEWADDR, index, after.address)))
    sent.append(rtnetlink.change_link(index, up=after.up))
    host.send([(bytearray(message), step) for message in sent])


def _make(step: Step, after: WireguardLink, host: Handle) -> None:
    try:
        host.send([(bytearray(rtnetlink.tunnel(after.name, after.mtu)), step)])
    except KernelError as error:
        if error.errno != errno.EOPNOTSUPP:
            raise
        wireguard.spawn(after.name)
    host.forget()


def _delete(step: Step, host: Handle) -> None:
    host.forget()
    with wireguard.followed_to_its_end(step.before.name):
        try:
            index = host.index(step.before.name)
        except OSError:
            return
        host.withdraw([(bytearray(rtnetlink.delete_link(index)), step)], _GONE)
        host.forget()


def _forget(step: Step, peer: WireguardPeer, host: Handle) -> None:
    """Take a host off a link; its addresses may be those of another peer by now, which then needs the way: the same host with a new key."""
    wireguard.remove_peers(peer.link, [peer.public_key])
    found = wireguard.show(peer.link)
    held = {cidr for other in (found.peers if found else ()) for cidr in other.allowed}
    left = " ".join(cidr for cidr in peer.allowed.split() if cidr not in held)
    host.withdraw(list(_routes(RTM_DELROUTE, step, peer._replace(allowed=left), host)), _GONE)


def _peers(steps: Steps, host: Handle) -> None:
    """Tell each link of its peers, then lead to them; a way that another tunnel has taken over by then is not taken away."""
    by_link = sorted(steps, key=lambda step: step.after.link)
    for link, part in itertools.groupby(by_link, key=lambda step: step.after.link):
        wireguard.put_peers(
            link, [DevicePeer(s.after.public_key, s.after.endpoint, tuple(s.after.allowed.split())) for s in part]
        )
    host.send([pair for step in steps if step.after.routed for pair in _routes(RTM_NEWROUTE, step, step.after, host)])
    _greet(steps)
    for step in steps:
        if step.before is not None:
            left = " ".join(
                set(step.before.allowed.split()) - set(step.after.allowed.split() if step.after.routed else ())
            )
            host.withdraw(list(_routes(RTM_DELROUTE, step, step.before._replace(allowed=left), host)), _GONE)


def _greet(steps: Steps) -> None:
    """Send a datagram to each new host: its side may hold a session of an earlier tunnel of this host, and would wait for an answer in vain."""
    for step in steps:
        if step.action == CREATE and step.after.endpoint and step.after.routed:
            address = step.after.allowed.split()[0].partition("/")[0]
            with (
                contextlib.suppress(OSError),
                socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as door,
            ):
                door.sendto(b"", (address, _DISCARD))


def _routes(kind: int, step: Step, peer: WireguardPeer, host: Handle) -> t.Iterator[Pair]:
    try:
        index = host.index(peer.link)
    except OSError:
        return
    for cidr in peer.allowed.split():
        yield rtnetlink.route(kind, index, cidr, "", 0), step
