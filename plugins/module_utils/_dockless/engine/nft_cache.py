# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""A cache of what is in the kernel's tables, by generation, so that the next run need not read it."""

from __future__ import annotations

import json
import typing as t

from ..errors import DocklessError
from ..linux import files
from ..linux.nft_tables import Tables
from ..names import RUN_DIRECTORY

PATH = RUN_DIRECTORY + "/generations.json"
_LIMIT = 4096  # namespaces


def load() -> Tables:
    """Return the tables with what earlier runs have seen of them. A cache of any other shape is an empty one."""
    try:
        known = json.loads(files.read(PATH) or "{}")
        return Tables({int(inode): (int(generation), str(digest)) for inode, (generation, digest) in known.items()})
    except (DocklessError, OSError, ValueError, TypeError, AttributeError, RecursionError):
        return Tables({})


def save(tables: Tables, texts: t.Iterable[str]) -> None:
    """Keep what this run has seen. texts are those of the sandboxes' tables."""
    tables.cache_fingerprints(texts)
    newest = dict(list(tables.known.items())[-_LIMIT:])
    files.write(PATH, json.dumps(newest), 0o600)
