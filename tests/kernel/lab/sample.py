# SPDX-License-Identifier: GPL-3.0-or-later
"""A part of the attacks, for each run another one, in which every kind and every place is present.

DOCKLESS_TEST_EVERY_ATTACK=1 takes all of them. DOCKLESS_TEST_SEED repeats the sample of another day: the seed, which
every run prints, is the date.
"""

from __future__ import annotations

import datetime
import os
import random
import typing as t

from .claims import Attack

IS_COMPLETE = bool(os.environ.get("DOCKLESS_TEST_EVERY_ATTACK"))
SEED = os.environ.get("DOCKLESS_TEST_SEED") or datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%d")
SHARE = 6  # one attack of so many is taken, beside those that a property would be missing without


def sampled(attacks: t.Sequence[Attack], share: int = SHARE) -> list[Attack]:
    """Return a part of the attacks in their order, in which each property of one is present."""
    if IS_COMPLETE:
        return list(attacks)
    order = list(range(len(attacks)))
    random.Random(SEED).shuffle(order)
    taken = set(order[: len(order) // share])
    present = {each for number in taken for each in properties(attacks[number])}
    for number in order:
        missing = properties(attacks[number]) - present
        if missing:
            taken.add(number)
            present |= missing
    return [attacks[number] for number in sorted(taken)]


def properties(attack: Attack) -> set[tuple[str, ...]]:
    """Return what a sample has at least one attack of: each kind with its counters, from its places, to its victims."""
    version = attack.name.rpartition(", ")[2] if attack.name.endswith(("IPv4", "IPv6")) else ""
    return {
        ("counter", attack.kind, attack.counter, version),
        ("origin", attack.kind, attack.origin),
        ("victim", attack.kind, attack.victim),
    }


def told() -> str:
    """Return a line on what is tried, for the end of a run."""
    if IS_COMPLETE:
        return "attackers' lab: every attack"
    return f"attackers' lab: a sample, repeated by DOCKLESS_TEST_SEED={SEED}; all by DOCKLESS_TEST_EVERY_ATTACK=1"
