# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Creates and changes links other than pairs: those of the host, and the macvlan and ipvlan links of sandboxes."""

from __future__ import annotations

import typing as t

from .. import names
from ..linux import links, netns
from ..names import PENDING_DELETE_GROUP
from ..state.objects import Link
from ..state.plan import CREATE, UPDATE, Step
from .namespaces import NetnsHandle, StepMessage
from .run import InheritedSettings, Run, Steps, absence_is_fine
from .settings import write_settings


def build_host_links(run: Run, steps: Steps) -> None:
    """Create and change links of the host. The run keeps the messages that set new ones up, for later phases."""
    created = [step for step in steps if step.action == CREATE]
    bridges = [step for step in created if step.new(Link).kind == "bridge"]
    _create_bridges(run, bridges)
    for step in run.passed(_parents_first([step for step in created if step not in bridges])):
        run.host.send([(bytearray(_create_message(step.new(Link), run.host)), step)])
        run.host.forget_indexes()
    run.host.send([message for step in created for message in _finish_messages(step, run.host)])
    changed = [step for step in steps if step.action == UPDATE]
    run.host.send([message for step in run.passed(changed) for message in _change_messages(step, run.host)])
    for step in created:
        link = step.new(Link)
        if link.up:
            later = run.uplinks_to_raise if link.kind == "vxlan" else run.links_to_raise
            later.append((links.named_up.fill(link.name), step))


def build_sandbox_links(run: Run, steps: Steps, inherited: InheritedSettings) -> dict[str, list[StepMessage]]:
    """Create and change sandboxes' links on interfaces of the host; return the messages that bring new ones up.

    Each is created on its parent and is in its namespace from the first moment, where it gets its name.
    """
    raising: dict[str, list[StepMessage]] = {}
    created = [step for step in steps if step.action == CREATE]
    _create_on_parents(run, created)
    for step in created:
        link = step.new(Link)
        handle = run.handles.get(link.netns)
        if not run.is_possible(step):
            continue
        with run.tolerating(step):
            _name_in_sandbox(handle, step, link, inherited.get(link.netns, {}))
            up = bytearray(links.change(handle.index(link.name), up=True, alias=link.label))
            raising.setdefault(link.netns, []).append((up, step))
    for step in run.passed([step for step in steps if step.action == UPDATE]):
        handle = run.handles.get(step.new(Link).netns)
        with run.tolerating(step):
            handle.send(list(_change_messages(step, handle)))
    return raising


def remove_links(run: Run, steps: Steps) -> None:
    """Delete links and pairs. Those of a namespace are marked by a group number, and the group is deleted.

    One by one, 200 pairs take 3.5 s instead of 0.1, and root in a sandbox can make thousands of links there.
    """
    marked: dict[str, list[StepMessage]] = {}
    try:
        for step in run.passed(steps):
            _kind, netns_name, name = step.key
            with run.tolerating(step), absence_is_fine():
                index = run.handles.get(netns_name).index(name)
                message = bytearray(links.change(index, group=PENDING_DELETE_GROUP))
                marked.setdefault(netns_name, []).append((message, step))
    finally:
        for netns_name, messages in marked.items():
            handle = run.handles.get(netns_name)
            handle.send_removals(messages)
            handle.send_removals([(bytearray(links.delete_group(PENDING_DELETE_GROUP)), messages[0][1])])
            handle.forget_indexes()


def _create_bridges(run: Run, steps: Steps) -> None:
    messages: list[StepMessage] = []
    for step in run.passed(steps):
        link = step.new(Link)
        messages.append((bytearray(links.bridge(link.name, link.mac, link.mtu)), step))
    run.host.send(messages)
    run.host.forget_indexes()


def _create_on_parents(run: Run, steps: Steps) -> None:
    messages: list[StepMessage] = []
    try:
        for step in run.passed(steps):
            link = step.new(Link)
            unnamed = link._replace(name=names.temporary_link_name(link.netns, link.name))
            netns_fd = run.handles.get(link.netns).fd
            messages.append((bytearray(_create_message(unnamed, run.host, netns_fd)), step))
    finally:  # a step that the hook stops leaves those before it done
        run.host.send(messages)


def _name_in_sandbox(handle: NetnsHandle, step: Step, link: Link, inherited: t.Mapping[str, int]) -> None:
    handle.forget_indexes()
    index = handle.index(names.temporary_link_name(link.netns, link.name))
    handle.send([(bytearray(links.change(index, name=link.name)), step)])
    handle.forget_indexes()
    with netns.entered(handle.fd):
        write_settings(step, link.name, [(key, value) for key, value in link.conf if inherited.get(key) != value])


def _parents_first(steps: Steps) -> list[Step]:
    created = {step.new(Link).name for step in steps}
    return sorted(steps, key=lambda step: step.new(Link).parent in created)


def _create_message(link: Link, host: NetnsHandle, netns_fd: int = 0) -> bytes:
    master = host.index(link.master) if link.master else 0
    parent = host.index(link.parent) if link.parent else 0
    return links.create(link.kind, link.name, link.mac, link.mtu, link.data, master, parent, netns_fd)


def _finish_messages(step: Step, host: NetnsHandle) -> t.Iterator[StepMessage]:
    """Write a new link's settings, and yield the messages for settings that the creating message cannot have."""
    link = step.new(Link)
    write_settings(step, link.name, link.conf)
    arp = None if link.arp else False
    yield bytearray(links.change(host.index(link.name), alias=link.label, arp=arp)), step
    if link.port:
        yield bytearray(links.port_settings(link.name, link.port)), step


def _change_messages(step: Step, handle: NetnsHandle) -> t.Iterator[StepMessage]:
    before, after = step.old(Link), step.new(Link)
    with netns.entered(handle.fd):
        write_settings(step, after.name, sorted(set(after.conf) - set(before.conf)))
    index = handle.index(after.name)
    master = None
    if before.master != after.master:
        master = handle.index(after.master) if after.master else 0
    message = links.change(
        index,
        up=after.up if before.up != after.up else None,
        mtu=after.mtu if before.mtu != after.mtu else None,
        master=master,
        mac=after.mac if before.mac != after.mac else "",
        alias=after.label if before.label != after.label else "",
        arp=after.arp if before.arp != after.arp else None,
    )
    yield bytearray(message), step
    if after.port and (before.port, before.master) != (after.port, after.master):
        yield bytearray(links.port_settings(after.name, after.port)), step
    if after.data != before.data:
        yield bytearray(links.change_settings(index, after.kind, after.data)), step
