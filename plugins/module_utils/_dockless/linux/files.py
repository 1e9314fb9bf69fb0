# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Files that any run can write again: written atomically, never through a symlink, and not synced to disk."""

from __future__ import annotations

import contextlib
import errno
import grp
import os
import select
import stat
import time

from ..errors import DocklessError
from ..names import ETC_DIRECTORY, NETNS_ETC_DIRECTORY, RUN_DIRECTORY
from . import safe_directories
from .systemd import RUNTIME_UNITS

DROP_INS = "/etc/dnsmasq.d"  # of the host's own dnsmasq
ROOTS = (RUN_DIRECTORY, NETNS_ETC_DIRECTORY, ETC_DIRECTORY, RUNTIME_UNITS, DROP_INS)
_INPUT_TIMEOUT_S = 30.0
_DIRECTORY_MODE = 0o755  # resolvers and applications read the files as other users than root


def read(path: str) -> str | None:
    """Return a file's text, None if there is none.

    Raises DocklessError for a path outside of ROOTS or with a symlink.
    """
    found = observed(path)
    return None if found is None else found[0]


def observed(path: str) -> tuple[str, int] | None:
    """Return a file's text and mode, None if there is none. Raises as read() does."""
    root, below, name = _split(path)
    try:
        with safe_directories.opened(root, below) as fd:
            found = safe_directories.read(fd, name, path)
    except FileNotFoundError:
        return None
    return None if found is None else (found[0].decode("utf-8", "replace"), found[1])


def read_host_file(path: str) -> bytes:
    """Return the content of a plain file anywhere on the host; symlinks are followed.

    Raises OSError, also for what is no plain file, which could block, and for one that is larger than the limit.
    """
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "not a plain file", path)
        return safe_directories.all_of(fd, status.st_size, path)
    finally:
        os.close(fd)


def read_input(path: str) -> bytes:
    """Return the content of a document that a user names; "-" is standard input. Raises OSError or DocklessError.

    A pipe, as in <(command), has a time limit, so that one without a writer does not block for ever.
    """
    if path == "-":
        return read_stream(0, "standard input", None)
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        return read_stream(fd, path, _INPUT_TIMEOUT_S)
    finally:
        os.close(fd)


def read_stream(fd: int, path: str, timeout_s: float | None) -> bytes:
    """Return everything up to the end of a file, pipe or device. timeout_s is for the whole of it.

    Raises DocklessError if the end does not come in time, or if there is more than the limit.
    """
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    content = bytearray()
    while True:
        left = None if deadline is None else max(0.0, deadline - time.monotonic()) * 1000
        if not poll.poll(left):
            raise DocklessError(f"{path} has no end after {timeout_s:g} s", "Check what writes to it.")
        part = os.read(fd, 1 << 20)
        if not part:
            return bytes(content)
        content += part
        if len(content) > safe_directories.LIMIT:
            raise safe_directories.too_large(path)


def write(path: str, text: str, mode: int) -> None:
    """Write a file, and create the directories above it.

    Raises as read() does, and for a path that is not a plain file or cannot be written.
    """
    root, below, name = _split(path)
    try:
        with safe_directories.opened(root, below, _DIRECTORY_MODE) as fd:
            _check_replaceable(fd, name, path)
            safe_directories.replace(fd, name, text.encode(), mode)
    except OSError as error:
        remedy = "Make space on its file system." if error.errno in (errno.ENOSPC, errno.EDQUOT) else ""
        raise DocklessError(f"{path} cannot be written: {os.strerror(error.errno or 0)}", remedy) from error


def restrict(directory: str, group: str) -> None:
    """Let only root and a group enter a directory, which is created if it does not exist. Raises as read() does.

    A group that does not exist leaves it to root.
    """
    root, below = _directory(directory)
    with safe_directories.opened(root, below, _DIRECTORY_MODE) as fd:
        with contextlib.suppress(KeyError):
            os.fchown(fd, -1, grp.getgrnam(group).gr_gid)
        os.fchmod(fd, 0o750)


def remove(path: str) -> None:
    """Remove a file, or a symlink in its place, if there is one."""
    root, below, name = _split(path)
    with contextlib.suppress(FileNotFoundError), safe_directories.opened(root, below) as fd:
        os.unlink(name, dir_fd=fd)


def remove_empty_directory(path: str) -> None:
    """Remove a directory if it exists and is empty."""
    try:
        if path in ROOTS:
            os.rmdir(path)
            return
        root, below, name = _split(path)
        with safe_directories.opened(root, below) as fd:
            os.rmdir(name, dir_fd=fd)
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENOTEMPTY, errno.EEXIST):
            raise DocklessError(f"directory {path} cannot be removed: {os.strerror(error.errno or 0)}") from None


def remove_empty_above(paths: set[str]) -> None:
    """Remove empty directories, and those above them that become empty.

    The directory of the host's own dnsmasq stays, and so does /run/systemd/system: without it, systemctl assumes that
    systemd does not run (sd_booted(3)).
    """
    for directory in sorted(paths, key=len, reverse=True):
        while directory.startswith(ROOTS) and directory not in (RUN_DIRECTORY, RUNTIME_UNITS, DROP_INS):
            remove_empty_directory(directory)
            if os.path.isdir(directory):
                break
            directory = os.path.dirname(directory)


def listed(directory: str) -> list[str]:
    """Return the paths of all files below a directory, sorted. Symlinks are listed and not followed."""
    root, below = (directory, ()) if directory in ROOTS else _directory(directory)
    found: list[str] = []
    try:
        with safe_directories.opened(root, below) as fd:
            _collect(fd, directory, found)
    except FileNotFoundError:
        return []
    return sorted(found)


def _collect(fd: int, path: str, found: list[str]) -> None:
    with os.scandir(fd) as entries:
        inside = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
    for name, is_directory in inside:
        if not is_directory:
            found.append(f"{path}/{name}")
            continue
        deeper = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)
        try:
            _collect(deeper, f"{path}/{name}", found)
        finally:
            os.close(deeper)


def _split(path: str) -> tuple[str, tuple[str, ...], str]:
    """Return the root of a path, the directories below it and the last name. Raises DocklessError outside of ROOTS."""
    for root in ROOTS:
        if path.startswith(root + "/"):
            parts = path[len(root) + 1 :].split("/")
            if all(_is_plain(part) for part in parts):
                return root, tuple(parts[:-1]), parts[-1]
    raise DocklessError(f"{path!r} is not below {', '.join(ROOTS)}", "dockless writes only there.")


def _directory(path: str) -> tuple[str, tuple[str, ...]]:
    root, below, name = _split(path)
    return root, (*below, name)


def _is_plain(part: str) -> bool:
    return part not in ("", ".", "..") and "\0" not in part and len(part) <= 255


def _check_replaceable(fd: int, name: str, path: str) -> None:
    try:
        kind = os.lstat(name, dir_fd=fd).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISREG(kind):
        raise DocklessError(f"{path} exists and is not a plain file", "Move it away: dockless did not create it.")
