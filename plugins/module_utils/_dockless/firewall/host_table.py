# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""The data of a host's firewall: the elements of the sets and maps in its two tables. The rules are in rules.py."""

from __future__ import annotations

import typing as t

from .. import names
from ..model import addresses, topology
from ..model.addresses import IPAddress
from ..model.gateways import are_ports_direct, trusted_links
from ..model.host import Defaults, Host
from ..model.network import GATEWAY_NAT, GATEWAY_ROUTED, GATEWAY_UNPROTECTED, Network, Networks
from ..model.overlay import Overlay
from ..names import RESOLVER_PORT
from . import port_security, published_ports
from .nft_text import Elements, SetElements, frozen, no_elements
from .port_rules import PORT_SETS
from .rules import SETS

_FAMILY = {4: "ipv4", 6: "ipv6"}  # as nft writes nf_proto


class ForwarderClient(t.NamedTuple):
    """A sandbox whose resolver queries the host's DNS forwarder: from an address, through a bridge, at an address."""

    source: str
    bridge: str
    forwarder: IPAddress


def host_elements(host: Host, networks: Networks, clients: t.Iterable[ForwarderClient] = ()) -> Elements:
    """Return the elements of both tables, by the names of their sets.

    clients: of the host's DNS forwarder.
    """
    elements = no_elements((*SETS, *PORT_SETS))
    for client in clients:
        _add_forwarder_client(client, elements)
    for network in networks.values():
        if network.passes_host:  # packets of a macvlan or ipvlan network do not pass the host's network stack
            _add_network(network, elements, host.defaults)
    _add_link_local_sources(host, networks, elements)
    elements["bridged_pairs"] = [f'"{name}"' for name in topology.bridged_ends(host)]
    published_ports.add_elements(host, networks, elements)
    port_security.add_elements(host, networks, elements)
    return frozen(elements)


def _add_forwarder_client(client: ForwarderClient, elements: SetElements) -> None:
    version = client.forwarder.version
    elements[f"forwarders{version}"].append(f"{client.forwarder} . {RESOLVER_PORT}")
    for name in ("forwarder_queries", "forwarder_connections"):
        elements[f"{name}{version}"].append(f'{client.source} . "{client.bridge}"')


def _add_link_local_sources(host: Host, networks: Networks, elements: SetElements) -> None:
    """Add the link_local_ips of endpoints, which are outside of their networks' subnets."""
    for endpoint in host.endpoints():
        bridge = networks[endpoint.network].bridge_name
        for address in endpoint.link_local_ips:
            if address.version == 4:
                elements["sources4"].append(f'{address} . "{bridge}"')


def _add_network(network: Network, elements: SetElements, defaults: Defaults) -> None:
    bridge = f'"{network.bridge_name}"'
    if network.icc:
        elements["same_bridge"].append(f"{bridge} . {bridge}")
    if network.spans_hosts:
        _add_overlay(network, network.overlay_options, bridge, elements)
    if not network.subnets:
        elements["any_source"].append(bridge)
    for subnet in network.subnets:
        elements[f"sources{subnet.version}"].append(f"{subnet.network} . {bridge}")
    _add_gateways(network, elements)
    if network.internal:
        return
    elements["all_host_addresses"].append(bridge)
    elements["not_internal"].append(bridge)
    if network.egress:
        elements["egress"].append(bridge)
    if network.ingress:
        elements["ingress"].append(bridge)
    if network.isolate == "open":
        elements["isolate_open"].append(bridge)
    for version in (4, 6):
        _add_direct_access(network, version, bridge, elements, defaults)
    _add_translation(network, bridge, elements)


