# SPDX-License-Identifier: GPL-3.0-or-later
"""One pass over everything that the lab claims."""

from __future__ import annotations

import typing as t

from . import attacks_group, attacks_host, attacks_port, passages
from .claims import Attack, Call, Passage, try_attacks, try_passages
from .memory import Memory
from .topology import Lab


def attacks() -> list[Attack]:
    """Return every attack."""
    return [
        *attacks_host.of(4),
        *attacks_host.of(6),
        *attacks_port.of(),
        *attacks_port.kernels(),
        *attacks_group.of(),
    ]


def groups(attacks_: t.Iterable[Attack]) -> dict[str, list[Attack]]:
    """Return attacks by the counter of the rule that must drop them, and by the family where their name has one."""
    found: dict[str, list[Attack]] = {}
    for attack in attacks_:
        counter = attack.counter or "not counted"
        group = f"{counter} IPv6" if attack.name.endswith("IPv6") else counter
        found.setdefault(group, []).append(attack)
    return found


def ways() -> tuple[list[Passage], list[Call]]:
    """Return everything that must pass."""
    return [*passages.of(4), *passages.of(6)], [*passages.calls(4), *passages.calls(6)]


def failures(lab: Lab, memory: Memory, count: int = 1, patience: float = 5) -> list[str]:
    """Return what is wrong in one pass: attacks, then what was learned from them, then passages.

    It ends at the first of the three with a fault.
    """
    lab.forget()
    return try_attacks(lab, attacks(), count) or memory.changes() or try_passages(lab, *ways(), patience)
