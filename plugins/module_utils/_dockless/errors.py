# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""The one exception that reaches a person, and what it says."""

from __future__ import annotations

import typing as t


class DocklessError(Exception):
    """A refusal or failure told as a sentence.

    path is the option it is about (``networks.frontend.ipam.config[0].subnet``),
    what names the object and the reason, remedy says what to do about it.
    """

    def __init__(self, what: str, remedy: str = "", path: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.remedy = remedy
        self.path = path

    def __str__(self) -> str:
        """Return ``path: what. Remedy.`` as one line."""
        text = f"{self.path}: {self.what}" if self.path else self.what
        return f"{text.rstrip('.')}. {self.remedy}" if self.remedy else text


class KernelError(DocklessError):
    """The kernel refused one step; errno is its number."""

    def __init__(self, what: str, errno: int, remedy: str = "") -> None:
        super().__init__(what, remedy)
        self.errno = errno


class VerifyError(DocklessError):
    """After apply, the host is not what was asked for."""


def join_messages(problems: t.Sequence[str], limit: int = 5) -> str:
    """Return the first problems as one text, and how many more there are."""
    text = "; ".join(problems[:limit])
    more = len(problems) - limit
    return f"{text}; and {more} more" if more > 0 else text


def refuse(path: str, what: str, remedy: str = "") -> t.NoReturn:
    """Raise the sentence for the option at path, which may hold a name that nobody has judged yet."""
    raise DocklessError(what, remedy, path if path.isprintable() else path.encode("unicode_escape").decode())
