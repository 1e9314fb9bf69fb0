# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""One step -> the messages and writes that do it."""

from __future__ import annotations

import errno
import typing as t

from ..errors import KernelError
from ..linux import netns, rtnetlink
from ..linux import sysctl as linux_sysctl
from ..linux.netlink import Socket
from ..linux.rtnetlink import MASTER, RTM_DELADDR, RTM_DELNEIGH, RTM_DELROUTE, RTM_NEWNEIGH, RTM_NEWROUTE, SELF
from ..state import objects
from ..state.objects import Address, ForwardingEntry, Neighbour, Netns, Route, Sysctl, Veth
from ..state.plan import Step
from .namespaces import Handle, Handles, refused

Steps = t.Sequence[Step]
CHUNK = 128  # namespaces at a time, two descriptors each


def namespace_of(step: Step) -> str:
    """Return the namespace that a step is about: of a pair, the one that the peer is in."""
    thing = step.after if step.after is not None else step.before
    if isinstance(thing, Veth):
        return thing.peer_netns or thing.netns
    return thing.name if isinstance(thing, Netns) else getattr(thing, "netns", "")


def chunks(steps: Steps) -> t.Iterator[list[Step]]:
    """Split steps by namespace: joined ones together and first, shared ones after those whose partner they are."""
    joined = {
        name for s in steps if s.key[0] == "veth" and s.after.label for name in (s.after.netns, s.after.peer_netns)
    }
    shared = {s.key[1] for s in steps if s.key[0] == "netns" and s.after.partner}
    by_space: dict[str, list[Step]] = {}
    for step in steps:
        by_space.setdefault(namespace_of(step), []).append(step)
    first = [s for name in by_space if name in joined for s in by_space[name]]
    if first:
        yield first
    middle = [name for name in by_space if name not in joined and name not in shared]
    for start in range(0, len(middle), CHUNK):
        yield [s for name in middle[start : start + CHUNK] for s in by_space[name]]
    last = [s for name in by_space if name in shared and name not in joined for s in by_space[name]]
    if last:
        yield last


def make_pair(step: Step, host: Handle, handles: Handles, ipv6: bool) -> t.Iterator[bytearray]:
    """Yield the messages that make a pair; an endpoint's host end comes up at once, without IPv6 of its own."""
    pair = t.cast(Veth, step.after)
    peer_fd = handles.get(pair.peer_netns).fd
    if pair.label:
        yield bytearray(
            rtnetlink.plain_pair(
                pair.name,
                pair.mac,
                pair.mtu,
                handles.get(pair.netns).fd,
                pair.peer_name,
                pair.peer_mac,
                pair.peer_mtu,
                peer_fd,
            )
        )
        return
    yield rtnetlink.endpoint_pair.fill(
        pair.name,
        pair.mac,
        pair.mtu,
        host.index(pair.master) if pair.master else None,
        pair.peer_name,
        pair.peer_mac,
        pair.peer_mtu,
        peer_fd,
    )
    yield rtnetlink.port(pair.name, pair.hairpin, pair.isolated, pair.learning, ipv6)
    if pair.up:
        yield rtnetlink.named_up.fill(pair.name)


def label_pair(step: Step, handles: Handles) -> None:
    """Put the mark on both ends of a plain pair; the kernel ignores an alias in the making message."""
    pair = t.cast(Veth, step.after)
    for name, link in ((pair.netns, pair.name), (pair.peer_netns, pair.peer_name)):
        handle = handles.get(name)
        handle.send([(bytearray(rtnetlink.change_link(handle.index(link), alias=pair.label)), step)])


def change_end(before: Veth | None, after: Veth, handle: Handle, ipv6: bool) -> t.Iterator[bytearray]:
    """Yield the messages that change the first end."""
    if before is not None or after.label:
        known = before or after._replace(master="", up=False)
        yield from _changes(handle, after.name, _end(known), _end(after))
    if before is not None and not after.label and (_flags(before) != _flags(after)):
        yield rtnetlink.port(after.name, after.hairpin, after.isolated, after.learning, ipv6)


def change_peer(before: Veth | None, after: Veth, handle: Handle) -> t.Iterator[bytearray]:
    """Yield the messages that change the second end."""
    if before is None and not after.peer_master:
        if after.peer_up:
            yield rtnetlink.link_up.fill(handle.index(after.peer_name))
        return
    known = before or after._replace(peer_master="", peer_up=False)
    yield from _changes(handle, after.peer_name, _peer(known), _peer(after))


def write_pair_conf(step: Step, inherited: t.Mapping[str, int], handles: Handles) -> None:
    """Write the settings of both ends that are not as wanted; inherited are those that a new namespace gave."""
    before, after = t.cast(t.Optional[Veth], step.before), t.cast(Veth, step.after)
    outer = dict(before.conf) if before else {} if after.label else dict(after.conf)  # an endpoint's come by codec.port
    inner = dict(before.peer_conf) if before else inherited
    for name, link, known, wanted in (
        (after.netns, after.name, outer, after.conf),
        (after.peer_netns, after.peer_name, inner, after.peer_conf),
    ):
        missing = [(key, value) for key, value in wanted if known.get(key) != value]
        if missing:
            with netns.entered(handles.get(name).fd):
                write_settings(step, link, missing)


