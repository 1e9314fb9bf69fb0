# SPDX-License-Identifier: GPL-3.0-or-later
"""Measurements -> a Markdown table of medians and ratios, and which targets are met. Pure."""

from __future__ import annotations

import statistics
import typing as t

from subjects import ANSIBLE, CNI, IP_BATCH, NETAVARK, OURS, Case, Measurement

Measured = dict[Case, dict[str, list[Measurement]]]  # case -> phase -> a measurement a round
PHASES = ("cold", "no-op", "one change", "teardown")
_MEGABYTE = 1e6


class Results(t.NamedTuple):
    """All that one run of the bench found."""

    machine: dict[str, t.Any]
    rounds: int
    measured: Measured
    wrong: list[str]

    def median(self, case: Case, phase: str = "cold", of: str = "wall") -> float | None:
        """Return the median over the rounds, None if there is nothing."""
        taken = self.measured.get(case, {}).get(phase)
        return statistics.median(one[of] for one in taken) if taken else None

    def as_json(self) -> dict[str, t.Any]:
        """Return everything as JSON's types, each measurement included."""
        cases = [{**case._asdict(), "phases": phases} for case, phases in self.measured.items()]
        return {
            "machine": self.machine,
            "rounds": self.rounds,
            "cases": cases,
            "wrong": self.wrong,
            "targets": [
                {"what": what, "value": value, "bound": bound, "met": met(value, bound)}
                for what, value, bound in targets(self)
            ],
        }


def title(case: Case) -> str:
    """Return a case as people say it."""
    return f"{case.subject} at {case.size}" + (" with names" if case.names else "")


def targets(results: Results) -> list[tuple[str, float | None, tuple[str, float]]]:
    """Return what is aimed at: (what, value found or None, (at least or at most, bound))."""

    def ratio(above: float | None, below: float | None) -> float | None:
        return above / below if above and below else None

    def faster(subject: str, size: int, names: bool = False, ours: str = OURS) -> float | None:
        return ratio(results.median(Case(subject, size, names)), results.median(Case(ours, size, names)))

    growth = ratio(results.median(Case(OURS, 2000)), results.median(Case(OURS, 200)))
    memory = results.median(Case(OURS, 2000), of="memory")
    idle = ratio(results.median(Case(OURS, 1000), "no-op"), results.median(Case(OURS, 1000)))
    return [
        ("engine at 1,000: times faster than ip -batch + nft", faster(IP_BATCH, 1000), (">=", 3)),
        ("engine at 400: times faster than netavark", faster(NETAVARK, 400), (">=", 20)),
        ("engine at 400: times faster than the CNI plugins", faster(CNI, 400), (">=", 30)),
        ("a run that changes nothing at 1,000, % of the first", idle and idle * 100, ("<=", 5)),
        ("cost of an endpoint at 2,000 against one at 200, times", growth and growth / 10, ("<=", 1.3)),
        (
            "whole ansible-playbook run at 400: times faster than netavark's loop",
            faster(NETAVARK, 400, ours=ANSIBLE),
            (">=", 8),
        ),
        (
            "engine at 400 with names: times faster than netavark with aardvark-dns",
            faster(NETAVARK, 400, True),
            (">=", 5),
        ),
        ("peak memory at 2,000, MB", memory and memory / _MEGABYTE, ("<=", 150)),
    ]


def met(value: float | None, bound: tuple[str, float]) -> bool | None:
    """Tell whether a target is met; None if it was not measured."""
    if value is None:
        return None
    return value >= bound[1] if bound[0] == ">=" else value <= bound[1]


def markdown(results: Results) -> str:
    """Return the tables."""
    machine = results.machine
    lines = [
        f"Made by `make bench` on {machine['date']} at {machine['commit']}: kernel {machine['kernel']}, "
        f"{machine['processors']} processors, Python {machine['python']}, load {machine['load_before']} before it; "
        f"medians of {results.rounds} round{'s' if results.rounds > 1 else ''}."
    ]
    tables = [
        _target_table(results),
        _cost_table(results, False),
        _cost_table(results, True),
        _phase_table(results),
        [f"- Wrong, not counted: {line}" for line in results.wrong],
    ]
    return "\n\n".join("\n".join(part) for part in [lines, *tables] if part) + "\n"


def _target_table(results: Results) -> list[str]:
    lines = ["| target | bound | found | |", "|---|---:|---:|---|"]
    for what, value, bound in targets(results):
        verdict = {True: "met", False: "**missed**", None: "not measured"}[met(value, bound)]
        sign = {">=": "≥", "<=": "≤"}.get(bound[0], bound[0])
        shown = "" if value is None else f"{value:.1f}"
        lines.append(f"| {what} | {sign} {bound[1]:g} | {shown} | {verdict} |")
    return lines


def _cost_table(results: Results, names: bool) -> list[str]:
    """From nothing: seconds, and how many times what the engine takes."""
    cases = [case for case in results.measured if case.names == names]
    who = [s for s in (OURS, ANSIBLE, IP_BATCH, NETAVARK, CNI) if any(case.subject == s for case in cases)]
    if not who:
        return []
    lines = [
        f"| from nothing{', with names' if names else ''}: s (times ours) | " + " | ".join(who) + " |",
        "|---:|" + "---:|" * len(who),
    ]
    for size in sorted({case.size for case in cases}):
        ours = results.median(Case(OURS, size, names))
        cells = []
        for subject in who:
            taken = results.median(Case(subject, size, names))
            times = f" ({taken / ours:.1f}×)" if taken and ours and subject != OURS else ""
            cells.append("" if taken is None else f"{taken:.2f}{times}")
        lines.append(f"| {size:,} | " + " | ".join(cells) + " |")
    return lines


def _phase_table(results: Results) -> list[str]:
    """The engine alone, phase by phase."""
    lines = [
        "| dockless | "
        + " | ".join(f"{phase}, s" for phase in PHASES)
        + " | no-op, % of cold | an endpoint, ms | memory, MB |",
        "|---:|" + "---:|" * (len(PHASES) + 3),
    ]
    for case in sorted(
        (case for case in results.measured if case.subject == OURS), key=lambda case: (case.names, case.size)
    ):
        taken = [results.median(case, phase) or 0.0 for phase in PHASES]
        memory = (results.median(case, of="memory") or 0.0) / _MEGABYTE
        lines.append(
            f"| {case.size:,}{' with names' if case.names else ''} | "
            + " | ".join(f"{one:.2f}" for one in taken)
            + f" | {taken[1] / taken[0] * 100:.1f} | {taken[0] / case.size * 1000:.2f} | {memory:.0f} |"
        )
    return lines
