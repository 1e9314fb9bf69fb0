# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Changes the contents of namespaces: sysctls, addresses, neighbours, forwarding entries and routes."""

from __future__ import annotations

import itertools
import typing as t

from ..linux import addresses, neighbours, netns, routes
from ..linux.neighbours import MASTER, SELF, STICKY
from ..linux.rtnetlink import RTM_DELADDR, RTM_DELNEIGH, RTM_DELROUTE, RTM_NEWADDR, RTM_NEWNEIGH, RTM_NEWROUTE
from ..state.objects import Address, ForwardingEntry, Neighbour, Netns, Route, Veth
from ..state.plan import Step
from .namespaces import NetnsHandle, StepMessage, refused
from .run import Run, Steps, absence_is_fine
from .settings import write_settings, write_sysctl


def namespace_of(step: Step) -> str:
    """Return the namespace that a step is about: for a pair, that of the peer."""
    obj = step.subject
    if isinstance(obj, Veth):
        return obj.peer_netns or obj.netns
    return obj.name if isinstance(obj, Netns) else getattr(obj, "netns", "")


def build_contents(run: Run, steps: Steps, raising: t.Mapping[str, list[StepMessage]] | None = None) -> None:
    """Fill namespaces. raising are messages that bring links up, by namespace: they go between addresses and routes."""
    left = dict(raising or {})
    for name, part in itertools.groupby(sorted(steps, key=namespace_of), key=namespace_of):
        _fill(run, name, list(part), left.pop(name, []))
    for name, messages in left.items():
        run.handles.get(name).send(messages)


def remove_contents(run: Run, steps: Steps) -> None:
    """Delete addresses, neighbours, forwarding entries and routes."""
    for step in run.passed(steps):
        with run.tolerating(step), absence_is_fine():
            handle = run.handles.get(namespace_of(step))
            _keep_secondary_addresses(step, handle)
            handle.send_removals([(message, step) for message in _deletions(step, handle)])


def leave_to_the_kernel(run: Run, steps: Steps) -> None:
    """Do nothing: a sysctl goes with its interface or namespace."""


def _fill(run: Run, name: str, steps: Steps, raising: list[StepMessage]) -> None:
    handle = run.handles.get(name)
    for step in run.passed([step for step in steps if step.key[0] == "sysctl"]):
        with run.tolerating(step), netns.entered(handle.fd):
            write_sysctl(step)
    messages: list[StepMessage] = []
    try:
        for step in run.passed([step for step in steps if step.key[0] == "address"]):
            with run.tolerating(step):
                messages += [(_new_address(step, handle), step)] if run.is_possible(step) else []
        messages += raising
        for step in run.passed([step for step in steps if step.key[0] not in ("sysctl", "address")]):
            with run.tolerating(step):
                messages += [(_new_entry(step, handle), step)] if run.is_possible(step) else []
    finally:  # a step that the hook stops leaves those before it done
        handle.send(messages)


def _new_address(step: Step, handle: NetnsHandle) -> bytearray:
    address = step.new(Address)
    return addresses.address(RTM_NEWADDR, _index(step, handle, address.link), address.cidr)


def _new_entry(step: Step, handle: NetnsHandle) -> bytearray:
    """Return the message that sets a neighbour, forwarding entry or route."""
    obj = step.after
    if isinstance(obj, Neighbour):
        return neighbours.neighbour(RTM_NEWNEIGH, _index(step, handle, obj.link), obj.address, obj.mac)
    if isinstance(obj, ForwardingEntry):
        flags = (MASTER if obj.bridged else 0) | (SELF if obj.vtep else 0) | (STICKY if obj.sticky else 0)
        return neighbours.forwarding_entry(RTM_NEWNEIGH, _index(step, handle, obj.link), obj.mac, obj.vtep, flags)
    route = step.new(Route)
    index = _index(step, handle, route.link)
    return routes.route(RTM_NEWROUTE, index, route.destination, route.via, route.metric, route.onlink)


def _deletions(step: Step, handle: NetnsHandle) -> list[bytearray]:
    """Return the messages that delete an object. The two halves of a forwarding entry go one by one.

    The kernel stops at the first half that is not there.
    """
    obj = step.before
    if isinstance(obj, Address):
        return [addresses.address(RTM_DELADDR, _index(step, handle, obj.link), obj.cidr)]
    if isinstance(obj, Neighbour):
        return [neighbours.neighbour(RTM_DELNEIGH, _index(step, handle, obj.link), obj.address, obj.mac)]
    if isinstance(obj, ForwardingEntry):
        index = _index(step, handle, obj.link)
        halves = ([MASTER] if obj.bridged else []) + ([SELF] if obj.vtep else [])
        return [neighbours.forwarding_entry(RTM_DELNEIGH, index, obj.mac, obj.vtep, half) for half in halves]
    route = step.old(Route)
    index = _index(step, handle, route.link)
    return [routes.route(RTM_DELROUTE, index, route.destination, route.via, route.metric, route.onlink)]


def _keep_secondary_addresses(step: Step, handle: NetnsHandle) -> None:
    """Set promote_secondaries: a deleted IPv4 address must not take the later ones of its subnet along."""
    address = step.before
    if isinstance(address, Address) and ":" not in address.cidr:
        with netns.entered(handle.fd):
            write_settings(step, address.link, [("ipv4/promote_secondaries", 1)])


def _index(step: Step, handle: NetnsHandle, link: str) -> int:
    try:
        return handle.index(link)
    except OSError as error:
        raise refused(step, error.errno or 0, error.strerror or "") from None