def write_settings(step: Step, link: str, settings: t.Iterable[tuple[str, int]]) -> None:
    """Write an interface's settings in this thread's namespace; one that is right already may be read-only."""
    for key, value in settings:
        try:
            linux_sysctl.write_conf(link, key, value)
        except OSError as error:
            if error.errno != errno.EROFS or _setting(link, key) != str(value):
                raise KernelError(
                    f"cannot {step.action} {objects.title(step.after or step.before)}: setting {key} of {link} to {value}: "
                    f"{error.strerror}",
                    error.errno or 0,
                    "Make /proc/sys writable.",
                ) from None


def set_sysctl(step: Step) -> None:
    """Write a sysctl in this thread's namespace."""
    sysctl = t.cast(Sysctl, step.after)
    try:
        linux_sysctl.write(sysctl.name, sysctl.value)
    except OSError as error:
        raise refused(step, error.errno or 0, f"wanted value {sysctl.value}") from None


def pin_namespace(step: Step, source: str) -> None:
    """Give the existing namespace behind source the name. Raises KernelError."""
    try:
        netns.pin(step.after.name, source)
    except OSError as error:
        raise refused(step, error.errno or 0) from None


def adopt_namespace(step: Step) -> None:
    """Label a namespace that others made, then give it the name: without a label, a name that a killed run left would be a stranger's. Raises KernelError."""
    thing = t.cast(Netns, step.after)
    try:
        # On the way back to what was there, only the inode is known of a namespace that was attached to.
        source = thing.source or netns.held_by_process(thing.inode)
        with netns.entered_path(source), Socket() as door:
            refusals = door.flight([rtnetlink.label_loopback(thing.label)])
    except OSError as error:
        raise refused(step, error.errno or 0) from None
    if refusals:
        raise refused(step, refusals[0].errno, refusals[0].text)
    pin_namespace(step, source)


def link_index(step: Step, handle: Handle) -> int:
    """Return the number of the interface that an address, neighbour, entry or route is on. Raises KernelError."""
    thing = t.cast(t.Any, step.after or step.before)
    try:
        return handle.index(thing.link)
    except OSError as error:
        raise refused(step, error.errno or 0, f"there is no interface {thing.link}") from None


def entry_message(step: Step, handle: Handle) -> bytearray:
    """Return the message that makes a neighbour, forwarding entry or route, or changes it."""
    thing, index = step.after, link_index(step, handle)
    if isinstance(thing, Neighbour):
        return rtnetlink.neighbour(RTM_NEWNEIGH, index, thing.address, thing.mac)
    if isinstance(thing, ForwardingEntry):
        flags = (MASTER if thing.bridged else 0) | (SELF if thing.vtep else 0)
        return rtnetlink.forwarding(RTM_NEWNEIGH, index, thing.mac, thing.vtep, flags)
    route = t.cast(Route, thing)
    return rtnetlink.route(RTM_NEWROUTE, index, route.destination, route.via, route.metric, route.onlink)


def deletion_messages(step: Step, handle: Handle) -> list[bytearray]:
    """Return the messages that take away an address, neighbour, forwarding entry or route.

    A forwarding entry's two halves go one by one: the kernel stops at the first that is not there.
    """
    thing, index = step.before, link_index(step, handle)
    if isinstance(thing, Address):
        return [rtnetlink.address(RTM_DELADDR, index, thing.cidr)]
    if isinstance(thing, Neighbour):
        return [rtnetlink.neighbour(RTM_DELNEIGH, index, thing.address, thing.mac)]
    if isinstance(thing, ForwardingEntry):
        halves = [MASTER] if thing.bridged else []
        return [
            rtnetlink.forwarding(RTM_DELNEIGH, index, thing.mac, thing.vtep, half)
            for half in halves + ([SELF] if thing.vtep else [])
        ]
    route = t.cast(Route, thing)
    return [rtnetlink.route(RTM_DELROUTE, index, route.destination, route.via, route.metric, route.onlink)]


def keep_secondaries(step: Step, handle: Handle) -> None:
    """Let an IPv4 address go without those of the same subnet that were added after it (ip-sysctl, promote_secondaries)."""
    thing = step.before
    if isinstance(thing, Address) and ":" not in thing.cidr:
        with netns.entered(handle.fd):
            write_settings(step, thing.link, [("ipv4/promote_secondaries", 1)])


def changed_value(before: t.Any, after: t.Any) -> t.Any:
    """Return after if it differs from before, else None: leave it."""
    return after if before != after else None


def _flags(pair: Veth) -> tuple[t.Any, ...]:
    return pair.master, pair.isolated, pair.hairpin, pair.learning


class _End(t.NamedTuple):
    mtu: int
    master: str
    up: bool
    mac: str


def _end(pair: Veth) -> _End:
    return _End(pair.mtu, pair.master, pair.up, pair.mac)


def _peer(pair: Veth) -> _End:
    return _End(pair.peer_mtu, pair.peer_master, pair.peer_up, pair.peer_mac)


def _changes(handle: Handle, link: str, before: _End, after: _End) -> t.Iterator[bytearray]:
    if before == after:
        return
    master = None
    if before.master != after.master:
        master = handle.index(after.master) if after.master else 0
    yield bytearray(
        rtnetlink.change_link(
            handle.index(link),
            up=changed_value(before.up, after.up),
            mtu=changed_value(before.mtu, after.mtu),
            master=master,
            mac=changed_value(before.mac, after.mac) or "",
        )
    )


def _setting(link: str, key: str) -> str:
    with open("/proc/sys/" + linux_sysctl.conf_name(link, key), encoding="ascii") as file:
        return file.read().strip()
