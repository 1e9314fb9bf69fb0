# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Links that sit on others: what goes with whom, what is in whose way, and what of them changes in place."""

from __future__ import annotations

import typing as t

from .objects import HOST, Key, Link, Object, State, Veth

End = tuple[str, str]  # namespace, name


def interfaces_of(thing: Object | None) -> tuple[End, ...]:
    """Return the interfaces that an object is."""
    if isinstance(thing, Veth):
        return (thing.netns, thing.name), (thing.peer_netns, thing.peer_name)
    return ((thing.netns, thing.name),) if isinstance(thing, Link) else ()


def is_inner(thing: Object | None) -> bool:
    """Return whether it is a sandbox's link on one of the host's: it has gone at once only when it is deleted by itself."""
    return isinstance(thing, Link) and bool(thing.netns and thing.parent)


def sitting_on(actual: State, roots: t.AbstractSet[Key]) -> set[Key]:
    """Return the links that go when roots go, links on links on them included."""
    below = {key[2] for key in roots if key[0] == "link" and key[1] == HOST}
    found: set[Key] = set()
    while below:
        above = {
            key: thing
            for key, thing in actual.items()
            if isinstance(thing, Link) and thing.parent in below and key not in found
        }
        found.update(above)
        below = {key[2] for key in above if key[1] == HOST}
    return found


def also_mutable(wanted: Object, actual: Object) -> frozenset[str]:
    """Return what the kernel changes in place of these two beyond what it does of all: modes, but not to and from passthru."""
    if isinstance(wanted, Link) and isinstance(actual, Link) and wanted.kind == actual.kind:
        if wanted.kind == "ipvlan" or wanted.kind == "macvlan" and "passthru" not in (_mode(wanted), _mode(actual)):
            return frozenset(("data",))
    return frozenset()


def blocking(wanted: State, actual: State, surplus: t.AbstractSet[Key]) -> set[Key]:
    """Return surplus links and pairs that must go first: a namespace holds one eth0, a parent one link of each MAC, a host one vxlan of each number."""
    held: dict[t.Any, list[Key]] = {}
    stacked = []
    for key in surplus:
        thing = actual[key]
        for claim in _claims(thing):
            held.setdefault(claim, []).append(key)
        if isinstance(thing, Link) and thing.parent:
            stacked.append(thing)
    if not held:
        return set()
    found = {key for thing in wanted.values() for claim in _claims(thing) for key in held.get(claim, ())}
    if stacked:
        coming = [
            thing
            for key, thing in wanted.items()
            if isinstance(thing, Link) and thing.parent and actual.get(key) != thing
        ]
        found |= {one.key for one in stacked for thing in coming if thing.parent == one.parent and _clash(thing, one)}
    return found


def _claims(thing: Object) -> tuple[t.Any, ...]:
    """Return what only one object can have: the names of its ends, and of a vxlan device its number and port."""
    own = tuple(end for end in interfaces_of(thing) if end[1])
    if isinstance(thing, Link) and thing.kind == "vxlan":
        said = dict(thing.data)
        return *own, (thing.kind, said.get("id"), said.get("port"))
    return own


def is_renamed(before: Object | None, wanted: State) -> bool:
    """Return whether what is cleared is a sandbox's link that is wanted under another name."""
    return (
        isinstance(before, Link)
        and bool(before.netns and before.parent)
        and any(
            isinstance(thing, Link)
            and (thing.netns, thing.label, thing.parent) == (before.netns, before.label, before.parent)
            for thing in wanted.values()
        )
    )


def _clash(one: Link, other: Link) -> bool:
    alone = "passthru" in (_mode(one), _mode(other))
    return one.kind != "vlan" != other.kind and (
        alone or one.kind != other.kind or bool(one.mac) and one.mac == other.mac
    )


def _mode(link: Link) -> t.Any:
    return dict(link.data).get("mode")
