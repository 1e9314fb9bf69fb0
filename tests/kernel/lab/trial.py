# SPDX-License-Identifier: GPL-3.0-or-later
"""One pass over everything that the lab claims."""

from __future__ import annotations

import typing as t

from . import (
    attacks_claims,
    attacks_group,
    attacks_host,
    attacks_peer,
    attacks_port,
    attacks_tunnel,
    attacks_wrapped,
    passages,
)
from .claims import Attack, Call, Passage, of_kinds, try_attacks, try_passages
from .memory import Memory
from .topology import Lab

# Sandboxes whose ports are attacked, with a neighbour.
PAIRS = {"c1": "c2", "c4": "c5", "r1": "r2", "n1": "n2", "o1": "o2", "q1": "q2", "i1": "i2"}


def attacks() -> list[Attack]:
    """Return every attack."""
    border = [attack for version in (4, 6) for attack in (*attacks_host.of(version), *attacks_wrapped.of(version))]
    ports = [attack for pair in PAIRS.items() for attack in attacks_port.of(*pair)]
    return [
        *border,
        *ports,
        *attacks_port.kernels(),
        *attacks_group.of(),
        *attacks_claims.of(),
        *attacks_tunnel.of(),
        *of_kinds({"peers and routers": [*attacks_peer.of(4), *attacks_peer.of(6)]}),
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
    found = [*passages.of(4), *passages.of(6), *attacks_peer.passages(4), *attacks_peer.passages(6)]
    return found, [*passages.calls(4), *passages.calls(6)]


def failures(lab: Lab, memory: Memory, count: int = 1, patience: float = 5) -> list[str]:
    """Return what is wrong in one pass: attacks, then what was learned from them, then passages.

    It ends at the first of the three with a fault.
    """
    lab.forget()
    return try_attacks(lab, attacks(), count) or memory.changes() or try_passages(lab, *ways(), patience)
