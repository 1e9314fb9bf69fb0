# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Port security: what each sandbox may send into its bridge. Its own MAC, its own addresses, its network's protocols.

The table has the family bridge, because frames between two ports of a bridge never pass the other table. It is
evaluated on the host's end of the veth pair, so a process with all privileges inside a sandbox cannot change it.
"""

from __future__ import annotations

import ipaddress

from .. import names
from ..model.host import Host
from ..model.network import Network, Networks
from ..model.sandbox import Endpoint
from .nft_text import SetElements


def add_elements(host: Host, networks: Networks, elements: SetElements) -> None:
    """Add what each bridge port may send to the sets of table bridge dockless."""
    for network in networks.values():
        if network.spans_hosts and not network.is_routed:
            elements["unfiltered"].append(f'"{network.vxlan_device}"')
    for sandbox in host.sandboxes():
        for endpoint in sandbox.endpoints:
            network = networks[endpoint.network]
            has_ipv6 = network.enable_ipv6 and not sandbox.disables_ipv6
            if network.passes_host:
                _add_port(endpoint, network, has_ipv6, elements)


def _add_port(endpoint: Endpoint, network: Network, has_ipv6: bool, elements: SetElements) -> None:
    port = f'"{names.veth_link(endpoint.project, endpoint.network, endpoint.sandbox)}"'
    if not network.checks_ports:
        elements["unfiltered"].append(port)
        return
    station = f"{port} . {endpoint.mac_address}"
    addresses = [cidr.partition("/")[0] for cidr in endpoint.addresses]
    if network.enable_ipv4:
        elements["source_macs"] += [f"{station} . arp", f"{station} . ip"]
    if has_ipv6:
        elements["source_macs"].append(f"{station} . ip6")
    elements["source_addresses4"] += [f"{station} . {address}" for address in addresses if ":" not in address]
    if has_ipv6:
        ipv6_addresses = [address for address in addresses if ":" in address]
        for address in dict.fromkeys([names.link_local(endpoint.mac_address), *ipv6_addresses]):
            elements["source_addresses6"].append(f"{station} . {address}")
            elements["neighbours6"].append(f"{port} . 0x{int(ipaddress.IPv6Address(address)):032x}")
