# SPDX-License-Identifier: GPL-3.0-or-later
"""Add up the JUnit files of test suites: python3 junit_summary.py DIRECTORY SUITE ...

Prints a line for each file and ends with "N passed, N failed". Ends with 1 when something failed
or a suite ran nothing.
"""

from __future__ import annotations

import pathlib
import sys
import typing as t
from xml.etree import ElementTree


def count(file: pathlib.Path) -> tuple[int, int, int]:
    """Return how many tests of a JUnit file passed, failed and were skipped."""
    passed = failed = skipped = 0
    for case in ElementTree.parse(file).iter("testcase"):
        kinds = {child.tag for child in case}
        failed += bool(kinds & {"failure", "error"})
        skipped += "skipped" in kinds
        passed += not kinds & {"failure", "error", "skipped"}
    return passed, failed, skipped


def packets(file: pathlib.Path) -> int:
    """Return how many packets and connections the tests of a JUnit file say that they have followed, each with its
    own verdict.
    """
    return sum(
        int(each.get("value", 0)) for each in ElementTree.parse(file).iter("property") if each.get("name") == "packets"
    )


def main(directory: str, suites: t.Sequence[str]) -> int:
    """Print the table and return the exit status."""
    total_passed = total_failed = 0
    followed = 0
    empty = []
    for suite in suites:
        ran = 0
        for file in sorted(pathlib.Path(directory).glob(f"{suite}*.xml")):
            passed, failed, skipped = count(file)
            print(f"{file.stem:24} {passed:5} passed {failed:5} failed" + (f" {skipped:5} skipped" if skipped else ""))
            ran += passed + failed
            followed += packets(file)
            total_passed += passed
            total_failed += failed
        if not ran:
            empty.append(suite)
    for suite in empty:
        print(f"{suite:24} ran nothing, which counts as a failure")
    if followed:
        print(f"{followed} packets arrived where they should, or nowhere")
    print(f"{total_passed} passed, {total_failed + len(empty)} failed")
    return 1 if total_failed or empty else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
