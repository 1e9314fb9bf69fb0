# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""What each sandbox may send by its port of a bridge: its own MAC, its own addresses, the protocols that its network has.

A table of the family bridge, because frames between two ports never meet the other table. Everything is decided on the
host's side of the pair: what a process with all rights does inside of its sandbox changes nothing here.
"""

from __future__ import annotations

import ipaddress

from .. import names
from ..model.host import Endpoint, Host, Network
from ..model.overlay import vxlan_device
from ..model.topology import Networks, turns_ipv6_off
from ..names import TABLE
from .rules import PORT_CHAINS, PORT_COUNTERS, PORT_SETS, Elements, empty, table_text

_BEGIN = f"table bridge {TABLE} {{\n"


def port_table(host: Host, networks: Networks) -> str:
    """Return the table as nft text."""
    elements = empty(PORT_SETS)
    for network in networks.values():
        if network.overlay is not None and network.overlay.mode == "l2":
            elements["unfiltered"].append(f'"{vxlan_device(network)}"')
    for project in host.projects:
        for sandbox in project.sandboxes:
            for endpoint in sandbox.endpoints:
                network = networks[endpoint.network]
                if network.macvlan is None:
                    _port(endpoint, network, bool(network.enable_ipv6) and not turns_ipv6_off(sandbox), elements)
    return _render(elements)


def port_table_in(text: str) -> str:
    """Return the table that is in the text of both."""
    begin = text.find(_BEGIN)
    return text[begin:] if begin >= 0 else ""


def empty_port_table() -> str:
    """Return the table without data: no sandbox sends anything."""
    return _render(empty(PORT_SETS))


def _render(elements: Elements) -> str:
    return table_text("bridge", PORT_COUNTERS, PORT_SETS, elements, PORT_CHAINS)


def _port(endpoint: Endpoint, network: Network, ipv6: bool, elements: Elements) -> None:
    port = f'"{names.veth_link(endpoint.project, endpoint.network, endpoint.sandbox)}"'
    if (
        not network.port_security or not network.subnets
    ):  # without subnets, addresses are whatever the sandbox gives itself
        elements["unfiltered"].append(port)
        return
    station = f"{port} . {endpoint.mac_address}"
    protocols = (["arp", "ip"] if network.enable_ipv4 else []) + (["ip6"] if ipv6 else [])
    elements["source_macs"] += [f"{station} . {protocol}" for protocol in protocols]
    addresses = [cidr.partition("/")[0] for cidr in endpoint.addresses]
    elements["source_addresses4"] += [f"{station} . {address}" for address in addresses if ":" not in address]
    if ipv6:
        own = dict.fromkeys(
            [names.link_local(endpoint.mac_address), *(address for address in addresses if ":" in address)]
        )
        elements["source_addresses6"] += [f"{station} . {address}" for address in own]
        elements["neighbours6"] += [f"{port} . 0x{int(ipaddress.IPv6Address(address)):032x}" for address in own]
