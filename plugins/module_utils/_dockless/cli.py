# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""The engine without Ansible: dockless show | plan | apply. In a checkout: python3 -m _dockless.cli."""

from __future__ import annotations

import gc
import os
import sys
import typing as t

from .engine import input_file, no_change_cache

_WITH_VALUE = ("--project", "--on-mismatch", "--wait")


def main(arguments: t.Sequence[str]) -> int:
    """Run one command; return its exit status: 0 done, 1 refused or failed, 2 wrong arguments.

    A document that was applied before is answered before anything else is imported.
    """
    gc.disable()  # a short run that makes many tuples and no cycles
    content = input_file.read(_file_of(arguments))  # commands reports an error
    question = ""
    if isinstance(content, bytes):
        question = no_change_cache.request_digest(content, *(os.fsencode(argument) for argument in arguments))
        may_be_known = "apply" in arguments and "--json" in arguments
        known = no_change_cache.cached_answer(question) if may_be_known else None
        if known is not None:
            sys.stdout.write(known + "\n")
            return 0
    from . import commands

    return commands.run(arguments, content, question)


def _file_of(arguments: t.Sequence[str]) -> str:
    """Return FILE, the word after the command that is neither an option nor the value of one, "" if there is none."""
    words = []
    is_value = False
    for argument in arguments:
        if not is_value and (argument == "-" or not argument.startswith("-")):
            words.append(argument)
        is_value = not is_value and argument in _WITH_VALUE
    return words[1] if len(words) == 2 else ""


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
