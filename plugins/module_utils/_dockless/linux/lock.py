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
_COMMAND_LENGTH = 200
_STATE, _START_TIME = 0, 19  # fields of proc_pid_stat(5) after the command
_INTERVAL_S = 0.02  # polling: flock(2) has no time limit, and a signal would interrupt other code of this process


@contextlib.contextmanager
def lock(timeout_s: float) -> t.Iterator[None]:
    """Hold the lock exclusively. Raises DocklessError with the process that holds it after timeout_s seconds."""
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
    """Return who holds the lock on an open file, from /proc/locks (proc_locks(5)).

    For example: process 812 (python3 -m dockless.cli apply --boot), which started at 14:02:11, 95 s ago.
    """
    status = os.fstat(fd)
    file_id = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
    with open("/proc/locks", encoding="ascii") as table:
        for line in table:
            words = line.split()
            if "->" not in words and len(words) > 5 and words[1] == "FLOCK" and words[5] == file_id:
                return _process(words[4])
    return "another process"


def _process(pid: str) -> str:
    """Return what is known of a process. One of another PID namespace has the number 0 here."""
    if not pid.isdigit() or pid == "0":
        return "a process of another PID namespace"
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            words = file.read(_COMMAND_LENGTH + 1).rstrip(b"\0").split(b"\0")
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()
        with open("/proc/uptime", encoding="ascii") as file:
            uptime_s = float(file.read().split()[0])
    except OSError:
        return f"process {pid}, which has ended"
    command = b" ".join(words).decode("utf-8", "replace")[:_COMMAND_LENGTH]
    age_s = max(0.0, uptime_s - int(fields[_START_TIME]) / os.sysconf("SC_CLK_TCK"))
    started = time.strftime("%H:%M:%S", time.localtime(time.time() - age_s))
    state = " and is stopped by a signal" if fields[_STATE] in "Tt" else ""
    return f"process {pid} ({command}), which started at {started}, {age_s:.0f} s ago{state},"


def _opened(directory: int, flags: int) -> int:
    try:
        return os.open("lock", flags, 0o600, dir_fd=directory)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise safe_directories.refusal(PATH, error, "a plain file") from None


def _created() -> int:
    """Open the file, and create it if it does not exist. An existing directory keeps its mode: the run repairs that."""
    with contextlib.suppress(FileNotFoundError), safe_directories.opened(RUN_DIRECTORY) as directory:
        return _opened(directory, _FLAGS | os.O_CREAT)
    # Resolvers read files below it as another user.
    with safe_directories.opened(RUN_DIRECTORY, (), 0o755) as directory:
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
                f"{holder(fd)} has the lock {PATH} of this host's networks, and has not released it within "
                f"{timeout_s:g} s",
                "Wait until it ends, or set wait (--wait) to more seconds.",
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
