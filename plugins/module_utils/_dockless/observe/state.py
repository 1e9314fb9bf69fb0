# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""The actual state: one pass over everything on the host that dockless manages.

What only a wanted object can tell (which settings count, which MAC address may be any) is read off it, so that an
object that is as declared equals the declared one.
"""

from __future__ import annotations

import errno
import typing as t

from ..linux.netns_records import NetnsRecords
from ..linux.nft_tables import Tables
from ..model.facts import Facts
from ..state.firewall import FIREWALL_KEY, Firewall
from ..state.firewall_names import names_in
from ..state.keys import Key
from ..state.objects import Netns, NftTable, Object, State, Sysctl
from . import files, links, namespaces, snapshot, wireguard
from .snapshot import HostSnapshot, NetnsSnapshot

Keys = t.AbstractSet[Key]
_LONGEST_SYSCTL = 1 << 16  # characters: a list of ports that root in a sandbox wrote may be longer
_UNSET_GIVES_EIO = "/stable_secret"  # net/ipv6/addrconf.c


class Observation(t.NamedTuple):
    """The managed objects, and what else a run must know.

    conflicts   a sentence for each unmanaged object that has a name which a wanted object needs
    obstructed  such a sentence by sandbox, where root in one of dockless's own sandboxes made the object
    blocked     the keys of wanted links that cannot be made because of these
    """

    state: State
    conflicts: list[str]
    snapshot: HostSnapshot
    obstructed: dict[str, str] = {}
    blocked: Keys = frozenset()


class Question(t.NamedTuple):
    """What an observation depends on.

    keys_of_others  of objects that only other projects declare, which are not read
    records         of the namespaces that dockless named
    declared        the namespaces that documents declared before the run
    """

    keys_of_others: Keys
    facts: Facts
    tables: Tables
    records: NetnsRecords
    declared: t.Collection[str] = ()


def observe(wanted: State, question: Question, host: NetnsSnapshot) -> Observation:
    """Return the actual state. Raises DocklessError if something cannot be read: it is then unknown, not absent."""
    keys_of_others, tables, records = question.keys_of_others, question.tables, question.records
    reader = _InsideReader(wanted, tables)
    needed, others = namespaces.to_read(wanted, keys_of_others, records)
    found = snapshot.read_named(needed, others, reader.visit)
    owned = namespaces.owned(found, records, question.declared)
    sandboxes = namespaces.owners_first(found, wanted, owned)
    state: State = {}

    def add(found: t.Iterable[Object]) -> None:
        state.update((obj.key, obj) for obj in found)

    add(namespaces.observe(sandboxes, wanted, owned))
    add(links.observe(host, sandboxes, wanted, keys_of_others))
    of_links = list(links.conflicts(host, sandboxes, wanted, state))
    inside = [conflict for conflict in of_links if ("netns", conflict.netns) in state]
    conflicts = [
        *namespaces.conflicts(sandboxes, wanted, state, owned),
        *(conflict.sentence for conflict in of_links if conflict not in inside),
        *wireguard.observe(host, wanted, state),
    ]
    add(reader.found)
    found_files = files.observe(wanted, keys_of_others)
    add(found_files.files)
    add(files.resolvers(wanted, keys_of_others))
    add(_firewall(tables, wanted, state))
    return Observation(
        state,
        conflicts + found_files.conflicts,
        HostSnapshot(host, sandboxes, dict(tables.generations)),
        {conflict.netns: conflict.sentence for conflict in inside},
        frozenset(conflict.key for conflict in inside),
    )


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
            values = file.read(_LONGEST_SYSCTL).split()
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno == errno.EIO and desired.name.endswith(_UNSET_GIVES_EIO):
            return None
        raise
    return desired.value if values == desired.value.split() else " ".join(values)
