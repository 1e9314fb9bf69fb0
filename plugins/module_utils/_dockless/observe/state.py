# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""The actual state: one pass over everything on the host that dockless manages.

What only a wanted object can tell (which settings count, which MAC address may be any) is read off it, so that an
object that is as declared equals the declared one.
"""

from __future__ import annotations

import typing as t

from ..linux.nft_tables import Tables
from ..model.facts import Facts
from ..state.firewall import FIREWALL_KEY, Firewall
from ..state.firewall_names import names_in
from ..state.keys import Key
from ..state.objects import Netns, NftTable, Object, State, Sysctl
from . import files, links, namespaces, snapshot, wireguard
from .snapshot import HostSnapshot, NetnsSnapshot

Keys = t.AbstractSet[Key]


class Observation(t.NamedTuple):
    """The managed objects, and a sentence for each unmanaged one that has a name which a wanted object needs."""

    state: State
    conflicts: list[str]
    snapshot: HostSnapshot


def observe(wanted: State, keys_of_others: Keys, facts: Facts, tables: Tables, host: NetnsSnapshot) -> Observation:
    """Return the actual state. keys_of_others: of objects that only other projects declare, which are not read."""
    reader = _InsideReader(wanted, tables)
    names = namespaces.to_read(wanted, keys_of_others)
    sandboxes = namespaces.owners_first(snapshot.read_named(names, reader.visit), wanted)
    state: State = {}

    def add(found: t.Iterable[Object]) -> None:
        state.update((obj.key, obj) for obj in found)

    add(namespaces.observe(sandboxes, wanted))
    add(links.observe(host, sandboxes, wanted, keys_of_others))
    conflicts = [
        *namespaces.conflicts(sandboxes, wanted, state),
        *links.conflicts(host, sandboxes, wanted, state),
        *wireguard.observe(host, wanted, state),
    ]
    add(reader.found)
    found = files.observe(wanted, keys_of_others)
    add(found.files)
    add(files.resolvers(wanted, keys_of_others))
    add(_firewall(tables, wanted, state))
    return Observation(state, conflicts + found.conflicts, HostSnapshot(host, sandboxes, dict(tables.generations)))


def _firewall(tables: Tables, wanted: State, state: State) -> t.Iterator[Firewall]:
    """Yield the host's firewall, with the names of what its elements are about."""
    desired = wanted.get(FIREWALL_KEY)
    found = tables.firewall(desired if isinstance(desired, Firewall) else None)
    if found is not None:
        yield found if found is desired else found._replace(names=names_in(state.values()))


class _InsideReader:
    """Reads what can only be read from inside a namespace: sysctls and the nft table."""

    def __init__(self, wanted: State, tables: Tables) -> None:
        self._wanted = wanted
        self._tables = tables
        self._sysctls: dict[str, list[Sysctl]] = {}
        for obj in wanted.values():
            if isinstance(obj, Sysctl):
                self._sysctls.setdefault(obj.netns, []).append(obj)
        self.found: list[Object] = []

    def visit(self, name: str) -> None:
        """Read in the namespace of this name, which the caller has entered."""
        for desired in self._sysctls.get(name, ()):
            value = _sysctl(desired)
            if value is not None:
                self.found.append(desired._replace(value=value))
        if self._may_have_table(name):
            wanted = self._wanted.get(("nft_table", name))
            table = self._tables.inside(name, wanted if isinstance(wanted, NftTable) else None)
            self.found += [table] if table is not None else []

    def _may_have_table(self, name: str) -> bool:
        if ("nft_table", name) in self._wanted:
            return True
        namespace = self._wanted.get(("netns", name))
        if namespace is None:
            return True
        is_second_name = isinstance(namespace, Netns) and bool(namespace.partner)
        return not is_second_name and self._tables.were_here()


def _sysctl(desired: Sysctl) -> str | None:
    """Return the present value, None where there is no such key. The kernel separates several values by tabs."""
    try:
        with open("/proc/sys/" + desired.name, encoding="ascii") as file:
            values = file.read().split()
    except OSError:
        return None
    return desired.value if values == desired.value.split() else " ".join(values)
