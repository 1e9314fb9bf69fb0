# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Routes that ufw has to allow, and the parser of what "ufw show added" lists."""

from __future__ import annotations

import shlex
import typing as t

from ..model.facts import Facts, Firewall
from ..model.host import Host
from ..model.overlay import vxlan_device
from ..model.topology import Networks
from . import coexistence
from .coexistence import COMMENT
from .foreign_chains import INBOUND, OUTBOUND

# ---- ufw ---------------------------------------------------------------------


def wanted_routes(firewall: Firewall, host: Host, networks: Networks, facts: Facts) -> t.Iterator[str]:
    """Yield routes to allow: out of bridges that lead out, into those where something is open, and between ports of the others."""
    open_ways = coexistence.allowed_directions(host, networks)
    found: list[str] = []
    for network in coexistence._bridge_networks(networks):
        name = network.bridge_name
        lines = [f"in on {name}"] if OUTBOUND in open_ways[name] else [f"in on {name} out on {name}"]
        lines += [f"in on {vxlan_device(network)} out on {name}"] if coexistence._routed(network) else []
        lines += [f"out on {name}"] if INBOUND in open_ways[name] else []
        found += [f"route allow {line}" for line in lines]
    yield from sorted(set(found) - set(firewall.taken))


def ufw_rules(listing: str) -> tuple[list[str], list[str]]:
    """Return the routes that "ufw show added" lists: ours, and those of others."""
    ours, others = [], []
    for line in listing.splitlines():
        words = shlex.split(line) if line.startswith("ufw route ") else []
        if words[-2:] == ["comment", COMMENT]:
            ours.append(" ".join(words[1:-2]))
        elif words:
            others.append(" ".join(words[1 : words.index("comment")] if "comment" in words else words[1:]))
    return ours, others
