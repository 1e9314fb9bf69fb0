# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""The one host-wide lock, held from observe to verify (flock(2)): it ends with its process, however that ends."""

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
_INTERVAL_S = 0.02  # flock(2) has no time limit, and a signal would hit whoever else uses this process


@contextlib.contextmanager
def lock(timeout_s: float) -> t.Iterator[None]:
    """Be the only one who changes this host. Raises DocklessError, with the holder's pid, after timeout_s seconds."""
    fd = _acquired(_created, fcntl.LOCK_EX, timeout_s)
    try:
        yield
    finally:
        os.close(fd)


@contextlib.contextmanager
def lock_for_reading(timeout_s: float) -> t.Iterator[None]:
    """Keep others from changing this host, without writing anything: where no lock file is, nobody runs."""
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
    """Remove the lock file, and /run/dockless if nothing else is in it; only its holder may.

    Whoever waits for it finds that the file is another's by then, and begins again.
    """
    with contextlib.suppress(FileNotFoundError):
        os.unlink(PATH)
    with contextlib.suppress(OSError):
        os.rmdir(RUN_DIRECTORY)


def holder(fd: int) -> str:
    """Return who holds the lock on an open file, as "process 812 (python3)", from /proc/locks."""
    status = os.fstat(fd)
    wanted = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
    with open("/proc/locks", encoding="ascii") as table:
        for line in table:
            words = line.split()
            if "->" not in words and len(words) > 5 and words[1] == "FLOCK" and words[5] == wanted:
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
    with safe_directories.opened(RUN_DIRECTORY, (), 0o755) as directory:  # resolvers read below it
        return _opened(directory, _FLAGS | os.O_CREAT)


def _existing() -> int:
    with safe_directories.opened(RUN_DIRECTORY) as directory:
        return _opened(directory, _FLAGS)


def _acquired(opened: t.Callable[[], int], kind: int, timeout_s: float) -> int:
    """Return a locked descriptor of the file that is at PATH now, not of one that its holder has removed."""
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
    while not _taken(fd, kind):
        if time.monotonic() >= deadline:
            raise DocklessError(
                f"{holder(fd)} has been changing this host's networks for more than {timeout_s:g} s",
                f"Wait until it has ended, or look what keeps it; it holds {PATH}.",
            )
        time.sleep(_INTERVAL_S)


def _is_at_path(fd: int) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), os.lstat(PATH))
    except FileNotFoundError:
        return False


def _taken(fd: int, kind: int) -> bool:
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
