# SPDX-License-Identifier: GPL-3.0-or-later
"""Raises the machine's limit on inotify instances while resolvers are measured, and restores it afterwards."""

from __future__ import annotations

import contextlib
import pathlib
import typing as t

_INSTANCES = pathlib.Path("/proc/sys/fs/inotify/max_user_instances")
_OTHERS = 200  # instances that everything else on the machine may need


@contextlib.contextmanager
def room_for_resolvers(sandboxes: int) -> t.Iterator[None]:
    """Let as many resolvers run as there are sandboxes, as the role prerequisites does for good."""
    before = int(_INSTANCES.read_text(encoding="ascii"))
    needed = 2 * sandboxes + _OTHERS
    if before >= needed:
        yield
        return
    _INSTANCES.write_text(str(needed), encoding="ascii")
    try:
        yield
    finally:
        if int(_INSTANCES.read_text(encoding="ascii")) == needed:  # nobody else has set it meanwhile
            _INSTANCES.write_text(str(before), encoding="ascii")
