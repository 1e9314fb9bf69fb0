# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Services as the sandboxes of one host see them: names, and the balancing table of each client."""

from __future__ import annotations

import typing as t

from ..firewall import sandbox_table
from ..firewall.sandbox_table import Balanced
from ..model import services
from ..model.host import SERVICE_VIP, Sandbox
from ..model.topology import NetworkKey, Topology


class Services:
    """The services of a host by network, and the nft tables of sandboxes that use them: most sandboxes share theirs."""

    def __init__(self, topology: Topology) -> None:
        self.of = {
            key: services._served(topology, network) for key, network in topology.networks.items() if network.services
        }
        self._texts: dict[tuple[t.Any, ...], str] = {}

    def names(self, key: NetworkKey, project: str, sandbox: str, plain: t.Sequence[str]) -> tuple[str, ...]:
        """Return what a sandbox is called on a network."""
        return self.of[key].names(project, sandbox, plain) if key in self.of else tuple(plain)

    def table(self, sandbox: Sandbox, resolved: bool) -> str:
        """Return the nft table of a sandbox, "" if it needs none. resolved says whether it has a name server of its own."""
        keys = tuple(sorted(endpoint.network for endpoint in sandbox.endpoints if endpoint.network in self.of))
        turn = sandbox_table.start_offset(sandbox.project, sandbox.name) if keys else 0
        if (keys, turn, resolved) not in self._texts:
            self._texts[keys, turn, resolved] = sandbox_table.sandbox_table(
                [self._balanced(key) for key in keys], turn, resolved
            )
        return self._texts[keys, turn, resolved]

    def _balanced(self, key: NetworkKey) -> Balanced:
        return key, [
            (service, [(one.sandbox, one.addresses, one.weight) for one in behind if not one.drain])
            for service, behind in self.of[key].services
            if service.mode == SERVICE_VIP
        ]
