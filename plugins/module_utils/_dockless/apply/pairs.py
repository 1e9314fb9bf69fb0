# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Veth pairs: messages that create and change them."""

from __future__ import annotations

import typing as t

from ..linux import links, netns
from ..state.objects import Veth
from ..state.plan import CREATE, Step
from .namespaces import NetnsHandle, NetnsHandles, StepMessage
from .run import InheritedSettings, Run, Steps
from .settings import write_settings


class _End(t.NamedTuple):
    mtu: int
    master: str
    up: bool
    mac: str


def create_pairs(run: Run, steps: Steps) -> None:
    """Create pairs, each end in its namespace and under its name from the first moment."""
    messages: list[StepMessage] = []
    try:
        for step in run.passed(steps):
            messages += [(message, step) for message in _create_messages(run, step.new(Veth))]
    finally:  # a step that the hook stops leaves those before it done
        run.host.send(messages)
    made = [step for step in steps if run.is_possible(step)]
    _raise_ports(run, [step for step in made if not step.new(Veth).label])
    for step in made:
        pair = step.new(Veth)
        for name in (pair.netns, pair.peer_netns):
            run.handles.get(name).forget_indexes()
        if pair.label:
            with run.tolerating(step):
                _label(run.handles, step, pair)


def change_pairs(run: Run, steps: Steps, inherited: InheritedSettings) -> dict[str, list[StepMessage]]:
    """Change what differs, and return the messages that bring inner ends up, by namespace.

    Inner ends come up after they have their addresses, so that the kernel announces these (arp_notify).
    """
    raising: dict[str, list[StepMessage]] = {}
    for step in steps:
        before = step.old(Veth) if step.before is not None else None
        after = step.new(Veth)
        if step.action != CREATE:
            run.hook(step)
        if not run.is_possible(step):
            continue
        handle, peer_handle = run.handles.get(after.netns), run.handles.get(after.peer_netns)
        with run.tolerating(step):
            _write_settings(run.handles, step, before, after, inherited.get(after.peer_netns, {}))
            handle.send([(message, step) for message in _change_first_end(before, after, handle)])
            for message in _change_peer_end(before, after, peer_handle):
                raising.setdefault(after.peer_netns, []).append((message, step))
    return raising


def _create_messages(run: Run, pair: Veth) -> t.Iterator[bytearray]:
    """Yield the messages that create a pair, down."""
    peer_fd = run.handles.get(pair.peer_netns).fd
    if pair.label:
        own_fd = run.handles.get(pair.netns).fd
        yield bytearray(
            links.plain_pair(
                pair.name, pair.mac, pair.mtu, own_fd, pair.peer_name, pair.peer_mac, pair.peer_mtu, peer_fd
            )
        )
        return
    master = run.host.index(pair.master) if pair.master else None
    yield links.endpoint_pair.fill(
        pair.name, pair.mac, pair.mtu, master, pair.peer_name, pair.peer_mac, pair.peer_mtu, peer_fd
    )
    yield links.port_flags(pair.name, pair.hairpin, pair.isolated, pair.learning, pair.arp)


def _raise_ports(run: Run, steps: Steps) -> None:
    """Bring up the host's ends of new endpoints' pairs, after their settings: a port is never up with an IP stack."""
    for step in steps:
        with run.tolerating(step, on_host=True):
            write_settings(step, step.new(Veth).name, step.new(Veth).conf)
    raised = [step for step in steps if step.new(Veth).up and run.is_possible(step)]
    run.host.send([(links.named_up.fill(step.new(Veth).name), step) for step in raised])


def _label(handles: NetnsHandles, step: Step, pair: Veth) -> None:
    """Set the mark on both ends of a plain pair: the kernel ignores an alias in the message that creates it."""
    for name, link in ((pair.netns, pair.name), (pair.peer_netns, pair.peer_name)):
        handle = handles.get(name)
        handle.send([(bytearray(links.change(handle.index(link), alias=pair.label)), step)])


def _write_settings(
    handles: NetnsHandles, step: Step, before: Veth | None, after: Veth, inherited: t.Mapping[str, int]
) -> None:
    """Write the settings of both ends that differ. inherited are those that a new namespace gives its interfaces."""
    if before is not None:
        known, peer_known = dict(before.conf), dict(before.peer_conf)
    else:
        # Those of an endpoint's host end were written before it came up.
        known, peer_known = ({} if after.label else dict(after.conf)), dict(inherited)
    ends = (
        (after.netns, after.name, known, after.conf),
        (after.peer_netns, after.peer_name, peer_known, after.peer_conf),
    )
    for name, link, present, wanted in ends:
        differing = [(key, value) for key, value in wanted if present.get(key) != value]
        if differing:
            with netns.entered(handles.get(name).fd):
                write_settings(step, link, differing)


def _change_first_end(before: Veth | None, after: Veth, handle: NetnsHandle) -> t.Iterator[bytearray]:
    if before is not None or after.label:
        known = before or after._replace(master="", up=False)
        yield from _change_end(handle, after.name, _first_end(known), _first_end(after))
    if before is not None and not after.label and _port_flags(before) != _port_flags(after):
        yield links.port_flags(after.name, after.hairpin, after.isolated, after.learning, after.arp)


def _change_peer_end(before: Veth | None, after: Veth, handle: NetnsHandle) -> t.Iterator[bytearray]:
    if before is None and not after.peer_master:
        if after.peer_up:
            yield links.up.fill(handle.index(after.peer_name))
        return
    known = before or after._replace(peer_master="", peer_up=False)
    yield from _change_end(handle, after.peer_name, _peer_end(known), _peer_end(after))


def _first_end(pair: Veth) -> _End:
    return _End(pair.mtu, pair.master, pair.up, pair.mac)


def _peer_end(pair: Veth) -> _End:
    return _End(pair.peer_mtu, pair.peer_master, pair.peer_up, pair.peer_mac)


def _port_flags(pair: Veth) -> tuple[object, ...]:
    return pair.master, pair.isolated, pair.hairpin, pair.learning, pair.arp


def _change_end(handle: NetnsHandle, link: str, before: _End, after: _End) -> t.Iterator[bytearray]:
    if before == after:
        return
    master = None
    if before.master != after.master:
        master = handle.index(after.master) if after.master else 0
    yield bytearray(
        links.change(
            handle.index(link),
            up=after.up if before.up != after.up else None,
            mtu=after.mtu if before.mtu != after.mtu else None,
            master=master,
            mac=after.mac if before.mac != after.mac else "",
        )
    )
