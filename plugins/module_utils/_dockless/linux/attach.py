# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Finds a network namespace that another program made, and checks that it is one.

A FIFO, a plain file and the host's own namespace are refused.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import stat
import typing as t

from ..errors import EXHAUSTED, DocklessError
from ..model.sandbox import Attach
from . import programs, systemd
from .netns import CLONE_NEWNET
from .programs import Remedies

_NS_GET_NSTYPE = 0xB703  # ioctl_ns(2)
_TIMEOUT_S = 10.0
_UNIT = re.compile(r"[A-Za-z0-9_:][A-Za-z0-9:_.@\\-]{0,254}\Z")
_CONTAINER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,254}\Z")
_REMEDIES = Remedies("Attach by pid or path instead.", "Check whether it hangs.", "Check the name.")


def locate(attach: Attach) -> tuple[str, int]:
    """Return the path of the namespace, and the inode number of what was checked there.

    Raises DocklessError if there is none or it must not be used.
    """
    path = _FINDERS[attach.kind](attach.value)
    fd = open_checked(path, f"{attach.kind} {attach.value!r}")
    try:
        return path, os.fstat(fd).st_ino
    finally:
        os.close(fd)


def open_known(path: str, subject: str, inode: int) -> int:
    """Return a descriptor of the namespace behind a path, as open_checked() does, if it has this inode."""
    fd = open_checked(path, subject)
    if os.fstat(fd).st_ino != inode:
        os.close(fd)
        raise DocklessError(f"{subject}: another network namespace is at {path} than when the run began", "Run again.")
    return fd


def open_checked(path: str, subject: str) -> int:
    """Return a descriptor of the network namespace behind a path, which the caller closes.

    Raises DocklessError, whose message begins with subject.
    """
    try:
        handle = os.open(path, os.O_PATH | os.O_CLOEXEC)  # neither waits at a FIFO nor starts a device
    except OSError as error:
        raise DocklessError(
            f"{subject}: no namespace at {path}: {os.strerror(error.errno or 0)}",
            "Start the process or container that it belongs to first.",
        ) from None
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise _not_a_namespace(subject, path)
        fd = os.open(f"/proc/self/fd/{handle}", os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        if error.errno in EXHAUSTED:
            raise
        raise _not_a_namespace(subject, path) from None
    finally:
        os.close(handle)
    try:
        _check(fd, subject, path)
    except BaseException:
        os.close(fd)
        raise
    return fd


def _check(fd: int, subject: str, path: str) -> None:
    try:
        kind = fcntl.ioctl(fd, _NS_GET_NSTYPE)
    except OSError:  # ENOTTY: a file of another file system than nsfs
        kind = 0
    if kind != CLONE_NEWNET:
        raise _not_a_namespace(subject, path)
    if _identity(os.fstat(fd)) in _host_identities():
        raise DocklessError(
            f"{subject}: {path} is the host's own network namespace",
            "To share the host's network, use network_mode: host.",
        )


def _host_identities() -> set[tuple[int, int]]:
    """Return the namespaces of this thread and of PID 1. Not every caller may read the latter. Raises OSError."""
    found = {_identity(os.stat("/proc/thread-self/ns/net"))}
    with contextlib.suppress(PermissionError, FileNotFoundError):
        found.add(_identity(os.stat("/proc/1/ns/net")))
    return found


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _not_a_namespace(subject: str, path: str) -> DocklessError:
    return DocklessError(
        f"{subject}: {path} is not a network namespace", "Use one such as /proc/PID/ns/net or /run/netns/NAME."
    )


def _of_pid(value: str) -> str:
    if not re.match(r"[1-9][0-9]{0,9}\Z", value):
        raise DocklessError(f"pid {value!r} is not a process number", "Use the number of a running process.")
    if not os.path.exists(f"/proc/{value}"):
        raise DocklessError(f"pid {value}: there is no such process", "Use the number of a running process.")
    return f"/proc/{value}/ns/net"


def _of_path(value: str) -> str:
    if not value.startswith("/") or "\0" in value:
        raise DocklessError(f"path {value!r} is not an absolute path", "Use one such as /run/netns/NAME.")
    return value


def _of_unit(value: str) -> str:
    if not _UNIT.match(value):
        raise DocklessError(f"unit {value!r} is not the name of a systemd unit", "Use one such as web.service.")
    subject = f"unit {value}"
    try:
        pid = systemd.main_pid(value, _TIMEOUT_S, _REMEDIES)
    except DocklessError as error:
        raise _about(subject, error) from None
    return _running(pid, subject, f"Start it first: systemctl start {value}.")


def _of_container(program: str) -> t.Callable[[str], str]:
    def find(value: str) -> str:
        if not _CONTAINER.match(value):
            raise DocklessError(f"{program} {value!r} is not the name of a container", "Use its name or id.")
        subject = f"{program} container {value}"
        argv = [program, "container", "inspect", "--format", "{{.State.Pid}}", "--", value]
        try:
            pid = programs.run(argv, timeout_s=_TIMEOUT_S, remedies=_REMEDIES).stdout
        except DocklessError as error:
            raise _about(subject, error) from None
        return _running(pid.strip(), subject, f"Start it first: {program} start {value}.")

    return find


def _about(subject: str, error: DocklessError) -> DocklessError:
    return DocklessError(f"{subject}: {error.what}", error.remedy)


def _running(pid: str, subject: str, remedy: str) -> str:
    if not re.match(r"[1-9][0-9]*\Z", pid):
        raise DocklessError(f"{subject} does not run, so it has no network namespace", remedy)
    return _of_pid(pid)


_FINDERS: dict[str, t.Callable[[str], str]] = {
    "pid": _of_pid,
    "path": _of_path,
    "unit": _of_unit,
    "docker": _of_container("docker"),
    "podman": _of_container("podman"),
}
