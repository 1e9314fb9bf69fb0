# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""The names of sandboxes and networks, read off the objects that they have on the host."""

from __future__ import annotations

import typing as t

from ..firewall.descriptions import Names
from ..names import LABEL_PREFIX
from .objects import Address, Link, Object, Veth


def names_in(objects: t.Iterable[Object]) -> Names:
    """Return the names for descriptions of the firewall's elements."""
    sandboxes: dict[str, str] = {}
    networks: dict[str, str] = {}
    pairs: list[Veth] = []
    for obj in objects:
        if isinstance(obj, Address) and obj.netns:
            sandboxes[obj.cidr.partition("/")[0]] = obj.netns
        elif isinstance(obj, Link) and not obj.netns and obj.label.startswith(LABEL_PREFIX):
            networks[obj.name] = obj.label.rpartition("/")[2]
        elif isinstance(obj, Veth) and obj.master:
            pairs.append(obj)
    ports = {pair.name: (pair.peer_netns, networks.get(pair.master, pair.master)) for pair in pairs}
    return Names(sandboxes, networks, ports)
