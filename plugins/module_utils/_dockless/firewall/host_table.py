# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""The whole firewall of a host: two tables in one text, whose rules are static (chains.py) and whose data are in sets and maps."""

from __future__ import annotations

import typing as t

from ..model.gateways import are_ports_direct, is_translated, mode_of, trusted_links
from ..model.host import GATEWAY_NAT, GATEWAY_ROUTED, GATEWAY_UNPROTECTED, Defaults, Host, IPAddress, Network, Overlay
from ..model.overlay import vxlan_device
from ..model.topology import Networks
from ..names import RESOLVER_PORT
from . import port_security, published_ports
from .rules import CHAINS, COUNTERS, SETS, Elements, empty, table_text

_FAMILY = {4: "ipv4", 6: "ipv6"}


def host_table(
    host: Host, networks: Networks, no_transit: t.Collection[int] = (), forwarders: t.Collection[IPAddress] = ()
) -> str:
    """Return the tables as nft text: the same for the same host, whatever the order of declaration.

    no_transit are the families (4, 6) that the host forwards for our networks' sake alone. forwarders are its addresses that
    sandboxes ask for names from outside.
    """
    elements = empty(SETS)
    elements["no_transit"] = [_FAMILY[version] for version in no_transit]
    for address in forwarders:
        elements[f"forwarders{address.version}"].append(f"{address} . {RESOLVER_PORT}")
    for network in networks.values():
        if network.macvlan is None:  # the packets of one that has a parent do not pass this host
            _network(network, elements, host.defaults)
    for endpoint in (e for p in host.projects for s in p.sandboxes for e in s.endpoints):
        bridge = networks[endpoint.network].bridge_name
        elements["sources4"] += [
            f'{address} . "{bridge}"' for address in endpoint.link_local_ips if address.version == 4
        ]
    published_ports.add_elements(host, networks, elements)
    return render(elements) + port_security.port_table(host, networks)


def empty_table(ports: str = "") -> str:
    """Return the tables without data: everything of ours is guarded, nothing is published. ports is the second, where there is one to have."""
    return render(empty(SETS)) + (ports or port_security.empty_port_table())


def render(elements: Elements) -> str:
    """Return the table of the family inet for given elements."""
    return table_text("inet", COUNTERS, SETS, elements, CHAINS)


def _network(network: Network, elements: Elements, defaults: Defaults) -> None:
    bridge = f'"{network.bridge_name}"'
    if network.icc:
        elements["same_bridge"].append(f"{bridge} . {bridge}")
    if network.overlay is not None:
        _tunnel(network, network.overlay, bridge, elements)
    if network.subnets:
        elements["bridges"].append(bridge)
        for subnet in network.subnets:
            elements[f"sources{subnet.version}"].append(f"{subnet.network} . {bridge}")
    if network.internal:
        elements["gateway_only"].append(bridge)
        return
    elements["not_internal"].append(bridge)
    for name, wanted in (
        ("egress", network.egress),
        ("ingress", network.ingress),
        ("isolate_open", network.isolate == "open"),
    ):
        if wanted:
            elements[name].append(bridge)
    for version in (4, 6):
        _direct(network, version, bridge, elements, defaults)
    for subnet in network.subnets:
        elements[f"attached{subnet.version}"].append(f"{subnet.network} . {bridge}")
        if is_translated(network, subnet.version):
            elements[f"masqueraded{subnet.version}"].append(str(subnet.network))
            address = network.host_ipv4 if subnet.version == 4 else network.host_ipv6
            if address is not None:
                elements[f"snat{subnet.version}"].append(f"{subnet.network} : {address}")


def _direct(network: Network, version: int, bridge: str, elements: Elements, defaults: Defaults) -> None:
    """Note who reaches sandboxes at their own addresses, and what there."""
    mode = mode_of(network, version)
    key = f"{_FAMILY[version]} . {bridge}"
    if mode == GATEWAY_UNPROTECTED:
        elements["direct_all"].append(key)
    if mode == GATEWAY_ROUTED:
        elements["direct_ping"].append(key)
    direct = are_ports_direct(network, version, defaults)
    if direct:
        elements["direct_ports"].append(key)
    links = trusted_links(network, version, defaults)
    for subnet in (subnet for subnet in network.subnets if subnet.version == version):
        elements[f"trusted{version}"] += [f'{subnet.network} . "{link}"' for link in links]
        # Where nothing is masqueraded, answers to the sandbox come addressed to it.
        if mode == GATEWAY_NAT and network.masquerade and not direct:
            elements[f"no_direct{version}"].append(str(subnet.network))


def _tunnel(network: Network, overlay: Overlay, bridge: str, elements: Elements) -> None:
    """Let in what the other hosts send. What a routed network's device carries is let through to the bridge and back, unchanged."""
    elements["vxlan_ports"].append(str(overlay.port))
    if overlay.encrypted:
        elements["encrypted_ports"].append(str(overlay.port))
    for peer in network.peers:
        elements[f"vxlan_peers{peer.vtep.version}"].append(f"{peer.vtep} . {overlay.port}")
    if overlay.mode == "routed":
        device = f'"{vxlan_device(network)}"'
        elements["same_bridge"] += [f"{bridge} . {device}", f"{device} . {bridge}"] if network.icc else []
        for subnet in network.subnets:
            elements[f"attached{subnet.version}"].append(f"{subnet.network} . {device}")
