# SPDX-License-Identifier: GPL-3.0-or-later
"""Measures what published ports cost a packet: connections per second, throughput, and the time to publish one more.

    .cache/venv/bin/python tests/bench/datapath.py [--sizes 10 1000 10000] [--rounds 15] [--seconds 1]

Each case is a private host (tests/support/private_host.py; the machine is not touched, root is needed) with one
sandbox that publishes so many ports. A client on the host's link connects to the port that was published last, which
is the slowest one if rules are tried one after another. All hosts exist at once, and each round measures all of them
in another order, so that other load on the machine affects them alike. The table has medians, and in brackets their
ratio to the same subject's figure with the fewest ports.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import os
import pathlib
import random
import shutil
import statistics
import sys
import time
import typing as t

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

# pylint: disable=wrong-import-position
from publishers import FIRST_PORT, IPTABLES, NETAVARK, NETAVARK_PROGRAM, PUBLISHERS, SANDBOX

from support.private_host import HOST_ADDRESSES, SYSTEM_PYTHON, PrivateHost

LOAD = str(HERE / "load.py")
NEEDS = {IPTABLES: "iptables-restore", NETAVARK: NETAVARK_PROGRAM}

Case = tuple[str, int]  # who publishes, and how many ports


class Rates(t.NamedTuple):
    """What was measured in one case; publishing is seconds from nothing, adding those for one port more."""

    publishing: float
    connections: list[float]
    bits: list[float]
    adding: list[float]


def main() -> int:
    """Measure and print a table."""
    options = _options()
    cases = [
        (name, size)
        for name in options.publishers
        for size in sorted(options.sizes)
        if name != NETAVARK or size <= options.netavark_limit
    ]
    measured: dict[Case, Rates] = {}
    with contextlib.ExitStack() as stack:
        standing: dict[Case, PrivateHost] = {}
        for case in cases:
            standing[case] = stack.enter_context(PrivateHost())
            measured[case] = Rates(build(standing[case], case), [], [], [])
            print(
                f"{case[0]}, {case[1]} ports: published in {measured[case].publishing:.2f} s",
                file=sys.stderr,
                flush=True,
            )
        for _round in range(options.rounds):
            for case, host in random.sample(list(standing.items()), len(standing)):
                measured[case].connections.append(rate(host, case, "connect", options.seconds))
                measured[case].bits.append(rate(host, case, "send", options.seconds))
        for (name, size), host in standing.items():
            adding = measured[name, size].adding
            for number in range(1 if name == NETAVARK else 3):
                adding.append(timed(functools.partial(PUBLISHERS[name].add, host, size + number)))
    print(table(measured, os.getloadavg()))
    return 0


def build(host: PrivateHost, case: Case) -> float:
    """Publish, start the server, and return the seconds that publishing took."""
    name, size = case
    taken = timed(lambda: PUBLISHERS[name].build(host, size))
    server = host.popen([SYSTEM_PYTHON, LOAD, "serve", str(PUBLISHERS[name].target(size - 1))], SANDBOX)
    assert server.readline() == "ready"
    return taken


def rate(host: PrivateHost, case: Case, kind: str, seconds: float) -> float:
    """Return what the client gets through the last port. Raises Failed when it does not answer."""
    argv = [SYSTEM_PYTHON, LOAD, kind, HOST_ADDRESSES[0], str(FIRST_PORT + case[1] - 1), str(seconds)]
    return float(host.neighbour().run(argv).stdout)


def timed(what: t.Callable[[], t.Any]) -> float:
    """Return how many seconds something takes."""
    begin = time.monotonic()
    what()
    return time.monotonic() - begin


def table(measured: t.Mapping[Case, Rates], load: t.Sequence[float]) -> str:
    """Return the medians as Markdown."""
    lines = [
        f"kernel {os.uname().release}, {os.cpu_count()} processors, load {load[0]:.1f} at the end",
        "",
        "| | ports | published in, s | connections per second | Gbit/s | one port more, s |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    fewest: dict[str, Rates] = {}
    for (name, size), found in measured.items():
        first = fewest.setdefault(name, found)
        connections, bits, begin, begin_bits = (
            statistics.median(each) for each in (found.connections, found.bits, first.connections, first.bits)
        )
        lines.append(
            f"| {name} | {size:,} | {found.publishing:.2f} | {connections:,.0f} ({connections / begin:.1%}) | "
            f"{bits / 1e9:.1f} ({bits / begin_bits:.1%}) | {statistics.median(found.adding):.2f} |"
        )
    return "\n".join(lines)


def _options() -> argparse.Namespace:
    installed = [
        name for name in PUBLISHERS if shutil.which(NEEDS.get(name, "ip"), path=os.environ["PATH"] + ":/usr/sbin:/sbin")
    ]
    for name in sorted(set(PUBLISHERS) - set(installed)):
        print(f"left out: {name}, because this machine lacks {NEEDS[name]}", file=sys.stderr)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--sizes", type=int, nargs="+", default=[10, 1000, 10000], help="published ports (10 1000 10000)"
    )
    parser.add_argument("--rounds", type=int, default=15, help="measurements of each case (15)")
    parser.add_argument("--seconds", type=float, default=1, help="length of each (1)")
    parser.add_argument("--publishers", nargs="+", default=installed, choices=installed)
    parser.add_argument("--netavark-limit", type=int, default=1000, help="no more ports than this with netavark (1000)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
