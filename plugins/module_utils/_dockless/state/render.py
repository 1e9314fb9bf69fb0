# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""A plan as people read it: one line a step, and before and after as text."""

from __future__ import annotations

import typing as t

from ..dns.systemd_units import DROP_IN
from ..model.facts import Facts
from . import objects, plan
from .objects import Object
from .plan import RANK, Plan, Step


def operations(work: Plan) -> list[str]:
    """Return one line for each step: action, object and reason."""
    return [
        f"{s.action} {objects.title(s.after if s.after is not None else s.before)} ({s.reason})" for s in work.steps
    ]


def before(work: Plan) -> str:
    """Return the touched objects as they are."""
    first = {step.key: step for step in reversed(work.steps)}
    return _text(first.values(), lambda step: step.before)


def after(work: Plan) -> str:
    """Return the touched objects as they will be, each with the reason for its change."""
    last = {step.key: step for step in work.steps}
    return _text(last.values(), lambda step: step.after)


def _text(steps: t.Iterable[Step], side: t.Callable[[Step], Object | None]) -> str:
    blocks = []
    for step in sorted(steps, key=lambda s: (RANK[s.key[0]], s.key)):
        thing = side(step)
        if thing is not None:
            reason = f"  # {step.reason}" if thing is step.after else ""
            blocks.append(f"{objects.title(thing)}:{reason}\n{_fields(thing, step)}")
    return "".join(blocks)


def _fields(thing: Object, step: Step) -> str:
    if step.before is not None and step.after is not None:
        shown: t.Iterable[str] = plan.differences(step.after, step.before)
    else:
        shown = [f for f in thing._fields if f not in ("defaults", "source")]
    return "".join(_field(name, getattr(thing, name)) for name in shown)


def _field(name: str, value: t.Any) -> str:
    if isinstance(value, tuple):
        return "".join(f"  {key}: {part}\n" for key, part in value)
    if isinstance(value, str) and "\n" in value:
        return f"  {name}: |\n" + "".join(f"    {line}\n" for line in value.splitlines())
    return "" if value in ("", None) else f"  {name}: {value}\n"


def manual_steps(work: Plan, facts: Facts) -> tuple[str, ...]:
    """Return a sentence for what people have to do themselves after a plan."""
    if facts.systemd or not any(step.key == ("file", DROP_IN) for step in work.steps):
        return ()
    return (f"systemd does not run this host: start its own dnsmasq again, which reads {DROP_IN} at its start only",)
