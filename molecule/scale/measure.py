# SPDX-License-Identifier: GPL-3.0-or-later
"""Run a command and tell what it took: measure.py COMMAND ... prints its output, and then one line of JSON.

seconds is its duration; largest_mb the resident memory of its largest process; tree_mb the most that it and the processes
below it had together at one time, shared pages counted once, looked at every half second.
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
    """Yield the ids of a process and of all below it."""
    yield root
    for task in (PROC / str(root) / "task").glob("*/children"):
        for child in task.read_text(encoding="ascii").split():
            yield from tree(int(child))


def proportional(pid: int) -> int:
    """Return a process's memory in kB, with its part of what it shares."""
    for line in (PROC / str(pid) / "smaps_rollup").read_text(encoding="ascii").splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1])
    return 0


def watch(pid: int, stop: threading.Event, seen: list[int]) -> None:
    """Append the memory of a process and all below it, until told to stop."""
    while not stop.wait(0.5):
        total = 0
        try:
            for one in tree(pid):
                total += proportional(one)
        except OSError:  # one of them has just ended
            pass
        seen.append(total)


def main() -> int:
    """Run it and return its exit status."""
    seen: list[int] = [0]
    stop = threading.Event()
    start = time.monotonic()
    with subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL) as process:
        watcher = threading.Thread(target=watch, args=(process.pid, stop, seen))
        watcher.start()
        status, usage = os.wait4(process.pid, 0)[1:]
        process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.monotonic() - start
    stop.set()
    watcher.join()
    figures = {"seconds": round(seconds, 1), "largest_mb": usage.ru_maxrss // 1024, "tree_mb": max(seen) // 1024}
    print(json.dumps(figures), flush=True)
    return process.returncode


if __name__ == "__main__":
    sys.exit(main())
