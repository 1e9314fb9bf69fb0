# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Parses a sandbox's option attach: a network namespace that another program created."""

from __future__ import annotations

import re
import typing as t

from ..errors import refuse
from ..model.sandbox import Attach
from .readers import integer, read, shown, text

_UNIT = re.compile(r"[a-zA-Z0-9:_.\\@][a-zA-Z0-9:_.\\@-]{0,254}\Z")
_CONTAINER = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,254}\Z")
_read_pid = integer(1, 2**22)  # the kernel's PID_MAX_LIMIT


def _pid(value: t.Any, path: str) -> str:
    return str(_read_pid(value, path))


def _netns_path(value: t.Any, path: str) -> str:
    netns = text(value, path)
    if not netns.startswith("/") or ".." in netns.split("/"):
        refuse(
            path,
            f"{shown(netns)} is not an absolute path, or it contains a .. component",
            "Use a path such as /proc/4711/ns/net or /run/netns/blue.",
        )
    return netns


def _unit(value: t.Any, path: str) -> str:
    unit = text(value, path)
    if not _UNIT.match(unit):
        refuse(path, f"{shown(unit)} is not a valid systemd unit name", "Use a name such as web.service.")
    return unit if "." in unit else unit + ".service"


def _container(value: t.Any, path: str) -> str:
    container = text(value, path)
    if not _CONTAINER.match(container):
        refuse(
            path,
            f"{shown(container)} is not a valid container name or ID",
            "Use the name or ID that docker ps or podman ps shows.",
        )
    return container


_OPTIONS = {
    "pid": _pid,  # ID of a process in the namespace
    "path": _netns_path,  # of a namespace's file: /proc/PID/ns/net or /run/netns/NAME
    "unit": _unit,  # systemd unit whose main process is in the namespace; .service may be left out
    "docker": _container,  # name or ID of a Docker container
    "podman": _container,  # name or ID of a Podman container
}


def parse_attach(value: t.Any, path: str) -> Attach:
    """Return which namespace a sandbox attaches to, from a dictionary with exactly one of _OPTIONS."""
    options = read(value, path, _OPTIONS)
    if len(options) != 1:
        refuse(
            path,
            f"exactly one of {', '.join(_OPTIONS)} is required, but {len(options)} are set",
            "Set one of them.",
        )
    return Attach(*options.popitem())
