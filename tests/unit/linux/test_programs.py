# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs: what they get, and the sentences about their failures."""

from __future__ import annotations

import pytest

from _dockless.errors import DocklessError
from _dockless.linux import programs
from _dockless.linux.programs import Remedies

REMEDIES = Remedies("Install it.", "Check it.", "Fix it.")


def run(script, **options):
    """Run a shell script."""
    return programs.run(["sh", "-c", script], remedies=REMEDIES, **options)


def test_a_program_gets_its_input_and_a_fixed_environment(monkeypatch):
    monkeypatch.setenv("HOME", "/nowhere")
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    output = run('cat; echo "$HOME $LC_ALL $MORE $(pwd)"; echo problem >&2', stdin="in\n", environment={"MORE": "more"})
    assert output == (0, "in\n C more /\n", "problem\n")


@pytest.mark.parametrize(
    "script, reason",
    [("echo problem >&2; exit 3", "problem"), ("echo problem; exit 3", "problem"), ("exit 3", "exit status 3")],
)
def test_a_failure_is_named_with_its_command(script, reason):
    with pytest.raises(DocklessError) as caught:
        run(script)
    assert str(caught.value) == f"sh -c {script} failed: {reason}. Fix it."
    assert run(script, check=False).reason == reason


def test_a_failure_with_a_secret_does_not_repeat_output():
    with pytest.raises(DocklessError) as caught:
        run("cat >&2; exit 1", stdin="SECRET", secret=True)
    assert str(caught.value) == "sh -c cat >&2; exit 1 failed: exit status 1. Fix it."


def test_a_program_that_hangs_is_killed():
    with pytest.raises(DocklessError, match=r"sh -c exec sleep 60 did not end within 0.1 s. Check it."):
        run("exec sleep 60", timeout_s=0.1)


def test_a_daemon_is_not_waited_for():
    """It would hold the pipe of its output open."""
    assert run("sleep 3 & echo started", capture=False, timeout_s=5) == (0, "", "")


def test_a_missing_program_is_named():
    with pytest.raises(DocklessError, match=r"the program no-such-program is not installed. Install it."):
        programs.run(["no-such-program"], remedies=REMEDIES)
    with pytest.raises(
        DocklessError, match=r"the program /nowhere/dnsmasq cannot be started: No such file or directory"
    ):
        programs.run(["/nowhere/dnsmasq"])
