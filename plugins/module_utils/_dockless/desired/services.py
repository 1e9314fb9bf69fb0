# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Services as the sandboxes of a host use them: their names, and the nft table of each client."""

from __future__ import annotations

import typing as t

from ..firewall import sandbox_table
from ..firewall.sandbox_table import Balanced
from ..model import services
from ..model.network import SERVICE_VIP, NetworkKey
from ..model.sandbox import Sandbox
from ..model.topology import Topology


class Services:
    """The services of a host by network, and the nft tables of the sandboxes that use them. Most tables are equal."""

    def __init__(self, topology: Topology) -> None:
        self.of = {
            key: services.network_services(topology, network)
            for key, network in topology.networks.items()
            if network.services
        }
        self._texts: dict[tuple[tuple[NetworkKey, ...], int, bool], str] = {}

    def names(self, key: NetworkKey, project: str, sandbox: str, plain: t.Sequence[str]) -> tuple[str, ...]:
        """Return the names of a sandbox on a network, of which services may take some and add others."""
        return self.of[key].names(project, sandbox, plain) if key in self.of else tuple(plain)

    def table(self, sandbox: Sandbox, resolved: bool) -> str:
        """Return the nft table of a sandbox, "" if it needs none. resolved: the sandbox has a resolver."""
        keys = tuple(sorted(endpoint.network for endpoint in sandbox.endpoints if endpoint.network in self.of))
        offset = sandbox_table.start_offset(sandbox.project, sandbox.name) if keys else 0
        variant = (keys, offset, resolved)
        if variant not in self._texts:
            balanced = [self._balanced(key) for key in keys]
            self._texts[variant] = sandbox_table.sandbox_table(balanced, offset, resolved)
        return self._texts[variant]

    def _balanced(self, key: NetworkKey) -> Balanced:
        """Return the services of a network that have virtual addresses, each with the sandboxes that serve it."""
        return key, [
            (service, [(each.sandbox, each.addresses, each.weight) for each in members if not each.drain])
            for service, members in self.of[key].services
            if service.mode == SERVICE_VIP
        ]
