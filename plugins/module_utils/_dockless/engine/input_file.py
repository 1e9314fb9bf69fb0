# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Reads the document that a user names on the command line."""

from __future__ import annotations

from ..errors import DocklessError
from ..linux import files


def read(path: str) -> bytes | Exception:
    """Return the content of a document, which is read once, or why it cannot be read. "" is no document."""
    try:
        return files.read_input(path) if path else b""
    except (DocklessError, OSError) as error:
        return error
