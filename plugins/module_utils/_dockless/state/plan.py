# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""The difference between the desired and the actual state, as an ordered list of steps.

The plan is the product: changed, check mode, diff, verification, rollback and drift are all readings of it, and apply
depends on nothing else. What differs from kind to kind is in kinds.py and dependencies.py.
"""

from __future__ import annotations

import typing as t

from . import dependencies
from .keys import Key
from .kinds import BY_NAME, STAGED, closed_form, creation_order, creation_place, kind_of, until_removal
from .objects import Object, State

CREATE, UPDATE, DELETE = "create", "update", "delete"
REBUILT = "rebuilt"  # the reason of both steps of a rebuild
_CLOSED = "nothing is published"  # the reason of a change to the closed form
T = t.TypeVar("T")


class Step(t.NamedTuple):
    """One change of one object. before is None where it is created, after where it is deleted."""

    action: str
    key: Key
    before: Object | None
    after: Object | None
    reason: str

    @property
    def subject(self) -> Object:
        """Return the object as it will be, or as it was where it is deleted."""
        obj = self.after if self.after is not None else self.before
        if obj is None:
            raise AssertionError(f"a step is about an object: {self.key}")
        return obj

    def new(self, kind: type[T]) -> T:
        """Return the object as it will be, which must be of this type."""
        if not isinstance(self.after, kind):
            raise AssertionError(f"{self.key} is not a {kind.__name__}")
        return self.after

    def old(self, kind: type[T]) -> T:
        """Return the object as it was, which must be of this type."""
        if not isinstance(self.before, kind):
            raise AssertionError(f"{self.key} is not a {kind.__name__}")
        return self.before


class Plan(t.NamedTuple):
    """Steps in the order of execution.

    clearing   makes room: the first half of a rebuild, objects that hold what a wanted one needs
    building   creates and updates
    removal    deletes what nothing declares, after the result of building has been verified
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


Hook = t.Callable[[Step], None]  # called with every step before its change is sent


class _Difference(t.NamedTuple):
    """The difference between two states, as sets of keys of the actual one."""

    surplus: set[Key]  # nothing declares them
    rebuilt: set[Key]  # declared, but the kernel cannot change them in place
    blocking: set[Key]  # surplus, and holding a name or address that a declared object needs
    cleared: set[Key]  # rebuilt, blocking, and what the kernel removes together with these


def no_hook(step: Step) -> None:
    """Let every step pass."""


def make_plan(wanted: State, actual: State, keys_of_others: t.AbstractSet[Key] = frozenset()) -> Plan:
    """Return the steps that make actual equal to wanted.

    actual has managed objects only. keys_of_others: of objects that only other projects declare, which stay.
    """
    difference = _difference(wanted, actual, keys_of_others)
    remaining = _after_clearing(wanted, actual, difference)
    return Plan(
        tuple(sorted(_clearing(actual, difference), key=_removal_order)),
        tuple(sorted(_building(wanted, actual, remaining), key=lambda step: creation_order(step.subject))),
        tuple(sorted(_removal(wanted, actual, difference), key=_removal_order)),
    )


def without_unrestorable(state: State) -> State:
    """Return the objects of a state that a plan can create again."""
    lost = dependencies.unrestorable(state)
    return {key: obj for key, obj in state.items() if key not in lost} if lost else state


def differences(wanted: Object, actual: Object) -> tuple[str, ...]:
    """Return the names of the fields that differ."""
    ignored = BY_NAME[wanted.key[0]].not_compared
    pairs = zip(wanted._fields, wanted, actual)
    return tuple(field for field, new, old in pairs if new != old and field not in ignored)


def _difference(wanted: State, actual: State, keys_of_others: t.AbstractSet[Key]) -> _Difference:
    surplus = {key for key in actual if key not in wanted and key not in keys_of_others}
    rebuilt = {key for key, obj in wanted.items() if key in actual and not _changes_in_place(obj, actual[key])}
    blocking = dependencies.blocking(wanted, actual, surplus)
    return _Difference(surplus, rebuilt, blocking, dependencies.removed_with(actual, rebuilt | blocking))


def _changes_in_place(wanted: Object, actual: Object) -> bool:
    """Return whether no difference between the two needs a rebuild."""
    if wanted == actual:
        return True
    fields = differences(wanted, actual)
    mutable = kind_of(wanted.key).mutable
    return mutable.issuperset(fields) or (mutable | dependencies.also_mutable(wanted, actual)).issuperset(fields)


