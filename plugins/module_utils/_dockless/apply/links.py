# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Making and changing the host's own links: bridges first, then what is a port of one or sits on another link."""

from __future__ import annotations

import typing as t

from .. import names
from ..linux import netns, rtnetlink
from ..state.objects import HOST, Link
from ..state.plan import CREATE, UPDATE, Step
from .namespaces import Handle, Handles, Pair
from .steps import changed_value, write_settings

Steps = t.Sequence[Step]
Passed = t.Callable[[Steps], t.Iterator[Step]]  # hands on each step when its hook lets it pass


def build_host_links(steps: Steps, handles: Handles, passed: Passed) -> tuple[list[Pair], list[Pair]]:
    """Make and change links; return the messages that bring new ones up: first those that wait for their ports, which is
    faster, then those of ways to other hosts, which wait for the firewall.
    """
    host = handles.get(HOST)
    made = [s for s in steps if s.action == CREATE]
    bridges = [s for s in made if s.after.kind == "bridge"]
    host.send([(bytearray(rtnetlink.bridge(s.after.name, s.after.mac, s.after.mtu)), s) for s in passed(bridges)])
    host.forget()
    for step in passed(_parents_first([s for s in made if s.after.kind != "bridge"])):
        host.send([(bytearray(_create_message(step.after, host)), step)])
        host.forget()
    host.send([pair for step in made for pair in _post_create_messages(step, host)])
    host.send(
        [pair for step in passed([s for s in steps if s.action == UPDATE]) for pair in _update_messages(step, host)]
    )
    rising = [(rtnetlink.named_up.fill(s.after.name), s) for s in made if s.after.up]
    return (
        [pair for pair in rising if pair[1].after.kind != "vxlan"],
        [pair for pair in rising if pair[1].after.kind == "vxlan"],
    )


def build_sandbox_links(
    steps: Steps, fresh: t.Mapping[str, t.Mapping[str, int]], handles: Handles, passed: Passed
) -> dict[str, list[Pair]]:
    """Make and change links of sandboxes on links of the host; return the messages that bring new ones up, by namespace.

    Each is made where its parent is, and is in its namespace from the first moment, where it gets its name. fresh are
    the settings that a new namespace gives.
    """
    host, rising = handles.get(HOST), t.cast(dict[str, list[Pair]], {})
    made = [s for s in steps if s.action == CREATE]
    sent: list[Pair] = []
    try:
        for step in passed(made):
            unborn = step.after._replace(name=names.temporary_link_name(step.after.netns, step.after.name))
            sent.append((bytearray(_create_message(unborn, host, handles.get(step.after.netns).fd)), step))
    finally:  # a step that the hook stops leaves those before it done
        host.send(sent)
    for step in made:
        link = t.cast(Link, step.after)
        handle, known = handles.get(link.netns), fresh.get(link.netns, {})
        handle.forget()
        handle.send(
            [
                (
                    bytearray(
                        rtnetlink.change_link(
                            handle.index(names.temporary_link_name(link.netns, link.name)), name=link.name
                        )
                    ),
                    step,
                )
            ]
        )
        handle.forget()
        with netns.entered(handle.fd):
            write_settings(step, link.name, [(key, value) for key, value in link.conf if known.get(key) != value])
        rising.setdefault(link.netns, []).append(
            (bytearray(rtnetlink.change_link(handle.index(link.name), up=True, alias=link.label)), step)
        )
    for step in passed([s for s in steps if s.action == UPDATE]):
        handle = handles.get(step.key[1])
        handle.send(list(_update_messages(step, handle)))
    return rising


def _parents_first(steps: Steps) -> list[Step]:
    own = {step.after.name for step in steps}
    return sorted(steps, key=lambda step: step.after.parent in own)


def _create_message(link: Link, host: Handle, fd: int = 0) -> bytes:
    return rtnetlink.link(
        link.kind,
        link.name,
        link.mac,
        link.mtu,
        link.data,
        host.index(link.master) if link.master else 0,
        host.index(link.parent) if link.parent else 0,
        fd,
    )


def _post_create_messages(step: Step, host: Handle) -> t.Iterator[Pair]:
    """Write a new link's settings, and yield the messages for what its making cannot say."""
    link = t.cast(Link, step.after)
    write_settings(step, link.name, link.conf)
    yield bytearray(rtnetlink.change_link(host.index(link.name), alias=link.label)), step
    if link.port:
        yield bytearray(rtnetlink.port_settings(link.name, link.port)), step


def _update_messages(step: Step, host: Handle) -> t.Iterator[Pair]:
    before, after = t.cast(Link, step.before), t.cast(Link, step.after)
    with netns.entered(host.fd):
        write_settings(step, after.name, sorted(set(after.conf) - set(before.conf)))
    master = None if before.master == after.master else host.index(after.master) if after.master else 0
    yield (
        bytearray(
            rtnetlink.change_link(
                host.index(after.name),
                up=changed_value(before.up, after.up),
                mtu=changed_value(before.mtu, after.mtu),
                master=master,
                mac=changed_value(before.mac, after.mac) or "",
                alias=changed_value(before.label, after.label) or "",
            )
        ),
        step,
    )
    if after.port and (before.port, before.master) != (after.port, after.master):
        yield bytearray(rtnetlink.port_settings(after.name, after.port)), step
    if after.data != before.data:
        yield bytearray(rtnetlink.change_data(host.index(after.name), after.kind, after.data)), step
