# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Find programs on the target."""

from __future__ import annotations

import os

_PROGRAM_DIRECTORIES = ("/usr/sbin", "/usr/bin", "/sbin", "/bin", "/usr/local/sbin", "/usr/local/bin")


def program(name: str) -> str:
    """Return where a program is, "" if it is not installed. Not by PATH: that of a task may lack sbin."""
    for directory in _PROGRAM_DIRECTORIES:
        path = f"{directory}/{name}"
        if os.access(path, os.X_OK):
            return path
    return ""