def _after_clearing(wanted: State, actual: State, difference: _Difference) -> State:
    """Return the state in which building begins, without what building itself makes the kernel remove."""
    remaining = actual
    if difference.cleared:
        remaining = {key: obj for key, obj in actual.items() if key not in difference.cleared}
        remaining = dependencies.without_masters(remaining, difference.rebuilt | difference.blocking)
    return dependencies.without_entries_of_moving_ports(remaining, wanted)


def _clearing(actual: State, difference: _Difference) -> t.Iterator[Step]:
    """Yield a deletion of each cleared object that the kernel does not delete automatically."""
    for key in difference.cleared:
        obj = actual[key]
        if key in difference.rebuilt:
            yield _deletion(obj, REBUILT)
        elif key in difference.blocking:
            yield _deletion(obj, "in the way of a new one")
        elif _needs_own_deletion(obj, actual):
            yield _deletion(obj, "its namespace is rebuilt")


def _needs_own_deletion(obj: Object, actual: State) -> bool:
    """Return whether an object must be deleted by a step of its own though its namespace goes."""
    return (
        kind_of(obj.key).needs_removal or dependencies.is_on_parent(obj) or dependencies.outlives_namespace(obj, actual)
    )


def _building(wanted: State, actual: State, remaining: State) -> t.Iterator[Step]:
    for key, obj in wanted.items():
        existing = remaining.get(key)
        if existing is None:
            yield Step(CREATE, key, None, obj, REBUILT if key in actual else "missing")
        elif existing != obj:
            present = until_removal(obj, existing)
            fields = differences(present, existing)
            if fields:
                yield Step(UPDATE, key, existing, present, _reason(present, existing, fields))


def _removal(wanted: State, actual: State, difference: _Difference) -> t.Iterator[Step]:
    """Yield a deletion of each undeclared object, unless the kernel removes it together with another one."""
    yield from _last_stages(wanted, actual)
    surplus = difference.surplus - difference.cleared
    if not surplus:
        return
    holders = {key for key in difference.surplus if kind_of(key).holds_others}
    falling = dependencies.removed_with(actual, holders)
    for key in surplus:
        obj = actual[key]
        kind = kind_of(key)
        goes_by_itself = key in falling and not (kind.holds_others or _needs_own_deletion(obj, actual))
        if goes_by_itself or dependencies.goes_with_its_namespace(obj, difference.surplus):
            continue
        closed = closed_form(obj)
        if closed is not None:
            yield Step(UPDATE, key, obj, closed, _CLOSED)
        yield _deletion(obj, "nothing declares it")


def _last_stages(wanted: State, actual: State) -> t.Iterator[Step]:
    """Yield the change of each object that had to keep something until undeclared objects are gone."""
    for key in STAGED:
        if key not in wanted or key not in actual:
            continue
        present = until_removal(wanted[key], actual[key])
        fields = differences(wanted[key], present)
        if fields:
            yield Step(UPDATE, key, present, wanted[key], _reason(wanted[key], present, fields))


def _reason(wanted: Object, actual: Object, fields: tuple[str, ...]) -> str:
    return ", ".join(_difference_text(field, getattr(actual, field), getattr(wanted, field)) for field in fields)


def _difference_text(field: str, actual: object, wanted: object) -> str:
    if field == "text":
        return "content differs"
    if isinstance(wanted, frozenset) and isinstance(actual, frozenset):
        return f"{len(wanted - actual)} {field} to add, {len(actual - wanted)} to delete"
    return f"{field} is {_brief(actual)}, wanted {_brief(wanted)}"


def _brief(value: object) -> str:
    if isinstance(value, tuple):
        return " ".join(f"{key}={part}" for key, part in value) or "unset"
    return str(value) or "none"


def _deletion(obj: Object, reason: str) -> Step:
    return Step(DELETE, obj.key, obj, None, reason)


def _removal_order(step: Step) -> tuple[int, Key]:
    """Sort against the order of creation. What changes in stages is closed before all else, and ends after it."""
    if step.key not in STAGED:
        return -creation_place(step.key), step.key
    is_first = step.reason == _CLOSED
    return (-len(BY_NAME) - 1 if is_first else 1), step.key
