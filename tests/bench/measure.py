# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs a command and prints its costs in JSON, as the last line of stderr.

wall, user and system are seconds; memory is the largest resident set of the command or of any process that it
waited for, in bytes (getrusage(2), ru_maxrss). Exits with the command's status.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time


def main() -> int:
    """Run what the arguments name; standard input and output are its own."""
    started = time.perf_counter()
    process = subprocess.Popen(sys.argv[1:])  # pylint: disable=consider-using-with
    _pid, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    taken = {
        "wall": round(wall, 4),
        "user": round(usage.ru_utime, 4),
        "system": round(usage.ru_stime, 4),
        "memory": usage.ru_maxrss * 1024,
    }
    print("\n" + json.dumps(taken), file=sys.stderr)
    return process.returncode


if __name__ == "__main__":
    sys.exit(main())
