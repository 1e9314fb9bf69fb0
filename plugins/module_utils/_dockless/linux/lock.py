# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""The host-wide lock, held from observing to verifying (flock(2)). The kernel releases it when its process ends."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
import typing as t

from ..errors import DocklessError
from ..names import RUN_DIRECTORY
from . import safe_directories

PATH = RUN_DIRECTORY + "/lock"
_FLAGS = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
_INTERVAL_S = 0.02  # polling: flock(2) has no time limit, and a signal would interrupt other code of this process


@contextlib.contextmanager
def lock(timeout_s: float) -> t.Iterator[None]:
    """Hold the lock exclusively. Raises DocklessError with the holder's process number after timeout_s seconds."""
    fd = _acquired(_created, fcntl.LOCK_EX, timeout_s)
    try:
        yield
    finally:
        os.close(fd)


@contextlib.contextmanager
def lock_for_reading(timeout_s: float) -> t.Iterator[None]:
    """Hold the lock together with other readers. Writes nothing: without a lock file, no run is changing the host."""
    try:
        fd = _acquired(_existing, fcntl.LOCK_SH, timeout_s)
    except FileNotFoundError:
        yield
        return
    try:
        yield
    finally:
        os.close(fd)


def abandon() -> None:
    """Remove the lock file, and /run/dockless if it is empty. Only the holder may call this.

    A process that waits for the lock then finds that its open file is no longer the one at PATH, and opens it again.
    """
    with contextlib.suppress(FileNotFoundError):
        os.unlink(PATH)
    with contextlib.suppress(OSError):
        os.rmdir(RUN_DIRECTORY)


def holder(fd: int) -> str:
    """Return the holder of the lock on an open file, as "process 812 (python3)", from /proc/locks (proc_locks(5))."""
    status = os.fstat(fd)
    file_id = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
    with open("/proc/locks", encoding="ascii") as table:
        for line in table:
            words = line.split()
            if "->" not in words and len(words) > 5 and words[1] == "FLOCK" and words[5] == file_id:
                return f"process {words[4]} ({_command(words[4])})"
    return "another process"


def _opened(directory: int, flags: int) -> int:
    try:
        return os.open("lock", flags, 0o600, dir_fd=directory)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise safe_directories.refusal(PATH, error, "a plain file") from None


def _created() -> int:
    with safe_directories.opened(
        RUN_DIRECTORY, (), 0o755
    ) as directory:  # resolvers read files below it as another user
        return _opened(directory, _FLAGS | os.O_CREAT)


def _existing() -> int:
    with safe_directories.opened(RUN_DIRECTORY) as directory:
        return _opened(directory, _FLAGS)


def _acquired(opened: t.Callable[[], int], kind: int, timeout_s: float) -> int:
    """Return a locked descriptor of the file at PATH. A file that its holder removed in the meantime does not count."""
    deadline = time.monotonic() + timeout_s
    while True:
        fd = opened()
        try:
            _wait(fd, kind, deadline, timeout_s)
            if _is_at_path(fd):
                return fd
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)


def _wait(fd: int, kind: int, deadline: float, timeout_s: float) -> None:
    while not _try_lock(fd, kind):
        if time.monotonic() >= deadline:
            raise DocklessError(
                f"{holder(fd)} has held {PATH} for more than {timeout_s:g} s to change this host's networks",
                "Wait until it ends, or find out why it does not.",
            )
        time.sleep(_INTERVAL_S)


def _is_at_path(fd: int) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), os.lstat(PATH))
    except FileNotFoundError:
        return False


def _try_lock(fd: int, kind: int) -> bool:
    try:
        fcntl.flock(fd, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _command(pid: str) -> str:
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as comm:
            return comm.read().strip()
    except OSError:
        return "ended"
