# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Port security: what each sandbox may send into its bridge. Its own MAC, its own addresses, its network's protocols.

A VXLAN device is a port too, and may send what the sandboxes of other hosts may.

The table has the family bridge, because frames between two ports of a bridge never pass the other table. It is
evaluated on the host's end of the veth pair, so a process with all privileges inside a sandbox cannot change it.
"""

from __future__ import annotations

import ipaddress
import typing as t

from .. import names
from ..model.host import Host
from ..model.network import Network, Networks
from ..model.sandbox import Endpoint
from .nft_text import SetElements


def add_elements(host: Host, networks: Networks, elements: SetElements) -> None:
    """Add what each bridge port may send to the sets of table bridge dockless."""
    for network in networks.values():
        if network.spans_hosts and not network.is_routed:
            _add_tunnel(network, elements)
    for sandbox in host.sandboxes():
        for endpoint in sandbox.endpoints:
            network = networks[endpoint.network]
            has_ipv6 = network.enable_ipv6 and not sandbox.disables_ipv6
            if network.passes_host:
                _add_port(endpoint, network, has_ipv6, elements)
            if network.is_evpn:
                _add_local(network, endpoint.mac_address, _addresses(endpoint), elements)


def _add_tunnel(network: Network, elements: SetElements) -> None:
    """Add what a VXLAN device may receive: the sandboxes of the network's peers."""
    device = f'"{network.vxlan_device}"'
    if not network.checks_ports:
        elements["unfiltered"].append(device)
    elif network.is_evpn:
        for subnet in network.subnets:
            elements[f"learned_subnets{subnet.version}"].append(f"{subnet.network} . {device}")
        gateways = [str(subnet.gateway) for subnet in network.subnets if subnet.gateway is not None]
        _add_local(network, names.bridge_mac(network.project, network.name), gateways, elements)
    else:
        for peer in network.peers:
            for sandbox in peer.sandboxes:
                station = f"{device} . {network.peer_mac(sandbox)}"
                for address in sandbox.addresses:
                    elements[f"source_addresses{address.version}"].append(f"{station} . {address}")


def _add_local(network: Network, mac: str, addresses: t.Iterable[str], elements: SetElements) -> None:
    """Add what no peer of an overlay with EVPN may send from, because it belongs to this host."""
    device = f'"{network.vxlan_device}"'
    elements["local_macs"].append(f"{mac} . {device}")
    for address in addresses:
        elements["local_addresses6" if ":" in address else "local_addresses4"].append(f"{address} . {device}")


def _addresses(endpoint: Endpoint) -> list[str]:
    """Return the addresses of an endpoint without their prefix lengths."""
    return [cidr.partition("/")[0] for cidr in endpoint.addresses]


def _add_port(endpoint: Endpoint, network: Network, has_ipv6: bool, elements: SetElements) -> None:
    port = f'"{names.veth_link(endpoint.project, endpoint.network, endpoint.sandbox)}"'
    if not network.checks_ports:
        elements["unfiltered"].append(port)
        return
    station = f"{port} . {endpoint.mac_address}"
    addresses = _addresses(endpoint)
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
