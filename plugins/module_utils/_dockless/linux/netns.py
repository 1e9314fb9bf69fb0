# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Enters, creates, names and removes network namespaces (setns(2), unshare(2), mount(2), ip-netns(8)).

A thread enters, works and leaves; no process is forked. Python before 3.12 has no os.setns, so libc is called directly.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import threading
import typing as t

from ..errors import DocklessError
from ..names import NAME, NETNS_DIRECTORY

CLONE_NEWNET = 0x40000000
_MS_BIND, _MS_REC, _MS_SHARED = 0x1000, 0x4000, 1 << 20
_MNT_DETACH = 2
_libc = ctypes.CDLL(None, use_errno=True)


def path(name: str) -> str:
    """Return the path of the namespace's name. Raises DocklessError for a name that is not valid."""
    if not NAME.match(name):
        raise DocklessError(
            f"{name!r} is not a name for a network namespace", "Use letters, digits, dots, dashes and underscores."
        )
    return f"{NETNS_DIRECTORY}/{name}"


def inode_of(fd: int) -> int:
    """Return the inode number that identifies a namespace."""
    return os.fstat(fd).st_ino


def named() -> list[str]:
    """Return the names of all named namespaces of this host."""
    try:
        return sorted(n for n in os.listdir(NETNS_DIRECTORY) if NAME.match(n))
    except FileNotFoundError:
        return []


def open_named(name: str) -> int:
    """Return a descriptor of the namespace, which the caller closes. Raises FileNotFoundError."""
    return os.open(path(name), os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)


def open_own() -> int:
    """Return a descriptor of this thread's namespace."""
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


def enter(fd: int) -> None:
    """Move this thread into the namespace. Raises OSError."""
    _check(_libc.setns(fd, CLONE_NEWNET), "setns")


@contextlib.contextmanager
def entered(fd: int) -> t.Iterator[None]:
    """Be in the namespace of fd during a with block."""
    with returning():
        enter(fd)
        yield


@contextlib.contextmanager
def entered_named(name: str) -> t.Iterator[None]:
    """Be in /run/netns/NAME during a with block. "" stays in the namespace that the thread is in."""
    if not name:
        yield
        return
    with _entered_path(path(name)):
        yield


@contextlib.contextmanager
def _entered_path(source: str) -> t.Iterator[None]:
    """Be in the namespace behind source (a path of procfs or nsfs) during a with block. Raises OSError."""
    fd = os.open(source, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        with entered(fd):
            yield
    finally:
        os.close(fd)


@contextlib.contextmanager
def temporary_namespace() -> t.Iterator[None]:
    """Be in a new namespace without a name, which ends with the with block."""
    with returning():
        unshare()
        yield


def unshare() -> None:
    """Move this thread into a new namespace without a name."""
    _check(_libc.unshare(CLONE_NEWNET), "unshare")


def prepare() -> None:
    """Make /run/netns a shared mount, as ip-netns(8) does, so that other mount namespaces see new names."""
    directory = NETNS_DIRECTORY
    os.makedirs(directory, mode=0o755, exist_ok=True)
    if _mount(None, directory, _MS_SHARED | _MS_REC) == errno.EINVAL:  # not a mount point yet
        _raise_for(_mount(directory, directory, _MS_BIND | _MS_REC), "bind " + directory)
        _raise_for(_mount(None, directory, _MS_SHARED | _MS_REC), "share " + directory)


def held_by_process(inode: int) -> str:
    """Return the path of a namespace by a process that is in it. Raises FileNotFoundError if there is none."""
    for pid in os.listdir("/proc"):
        if pid.isdigit():
            path_of_process = f"/proc/{pid}/ns/net"
            with contextlib.suppress(OSError):  # it ended in the meantime
                if os.stat(path_of_process).st_ino == inode:
                    return path_of_process
    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))


def pin(name: str, fd: int) -> None:
    """Name the namespace of a descriptor. Raises FileExistsError if the name is taken."""
    source = f"/proc/self/task/{threading.get_native_id()}/fd/{fd}"
    target = path(name)
    try:
        _touch(target)
    except FileExistsError:
        if os.lstat(target).st_dev != os.lstat(NETNS_DIRECTORY).st_dev:
            raise
        os.unlink(target)  # a plain file: a run was killed between its creation and the mount
        _touch(target)
    failed = _mount(source, target, _MS_BIND)
    if failed:
        os.unlink(target)
        _raise_for(failed, f"bind a namespace to {target}")


def unpin(name: str) -> None:
    """Remove a name. The kernel removes the namespace when no process and no descriptor holds it."""
    target = path(name)
    if _libc.umount2(target.encode(), _MNT_DETACH) and ctypes.get_errno() not in (errno.EINVAL, errno.ENOENT):
        _raise_for(ctypes.get_errno(), "umount " + target)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(target)


@contextlib.contextmanager
def returning() -> t.Iterator[None]:
    """Return this thread to its namespace at the end of a with block, whatever happens."""
    own = open_own()
    try:
        yield
    finally:
        try:
            _go_back(own)
        finally:
            os.close(own)


class Home:
    """The namespace that a run is in when it begins. Whatever fails, it writes nowhere else."""

    def __init__(self) -> None:
        """Remember this thread's namespace. Raises OSError."""
        self._fd = open_own()
        self._inode = inode_of(self._fd)

    def __enter__(self) -> Home:
        """Return itself."""
        return self

    def __exit__(self, *exc: object) -> None:
        """Forget the namespace."""
        os.close(self._fd)

    def come_back(self) -> None:
        """Return this thread to the namespace if it is in another one. Raises DocklessError if that fails."""
        if os.stat("/proc/thread-self/ns/net").st_ino != self._inode:
            _go_back(self._fd)


def _go_back(fd: int) -> None:
    """Enter a namespace in which this thread was. Raises DocklessError, which nobody takes for a failure inside."""
    try:
        enter(fd)
    except OSError as error:
        raise DocklessError(
            f"this process cannot return to its network namespace from another one: {error.strerror}",
            "Run again when the host has enough memory.",
        ) from error


def _touch(target: str) -> None:
    os.close(os.open(target, os.O_RDONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o444))


def _mount(source: str | None, target: str, flags: int) -> int:
    done = _libc.mount((source or "none").encode(), target.encode(), b"none", ctypes.c_ulong(flags), None)
    return ctypes.get_errno() if done else 0


def _check(result: int, what: str) -> None:
    if result:
        _raise_for(ctypes.get_errno(), what)


def _raise_for(number: int, what: str) -> None:
    if number:
        raise OSError(number, f"{what}: {os.strerror(number)}")