def _add_gateways(network: Network, elements: SetElements) -> None:
    """Add the addresses at which sandboxes alone reach the host.

    Gateway mode nat-unprotected opens all addresses of a network, the gateway's too. A link-local subnet is left out:
    its addresses may be those of the host on another link as well.
    """
    for subnet in network.subnets:
        if subnet.network.is_link_local or not network.has_host_address(subnet.version):
            continue
        closed = elements[f"gateways{subnet.version}"]
        closed += [str(address) for address in addresses.shared_addresses(subnet.network)]
        is_open = network.gateway_mode(subnet.version) == GATEWAY_UNPROTECTED
        if subnet.gateway is not None and not is_open:
            closed.append(str(subnet.gateway))


def _add_translation(network: Network, bridge: str, elements: SetElements) -> None:
    """Add the source address translation of packets that leave a network."""
    for subnet in network.subnets:
        elements[f"attached{subnet.version}"].append(f"{subnet.network} . {bridge}")
        if network.is_masqueraded(subnet.version):
            elements[f"masqueraded{subnet.version}"].append(str(subnet.network))
            address = network.host_ipv4 if subnet.version == 4 else network.host_ipv6
            if address is not None:
                elements[f"snat{subnet.version}"].append(f"{subnet.network} : {address}")


def _add_direct_access(network: Network, version: int, bridge: str, elements: SetElements, defaults: Defaults) -> None:
    """Add which sources reach sandboxes at their own addresses, and at which ports."""
    mode = network.gateway_mode(version)
    key = f"{_FAMILY[version]} . {bridge}"
    if mode == GATEWAY_UNPROTECTED:
        elements["direct_all"].append(key)
    if mode == GATEWAY_ROUTED:
        elements["direct_ping"].append(key)
    direct = are_ports_direct(network, version, defaults)
    if direct:
        elements["direct_ports"].append(key)
    links = trusted_links(network, version, defaults)
    # Without masquerading, answers from outside are addressed to the sandbox itself.
    closed = mode == GATEWAY_NAT and network.masquerade and not direct
    for subnet in network.subnets:
        if subnet.version != version:
            continue
        elements[f"trusted{version}"] += [f'{subnet.network} . "{link}"' for link in links]
        if closed:
            elements[f"no_direct{version}"].append(str(subnet.network))


def _add_overlay(network: Network, overlay: Overlay, bridge: str, elements: SetElements) -> None:
    """Add the peers that may send to this host."""
    vni = f"{overlay.port} . 0x{overlay.vni:06x}"
    elements["vxlan_ports"].append(str(overlay.port))
    elements["vxlan_vnis"].append(vni)
    if overlay.encrypted:
        elements["encrypted_vnis"].append(vni)
    for peer in network.peers:
        version, sender = peer.vtep.version, f"{peer.vtep} . {overlay.vtep} . {vni}"
        elements[f"vxlan_peers{version}"].append(f"{peer.vtep} . {overlay.port}")
        if network.is_routed:
            macs = [names.router_mac(overlay.vni, str(vtep)) for vtep in (overlay.vtep, peer.vtep)]
            elements[f"routers{version}"].append(f"{sender}00{''.join(macs).replace(':', '')}")
        else:
            elements[f"vxlan_senders{version}"].append(sender)
    if network.is_routed:
        _add_routed_device(network, overlay, bridge, elements)


def _add_routed_device(network: Network, overlay: Overlay, bridge: str, elements: SetElements) -> None:
    """Add a routed overlay's VXLAN device, whose packets pass unchanged, and what each peer sends from."""
    device = f'"{network.vxlan_device}"'
    elements["routed_devices"].append(device)
    if not network.internal:
        elements["all_host_addresses"].append(device)
    for peer in network.peers:
        mac = names.router_mac(overlay.vni, str(peer.vtep))
        for part in peer.subnets:
            elements[f"routed_sources{part.version}"].append(f"{part} . {mac} . {device}")
    if network.icc:
        elements["same_bridge"] += [f"{bridge} . {device}", f"{device} . {bridge}"]
    for subnet in network.subnets:
        elements[f"attached{subnet.version}"].append(f"{subnet.network} . {device}")
