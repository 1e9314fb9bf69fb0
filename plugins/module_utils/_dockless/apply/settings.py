# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Settings of interfaces and namespaces, which are files below /proc/sys/net."""

from __future__ import annotations

import errno
import typing as t

from ..errors import KernelError
from ..linux import sysctl as procfs
from ..state.objects import Sysctl
from ..state.plan import Step
from .namespaces import refused


def write_settings(step: Step, link: str, settings: t.Iterable[tuple[str, int]]) -> None:
    """Write an interface's settings in this thread's namespace. Raises KernelError.

    A setting that has its value already may be read-only, as in a container with a read-only /proc/sys.
    """
    for key, value in settings:
        try:
            procfs.write_conf(link, key, value)
        except OSError as error:
            if error.errno != errno.EROFS or _present_value(link, key) != str(value):
                raise KernelError(
                    f"cannot {step.action} {step.subject}: setting {key} of {link} to {value}: {error.strerror}",
                    error.errno or 0,
                    "Make /proc/sys writable.",
                ) from None


def write_sysctl(step: Step) -> None:
    """Write a declared sysctl in this thread's namespace. Raises KernelError."""
    sysctl = step.new(Sysctl)
    try:
        procfs.write(sysctl.name, sysctl.value)
    except OSError as error:
        raise refused(step, error.errno or 0, f"declared value {sysctl.value}") from None


def _present_value(link: str, key: str) -> str:
    with open("/proc/sys/" + procfs.conf_name(link, key), encoding="ascii") as file:
        return file.read().strip()
