# SPDX-License-Identifier: GPL-3.0-or-later
"""Run a command and measure it: measure.py COMMAND ... prints the command's output, and then one line of JSON.

seconds is its duration. largest_mb is the resident memory of its largest process. tree_mb is the maximum memory of the
process and its descendants together, with shared pages counted once, sampled every half second.
"""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
import threading
import time
import typing as t

PROC = pathlib.Path("/proc")


def tree(root: int) -> t.Iterator[int]:
    """Yield the ids of a process and of its descendants."""
    yield root
    for task in (PROC / str(root) / "task").glob("*/children"):
        for child in task.read_text(encoding="ascii").split():
            yield from tree(int(child))


def proportional_set_size(pid: int) -> int:
    """Return a process's proportional set size in kB."""
    for line in (PROC / str(pid) / "smaps_rollup").read_text(encoding="ascii").splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1])
    return 0


def sample(pid: int, stop: threading.Event, samples: list[int]) -> None:
    """Append the memory of a process and its descendants in kB to samples, until stop is set."""
    while not stop.wait(0.5):
        total = 0
        try:
            for one in tree(pid):
                total += proportional_set_size(one)
        except OSError:  # a process has just ended
            pass
        samples.append(total)


def main() -> int:
    """Run the command and return its exit status."""
    samples: list[int] = [0]
    stop = threading.Event()
    start = time.monotonic()
    with subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL) as process:
        sampler = threading.Thread(target=sample, args=(process.pid, stop, samples))
        sampler.start()
        status, usage = os.wait4(process.pid, 0)[1:]
        process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.monotonic() - start
    stop.set()
    sampler.join()
    figures = {"seconds": round(seconds, 1), "largest_mb": usage.ru_maxrss // 1024, "tree_mb": max(samples) // 1024}
    print(json.dumps(figures), flush=True)
    return process.returncode


if __name__ == "__main__":
    sys.exit(main())
