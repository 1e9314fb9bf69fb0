# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Kernel and files -> State: one pass over what is ours, told in the terms of what is wanted."""

from __future__ import annotations

import os
import typing as t

from ..dns.systemd_units import DROP_IN, PATHS
from ..linux import files, netns
from ..linux.nft_tables import Tables
from ..model.facts import Facts
from ..names import DNS_DIRECTORY, LABEL_PREFIX, LINK_GROUP, NETNS_ETC_DIRECTORY
from ..resolvers import probe, supervisor
from ..state.objects import HOST, File, Key, Netns, Object, Resolver, State, Sysctl, Veth
from . import links, snapshot, wireguard
from .snapshot import IFF_UP, HostSnapshot, LinkSnapshot, NetnsSnapshot

Keys = t.AbstractSet[Key]


class Observation(t.NamedTuple):
    """What is ours, and what stands in its way: sentences about foreign objects with names that we want."""

    state: State
    conflicts: list[str]
    sight: HostSnapshot


def observe(wanted: State, kept: Keys, facts: Facts, tables: Tables, host: NetnsSnapshot) -> Observation:
    """Return the present state. kept are keys that other projects want: they are not looked at."""
    reader = _Inside(wanted, tables)
    inside = _owners_first(snapshot.read_named(_names(wanted, kept), reader.visit), wanted)
    state: State = {}
    conflicts: list[str] = []
    _namespaces(inside, wanted, state, conflicts)
    conflicts += _shared_unasked(inside, wanted)
    links.observe(host, inside, wanted, kept, state, conflicts)
    wireguard.observe(host, wanted, state, conflicts)
    for thing in (*reader.found, *tables.inside(HOST, wanted)):
        state[thing.key] = thing
    _files(wanted, kept, state, conflicts)
    _resolvers(wanted, kept, facts, state)
    return Observation(state, conflicts, HostSnapshot(host, inside, dict(tables.generations)))


def _owners_first(inside: dict[str, NetnsSnapshot], wanted: State) -> dict[str, NetnsSnapshot]:
    """Put first names before second ones, for what is inside is told of the first.

    A namespace's first name is that of the sandbox that is to have it as its own, else the one that its mark tells of.
    """

    def order(name: str) -> int:
        want, lo = wanted.get(("netns", name)), inside[name].links.get(1)
        if isinstance(want, Netns) and not want.partner:
            return 0
        return 1 if lo is not None and name in lo.alias.rpartition("/")[2].split() else 2

    return {name: inside[name] for name in sorted(inside, key=order)}


def _names(wanted: State, kept: Keys) -> list[str]:
    """Return the namespaces to look into: what we want and, for leftovers, all that nobody else declares."""
    asked = {key[1]: None for key in wanted if key[0] == "netns"}
    for thing in wanted.values():
        if isinstance(thing, Veth):
            asked.update({name: None for name in (thing.netns, thing.peer_netns) if name})
    asked.update({name: None for name in netns.named() if ("netns", name) not in kept})
    return list(asked)


class _Inside:
    """What can only be read from inside a namespace."""

    def __init__(self, wanted: State, tables: Tables) -> None:
        self._wanted = wanted
        self._tables = tables
        self._sysctls: dict[str, list[Sysctl]] = {}
        for thing in wanted.values():
            if isinstance(thing, Sysctl):
                self._sysctls.setdefault(thing.netns, []).append(thing)
        self.found: list[Object] = []

    def visit(self, name: str) -> None:
        for want in self._sysctls.get(name, ()):
            value = _sysctl(want)
            if value is not None:
                self.found.append(want._replace(value=value))
        space = self._wanted.get(("netns", name))
        shared = isinstance(space, Netns) and space.partner  # what is in there is told of its first name
        if ("nft", name) in self._wanted or space is None or not shared and self._tables.were_here():
            self.found += self._tables.inside(name, self._wanted)


def _sysctl(want: Sysctl) -> str | None:
    try:
        with open("/proc/sys/" + want.name, encoding="ascii") as file:
            value = file.read()
    except OSError:
        return None
    # The kernel separates several values by tabs.
    return want.value if value.split() == want.value.split() else " ".join(value.split())


