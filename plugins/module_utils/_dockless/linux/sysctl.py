# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Writes settings under /proc/sys/net of the calling thread's namespace.

In one procfs the entries of all namespaces share a hash chain: a write takes 17 us in the first new namespace and 560
us in the 2,000th. A private procfs (fsopen(2), Linux 5.2), renewed every 64 namespaces, keeps it at 17 us.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import typing as t

_FSOPEN, _FSCONFIG, _FSMOUNT = 430, 431, 432  # the same numbers on every architecture
_CLOEXEC, _CONFIG_CREATE = 1, 6
_NAMESPACES = 64
_libc = ctypes.CDLL(None, use_errno=True)


def write(name: str, value: str) -> None:
    """Write /proc/sys/NAME of this thread's namespace. Raises OSError."""
    _put(os.open("/proc/sys/" + name, os.O_WRONLY | os.O_CLOEXEC), value)


def write_conf(link: str, key: str, value: int) -> None:
    """Write a setting of an interface. link must be a valid interface name. Raises OSError."""
    write(conf_name(link, key), str(value))


def conf_name(link: str, key: str) -> str:
    """Return the name of an interface's setting: ipv4/rp_filter of eth0 is net/ipv4/conf/eth0/rp_filter."""
    family, slash, name = key.partition("/")
    return f"net/{family}/conf/{link}/{name}"


class Fresh:
    """A private procfs for the settings of many new namespaces. Where the kernel gives none, /proc is used."""

    def __init__(self) -> None:
        self._fd = -1
        self._left = 0

    def write_defaults(self, settings: t.Iterable[tuple[str, int]]) -> None:
        """Write conf/default settings of this thread's new namespace. Raises OSError."""
        if not self._left:
            self.close()
            self._fd = _mounted()
            self._left = _NAMESPACES
        self._left -= 1
        for key, value in settings:
            name = conf_name("default", key)
            if self._fd < 0:
                write(name, str(value))
            else:
                _put(os.open("sys/" + name, os.O_WRONLY | os.O_CLOEXEC, dir_fd=self._fd), str(value))

    def close(self) -> None:
        """Close the private procfs."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def _put(fd: int, value: str) -> None:
    with contextlib.closing(os.fdopen(fd, "wb", buffering=0)) as file:
        file.write(value.encode())


def _mounted() -> int:
    """Return a descriptor of a new procfs that is not attached to any path, -1 if the kernel gives none."""
    context = _libc.syscall(_FSOPEN, b"proc", _CLOEXEC)
    if context < 0:
        return -1
    try:
        if _libc.syscall(_FSCONFIG, context, _CONFIG_CREATE, None, None, 0):
            return -1
        return int(_libc.syscall(_FSMOUNT, context, _CLOEXEC, 0))
    finally:
        os.close(context)
