# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Endpoints on their networks: whether the networks exist, and which addresses, MACs and names endpoints can have."""

from __future__ import annotations

import typing as t

from ..allocate import ipam
from ..errors import refuse
from ..model.addresses import IPAddress
from ..model.host import Host, Project
from ..model.network import DEFAULT_BRIDGE, Network
from ..model.sandbox import Endpoint, Sandbox

NetworkKey = tuple[str, str]  # (project, network)
Networks = t.Mapping[NetworkKey, Network]
DEFAULT_KEY = ("", DEFAULT_BRIDGE)
# (network, fixed address or MAC) -> the endpoint that has it
_Taken = dict[tuple[NetworkKey, t.Union[IPAddress, str]], Endpoint]
_USER_DEFINED = "Connect the sandbox to a user-defined network instead, with the option networks."


def check_endpoints(host: Host, networks: Networks) -> None:
    """Raise DocklessError for unknown networks, and for addresses, MACs, interface names and links that cannot be."""
    taken: _Taken = {}
    on_default_bridge = {endpoint.sandbox for endpoint in host.endpoints() if endpoint.network == DEFAULT_KEY}
    for project in host.projects:
        for sandbox in project.sandboxes:
            if len(sandbox.endpoints) > 1:
                _check_distinct(sandbox.endpoints)
            for endpoint in sandbox.endpoints:
                if endpoint.network == DEFAULT_KEY:
                    _check_default_bridge(endpoint, on_default_bridge)
                elif endpoint.network in networks:
                    _check_declared_addresses(endpoint, networks[endpoint.network], taken)
                else:
                    _refuse_unknown_network(endpoint, project, networks)
                if endpoint.mac_address:
                    _take(endpoint, endpoint.mac_address, "mac_address", taken)
                _check_links(sandbox, endpoint)


def check_fixed_address(network: Network, address: IPAddress, path: str) -> None:
    """Raise DocklessError for a declared address that is in no subnet of the network, or reserved there."""
    owner = f"network {network.project}/{network.name}"
    subnets = [subnet for subnet in network.fixed_subnets if subnet.version == address.version]
    if not subnets:
        refuse(
            path,
            f"{owner} has no declared IPv{address.version} subnet that could contain {address}",
            f"Set {network.path}.ipam.config[0].subnet.",
        )
    for subnet in subnets:
        if address not in subnet.network:
            continue
        if not ipam.is_usable(subnet.network, address):
            refuse(
                path, f"{address} is the network or broadcast address of {subnet.network}", "Choose another address."
            )
        if address == ipam.subnet_gateway(network, subnet):
            refuse(path, f"{address} is the gateway of {owner}", "Choose another address.")
        for name, reserved in subnet.aux_addresses:
            if address == reserved:
                refuse(path, f"{address} is the auxiliary address {name} of {owner}", "Choose another address.")
        return
    ranges = ", ".join(str(subnet.network) for subnet in subnets)
    refuse(path, f"{address} is not within {ranges} of {owner}", "Choose an address of the subnet.")


def _refuse_unknown_network(endpoint: Endpoint, project: Project, networks: Networks) -> t.NoReturn:
    import difflib  # only a refusal pays for the import

    own_names = sorted(network.name for network in project.networks)
    name = endpoint.network[1]
    similar = difflib.get_close_matches(name, own_names, 1, 0.6)
    other_projects = sorted(owner for owner, network in networks if network == name)
    if similar:
        remedy = f"Did you mean {similar[0]}?"
    elif other_projects:
        remedy = f"To join the one of project {other_projects[0]}, declare networks.{name} with external: true."
    else:
        remedy = f"Declare it under networks.{name}."
    refuse(endpoint.path, f"network {name} is not declared in project {project.name}", remedy)


def _check_distinct(endpoints: t.Sequence[Endpoint]) -> None:
    """Raise DocklessError if two endpoints of a sandbox are on one network or have one interface name."""
    interfaces: dict[str, Endpoint] = {}
    networks: dict[NetworkKey, Endpoint] = {}
    for endpoint in endpoints:
        other = networks.setdefault(endpoint.network, endpoint)
        if other is not endpoint:
            refuse(
                endpoint.path,
                f"sandbox {endpoint.sandbox} is on this network already ({other.path})",
                "Remove one of the two.",
            )
        if endpoint.interface_name:
            other = interfaces.setdefault(endpoint.interface_name, endpoint)
            if other is not endpoint:
                refuse(
                    endpoint.path + ".interface_name",
                    f"interface name {endpoint.interface_name} is taken by {other.path}",
                    "Choose another name.",
                )


def _check_default_bridge(endpoint: Endpoint, on_default_bridge: t.Container[str]) -> None:
    for option in ("ipv4_address", "ipv6_address"):
        if getattr(endpoint, option) is not None:
            refuse(
                f"{endpoint.path}.{option}",
                "a sandbox cannot choose its address on the default bridge, only on user-defined networks",
                _USER_DEFINED,
            )
    if endpoint.aliases:
        refuse(
            endpoint.path + ".aliases",
            "aliases do not work on the default bridge, only on user-defined networks",
            _USER_DEFINED,
        )
    for link in endpoint.links:
        if link.sandbox not in on_default_bridge:
            refuse(
                endpoint.path,
                f"the link to {link.sandbox} has no target, because no sandbox of that name is on the default bridge",
                f"Declare {link.sandbox} with network_mode: bridge, or remove the link.",
            )


def _check_links(sandbox: Sandbox, endpoint: Endpoint) -> None:
    for link in endpoint.links:
        if link.sandbox == sandbox.name:
            refuse(endpoint.path, f"sandbox {sandbox.name} cannot be linked to itself", "Remove the link.")


def _check_declared_addresses(endpoint: Endpoint, network: Network, taken: _Taken) -> None:
    for address, option in ((endpoint.ipv4_address, "ipv4_address"), (endpoint.ipv6_address, "ipv6_address")):
        if address is not None:
            check_fixed_address(network, address, f"{endpoint.path}.{option}")
            _take(endpoint, address, option, taken)


def _take(endpoint: Endpoint, value: IPAddress | str, option: str, taken: _Taken) -> None:
    other = taken.setdefault((endpoint.network, value), endpoint)
    if other is not endpoint:
        refuse(
            f"{endpoint.path}.{option}",
            f"{value} is taken by sandbox {other.project}/{other.sandbox} ({other.path})",
            "Choose another one.",
        )
