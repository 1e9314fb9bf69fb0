# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""A plan as people read it: one line a step, and the touched objects before and after.

Each line is escaped by errors.printable, because what is on the host may have been named by an attacker.
"""

from __future__ import annotations

import typing as t

from ..errors import printable
from .kinds import creation_place, kind_of
from .objects import Object
from .plan import Plan, Step, differences


def operations(work: Plan) -> list[str]:
    """Return one line for each step: action, object and reason."""
    return [printable(f"{step.action} {step.subject} ({step.reason})") for step in work.steps]


def before(work: Plan) -> str:
    """Return the touched objects as they are, as lines of YAML."""
    first = {step.key: step for step in reversed(work.steps)}
    return "".join(_block(step, step.before) for step in _sorted(first.values()) if step.before is not None)


def after(work: Plan) -> str:
    """Return the touched objects as they will be, as lines of YAML, each with the reason for its change."""
    last = {step.key: step for step in work.steps}
    return "".join(_block(step, step.after) for step in _sorted(last.values()) if step.after is not None)


def _sorted(steps: t.Iterable[Step]) -> list[Step]:
    return sorted(steps, key=lambda step: (creation_place(step.key), step.key))


def _block(step: Step, obj: Object) -> str:
    reason = f"  # {step.reason}" if obj is step.after else ""
    fields = "".join(_field(name, getattr(obj, name)) for name in _fields(step, obj))
    return printable(f"{obj}:{reason}") + "\n" + fields


def _fields(step: Step, obj: Object) -> t.Sequence[str]:
    """Return the fields that a diff shows: those that differ, or all of an object that comes or goes."""
    if step.before is not None and step.after is not None:
        return differences(step.after, step.before)
    return [field for field in obj._fields if field not in kind_of(obj.key).not_compared]


def _field(name: str, value: object) -> str:
    if isinstance(value, tuple):
        return "".join(printable(f"  {key}: {part}") + "\n" for key, part in value)
    if isinstance(value, str) and "\n" in value:
        return f"  {name}: |\n" + "".join(f"    {printable(line.expandtabs(4))}\n" for line in value.splitlines())
    return "" if value in ("", None) else printable(f"  {name}: {value}") + "\n"
