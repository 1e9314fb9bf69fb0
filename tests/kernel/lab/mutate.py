# SPDX-License-Identifier: GPL-3.0-or-later
"""Remove every rule, the elements of every set, and every setting in turn, and print those that the lab does not
miss: python3 tests/kernel/lab/mutate.py [-v] [PART OF A NAME ...], as root, some minutes.

It ends with 1 if one is not noticed.
"""

from __future__ import annotations

import pathlib
import sys
import typing as t

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path[:0] = [str(ROOT / part) for part in ("tests/kernel", "tests", "plugins/module_utils")]

from lab import mutants, trial
from lab.claims import try_passages
from lab.memory import Memory
from lab.topology import Lab
from support.private_host import PrivateHost


def main() -> int:
    """Run all mutants and print those that live, and the score."""
    with PrivateHost() as host:
        lab = Lab(host)
        fault = try_passages(lab, *trial.ways())
        assert not fault, fault
        memory = Memory(lab)
        verbose = "-v" in sys.argv
        found: list[tuple[mutants.Mutant, bool]] = []
        words = [word for word in sys.argv[1:] if word != "-v"]
        chosen = [each for each in mutants.every(lab) if not words or any(word in each.name for word in words)]
        for mutant, wrong in mutants.tried(lab, memory, chosen):
            found.append((mutant, bool(wrong)))
            if not wrong or verbose:
                print(
                    f"{'noticed' if wrong else 'SURVIVES'}  {mutant.name}"
                    + (f"\n          {wrong[0][:150]}" if wrong else ""),
                    flush=True,
                )
        print(f"{lab.packets} packets")
        lab.close()
        host.assert_back_to(host.birth)
    return _score(found)


def _score(found: t.Sequence[tuple[mutants.Mutant, bool]]) -> int:
    guards = [noticed for mutant, noticed in found if mutant.guard]
    every = [noticed for _mutant, noticed in found]
    share = 100 * sum(every) / len(every)
    print(
        f"rules that drop: {sum(guards)} of {len(guards)} noticed; "
        f"all rules and settings: {sum(every)} of {len(every)} ({share:.0f} %)"
    )
    return int(not all(guards) or sum(every) < 0.95 * len(every))


if __name__ == "__main__":
    sys.exit(main())
