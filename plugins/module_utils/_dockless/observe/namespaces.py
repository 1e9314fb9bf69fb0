# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Named network namespaces: which to read, whose they are, and which names are taken by others.

A namespace that dockless made has the link group on its lo; one that it attached to has only the alias there.
"""

from __future__ import annotations

import typing as t

from ..linux import netns
from ..linux.links import IFF_UP, LinkRow
from ..names import LABEL_PREFIX, LINK_GROUP
from ..state.keys import Key
from ..state.objects import Netns, State, Veth
from .snapshot import NetnsSnapshot

Sandboxes = t.Mapping[str, NetnsSnapshot]


def to_read(wanted: State, keys_of_others: t.AbstractSet[Key]) -> list[str]:
    """Return the names of wanted namespaces and, to find leftovers, of all that no other project declares."""
    found = {key[1]: None for key in wanted if key[0] == "netns"}
    for obj in wanted.values():
        if isinstance(obj, Veth):
            found.update({name: None for name in (obj.netns, obj.peer_netns) if name})
    found.update({name: None for name in netns.named() if ("netns", name) not in keys_of_others})
    return list(found)


def owners_first(sandboxes: Sandboxes, wanted: State) -> dict[str, NetnsSnapshot]:
    """Return the sandboxes so that the first name of each namespace comes before further ones.

    The contents of a namespace are reported under its first name.
    The first name is that of the sandbox that is declared with it as its own, otherwise the one in the namespace's
    mark.
    """

    def rank(name: str) -> int:
        desired, lo = wanted.get(("netns", name)), sandboxes[name].links.get(1)
        if isinstance(desired, Netns) and not desired.partner:
            return 0
        return 1 if lo is not None and name in _names_in_mark(lo) else 2

    return {name: sandboxes[name] for name in sorted(sandboxes, key=rank)}


def observe(sandboxes: Sandboxes, wanted: State) -> t.Iterator[Netns]:
    """Yield the managed namespaces; a second name of one has the first name as its partner."""
    first_names: dict[int, str] = {}
    for name, snapshot in sandboxes.items():
        desired, lo = _desired(name, wanted), snapshot.links.get(1)
        is_managed = lo is not None and _is_own_name(name, lo, desired)
        if desired is not None and _is_shared_as_declared(desired, snapshot, sandboxes):
            yield desired
        elif is_managed and lo is not None:
            if snapshot.inode in first_names:
                yield Netns(name, lo.alias, partner=first_names[snapshot.inode])
            else:
                is_attached = lo.group != LINK_GROUP
                yield Netns(name, lo.alias, snapshot.inode if is_attached else 0, up=bool(lo.flags & IFF_UP))
        if is_managed:
            first_names.setdefault(snapshot.inode, name)


def conflicts(sandboxes: Sandboxes, wanted: State, actual: State) -> t.Iterator[str]:
    """Yield a sentence for each wanted name that an unmanaged namespace has, and for each namespace with two owners."""
    for name in sandboxes:
        if ("netns", name) in wanted and ("netns", name) not in actual:
            yield f"network namespace {name} exists and is not managed by dockless"
    yield from _attached_twice(sandboxes, wanted)


def _attached_twice(sandboxes: Sandboxes, wanted: State) -> t.Iterator[str]:
    """Yield a sentence for each sandbox that attaches to the namespace of another one: a namespace has one owner."""
    named = reversed(list(sandboxes.items()))  # the owner's name comes first in sandboxes and is entered last
    owners = {snapshot.inode: name for name, snapshot in named if snapshot.links[1].group == LINK_GROUP}
    for obj in wanted.values():
        if isinstance(obj, Netns) and obj.inode:
            owner = owners.setdefault(obj.inode, obj.name)
            if owner != obj.name:
                yield (
                    f"sandbox {obj.name} attaches to the namespace of sandbox {owner} "
                    f"(network_mode: container:{owner} shares it)"
                )


def _desired(name: str, wanted: State) -> Netns | None:
    found = wanted.get(("netns", name))
    return found if isinstance(found, Netns) else None


def _is_shared_as_declared(desired: Netns, snapshot: NetnsSnapshot, sandboxes: Sandboxes) -> bool:
    return desired.partner in sandboxes and sandboxes[desired.partner].inode == snapshot.inode


def _is_own_name(name: str, lo: LinkRow, desired: Netns | None) -> bool:
    """Return whether dockless gave a namespace this name. One that it attached to has names that others gave it too."""
    if not lo.alias.startswith(LABEL_PREFIX):
        return False
    return lo.group == LINK_GROUP or desired is not None or name in _names_in_mark(lo)


def _names_in_mark(lo: LinkRow) -> list[str]:
    return lo.alias.rpartition("/")[2].split()
