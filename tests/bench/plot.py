# SPDX-License-Identifier: GPL-3.0-or-later
"""Draws cost against size: plot.py RESULTS.json PLOT.svg. Exits with 1 if matplotlib is not installed."""

from __future__ import annotations

import json
import pathlib
import statistics
import sys


def main() -> int:
    """Draw each subject's median, from nothing, names off, over the number of endpoints."""
    try:
        import matplotlib
    except ImportError:
        return 1
    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "bench"  # the same figures give the same file
    from matplotlib import pyplot

    results = json.loads(pathlib.Path(sys.argv[1]).read_text(encoding="utf-8"))
    curves: dict = {}
    for case in results["cases"]:
        if not case["names"]:
            for phase in ("cold", "no-op"):
                taken = case["phases"].get(phase)
                if taken:
                    name = case["subject"] + (", a run that changes nothing" if phase == "no-op" else "")
                    curves.setdefault(name, []).append((case["size"], statistics.median(one["wall"] for one in taken)))
    figure, axes = pyplot.subplots(figsize=(8, 5))
    for name, points in curves.items():
        axes.plot(*zip(*sorted(points)), marker="o", label=name, linestyle="--" if "nothing" in name else "-")
    axes.set(
        xscale="log",
        yscale="log",
        xlabel="endpoints on the host",
        ylabel="seconds",
        title="Cost of a host's networks, from nothing",
    )
    sizes = sorted({size for points in curves.values() for size, _seconds in points})
    axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
    axes.minorticks_off()
    axes.grid(True, alpha=0.3)
    axes.legend()
    plot = pathlib.Path(sys.argv[2])
    plot.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(plot, format="svg", bbox_inches="tight", metadata={"Date": None})
    return 0


if __name__ == "__main__":
    sys.exit(main())
