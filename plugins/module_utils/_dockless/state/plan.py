# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""The difference between what is wanted and what is there, as an ordered list of steps.

The plan is the product: changed, check mode, diff, verification, rollback and
drift are all readings of it, and apply depends on nothing else.
"""

from __future__ import annotations

import typing as t

from ..errors import DocklessError
from ..firewall import host_table
from . import dependencies
from .objects import HOST, ForwardingEntry, Key, Link, Netns, NftTable, Object, Resolver, State, Veth, title

CREATE, UPDATE, REPLACE, DELETE = "create", "update", "replace", "delete"
RANK = {
    kind: rank
    for rank, kind in enumerate(
        (
            "tunnelkey",
            "netns",
            "barrier",
            "tunnel",
            "tunnelpeer",
            "link",
            "veth",
            "sysctl",
            "address",
            "neighbour",
            "forward",
            "route",
            "file",
            "nft",
            "resolver",
            "passage",
        ),
        1,
    )
}
# Fields that the kernel changes in place; any other difference needs a rebuild.
MUTABLE: dict[str, frozenset[str]] = {
    "netns": frozenset(("label", "up")),
    "link": frozenset(("mac", "mtu", "label", "master", "up", "conf", "port")),
    "veth": frozenset(
        (
            "mac",
            "peer_mac",
            "mtu",
            "peer_mtu",
            "master",
            "peer_master",
            "up",
            "peer_up",
            "isolated",
            "hairpin",
            "learning",
            "conf",
            "peer_conf",
        )
    ),
    "tunnelkey": frozenset(("public_key",)),
    "barrier": frozenset(),
    "tunnel": frozenset(("public_key", "listen_port", "mtu", "address", "label", "up", "conf")),
    "tunnelpeer": frozenset(("endpoint", "allowed", "routed")),
    "address": frozenset(),
    "neighbour": frozenset(("mac",)),
    "forward": frozenset(("vtep", "bridged")),
    "route": frozenset(("link", "via", "onlink")),
    "sysctl": frozenset(("value",)),
    "file": frozenset(("text", "mode")),
    "nft": frozenset(("text",)),
    "resolver": frozenset(("config", "digest", "program")),
    "passage": frozenset(("text",)),
}
# What others hang on: their loss is never silent (Netns, Link and Veth carry traffic of running processes).
CARRIERS = frozenset(("netns", "link", "veth"))
_HOLDERS = CARRIERS | {"tunnel"}  # what the kernel takes other objects away with
_ON_LINKS = frozenset(("tunnelpeer", "address", "neighbour", "forward", "route"))
_TABLE = ("nft", HOST)
_NOT_COMPARED = frozenset(("defaults", "source"))


class Step(t.NamedTuple):
    """One change of one object. before and after are None where there is none."""

    action: str
    key: Key
    before: Object | None
    after: Object | None
    reason: str


class Plan(t.NamedTuple):
    """Steps in the order of execution.

    clearing makes room for what follows (a rebuild's first half, a name that is
    taken by something on its way out), building creates and changes, removal
    takes away what nothing declares, after the result has been verified.
    """

    clearing: tuple[Step, ...] = ()
    building: tuple[Step, ...] = ()
    removal: tuple[Step, ...] = ()

    @property
    def steps(self) -> tuple[Step, ...]:
        """Return all steps in order."""
        return self.clearing + self.building + self.removal

    def __bool__(self) -> bool:
        """Return whether there is anything to do."""
        return bool(self.clearing or self.building or self.removal)


Hook = t.Callable[[Step], None]  # every step passes it before its change is sent


def no_hook(step: Step) -> None:
    """Let every step pass."""


def make_plan(wanted: State, actual: State, kept: t.AbstractSet[Key] = frozenset()) -> Plan:
    """Return the steps that make actual equal to wanted.

    actual holds only objects that are ours; those in kept belong to somebody
    else's declaration and stay.
    """
    surplus = {key for key in actual if key not in wanted and key not in kept}
    rebuilt = {
        key
        for key, reasons in _mismatches(wanted, actual).items()
        if not _in_place(key, reasons, wanted[key], actual[key])
    }
    blocking = dependencies.blocking(wanted, actual, surplus)
    gone = _falling_with(actual, rebuilt | blocking)
    left = {key: thing for key, thing in actual.items() if key not in gone} if gone else actual
    left = _orphaned(left, rebuilt | blocking)
    building = [step for key, thing in wanted.items() for step in _build(key, thing, left, actual)]
    clearing = [
        _removal(actual[key], _why_cleared(key, rebuilt, blocking))
        for key in gone
        if key in rebuilt
        or key in blocking
        or key[0] in ("resolver", "veth", "netns")
        or dependencies.is_inner(actual[key])
        or _outlives(key, actual)
    ]
    falling = _falling_with(actual, {key for key in surplus if key[0] in _HOLDERS}) if surplus else set()
    removal = [
        _removal(actual[key], "nothing declares it")
        for key in surplus
        if key not in gone
        and (key[0] in _HOLDERS or key[0] == "resolver" or key not in falling or _outlives(key, actual))
        and not _falls_with_netns(key, actual, surplus)
    ]
    if _TABLE in surplus:  # unpublish before links go, guard until they are gone: a port must never lead elsewhere
        removal.append(
            Step(UPDATE, _TABLE, actual[_TABLE], NftTable(HOST, host_table.empty_table()), "nothing is published")
        )
    return Plan(
        tuple(sorted(clearing, key=_removal_order)),
        tuple(sorted(building, key=_order)),
        tuple(sorted(removal, key=_removal_order)),
    )


def without_unrestorable(state: State) -> State:
    """Return what of a state can be made again; a pair without its other end, or a process in a namespace without a name, cannot."""
    broken = {
        key
        for key, thing in state.items()
        if isinstance(thing, Veth)
        and not thing.peer_name
        or isinstance(thing, Resolver)
        and thing.netns
        and ("netns", thing.netns) not in state
    }
    gone = _falling_with(state, broken)
    return {key: thing for key, thing in state.items() if key not in gone} if gone else state


def differences(wanted: Object, actual: Object) -> tuple[str, ...]:
    """Return the names of the fields that differ."""
    return tuple(f for f, a, b in zip(wanted._fields, wanted, actual) if a != b and f not in _NOT_COMPARED)


def refuse_rebuilds(work: Plan, wanted: State, on_mismatch: str, recorded: t.Mapping[Key, str]) -> None:
    """Raise DocklessError unless on_mismatch (update, recreate, fail) allows what the plan does to existing links.

    recorded are the inner names that pairs had when they were last as wanted: one that
    is still wanted has not been changed by its declaration, so its rebuild is a repair.
    """
    if on_mismatch == "recreate":
        return
    for step in work.clearing:
        want = wanted.get(step.key)
        drifted = isinstance(want, Veth) and recorded.get(step.key) == want.peer_name
        # A second name of a namespace whose first name was lost: by its mark it is still the partner's.
        shared = isinstance(want, Netns) and want.partner in step.before.label.rpartition("/")[2].split()
        moved = step.reason != "rebuilt" and step.key in recorded and dependencies.is_renamed(step.before, wanted)
        rejoined = dependencies.is_inner(step.before) and getattr(want, "label", "") != getattr(
            step.before, "label", ""
        )  # of another network
        if (
            moved
            or step.key[0] in CARRIERS
            and step.reason == "rebuilt"
            and not (rejoined or drifted or shared or _is_repair(step) or _is_uplink(step.before))
        ):
            raise DocklessError(
                f"{title(step.before)} cannot be changed in place into what is wanted",
                "Set on_mismatch to recreate to have it rebuilt; endpoints keep address, MAC and names.",
            )
    if on_mismatch == "fail":
        for step in work.building:
            if step.action == UPDATE and step.key[0] in CARRIERS:
                raise DocklessError(
                    f"{title(step.after)} exists and differs: {step.reason}",
                    "Set on_mismatch to update to have it changed in place.",
                )


def _mismatches(wanted: State, actual: State) -> dict[Key, tuple[str, ...]]:
    found = {}
    for key, thing in wanted.items():
        there = actual.get(key)
        if there is not None and there != thing:
            fields = differences(thing, there)
            if fields:
                found[key] = fields
    return found


def _in_place(key: Key, fields: tuple[str, ...], wanted: Object, actual: Object) -> bool:
    return MUTABLE[key[0]].issuperset(fields) or (
        MUTABLE[key[0]] | dependencies.also_mutable(wanted, actual)
    ).issuperset(fields)


def _falling_with(actual: State, roots: set[Key]) -> set[Key]:
    """Return roots and everything that the kernel takes away with them."""
    if not roots:
        return set()
    spaces = {key[1] for key in roots if key[0] == "netns"}
    pairs = {
        key
        for key, thing in actual.items()
        if isinstance(thing, Veth) and (key in roots or thing.netns in spaces or thing.peer_netns in spaces)
    }
    above = dependencies.sitting_on(actual, roots)
    ends = {end for key in pairs for end in dependencies.interfaces_of(actual[key])}
    ends |= {(key[1], key[2]) for key in roots | above if key[0] in ("link", "tunnel")}
    gone = roots | pairs | above
    for key, thing in actual.items():
        if (
            key[0] in _ON_LINKS
            and ((thing.netns, thing.link) in ends or thing.netns in spaces)
            or key[0] in ("link", "sysctl", "nft", "resolver")
            and thing.netns in spaces
            or isinstance(thing, Netns)
            and thing.partner in spaces
        ):
            gone.add(key)
    return gone


def _outlives(key: Key, actual: State) -> bool:
    """Return whether it is our table in a namespace of others, which lives on without our name for it."""
    return key[0] == "nft" and bool(getattr(actual.get(("netns", key[1])), "inode", 0))


def _why_cleared(key: Key, rebuilt: set[Key], blocking: set[Key]) -> str:
    if key in rebuilt:
        return "rebuilt"
    return "in the way of a new one" if key in blocking else "its namespace is rebuilt"


def _falls_with_netns(key: Key, actual: State, surplus: set[Key]) -> bool:
    thing = actual[key]
    return key[0] == "link" and ("netns", thing.netns) in surplus and not dependencies.is_inner(thing)


def _orphaned(left: State, gone: set[Key]) -> State:
    """Return the state in which ports of removed bridges have no master any more."""
    bridges = {key[2] for key in gone if key[0] == "link" and key[1] == HOST}
    if not bridges:
        return left
    ports = {
        thing.name: thing for thing in left.values() if isinstance(thing, (Veth, Link)) and thing.master in bridges
    }
    found: State = {}
    for key, thing in left.items():
        if isinstance(thing, ForwardingEntry) and thing.link in ports:
            if thing.vtep:
                found[key] = thing._replace(bridged=False)
        else:
            found[key] = thing._replace(master="") if ports.get(getattr(thing, "name", "")) is thing else thing
    return found


def _build(key: Key, thing: Object, left: State, actual: State) -> t.Iterator[Step]:
    there = left.get(key)
    if there == thing:
        return
    if there is None:
        yield Step(CREATE, key, None, thing, "rebuilt" if key in actual else "missing")
        return
    fields = differences(thing, there)
    if fields:
        yield Step(UPDATE, key, there, thing, _reason(thing, there, fields))


def _reason(thing: Object, there: Object, fields: tuple[str, ...]) -> str:
    return ", ".join(
        f if f in ("text",) else f"{f} is {_brief(getattr(there, f))}, wanted {_brief(getattr(thing, f))}"
        for f in fields
    ).replace("text", "content differs", 1)


def _brief(value: t.Any) -> str:
    if isinstance(value, tuple):
        return " ".join(f"{k}={v}" for k, v in value) or "unset"
    return str(value) or "none"


def _removal(thing: Object, reason: str) -> Step:
    return Step(DELETE, thing.key, thing, None, reason)


def _is_uplink(thing: Object | None) -> bool:
    """Return whether it is the way of an overlay to other hosts: sandboxes keep their links when that is made anew for another VTEP."""
    return isinstance(thing, Link) and thing.kind == "vxlan"


def _is_repair(step: Step) -> bool:
    """Return whether what is rebuilt was broken: a pair without its other end, a namespace whose process is gone."""
    thing = step.before
    if isinstance(thing, Veth):
        return not thing.peer_name or not thing.label and not thing.peer_netns
    return isinstance(thing, Netns) and bool(thing.inode)


def _order(step: Step) -> tuple[int, bool, Key]:
    """Sort by rank and key; a namespace's pairs stay as declared, because its links are numbered as they are made.

    A hostname file comes last: it cannot bear our mark, so alone in its directory it would be nobody's.
    """
    key = ("veth", step.after.peer_netns) if isinstance(step.after, Veth) else step.key
    return RANK[step.key[0]], key[0] == "file" and key[1].endswith("/hostname"), key


def _removal_order(step: Step) -> tuple[int, Key]:
    if step.key == _TABLE:
        return (1 if step.action == DELETE else -len(RANK) - 1), step.key
    return -RANK[step.key[0]], step.key
