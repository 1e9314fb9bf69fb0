# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""A plan as people read it: one line a step, and the touched objects before and after.

Each line is escaped by errors.printable, because what is on the host may have been named by an attacker.
"""

from __future__ import annotations

import typing as t

from ..errors import printable
from .firewall import Firewall
from .kinds import STAGED, creation_place, kind_of
from .objects import Object
from .plan import DELETE, UPDATE, Plan, Step, differences


def operations(work: Plan) -> list[str]:
    """Return what each step does: action, object and reason, or what it declares in the words of the document."""
    return [printable(line) for step in work.steps for line in _lines(step)]


def before(work: Plan) -> str:
    """Return the touched objects as they are, as lines of YAML."""
    first = {step.key: step for step in reversed(_whole_changes(work))}
    return "".join(_block(step, step.before) for step in _sorted(first.values()) if step.before is not None)


def after(work: Plan) -> str:
    """Return the touched objects as they will be, as lines of YAML, each with the reason for its change."""
    last = {step.key: step for step in _whole_changes(work)}
    return "".join(_block(step, step.after) for step in _sorted(last.values()) if step.after is not None)


def _lines(step: Step) -> list[str]:
    line = f"{step.action} {step.subject} ({step.reason})"
    if not isinstance(step.subject, Firewall):
        return [line]
    added = _elements_of(step.after, step.before)
    removed = [f"no longer {each}" for each in _elements_of(step.before, step.after)]
    changes = [f"{UPDATE} {step.subject}: {each}" for each in added + removed]
    is_data_only = step.action == UPDATE and differences(step.new(Firewall), step.old(Firewall)) == ("elements",)
    if step.action == DELETE or not changes:
        return [line]
    return changes if is_data_only else [line, *changes]


def _elements_of(one: Object | None, other: Object | None) -> list[str]:
    """Return what one firewall has and the other lacks. None has nothing."""
    if not isinstance(one, Firewall):
        return []
    without = other if isinstance(other, Firewall) else one._replace(elements=frozenset())
    return one.described_changes(without)


def _whole_changes(work: Plan) -> list[Step]:
    """Return the steps, with those that change one object in stages as one step."""
    found: list[Step] = []
    for step in work.steps:
        earlier = next((one for one in found if one.key == step.key), None) if step.key in STAGED else None
        if earlier is not None and earlier.after is not None and earlier.after == step.before:
            found[found.index(earlier)] = earlier._replace(after=step.after)
        else:
            found.append(step)
    return found


def _sorted(steps: t.Iterable[Step]) -> list[Step]:
    return sorted(steps, key=lambda step: (creation_place(step.key), step.key))


def _block(step: Step, obj: Object) -> str:
    reason = f"  # {step.reason}" if obj is step.after else ""
    fields = "".join(_field(name, _value(step, obj, name)) for name in _fields(step, obj))
    return printable(f"{obj}:{reason}") + "\n" + fields


def _fields(step: Step, obj: Object) -> t.Sequence[str]:
    """Return the fields that a diff shows: those that differ, or all of an object that comes or goes."""
    if step.before is not None and step.after is not None:
        return differences(step.after, step.before)
    return [field for field in obj._fields if field not in kind_of(obj.key).not_compared]


def _value(step: Step, obj: Object, name: str) -> object:
    """Return a field's value for a diff. Of elements, those that the other object lacks."""
    if name != "elements":
        return getattr(obj, name)
    other = step.before if obj is step.after else step.after
    return tuple(("", sentence) for sentence in _elements_of(obj, other))


def _field(name: str, value: object) -> str:
    if isinstance(value, tuple):
        return "".join(printable(f"  {key}: {part}" if key else f"  {part}") + "\n" for key, part in value)
    if isinstance(value, str) and "\n" in value:
        return f"  {name}: |\n" + "".join(f"    {printable(line.expandtabs(4))}\n" for line in value.splitlines())
    return "" if value in ("", None) else printable(f"  {name}: {value}") + "\n"
