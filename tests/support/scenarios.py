# SPDX-License-Identifier: GPL-3.0-or-later
"""One of molecule's scenarios as tests, one for each step of its sequence.

`make molecule` runs all scenarios, one after the other.
"""

from __future__ import annotations

import functools
import itertools
import os
import re
import subprocess
import typing as t

import pytest
import yaml

from support.collection import ROOT, environment

Step = tuple[str, int]  # the scenario, and the step's place


def steps_of(scenario: str) -> pytest.MarkDecorator:
    """Parametrize a test with every step of a scenario, and with the end of the run.

    It needs root: mounts and namespaces.
    """
    wanted = _sequence(scenario)
    return pytest.mark.parametrize(
        "step",
        [(scenario, place) for place in range(len(wanted) + 1)],
        ids=[f"{place}-{name}" for place, name in enumerate([*wanted, "whole"])],
    )


def check(step: Step) -> None:
    """Fail if the step, or the whole run, did not go well. The first one asked of a scenario runs it."""
    if os.geteuid() != 0:
        pytest.skip("hosts need root: mounts and namespaces")
    scenario, place = step
    refused = (
        _boots_nothing()
        if any(host.get("kind", "booted") == "booted" for host in _declared(scenario)["platforms"])
        else ""
    )
    if refused:
        pytest.skip(f"systemd-nspawn boots no host on this machine: {refused}")
    output, ended = _run(scenario)
    wanted = [(name.split()[0], "Executed: Successful") for name in _sequence(scenario)]
    right = len(list(itertools.takewhile(lambda pair: pair[0] == pair[1], zip(ended, wanted))))
    if place == len(wanted):
        assert output.startswith("molecule ended with 0\n") and right == len(ended) == len(wanted), output[-2000:]
    else:
        assert place < right, output if place == right else f"step {right} went wrong before"


def _declared(scenario: str) -> dict[str, t.Any]:
    return yaml.safe_load((ROOT / "molecule" / scenario / "molecule.yml").read_text(encoding="utf-8"))


def _sequence(scenario: str) -> list[str]:
    return _declared(scenario)["scenario"]["test_sequence"]


@functools.cache
def _boots_nothing() -> str:
    """Boot a host without dockless, and return what went wrong, "" if it came up."""
    done = _molecule("systemd", str(ROOT / "molecule" / "_shared" / "hosts-up"), "booted/bare/10.99.0.99/")
    return done.stdout[-500:] if done.returncode else ""


@functools.cache
def _run(scenario: str) -> tuple[str, list[tuple[str, str]]]:
    """Run a scenario; return its output and, for each step that was begun, its name and how it ended."""
    done = _molecule(scenario)
    details = done.stdout.rpartition("\nDETAILS")[2]
    return f"molecule ended with {done.returncode}\n{done.stdout}", re.findall(
        rf"(?m)^{scenario} \S+ (\w+): (.+)$", details
    )


def _molecule(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(ROOT / "molecule" / "run"), *words],
        cwd=ROOT,
        env={**environment(), "NO_COLOR": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
