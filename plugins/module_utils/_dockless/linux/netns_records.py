# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""The record of the namespaces that dockless named: what each name means, outside of the namespaces.

A namespace is known by its inode and by the cookie that the kernel gives to one namespace in a boot. Root inside can
change neither, unlike the mark on lo, which is for people who look there.
"""

from __future__ import annotations

import json
import typing as t

from ..names import RUN_DIRECTORY
from . import files, netns

PATH = RUN_DIRECTORY + "/namespaces.json"
_BOOT_ID = "/proc/sys/kernel/random/boot_id"


class NetnsRecord(t.NamedTuple):
    """One name below /run/netns.

    cookie    0 where the kernel tells none
    label     the mark of the namespace, with the first name
    attached  others made the namespace
    partner   the first name of the same namespace; "" is the first one
    """

    inode: int
    cookie: int
    label: str
    attached: bool = False
    partner: str = ""

    def is_of(self, inode: int, cookie: int) -> bool:
        """Return whether the record is about this namespace."""
        return (self.inode, self.cookie) == (inode, cookie)


class NetnsRecords:
    """The records of this host. exist is False where none were ever written since the host started."""

    def __init__(self) -> None:
        """Read the records. Raises DocklessError if the file cannot be read."""
        found = _load()
        self.exist = found is not None
        self._by_name = found or {}
        self._is_changed = False

    def get(self, name: str) -> NetnsRecord | None:
        """Return the record of a name, None if dockless did not give it."""
        return self._by_name.get(name)

    def names(self) -> list[str]:
        """Return all recorded names."""
        return list(self._by_name)

    def add(self, name: str, record: NetnsRecord) -> None:
        """Record what a name means. save() must follow before the name is given."""
        if self._by_name.get(name) != record:
            self._by_name[name] = record
            self._is_changed = True

    def save(self) -> None:
        """Write the records that changed."""
        if not self._is_changed:
            return
        content = {"boot": _boot(), "namespaces": {name: record._asdict() for name, record in self._by_name.items()}}
        files.write(PATH, json.dumps(content) + "\n", 0o600)
        self._is_changed = False

    def prune(self) -> None:
        """Forget names that do not exist, and remove the file with the last one."""
        existing = set(netns.named())
        gone = [name for name in self._by_name if name not in existing]
        for name in gone:
            del self._by_name[name]
            self._is_changed = True
        if self._by_name:
            self.save()
        elif gone or self.exist:
            files.remove(PATH)
            self._is_changed = self.exist = False


def _load() -> dict[str, NetnsRecord] | None:
    """Return the records of this boot, None if there are none. A damaged file counts as none."""
    text = files.read(PATH)
    try:
        content = json.loads(text or "")
        if content["boot"] != _boot():
            return None
        return {name: NetnsRecord(**fields) for name, fields in content["namespaces"].items()}
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def _boot() -> str:
    with open(_BOOT_ID, encoding="ascii") as file:
        return file.read().strip()
