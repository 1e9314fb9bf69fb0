# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Which objects are inside a sandbox: its root can change or remove them at every moment, also during a run.

What is wrong with them is that sandbox's own trouble. It is repaired or reported, and no other sandbox waits for it.
"""

from __future__ import annotations

import typing as t

from .keys import Key
from .objects import HOST, ForwardingEntry, Netns, State, Sysctl, Veth
from .plan import UPDATE, Step, differences

Sandboxes = tuple[str, ...]  # names of namespaces


class Inside:
    """The objects inside the sandboxes of some states."""

    def __init__(self, *states: State) -> None:
        """Take the states that steps are about: desired, actual, or both."""
        self._ports: dict[str, str] = {}  # namespace of an endpoint by the name of the host's end
        for state in states:
            for obj in state.values():
                if isinstance(obj, Veth) and not obj.netns and obj.peer_netns:
                    self._ports[obj.name] = obj.peer_netns

    def of(self, step: Step) -> Sandboxes:
        """Return the sandboxes whose root can make a step necessary or impossible, none for an object of the host."""
        obj = step.subject
        if isinstance(obj, Netns):
            return (obj.name,) if step.action == UPDATE else ()
        if isinstance(obj, Veth):
            return self._of_pair(step, obj)
        if isinstance(obj, ForwardingEntry) and obj.netns == HOST:
            return self._at_port(obj.link)
        netns = getattr(obj, "netns", HOST)
        return (netns,) if netns != HOST else ()

    def among(self, steps: t.Sequence[Step]) -> dict[Key, Sandboxes]:
        """Return the sandboxes of each of these steps, which are all that is wrong, without objects of the host.

        The host's forwarding entry for an endpoint counts only if the endpoint's pair is among the steps: root inside
        can remove a pair, and with it the entry, but not the entry alone.
        """
        keys = {step.key for step in steps}
        found = {}
        for step in steps:
            obj = step.subject
            is_entry_alone = (
                isinstance(obj, ForwardingEntry) and obj.netns == HOST and ("veth", HOST, obj.link) not in keys
            )
            sandboxes = () if is_entry_alone else self.of(step)
            if sandboxes:
                found[step.key] = sandboxes
        return found

    def _of_pair(self, step: Step, pair: Veth) -> Sandboxes:
        if step.action == UPDATE and pair.netns == HOST and _differs_on_the_host(step):
            return ()
        if pair.netns == HOST and not pair.peer_netns:  # the inner end was deleted or moved
            return self._at_port(pair.name)
        return tuple(dict.fromkeys(name for name in (pair.netns, pair.peer_netns) if name != HOST))

    def _at_port(self, link: str) -> Sandboxes:
        return (self._ports[link],) if link in self._ports else ()


def depending_on(wanted: State, links: t.AbstractSet[Key]) -> set[Key]:
    """Return the keys of wanted links, and of all that cannot be made without them."""
    if not links:
        return set()
    inner: set[tuple[str, str]] = set()
    outer: set[str] = set()
    for key in links:
        obj = wanted[key]
        if isinstance(obj, Veth):
            inner |= {(obj.netns, obj.name), (obj.peer_netns, obj.peer_name)}
            outer.add(obj.name)
        else:
            inner.add((key[1], key[2]))
    found = set(links)
    for key, obj in wanted.items():
        place = (getattr(obj, "netns", HOST), getattr(obj, "link", ""))
        is_entry = isinstance(obj, ForwardingEntry) and obj.netns == HOST and obj.link in outer
        if place in inner or is_entry or (isinstance(obj, Sysctl) and _is_of_link(obj, inner)):
            found.add(key)
    return found


def _is_of_link(sysctl: Sysctl, links: t.Container[tuple[str, str]]) -> bool:
    return any((sysctl.netns, part) in links for part in sysctl.name.split("/"))


def _differs_on_the_host(step: Step) -> bool:
    fields = differences(step.new(Veth), step.old(Veth))
    return any(not field.startswith("peer_") for field in fields)
