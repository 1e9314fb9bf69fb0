# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""ufw: routes that it must allow, and the parser of what "ufw show added" lists (ufw(8)).

A line is the command after "ufw": "route allow in on br0".
"""

from __future__ import annotations

import shlex
import typing as t

from ..model.facts import UfwFirewall
from .coexistence import COMMENT, INBOUND, OUTBOUND, Traffic


class Routes(t.NamedTuple):
    """Routes as listed: those with dockless's comment and the others."""

    own: tuple[str, ...]
    foreign: tuple[str, ...]


def wanted(firewall: UfwFirewall, traffic: Traffic) -> t.Iterator[str]:
    """Yield the routes to allow, without those that a foreign rule already allows."""
    routes = set()
    for each in traffic.bridges:
        if OUTBOUND in each.directions:
            routes.add(f"route allow in on {each.bridge}")
        else:
            routes.add(f"route allow in on {each.bridge} out on {each.bridge}")
        if each.vxlan:
            routes.add(f"route allow in on {each.vxlan} out on {each.bridge}")
        if INBOUND in each.directions:
            routes.add(f"route allow out on {each.bridge}")
    yield from sorted(routes - set(firewall.foreign_routes))


def parse(listing: str) -> Routes:
    """Return the routes in the output of "ufw show added"."""
    own, foreign = [], []
    for line in listing.splitlines():
        if not line.startswith("ufw route "):
            continue
        words = shlex.split(line)[1:]
        if words[-2:] == ["comment", COMMENT]:
            own.append(" ".join(words[:-2]))
        else:
            without_comment = words[: words.index("comment")] if "comment" in words else words
            foreign.append(" ".join(without_comment))
    return Routes(tuple(own), tuple(foreign))


def owns(table: str, chains: t.Collection[str]) -> bool:
    """Return whether a base chain is part of ufw's firewall. chains: itself and those that it can jump to."""
    return any(name.startswith(("ufw-", "ufw6-")) for name in chains)
