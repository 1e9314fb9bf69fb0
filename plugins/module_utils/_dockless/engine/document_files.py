# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""The files below /etc/dockless, as bytes: read with a limit, replaced by rename and synced.

A name is a path below that directory, such as "projects/shop.json".
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import typing as t

from ..errors import DocklessError, reason_of
from ..linux import safe_directories
from ..names import ETC_DIRECTORY
from . import json_lines

Json = dict[str, t.Any]
HOST_FILE = "host.json"
PROJECTS = "projects/"
SUFFIX = ".json"
MODE = 0o600
_DIRECTORY_MODE = 0o700
_TEMPORARY = re.compile(r"\..*\.[0-9a-f]{16}\Z")  # safe_directories.replace() names its files like this


def path_of(name: str) -> str:
    """Return the path of a file."""
    return f"{ETC_DIRECTORY}/{name}"


def name_for(project: str) -> str:
    """Return the name of a project's file, of the host's for "". The name of the project is not checked."""
    return f"{PROJECTS}{project}{SUFFIX}" if project else HOST_FILE


def read(name: str) -> tuple[bytes, int] | None:
    """Return content and mode of a file, None if there is none. Raises DocklessError if it cannot be read."""
    below, base = _split(name)
    try:
        with safe_directories.opened(ETC_DIRECTORY, below) as fd:
            return safe_directories.read(fd, base, path_of(name))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _unreadable(name, error) from None


def write(name: str, content: bytes) -> None:
    """Write a file unless it is there with this content, and sync it and its directory. Raises OSError."""
    below, base = _split(name)
    with safe_directories.opened(ETC_DIRECTORY, below, _DIRECTORY_MODE) as fd:
        if safe_directories.read(fd, base, path_of(name)) == (content, MODE):
            os.fsync(fd)  # a killed run may have written it and not synced the rename
        else:
            safe_directories.replace(fd, base, content, MODE, os.fsync)


def remove(name: str) -> None:
    """Remove a file if there is one, and sync its directory. Raises OSError."""
    below, base = _split(name)
    with contextlib.suppress(FileNotFoundError), safe_directories.opened(ETC_DIRECTORY, below) as fd:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(base, dir_fd=fd)
        os.fsync(fd)


def rename(old: str, new: str) -> OSError | None:
    """Rename a file in /etc/dockless itself, and return the error if that cannot be synced. Raises OSError."""
    with safe_directories.opened(ETC_DIRECTORY) as fd:
        os.rename(old, new, src_dir_fd=fd, dst_dir_fd=fd)
        try:
            os.fsync(fd)
        except OSError as error:
            return error
    return None


def names_in(directory: str) -> list[str]:
    """Return the names in a directory, none if it does not exist. "" is /etc/dockless itself. Raises DocklessError."""
    try:
        with safe_directories.opened(ETC_DIRECTORY, _parts(directory)) as fd:
            return os.listdir(fd)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise _unreadable(directory, error) from None


def remove_temporaries(directory: str) -> None:
    """Remove the temporary files that a killed run left in a directory. Raises OSError."""
    for name in filter(_TEMPORARY.match, names_in(directory)):
        remove(f"{directory}/{name}".lstrip("/"))


def remove_directory(directory: str) -> None:
    """Remove a directory if it is empty."""
    path = path_of(directory) if directory else ETC_DIRECTORY
    with contextlib.suppress(OSError):  # it has other files
        os.rmdir(path)


def digest(content: bytes | None) -> str:
    """Return a digest of a file's content, "" for a file that does not exist."""
    return "" if content is None else hashlib.sha256(content).hexdigest()


def parse(content: bytes | str, origin: str) -> Json:
    """Return the object in a JSON text. Raises DocklessError with origin and line."""
    text = content if isinstance(content, str) else _decoded(content, origin)
    try:
        found = json.loads(text)
    except RecursionError:
        raise DocklessError(f"{origin}, line 1: not JSON: nested too deeply", remedy(origin)) from None
    except ValueError as error:
        line = getattr(error, "lineno", 1)
        reason = getattr(error, "msg", str(error))
        raise DocklessError(f"{origin}, line {line}: not JSON: {reason}", remedy(origin)) from None
    if not isinstance(found, dict):
        raise DocklessError(
            f"{origin}, line 1: the document must be an object, not {type(found).__name__}", remedy(origin)
        )
    return found


def refuse(content: bytes, origin: str, keys: t.Sequence[str], what: str) -> t.NoReturn:
    """Raise DocklessError with the line of the value at keys, such as ("leases", "ports")."""
    line = json_lines.line_of(_decoded(content, origin), keys)
    raise DocklessError(f"{origin}, line {line}: {what}", remedy(origin))


def remedy(origin: str) -> str:
    """Return the remedy for a damaged document."""
    return f"Fix the file {origin}, or remove it and apply the project again."


def _decoded(content: bytes, origin: str) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DocklessError(f"{origin}, line {line}: not UTF-8", remedy(origin)) from None


def _unreadable(name: str, error: OSError) -> DocklessError:
    return DocklessError(f"{path_of(name)} cannot be read: {reason_of(error)}", "Run again when it can be read.")


def _split(name: str) -> tuple[tuple[str, ...], str]:
    *below, base = name.split("/")
    return tuple(below), base


def _parts(directory: str) -> tuple[str, ...]:
    return tuple(directory.split("/")) if directory else ()
