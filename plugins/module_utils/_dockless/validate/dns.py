# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""DNS servers that would send a query back to the resolver that it came from."""

from __future__ import annotations

import typing as t

from ..errors import refuse
from ..model import topology
from ..model.addresses import IPAddress
from ..model.host import Host
from ..model.network import Network
from ..names import RESOLVER_ADDRESS

Gateways = t.Mapping[IPAddress, Network]
_ANOTHER = "Choose another DNS server."


def refuse_loops(host: Host) -> None:
    """Raise DocklessError for a DNS server of a resolved host that cannot answer.

    That is a gateway of dockless' own, a sandbox's own address or resolver, or an address that no host can have.
    The gateway of a macvlan network is a router outside this host, as is one whose address the host does not have.
    """
    gateways = _gateways(host)
    _check(host.defaults.dns, "the host's defaults", "defaults.dns", gateways)
    for project in host.projects:
        for network in project.networks:
            _check(network.dns, f"network {network.name}", f"{network.path or network.name}.dns", gateways)
        for sandbox in project.sandboxes:
            path = f"{sandbox.path or sandbox.name}.dns"
            _check(sandbox.dns, f"sandbox {sandbox.name}", path, gateways)
            own = sandbox.all_addresses
            for index, address in enumerate(sandbox.dns):
                if str(address) in own:
                    _refuse_server(
                        f"{path}[{index}]", f"sandbox {sandbox.name}", address, "an address of its own", _ANOTHER
                    )


def _gateways(host: Host) -> Gateways:
    """Return the addresses of the host on its networks' bridges, each with its network."""
    gateways: dict[IPAddress, Network] = {}
    for network in topology.networks_by_key(host).values():
        if not network.passes_host:
            continue
        for subnet in network.subnets:
            if subnet.gateway is not None and network.has_host_address(subnet.version):
                gateways[subnet.gateway] = network
    return gateways


def _check(servers: t.Iterable[IPAddress], owner: str, path: str, gateways: Gateways) -> None:
    for index, address in enumerate(servers):
        option = f"{path}[{index}]"
        if str(address) == RESOLVER_ADDRESS:
            _refuse_server(option, owner, address, "the sandbox's own resolver", _ANOTHER)
        if address.is_unspecified or address.is_multicast:
            _refuse_server(option, owner, address, "not the address of a host", _ANOTHER)
        if address in gateways:
            _refuse_server(
                option,
                owner,
                address,
                f"the gateway of network {gateways[address].name}",
                "Remove dns to use the host's own servers, or choose another DNS server.",
            )


def _refuse_server(path: str, owner: str, address: IPAddress, reason: str, remedy: str) -> t.NoReturn:
    refuse(path, f"{owner} would forward DNS queries to {address}, which is {reason}", remedy)
