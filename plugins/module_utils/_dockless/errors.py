# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""The exceptions that users see, and how their messages are built."""

from __future__ import annotations

import contextlib
import errno
import typing as t

# The host has no more descriptors or memory. This says nothing about what a question was about.
EXHAUSTED = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOMEM))


class DocklessError(Exception):
    """A run cannot continue. Every front end shows the exception's text as it is.

    ``path`` is the option that is wrong (``networks.frontend.ipam.config[0].subnet``), or empty. ``what`` names the
    object and describes the fault and its reason: it starts with a lower-case letter, because the path precedes it,
    and has no final period. ``remedy`` is a full sentence that names the option or command that fixes the problem.
    """

    def __init__(self, what: str, remedy: str = "", path: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.remedy = remedy
        self.path = path

    def __str__(self) -> str:
        """Return ``path: what. Remedy.`` on one line, with unprintable characters escaped."""
        text = f"{self.path}: {self.what}" if self.path else self.what
        if self.remedy:
            text = f"{text.rstrip('.')}. {self.remedy}"
        return printable(text)


class KernelError(DocklessError):
    """The kernel rejected one operation. ``errno`` is the error number that it returned (errno(3))."""

    def __init__(self, what: str, errno: int, remedy: str = "") -> None:
        super().__init__(what, remedy)
        self.errno = errno


class VerifyError(DocklessError):
    """After all changes were applied, the host still differs from the desired state."""


class RollbackError(DocklessError):
    """A run failed, and what it had changed could not be taken back."""


def printable(line: str) -> str:
    """Return the line with each unprintable character escaped, also line ends.

    Root in a sandbox chooses the names and aliases of the links there. An escape sequence in one would otherwise
    reach the operator's terminal, and a line end would write a line that looks like the engine's own.
    """
    if line.isprintable():
        return line
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)


def join_messages(problems: t.Sequence[str], limit: int = 5) -> str:
    """Return the first ``limit`` problems joined by semicolons, and the number of the remaining ones."""
    text = "; ".join(problems[:limit])
    more = len(problems) - limit
    return f"{text}; and {more} more" if more > 0 else text


def refuse(path: str, what: str, remedy: str = "") -> t.NoReturn:
    """Raise DocklessError for the option at path."""
    raise DocklessError(what, remedy, path)


def reason_of(error: Exception) -> str:
    """Return why something failed, for a message: with the file, and without Python's notation of an OSError."""
    if not isinstance(error, OSError) or not error.strerror:
        return str(error)
    return f"{error.filename}: {error.strerror}" if isinstance(error.filename, str) else error.strerror


@contextlib.contextmanager
def host_errors() -> t.Iterator[None]:
    """Raise DocklessError for what the system does not let a run read."""
    try:
        yield
    except OSError as error:
        number = error.errno or 0
        subject = error.filename or "a part of the host"
        raise DocklessError(
            f"{subject} cannot be read: {error.strerror} ({errno.errorcode.get(number, number)})",
            "What cannot be read is unknown, so nothing was changed. Run again when the cause is removed.",
        ) from error
