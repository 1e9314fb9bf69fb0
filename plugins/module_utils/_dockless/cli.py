# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""The engine without Ansible: dockless show | plan | apply. In a checkout: python3 -m _dockless.cli."""

from __future__ import annotations

import gc
import sys
import typing as t

from .engine import no_change_cache


def main(arguments: t.Sequence[str]) -> int:
    """Run one command; return its exit status: 0 done, 1 refused or failed, 2 wrong arguments.

    A document that was applied before is answered before anything else is imported.
    """
    gc.disable()  # a short run that makes many tuples and no cycles
    content = sys.stdin.buffer.read() if "-" in arguments else _content(arguments)
    question = no_change_cache.request_digest(content, *(argument.encode() for argument in arguments))
    known = no_change_cache.cached_answer(question) if "apply" in arguments and "--json" in arguments else None
    if known is not None:
        sys.stdout.write(known + "\n")
        return 0
    from . import commands

    return commands.run(arguments, content, question)


def _content(arguments: t.Sequence[str]) -> bytes:
    """Return what the last argument that is a file holds: the document, if there is one."""
    for argument in reversed(arguments):
        try:
            with open(argument, "rb") as file:
                return file.read()
        except OSError:
            continue
    return b""


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
