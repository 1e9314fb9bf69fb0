# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Files of a fleet's plan on the controller: the ledger, and a directory from which each host's task takes its part.

A network's peers are written once for all of its hosts, so that what is written grows with the fleet and not with its square.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import tempfile
import typing as t
import urllib.parse

from ..errors import DocklessError
from ..fleet.host_documents import Document, with_peers
from ..fleet.ledger import ledger_text, parse_ledger
from ..fleet.model import FleetPlan, Ledger

_MODE = 0o644  # it holds no secret, and belongs to the inventory


@contextlib.contextmanager
def locked_ledger(path: str, check: bool) -> t.Iterator[Ledger]:
    """Yield the ledger at path, empty if there is none, with its directory locked against other runs. path "" is none at all."""
    if not path:
        yield Ledger()
        return
    try:
        fd = os.open(os.path.dirname(path) or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise DocklessError(
            f"the directory of the ledger {path} cannot be opened: {error.strerror}",
            "Make it, or give another path.",
            "ledger",
        ) from None
    try:
        fcntl.flock(fd, fcntl.LOCK_SH if check else fcntl.LOCK_EX)
        yield _read(path)
    finally:
        os.close(fd)


def _read(path: str) -> Ledger:
    try:
        with open(path, encoding="utf-8") as file:
            return parse_ledger(file.read(), path)
    except FileNotFoundError:
        return Ledger()
    except OSError as error:
        raise DocklessError(f"the ledger {path} cannot be read: {error.strerror}", "", "ledger") from None


def write_ledger(path: str, ledger: Ledger) -> None:
    """Put the ledger in place of the one before, as a whole or not at all. Raises DocklessError where that is refused."""
    try:
        fd, temporary = tempfile.mkstemp(prefix=".dockless-fleet.", dir=os.path.dirname(path) or ".")
        try:
            with os.fdopen(fd, "w", encoding="utf-8") as file:
                file.write(ledger_text(ledger))
                file.flush()
                os.fchmod(fd, _MODE)
                os.fsync(fd)
            os.replace(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise
    except OSError as error:
        raise DocklessError(f"the ledger {path} cannot be written: {error.strerror}", "", "ledger") from None


def write_plan(plan: FleetPlan, within: str) -> str:
    """Write the plan to a new directory below within, and return it."""
    directory = tempfile.mkdtemp(prefix="dockless-plan-", dir=within)
    for key, rows in plan.tables.items():
        _write(directory, "network", "/".join(key), rows)
    for name, documents in plan.documents.items():
        joined = [(number, called, "/".join(key)) for number, called, key in plan.joined[name]]
        _write(directory, "host", name, {"documents": documents, "joined": joined})
    return directory


def read_host_documents(directory: str, host: str) -> list[Document]:
    """Return one host's documents from a plan's directory, its networks' peers in place. Raises DocklessError if it has none."""
    try:
        found = _load(directory, "host", host)
        documents: list[Document] = found["documents"]
        for number, called, key in found["joined"]:
            networks = documents[number]["networks"]
            networks[called] = with_peers(networks[called], _load(directory, "network", key), host)
    except FileNotFoundError:
        raise DocklessError(
            f"the plan in {directory} has nothing for host {host}",
            "Plan in the same run as this task, over a group that the host belongs to.",
            "plan",
        ) from None
    return documents


def _path(directory: str, kind: str, name: str) -> str:
    return os.path.join(directory, f"{kind}.{urllib.parse.quote(name, safe='')}.json")


def _write(directory: str, kind: str, name: str, content: t.Any) -> None:
    with open(_path(directory, kind, name), "w", encoding="utf-8") as file:
        file.write(json.dumps(content))


def _load(directory: str, kind: str, name: str) -> t.Any:
    with open(_path(directory, kind, name), encoding="utf-8") as file:
        return json.load(file)