def _namespaces(inside: dict[str, NetnsSnapshot], wanted: State, state: State, conflicts: list[str]) -> None:
    first: dict[int, str] = {}
    for name, space in list(inside.items()):
        want = wanted.get(("netns", name))
        partner = want.partner if isinstance(want, Netns) else ""
        lo = space.links.get(1)
        ours = lo is not None and _is_handle_of_ours(name, lo, want)
        if partner and partner in inside and inside[partner].inode == space.inode:
            state["netns", name] = t.cast(Netns, want)
        elif space.inode in first and ours:
            state["netns", name] = Netns(name, lo.alias if lo else "", partner=first[space.inode])
        elif ours and lo is not None:
            made = lo.group == LINK_GROUP
            state["netns", name] = Netns(name, lo.alias, 0 if made else space.inode, up=bool(lo.flags & IFF_UP))
        elif isinstance(want, Netns):
            conflicts.append(f"network namespace {name} exists and is not ours")
        if ours:
            first.setdefault(space.inode, name)


def _shared_unasked(inside: dict[str, NetnsSnapshot], wanted: State) -> t.Iterator[str]:
    """Yield a sentence for each sandbox that attaches to another sandbox's namespace: one namespace has one owner."""
    named = reversed(list(inside.items()))  # the owner stays, as it comes before those that share
    owners = {space.inode: name for name, space in named if space.links[1].group == LINK_GROUP}
    for thing in wanted.values():
        if isinstance(thing, Netns) and thing.inode:
            owner = owners.setdefault(thing.inode, thing.name)
            if owner != thing.name:
                yield f"sandbox {thing.name} attaches to the namespace of sandbox {owner} (network_mode: container:{owner} shares it)"


def _is_handle_of_ours(name: str, lo: LinkSnapshot, want: Object | None) -> bool:
    """Return whether we gave a namespace this name. One that we attached to has names that others gave it too."""
    if not lo.alias.startswith(LABEL_PREFIX):
        return False
    return lo.group == LINK_GROUP or want is not None or name in lo.alias.rpartition("/")[2].split()


def _files(wanted: State, kept: Keys, state: State, conflicts: list[str]) -> None:
    paths = {key[1]: None for key in wanted if key[0] == "file"}
    paths.update(
        {path: None for path in files.listed(DNS_DIRECTORY) if not path.endswith(".pid") and ("file", path) not in kept}
    )
    paths.update(
        {path: None for path in (*_etc_leftovers(wanted, kept), *PATHS, DROP_IN) if ("file", path) not in kept}
    )
    marked: dict[str, bool] = {}
    for path in paths:
        found = files.observed(path)
        if found is None:
            continue
        if path == DROP_IN and not found[0].startswith("# dockless:"):
            conflicts += [f"file {path} exists and is not ours"] if ("file", path) in wanted else []
            continue
        directory = os.path.dirname(path)
        if path.startswith(NETNS_ETC_DIRECTORY) and not marked.setdefault(directory, _is_marked(directory)):
            conflicts.append(f"file {path} exists and is not ours")
            continue
        state["file", path] = File(path, *found)


def _etc_leftovers(wanted: State, kept: Keys) -> t.Iterator[str]:
    for path in files.listed(NETNS_ETC_DIRECTORY):
        key = "file", path
        if key not in wanted and key not in kept and _is_marked(os.path.dirname(path)):
            yield path


def _is_marked(directory: str) -> bool:
    """Return whether a directory of /etc/netns is ours: our mark is the first line of what can bear it."""
    return any(
        (files.read(f"{directory}/{name}") or "").startswith("# dockless:")
        for name in ("hosts", "resolv.conf", "nsswitch.conf")
    )


def _resolvers(wanted: State, kept: Keys, facts: Facts, state: State) -> None:
    asked = {key: thing for key, thing in wanted.items() if isinstance(thing, Resolver)}
    for thing in supervisor.configured():
        if thing.key not in kept:
            asked.setdefault(thing.key, thing)
    answers = supervisor.running(list(asked.values())) if asked else {}
    for key, thing in asked.items():
        if thing.sandbox in answers:
            program = "replaced" if probe.is_replaced(thing.sandbox) else "installed"
            state[key] = thing._replace(digest=answers[thing.sandbox], program=program)
