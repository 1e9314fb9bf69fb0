# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""All rules that a declared host must satisfy before dockless changes anything."""

from __future__ import annotations

import typing as t

from ..allocate.host_ports import Binding
from ..model.external_networks import resolve_externals
from ..model.facts import Facts, Listener
from ..model.host import Host
from . import wireguard
from .endpoints import check_endpoints
from .macvlan import check_macvlans
from .networks import check_networks
from .overlay import check_overlays
from .ports import check_ports, owner_name
from .sandboxes import check_sandboxes, check_veth_pairs
from .services import check_services


def check_host(
    host: Host,
    facts: Facts,
    held_ports: frozenset[Binding] = frozenset(),
    owner_of: t.Callable[[Listener], str] = owner_name,
) -> None:
    """Raise DocklessError for the first declared object that conflicts with another one or with the host.

    held_ports are bindings of published ports from an earlier run: no listener can conflict with them. owner_of
    names the process of a listener. The time is linear in the number of declared objects.
    """
    host = resolve_externals(host)
    networks = {network.key: network for network in host.networks()}
    check_networks(networks.values(), host.defaults)
    check_overlays(host, facts)
    wireguard.check_encrypted(host, facts)
    check_sandboxes(host)
    check_veth_pairs(host)
    check_endpoints(host, networks)
    check_macvlans(host)
    check_services(host)
    check_ports(host, networks, facts, held_ports, owner_of)
