# SPDX-License-Identifier: GPL-3.0-or-later
"""Shows where the engine spends time: tests/bench/profile [--size N] [--names] [--phase cold|noop|one|teardown ...].

Each phase runs three times over in private hosts of its own: plainly (the time that counts), under cProfile
(which Python functions), and under strace (which system calls; it slows them all, so read the shares).
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import engine
import limits

from support.private_host import PrivateHost

PHASES = ("cold", "noop", "one", "teardown")
_PRINT = (
    "import pstats, sys\n"
    "s = pstats.Stats(sys.argv[1]); s.strip_dirs()\n"
    "for key in sys.argv[3:]: s.sort_stats(key).print_stats(int(sys.argv[2]))"
)


def main() -> int:
    """Profile the phases asked for."""
    options = _options()
    if os.geteuid():
        sys.exit("tests/bench/profile makes network namespaces: run it as root")
    tools = ["plain", *(name for name in ("cprofile", "strace") if name in options.tools)]
    if "strace" in tools and not shutil.which("strace"):
        print("strace is missing (Debian package strace): its part is left out", file=sys.stderr)
        tools.remove("strace")
    engine.CACHE.mkdir(parents=True, exist_ok=True)
    for tool in tools:
        with limits.room_for_resolvers(options.size + 1 if options.names else 0), PrivateHost() as host:
            for phase in PHASES[: 1 + max(map(PHASES.index, options.phase))]:
                _run(host, tool if phase in options.phase else "plain", phase, options)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="tests/bench/profile", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", type=int, default=400, help="endpoints (400)")
    parser.add_argument("--names", action="store_true", help="with names served")
    parser.add_argument("--phase", nargs="+", choices=PHASES, default=["cold", "noop"])
    parser.add_argument("--tools", nargs="*", choices=("cprofile", "strace"), default=["cprofile", "strace"])
    parser.add_argument("--lines", type=int, default=30, help="lines of each table (30)")
    return parser.parse_args()


def _run(host: PrivateHost, tool: str, phase: str, options: argparse.Namespace) -> None:
    declared = engine.document(options.size, options.names)
    if phase == "one":
        declared = engine.with_one_more(declared)
    elif phase == "teardown":
        declared = {}
    arguments = engine.arguments(*(["--absent"] if phase == "teardown" else []))
    data = str(engine.CACHE / "profile.data")
    python = {"plain": ["-m"], "cprofile": ["-m", "cProfile", "-o", data, "-m"], "strace": ["-m"]}[tool]
    argv = [
        *(["strace", "-f", "-c", "-w", "-o", data] if tool == "strace" else []),
        engine.PYTHON,
        *python,
        "_dockless",
        *arguments,
    ]
    took = (
        host.run(
            [engine.PYTHON, str(engine.ROOT / "tests" / "bench" / "measure.py"), *argv],
            input=engine.text(declared),
            timeout=900,
            env=engine.environment(),
        )
        .stderr.strip()
        .splitlines()[-1]
    )
    print(f"\n== {phase}, {options.size} endpoints, {tool}: {took}", flush=True)
    if tool == "cprofile":
        print(host.run([engine.PYTHON, "-c", _PRINT, data, str(options.lines), "tottime", "cumulative"]).stdout)
    elif tool == "strace":
        with open(data, encoding="utf-8") as table:
            print("".join(table.readlines()[: options.lines + 2]))


if __name__ == "__main__":
    sys.exit(main())
