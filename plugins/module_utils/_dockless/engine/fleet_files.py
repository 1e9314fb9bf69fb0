# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Files of a fleet's plan on the controller: the ledger, and a directory from which each host's task reads its part.

A network's peers are written once for all of its hosts, so that the directory grows with the fleet and not with its
square. The directory has

    host.NAME.json                the host's documents, and where overlay networks are in them
    network.PROJECT%2FNAME.json   the network's peer table
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

_MODE = 0o644  # the ledger holds no secret, and belongs to the inventory


@contextlib.contextmanager
def locked_ledger(path: str, check: bool) -> t.Iterator[Ledger]:
    """Yield the ledger at path, empty if there is none, with its directory locked against other runs.

    With check the lock is shared. path "" means that no ledger is kept. Raises DocklessError if it cannot be read.
    """
    if not path:
        yield Ledger()
        return
    try:
        fd = os.open(os.path.dirname(path) or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise DocklessError(
            f"the directory of the ledger {path} cannot be opened: {error.strerror}",
            "Create it, or set another path.",
            "ledger",
        ) from None
    try:
        fcntl.flock(fd, fcntl.LOCK_SH if check else fcntl.LOCK_EX)
        yield _read_ledger(path)
    finally:
        os.close(fd)


def write_ledger(path: str, ledger: Ledger) -> None:
    """Replace the ledger by rename, so that no reader sees half of it. Raises DocklessError if that fails."""
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


def write_plan(plan: FleetPlan, parent: str) -> str:
    """Write the plan to a new directory in parent, and return its path."""
    directory = tempfile.mkdtemp(prefix="dockless-plan-", dir=parent)
    for key, rows in plan.peer_tables.items():
        _write(directory, "network", "/".join(key), rows)
    for name, documents in plan.documents.items():
        positions = [(index, local_name, "/".join(key)) for index, local_name, key in plan.positions[name]]
        _write(directory, "host", name, {"documents": documents, "positions": positions})
    return directory


def read_host_documents(directory: str, host: str) -> list[Document]:
    """Return one host's documents, with the peers of its networks, from the directory of a plan.

    Raises DocklessError if the plan does not have the host.
    """
    try:
        content = _read(directory, "host", host)
        documents: list[Document] = content["documents"]
        for index, local_name, key in content["positions"]:
            networks = documents[index]["networks"]
            networks[local_name] = with_peers(networks[local_name], _read(directory, "network", key), host)
    except FileNotFoundError:
        raise DocklessError(
            f"the plan in {directory} does not include host {host}",
            "Plan in the same run as this task, over a group that the host belongs to.",
            "plan",
        ) from None
    return documents


def _read_ledger(path: str) -> Ledger:
    try:
        with open(path, encoding="utf-8") as file:
            return parse_ledger(file.read(), path)
    except FileNotFoundError:
        return Ledger()
    except OSError as error:
        raise DocklessError(f"the ledger {path} cannot be read: {error.strerror}", "", "ledger") from None


def _path(directory: str, kind: str, name: str) -> str:
    return os.path.join(directory, f"{kind}.{urllib.parse.quote(name, safe='')}.json")


def _write(directory: str, kind: str, name: str, content: object) -> None:
    with open(_path(directory, kind, name), "w", encoding="utf-8") as file:
        file.write(json.dumps(content))


def _read(directory: str, kind: str, name: str) -> t.Any:
    with open(_path(directory, kind, name), encoding="utf-8") as file:
        return json.load(file)
