# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Name servers that would lead a question back to where it came from, judged when every address is known."""

from __future__ import annotations

import typing as t

from ..errors import refuse
from ..model import topology
from ..model.gateways import has_host_address
from ..model.host import Host, IPAddress, Network
from ..model.topology import own_addresses
from ..names import RESOLVER_ADDRESS

Gateways = t.Mapping[IPAddress, Network]
_ELSEWHERE = "Name a server that is somewhere else."


def refuse_loops(host: Host) -> None:
    """Raise DocklessError for an upstream of a resolved host that is a gateway of its own, a sandbox's own address or resolver, or no host at all.

    A gateway of a macvlan network is somebody else's, as is one whose address the host does not have.
    """
    gateways = _gateways(host)
    _check(host.defaults.dns, "the host's defaults", "defaults.dns", gateways)
    for project in host.projects:
        for network in project.networks:
            _check(network.dns, f"network {network.name}", f"{network.path or network.name}.dns", gateways)
        for sandbox in project.sandboxes:
            path = f"{sandbox.path or sandbox.name}.dns"
            _check(sandbox.dns, f"sandbox {sandbox.name}", path, gateways)
            own = own_addresses(sandbox)
            for index, address in enumerate(sandbox.dns):
                if str(address) in own:
                    refuse(
                        f"{path}[{index}]",
                        f"sandbox {sandbox.name} would forward to {address}, an address of its own",
                        _ELSEWHERE,
                    )


def _gateways(host: Host) -> Gateways:
    return {
        subnet.gateway: network
        for network in topology.networks_of(host).values()
        if network.macvlan is None
        for subnet in network.subnets
        if subnet.gateway is not None and has_host_address(network, subnet.version)
    }


def _check(servers: t.Iterable[IPAddress], who: str, path: str, gateways: Gateways) -> None:
    for index, address in enumerate(servers):
        if str(address) == RESOLVER_ADDRESS:
            refuse(f"{path}[{index}]", f"{who} would forward to {address}, the sandbox's own resolver", _ELSEWHERE)
        if address.is_unspecified or address.is_multicast:
            refuse(f"{path}[{index}]", f"{who} would forward to {address}, which is no host's address", _ELSEWHERE)
        if address in gateways:
            refuse(
                f"{path}[{index}]",
                f"{who} would forward to {address}, the gateway of network {gateways[address].name}",
                "Leave dns out to ask the host's own servers, or name a server that is somewhere else.",
            )
