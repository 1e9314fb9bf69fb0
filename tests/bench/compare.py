# SPDX-License-Identifier: GPL-3.0-or-later
"""Measures the engine and its peers side by side, in private hosts, and compares them.

Nothing is installed: a subject whose programs are missing is named and left out. A subject that does not
build what it should (links, a ping, a published port, names) is reported and never counted. Rounds go over
all subjects in turn, so that what disturbs the machine disturbs them alike; medians are compared. While names
are measured, fs.inotify.max_user_instances is raised as far as the resolvers need, and then put back.
Results, kept after each round: bench.json and table.md in --output, and a plot of cost against size.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import subprocess
import sys
import time
import typing as t

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import engine
import report
import subjects
from subjects import ANSIBLE, CNI, IP_BATCH, NETAVARK, OURS, Case

HERE = pathlib.Path(__file__).resolve().parent
SIZES = (100, 200, 400, 1000, 2000)
SLOW_PEER_LIMIT = 400  # netavark and CNI beyond this only with --slow-peers-everywhere
ONE_CALL_EACH = (NETAVARK, CNI)
COMPARED_SIZE = 400  # of whole playbook runs and of names
SETTLE_S = 60.0


def main() -> int:
    """Measure what was asked for; return 1 if a subject was wrong, else 0, whatever the ratios."""
    options = _options()
    if os.geteuid():
        sys.exit("tests/bench/run makes network namespaces: run it as root")
    options.output.mkdir(parents=True, exist_ok=True)
    engine.CACHE.mkdir(parents=True, exist_ok=True)
    cases = _available(_cases(options))
    if any(case.subject == OURS for case in cases):
        subjects.measure(Case(OURS, 2))  # compiles the engine to bytecode, as an installation does
    machine = _machine()
    measured: report.Measured = {}
    wrong: dict[Case, str] = {}
    for number in range(1, options.repeat + 1):
        _measure_round(cases, number, measured, wrong)
        table = _keep(
            report.Results(
                machine, number, measured, [f"{report.title(case)}: {text}" for case, text in wrong.items()]
            ),
            options.output,
        )
    print(table)
    _plot(options.output / "bench.json", options.plot)
    return 1 if wrong else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="tests/bench/run", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES), help="endpoints (100 200 400 1000 2000)")
    parser.add_argument("--peers", nargs="*", default=[IP_BATCH, NETAVARK, CNI], choices=(IP_BATCH, NETAVARK, CNI))
    parser.add_argument("--repeat", type=int, default=3, help="rounds (3)")
    parser.add_argument(
        "--slow-peers-everywhere", action="store_true", help=f"netavark and CNI beyond {SLOW_PEER_LIMIT} too"
    )
    parser.add_argument("--without", nargs="*", default=[], choices=("ansible", "names"), help="leave these out")
    parser.add_argument("--quick", action="store_true", help="one round at 100, kept in .cache/bench")
    parser.add_argument("--output", type=pathlib.Path, default=HERE / "results")
    parser.add_argument("--plot", type=pathlib.Path, default=engine.ROOT / "docs" / "bench.svg")
    options = parser.parse_args()
    if options.quick:
        options.sizes, options.repeat = [100], 1
        options.output, options.plot = engine.CACHE, engine.CACHE / "bench.svg"
    return options


def _cases(options: argparse.Namespace) -> list[Case]:
    cases = []
    for size in sorted(options.sizes):
        cases.append(Case(OURS, size))
        cases += [
            Case(peer, size)
            for peer in options.peers
            if peer not in ONE_CALL_EACH or size <= SLOW_PEER_LIMIT or options.slow_peers_everywhere
        ]
    compared = COMPARED_SIZE if COMPARED_SIZE in options.sizes else max(options.sizes)
    if "ansible" not in options.without:
        cases.append(Case(ANSIBLE, compared))
    if "names" not in options.without:
        cases += [Case(OURS, compared, True)] + ([Case(NETAVARK, compared, True)] if NETAVARK in options.peers else [])
    return cases


def _available(cases: list[Case]) -> list[Case]:
    lacks = {case: subjects.missing(case.subject, case.names) for case in cases}
    for subject, names, what in sorted(
        {(case.subject, case.names, ", ".join(lack)) for case, lack in lacks.items() if lack}
    ):
        print(
            f"left out: {subject}{' with names' if names else ''}, because this machine lacks {what}", file=sys.stderr
        )
    return [case for case in cases if not lacks[case]]


def _measure_round(cases: list[Case], number: int, measured: report.Measured, wrong: dict[Case, str]) -> None:
    """Add a measurement of each case by phase; a case that was wrong in any round is not counted in any."""
    for case in cases:
        if case in wrong:
            continue
        spaces = _network_namespaces()
        try:
            phases = subjects.measure(case)
        except subjects.Wrong as error:
            wrong[case] = str(error)
            measured.pop(case, None)
            said = f"WRONG: {error}"
        else:
            for phase, taken in phases.items():
                measured.setdefault(case, {}).setdefault(phase, []).append(taken)
            said = ", ".join(f"{phase} {taken['wall']:.2f} s" for phase, taken in phases.items())
        print(f"round {number}: {report.title(case)}: {said}", file=sys.stderr, flush=True)
        _settle(spaces)


def _keep(results: report.Results, directory: pathlib.Path) -> str:
    """Write what is known so far and return its tables."""
    (directory / "bench.json").write_text(json.dumps(results.as_json(), indent=1) + "\n", encoding="utf-8")
    table = report.markdown(results)
    (directory / "table.md").write_text(table, encoding="utf-8")
    return table


def _network_namespaces() -> int:
    """Return how many network namespaces the kernel holds, dying ones included."""
    with open("/proc/slabinfo", encoding="ascii") as slabs:
        return next((int(line.split()[1]) for line in slabs if line.startswith("net_namespace ")), 0)


def _settle(before: int) -> None:
    """Wait until the kernel has taken the last host's namespaces apart, which would slow the next one down."""
    end = time.monotonic() + SETTLE_S
    while _network_namespaces() > before + 50 and time.monotonic() < end:
        time.sleep(0.1)


def _machine() -> dict[str, t.Any]:
    version = subprocess.run(
        [engine.PYTHON, "--version"], stdout=subprocess.PIPE, text=True, check=True
    ).stdout.split()[1]
    commit = subprocess.run(
        ["git", "-C", str(engine.ROOT), "rev-parse", "--short", "HEAD"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        check=False,
    ).stdout.strip()
    return {
        "kernel": os.uname().release,
        "processors": os.cpu_count(),
        "python": version,
        "commit": commit,
        "load_before": round(os.getloadavg()[0], 2),
        "date": time.strftime("%Y-%m-%d %H:%M"),
    }


def _plot(results: pathlib.Path, plot: pathlib.Path) -> None:
    python = subjects.VENV / "python"
    done = subprocess.run(
        [str(python if python.exists() else engine.PYTHON), str(HERE / "plot.py"), str(results), str(plot)], check=False
    )
    if done.returncode:
        print("no plot: matplotlib is missing (it comes with: make bench)", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
