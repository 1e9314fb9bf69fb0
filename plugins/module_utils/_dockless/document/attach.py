# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Where a namespace that exists already is found: by process, path, unit or container."""
from __future__ import annotations

import re
import typing as t

from ..model.host import Attach
from .readers import integer, read, refuse, shown, text

_UNIT = re.compile(r"[a-zA-Z0-9:_.\\@][a-zA-Z0-9:_.\\@-]{0,254}\Z")
_CONTAINER = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,254}\Z")
_PID = integer(1, 2**22)


def _pid(value: t.Any, path: str) -> str:
    return str(_PID(value, path))


def _path(value: t.Any, path: str) -> str:
    value = text(value, path)
    if not value.startswith("/") or ".." in value.split("/"):
        refuse(path, f"{shown(value)} is not an absolute path without ..", "Write it like /proc/4711/ns/net or /run/netns/blue.")
    return value


def _unit(value: t.Any, path: str) -> str:
    value = text(value, path)
    if not _UNIT.match(value):
        refuse(path, f"{shown(value)} is not the name of a systemd unit", "Write it like web.service.")
    return value if "." in value else value + ".service"


def _container(value: t.Any, path: str) -> str:
    value = text(value, path)
    if not _CONTAINER.match(value):
        refuse(path, f"{shown(value)} is not the name or id of a container", "Write it as docker ps or podman ps shows it.")
    return value


_KEYS = {"pid": _pid, "path": _path, "unit": _unit, "docker": _container, "podman": _container}


def parse_attach(value: t.Any, path: str) -> Attach:
    """Return the one way in: pid, path, unit, docker or podman."""
    said = read(value, path, _KEYS)
    if len(said) != 1:
        refuse(path, f"exactly one of {', '.join(_KEYS)} is needed, not {len(said)}", "Say which namespace to use in one way.")
    return Attach(*said.popitem())
