# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""CNAME records that a resolver can have together.

dnsmasq does not start with two CNAME records of one name, nor with records that lead back to themselves. A resolver
has the records of all networks of its sandbox, whose owners do not know of each other.
"""

from __future__ import annotations

import typing as t

from ..model.network import DnsRecord

DUPLICATE, CIRCLE = "duplicate", "circle"


class Aliases:
    """The CNAME records of a resolver."""

    def __init__(self) -> None:
        self._targets: dict[str, str] = {}

    def add(self, record: DnsRecord) -> str:
        """Add a CNAME record. Return DUPLICATE or CIRCLE if the resolver cannot have it, "" if it can."""
        alias, target = comparable(record.name), comparable(record.value)
        if alias in self._targets:
            return DUPLICATE
        name = target
        while name != alias:
            if name not in self._targets:
                self._targets[alias] = target
                return ""
            name = self._targets[name]
        return CIRCLE


def possible_records(records: t.Iterable[DnsRecord]) -> t.Iterator[DnsRecord]:
    """Yield records without the CNAME records that contradict an earlier one."""
    aliases = Aliases()
    for record in records:
        if record.kind != "CNAME" or not aliases.add(record):
            yield record


def comparable(name: str) -> str:
    """Return a domain name as it is compared: in lower case, without the dot of the root."""
    return name[:-1].lower() if name.endswith(".") else name.lower()
