# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""The only file that runs systemctl(1), journalctl(1) and systemd-run(1)."""

from __future__ import annotations

import os
import typing as t

from .programs import Remedies, run

RUNTIME_UNITS = "/run/systemd/system"
# systemctl returns when every unit of the call has started; one that does not start is given up after 90 s.
_TIMEOUT_S = 300.0


def is_running() -> bool:
    """Return whether systemd is the host's service manager (sd_booted(3))."""
    return os.path.isdir(RUNTIME_UNITS)


def systemctl(verb: str, units: t.Sequence[str] = ()) -> str:
    """Apply a systemctl verb to units and return why it failed on one line, "" if it succeeded."""
    arguments = ["--", *units] if units else []
    output = run(["systemctl", verb, *arguments], timeout_s=_TIMEOUT_S, check=False)
    return " ".join(output.reason.split()) if output.status else ""


def main_pid(unit: str, timeout_s: float, remedies: Remedies) -> str:
    """Return the process number of a unit's main process as text, "0" if it does not run. Raises DocklessError."""
    output = run(["systemctl", "show", "--property=MainPID", "--", unit], timeout_s=timeout_s, remedies=remedies)
    return output.stdout.partition("=")[2].strip()


def journal_tail(unit: str, lines: int) -> str:
    """Return the last messages of a unit on one line. Raises DocklessError if journalctl is not installed."""
    output = run(["journalctl", "--no-pager", "--output=cat", f"--lines={lines}", f"--unit={unit}"], check=False)
    return " ".join((output.stdout + output.stderr).split())


def start_daemon(unit: str, argv: t.Sequence[str], environment: t.Mapping[str, str]) -> None:
    """Start a program that becomes a daemon as a transient unit, so that it outlives the caller's session or unit.

    Raises DocklessError.
    """
    settings = [f"--setenv={name}={value}" for name, value in environment.items()]
    options = ["--quiet", "--collect", f"--unit={unit}", "--property=Type=forking", *settings]
    run(["systemd-run", *options, *argv], capture=False)
