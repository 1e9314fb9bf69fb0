# SPDX-License-Identifier: GPL-3.0-or-later
"""The quickest of molecule's scenarios, a test for each step of its sequence. `make molecule` runs all of them."""
from __future__ import annotations

import functools
import itertools
import os
import re
import subprocess
import typing as t

import pytest
import yaml
from collection import ROOT, environment

SCENARIO = "fleet"
SEQUENCE = yaml.safe_load((ROOT / "molecule" / SCENARIO / "molecule.yml").read_text(encoding="utf-8"))["scenario"]["test_sequence"]

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="hosts need root: mounts and namespaces")


@functools.lru_cache(maxsize=None)
def run() -> t.Tuple[str, t.List[t.Tuple[str, str]]]:
    """Run the scenario once; return its output and, for each step that was begun, its name and how it ended."""
    done = subprocess.run([str(ROOT / "molecule" / "run"), SCENARIO], cwd=ROOT, env={**environment(), "NO_COLOR": "1"},
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    details = done.stdout.rpartition("\nDETAILS")[2]
    return f"molecule ended with {done.returncode}\n{done.stdout}", re.findall(rf"(?m)^{SCENARIO} \S+ (\w+): (.+)$", details)


@pytest.mark.parametrize("number", range(len(SEQUENCE)), ids=[f"{number}-{step}" for number, step in enumerate(SEQUENCE)])
def test_step(number):
    output, steps = run()
    wanted = [(step.split()[0], "Executed: Successful") for step in SEQUENCE]
    right = len(list(itertools.takewhile(lambda pair: pair[0] == pair[1], zip(steps, wanted))))
    assert number < right, output if number == right else f"step {right} went wrong before"


def test_the_whole_run():
    output, steps = run()
    assert output.startswith("molecule ended with 0\n") and len(steps) == len(SEQUENCE), output[-2000:]
