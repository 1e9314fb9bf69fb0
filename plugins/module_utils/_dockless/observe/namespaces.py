# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Named network namespaces: which to read, whose they are, and which names are taken by others.

Whose a namespace is says its record (linux.netns_records). The mark on its lo, which root inside can change, counts
only where there are no records yet: those of an earlier version are recorded then.
"""

from __future__ import annotations

import typing as t

from ..linux import netns
from ..linux.links import IFF_UP, LinkRow
from ..linux.netns_records import NetnsRecord, NetnsRecords
from ..names import LABEL_PREFIX, LINK_GROUP
from ..state.dependencies import interfaces_of
from ..state.keys import Key
from ..state.objects import Netns, State
from .snapshot import NetnsSnapshot

Sandboxes = t.Mapping[str, NetnsSnapshot]
Owned = t.Mapping[str, NetnsRecord]  # the records of the names that are dockless's


def to_read(
    wanted: State, keys_of_others: t.AbstractSet[Key], records: NetnsRecords
) -> tuple[dict[str, list[str]], list[str]]:
    """Return the namespaces that must be read, with the names of wanted links there, and those that may be.

    The former are the wanted and the recorded ones, the latter those of others, in which pairs may have been left.
    """
    needed: dict[str, list[str]] = {key[1]: [] for key in wanted if key[0] == "netns"}
    for obj in wanted.values():
        for name, link in interfaces_of(obj):
            if name:
                needed.setdefault(name, []).append(link)
    for name in records.names():
        if ("netns", name) not in keys_of_others:
            needed.setdefault(name, [])
    others = [name for name in netns.named() if name not in needed and ("netns", name) not in keys_of_others]
    return needed, others


def owned(sandboxes: Sandboxes, records: NetnsRecords, declared: t.Collection[str]) -> dict[str, NetnsRecord]:
    """Return the records of the names that are dockless's.

    declared: the namespaces that documents declared before this run. Without any records, these are dockless's if they
    have its mark. They are added to the records.
    """
    found = {}
    for name, snapshot in sandboxes.items():
        record = records.get(name)
        if record is None and not records.exist and name in declared:
            record = _adopted(name, snapshot)
            if record is not None:
                records.add(name, record)
        if record is not None and record.is_of(snapshot.inode, snapshot.cookie):
            found[name] = record
    return found


def _adopted(name: str, snapshot: NetnsSnapshot) -> NetnsRecord | None:
    lo = snapshot.links.get(1)
    if lo is None or not lo.alias.startswith(LABEL_PREFIX):
        return None
    first_name, *others = lo.alias.rpartition("/")[2].split() or [name]
    is_attached = lo.group != LINK_GROUP
    if is_attached and name not in (first_name, *others):  # a name that others gave
        return None
    partner = "" if name == first_name else first_name
    return NetnsRecord(snapshot.inode, snapshot.cookie, lo.alias, is_attached, partner)


def owners_first(sandboxes: Sandboxes, wanted: State, records: Owned) -> dict[str, NetnsSnapshot]:
    """Return the sandboxes so that the first name of each namespace comes before further ones.

    The contents of a namespace are reported under its first name.
    The first name is that of the sandbox that is declared with it as its own, otherwise the recorded one.
    """

    def rank(name: str) -> int:
        desired, record = wanted.get(("netns", name)), records.get(name)
        if isinstance(desired, Netns) and not desired.partner:
            return 0
        if record is None:
            return 3
        return 2 if record.partner else 1

    return {name: sandboxes[name] for name in sorted(sandboxes, key=rank)}


def observe(sandboxes: Sandboxes, wanted: State, records: Owned) -> t.Iterator[Netns]:
    """Yield the managed namespaces; a second name of one has the first name as its partner."""
    first_names: dict[int, str] = {}
    for name, snapshot in sandboxes.items():
        desired, record = _desired(name, wanted), records.get(name)
        if desired is not None and _is_shared_as_declared(desired, snapshot, sandboxes):
            yield desired
        elif record is not None and snapshot.inode in first_names:
            yield Netns(name, record.label, partner=first_names[snapshot.inode])
        elif record is not None:
            yield _first_name(name, snapshot, record)
        if record is not None:
            first_names.setdefault(snapshot.inode, name)


def _first_name(name: str, snapshot: NetnsSnapshot, record: NetnsRecord) -> Netns:
    lo = snapshot.links.get(1)
    has_lost_first_name = bool(record.partner)  # then this name is made again
    label = record.label if has_lost_first_name or lo is None else _mark(lo, record)
    is_up = lo is not None and bool(lo.flags & IFF_UP)
    return Netns(name, label, snapshot.inode if record.attached else 0, up=is_up)


def _mark(lo: LinkRow, record: NetnsRecord) -> str:
    """Return the mark on lo, "" if a part of it is missing."""
    return lo.alias if record.attached or lo.group == LINK_GROUP else ""


def conflicts(sandboxes: Sandboxes, wanted: State, actual: State, records: Owned) -> t.Iterator[str]:
    """Yield a sentence for each wanted name that an unmanaged namespace has, and for each namespace with two owners."""
    for name in sandboxes:
        if ("netns", name) in wanted and ("netns", name) not in actual:
            yield f"network namespace {name} exists and is not managed by dockless"
    yield from _attached_twice(sandboxes, wanted, records)


def _attached_twice(sandboxes: Sandboxes, wanted: State, records: Owned) -> t.Iterator[str]:
    """Yield a sentence for each sandbox that attaches to the namespace of another one: a namespace has one owner."""
    named = reversed(list(sandboxes.items()))  # the owner's name comes first in sandboxes and is entered last
    owners = {snapshot.inode: name for name, snapshot in named if name in records and not records[name].attached}
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
