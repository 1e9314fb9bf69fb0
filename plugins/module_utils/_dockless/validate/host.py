# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Relations between what is declared, judged before anything is touched."""

from __future__ import annotations

import typing as t

from ..model.external_networks import resolve_externals
from ..model.facts import Facts, Listener
from ..model.host import Host
from . import wireguard
from .endpoints import check_endpoints
from .macvlan import check_macvlans
from .networks import check_networks
from .overlay import check_overlays
from .ports import Binding, check_ports, owner_suffix
from .sandboxes import check_sandboxes, check_veth_pairs
from .services import check_services


def check_host(
    host: Host,
    facts: Facts,
    kept_ports: frozenset[Binding] = frozenset(),
    owner_of: t.Callable[[Listener], str] = owner_suffix,
) -> None:
    """Raise DocklessError for the first thing declared that cannot be beside the rest, or beside what listens on the host.

    kept_ports are the (protocol, host address or "", host port) that mappings
    of ours hold already, which no listener is in the way of. owner_of names a
    listener's process. Linear in what is declared.
    """
    host = resolve_externals(host)
    networks = {network.key: network for project in host.projects for network in project.networks}
    check_networks(networks.values(), host.defaults)
    check_overlays(host, facts)
    wireguard.check_encrypted(host, facts)
    check_sandboxes(host)
    check_veth_pairs(host)
    check_endpoints(host, networks)
    check_macvlans(host)
    check_services(host)
    check_ports(host, networks, facts, kept_ports, owner_of)
