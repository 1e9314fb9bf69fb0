# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""The foreign firewalls that dockless integrates with, by the names that the option coexist uses (names.FIREWALLS).

Each has a file here with three functions: wanted (the lines of its own configuration that dockless needs), parse (the
lines in a listing of its program) and owns (whether a chain is its own). linux.foreign_firewalls has the adapter that
runs its program.
"""

from __future__ import annotations

import typing as t

from . import docker_user, firewalld, ufw
from .coexistence import Traffic


class ForeignFirewall(t.NamedTuple):
    """The pure part of the integration with one firewall."""

    # Takes the firewall's type in model.facts.
    wanted: t.Callable[[t.Any, Traffic], t.Iterator[str]]
    owns: t.Callable[[str, t.Collection[str]], bool]


# owner_of() asks in this order: ufw's chains hang on the same base chain as Docker's, whose chain is passed first.
FOREIGN_FIREWALLS = {
    "firewalld": ForeignFirewall(firewalld.wanted, firewalld.owns),
    "docker": ForeignFirewall(docker_user.wanted, docker_user.owns),
    "ufw": ForeignFirewall(ufw.wanted, ufw.owns),
}


def owner_of(table: str, chains: t.Collection[str]) -> str:
    """Return the name of the firewall that a base chain belongs to, "" if it is none of these.

    chains: the names of the base chain and of those that it can jump to.
    """
    for name, firewall in FOREIGN_FIREWALLS.items():
        if firewall.owns(table, chains):
            return name
    return ""
