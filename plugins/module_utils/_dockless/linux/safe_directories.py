# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Opens dockless's directories without following symlinks, and reads and replaces files in them.

Everything is done relative to a directory's descriptor (openat(2), O_NOFOLLOW), so the directory that was checked is
the one that is written to.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import typing as t

from ..errors import DocklessError

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
LIMIT = 64 << 20  # bytes of a file; a document of 10,000 sandboxes has 5 MB
_PAGE = 4096
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


@contextlib.contextmanager
def opened(root: str, below: t.Sequence[str] = (), mode: int | None = None) -> t.Iterator[int]:
    """Yield a descriptor of root/below[0]/below[1]/…

    Missing directories are created with mode, and others are given the rights in it; without mode, a missing one raises
    FileNotFoundError. A component that is a symlink, not a directory, or writable by other users than root raises
    DocklessError. The parent of root belongs to the system and is trusted.
    """
    fd = _step(None, root, root, mode)
    path = root
    try:
        for name in below:
            path = f"{path}/{name}"
            deeper = _step(fd, name, path, mode)
            os.close(fd)
            fd = deeper
        yield fd
    finally:
        os.close(fd)


def read(fd: int, name: str, path: str) -> tuple[bytes, int] | None:
    """Return content and mode of a file in the directory fd, None if there is none. path: for messages."""
    try:
        file = os.open(name, _FILE, dir_fd=fd)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise refusal(path, error, "a plain file") from None
    try:
        status = os.fstat(file)
        if not stat.S_ISREG(status.st_mode):
            raise DocklessError(f"{path} is not a plain file", "Move it away: dockless did not create it.")
        return all_of(file, status.st_size, path), stat.S_IMODE(status.st_mode)
    finally:
        os.close(file)


def all_of(file: int, size: int, path: str) -> bytes:
    """Return everything in an open file. Raises DocklessError if there is more than LIMIT."""
    # One read of a file below /proc/sys must take all of it: a second one returns nothing.
    content = os.read(file, min(max(size, _PAGE), LIMIT) + 1)
    while len(content) <= LIMIT:
        more = os.read(file, 1 << 20) if content else b""
        if not more:
            return content
        content += more
    raise too_large(path)


def too_large(path: str) -> DocklessError:
    """Return the error for a file that is larger than LIMIT."""
    return DocklessError(f"{path} is larger than {LIMIT >> 20} MiB", "Check what wrote it, and move it away.")


def replace(fd: int, name: str, content: bytes, mode: int, sync: t.Callable[[int], None] = lambda fd: None) -> None:
    """Replace a file by rename(2), so that a reader sees the old or the new one.

    sync: called with the descriptor of the file, and of the directory after the rename.
    """
    temporary = f".{name[:200]}.{os.urandom(8).hex()}"
    file = os.open(temporary, _NEW, 0o600, dir_fd=fd)
    try:
        try:
            _write_all(file, content)
            os.fchmod(file, mode)  # not by open(2), where the umask applies
            sync(file)
        finally:
            os.close(file)
        os.rename(temporary, name, src_dir_fd=fd, dst_dir_fd=fd)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary, dir_fd=fd)
        raise
    sync(fd)


def refusal(path: str, error: OSError, wanted: str) -> DocklessError:
    """Return the error for a path that could not be opened as what was wanted, such as "a plain file"."""
    if error.errno in (errno.ELOOP, errno.ENOTDIR):  # O_DIRECTORY gives ENOTDIR for a symlink
        return DocklessError(
            f"{path} is not {wanted}, or it is a symbolic link",
            "Move it away: dockless does not follow symbolic links there.",
        )
    return DocklessError(f"{path} cannot be opened: {os.strerror(error.errno or 0)}")


def _step(parent: int | None, name: str, path: str, mode: int | None) -> int:
    try:
        fd = _open(parent, name, path)
        if mode is not None:
            _add_mode(fd, mode)
        return fd
    except FileNotFoundError:
        if mode is None:
            raise
    with contextlib.suppress(FileExistsError):
        os.mkdir(name, 0o700, dir_fd=parent)
    fd = _open(parent, name, path)
    os.fchmod(fd, mode)
    return fd


def _add_mode(fd: int, mode: int) -> None:
    """Give back the rights that somebody took from a directory: resolvers read files as another user than root."""
    status = os.fstat(fd)
    present = stat.S_IMODE(status.st_mode)
    is_for_group_only = status.st_gid != 0  # see files.restrict: others must not read records
    needed = mode & ~stat.S_IRWXO if is_for_group_only else mode
    if needed & ~present:
        os.fchmod(fd, present | needed)


def _open(parent: int | None, name: str, path: str) -> int:
    try:
        fd = os.open(name, _DIRECTORY, dir_fd=parent)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise refusal(path, error, "a directory") from None
    status = os.fstat(fd)
    if status.st_uid not in (0, os.geteuid()) or status.st_mode & 0o022:
        os.close(fd)
        raise DocklessError(
            f"directory {path} is writable by other users than root",
            f"Check its content, then run: chown root {path}; chmod go-w {path}.",
        )
    return fd


def _write_all(file: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(file, view) :]
