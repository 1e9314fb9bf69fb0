# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Endpoints on their networks: which exist, which addresses and names they may ask for."""

from __future__ import annotations

import typing as t

from ..errors import refuse
from ..model.host import DEFAULT_BRIDGE, Endpoint, Host, IPAddress, IPNetwork, Network, Project, Sandbox
from .networks import gateway_of, is_host_address

Key = tuple[str, str]
Networks = t.Mapping[Key, Network]
DEFAULT_KEY = ("", DEFAULT_BRIDGE)
_Taken = dict[tuple[Key, t.Any], Endpoint]  # (network, fixed address or MAC) -> who has it
_USER_DEFINED = "Join a network of your own instead, with the option networks."


def check_endpoints(host: Host, networks: Networks) -> None:
    """Raise DocklessError for unknown networks, and for addresses, MACs and interface names that cannot be had."""
    taken: _Taken = {}
    linkable: frozenset[str] | None = None
    for project in host.projects:
        for sandbox in project.sandboxes:
            endpoints = sandbox.endpoints
            if len(endpoints) > 1:
                _check_distinct(endpoints)
            for endpoint in endpoints:
                if endpoint.network == DEFAULT_KEY:
                    if linkable is None and endpoint.links:
                        linkable = _on_default_bridge(host)
                    _check_default_bridge(endpoint, linkable or frozenset())
                elif endpoint.network not in networks:
                    _unknown_network(endpoint, project, networks)
                else:
                    _check_fixed(endpoint, networks[endpoint.network], taken)
                if endpoint.mac_address:
                    _take(endpoint, endpoint.mac_address, "mac_address", taken)
                _check_links(sandbox, endpoint)


def _on_default_bridge(host: Host) -> frozenset[str]:
    return frozenset(
        sandbox.name
        for project in host.projects
        for sandbox in project.sandboxes
        if any(endpoint.network == DEFAULT_KEY for endpoint in sandbox.endpoints)
    )


def _unknown_network(endpoint: Endpoint, project: Project, networks: Networks) -> t.NoReturn:
    import difflib  # for refusals only

    own = sorted(network.name for network in project.networks)
    name = endpoint.network[1]
    close = difflib.get_close_matches(name, own, 1, 0.6)
    elsewhere = sorted(other for other, one in networks if one == name)
    if close:
        remedy = f"Did you mean {close[0]}?"
    elif elsewhere:
        remedy = f"To join that of project {elsewhere[0]}, declare networks.{name} with external: true."
    else:
        remedy = f"Declare it under networks.{name}."
    refuse(endpoint.path, f"the network {name} is not declared in project {project.name}", remedy)


def _check_distinct(endpoints: t.Sequence[Endpoint]) -> None:
    interfaces: dict[str, Endpoint] = {}
    networks: dict[Key, Endpoint] = {}
    for endpoint in endpoints:
        other = networks.setdefault(endpoint.network, endpoint)
        if other is not endpoint:
            refuse(
                endpoint.path,
                f"the sandbox {endpoint.sandbox} is on this network already ({other.path})",
                "Remove one of the two.",
            )
        if endpoint.interface_name:
            other = interfaces.setdefault(endpoint.interface_name, endpoint)
            if other is not endpoint:
                refuse(
                    endpoint.path + ".interface_name",
                    f"the interface name {endpoint.interface_name} is taken by {other.path}",
                    "Choose another name.",
                )


def _check_default_bridge(endpoint: Endpoint, linkable: frozenset[str]) -> None:
    for key in ("ipv4_address", "ipv6_address"):
        if getattr(endpoint, key) is not None:
            refuse(
                f"{endpoint.path}.{key}",
                "an address can be asked for on user-defined networks only, not on the default bridge",
                _USER_DEFINED,
            )
    if endpoint.aliases:
        refuse(
            endpoint.path + ".aliases",
            "aliases are known on user-defined networks only, not on the default bridge",
            _USER_DEFINED,
        )
    for link in endpoint.links:
        if link.sandbox not in linkable:
            refuse(
                endpoint.path,
                f"the link to {link.sandbox} leads nowhere: it is not a sandbox on the default bridge",
                f"Declare {link.sandbox} with network_mode: bridge, or remove the link.",
            )


def _check_links(sandbox: Sandbox, endpoint: Endpoint) -> None:
    for link in endpoint.links:
        if link.sandbox == sandbox.name:
            refuse(endpoint.path, f"the sandbox {sandbox.name} cannot be linked to itself", "Remove the link.")


def _check_fixed(endpoint: Endpoint, network: Network, taken: _Taken) -> None:
    for address, key in ((endpoint.ipv4_address, "ipv4_address"), (endpoint.ipv6_address, "ipv6_address")):
        if address is not None:
            check_fixed_address(network, address, f"{endpoint.path}.{key}")
            _take(endpoint, address, key, taken)


def check_fixed_address(network: Network, address: IPAddress, path: str) -> None:
    """Raise DocklessError for an address that a network cannot give: of no subnet of it, or reserved."""
    called = f"network {network.project}/{network.name}"
    subnets = [subnet for subnet in network.subnets if subnet.version == address.version]
    known = [subnet for subnet in subnets if subnet.network is not None]
    if not known:
        refuse(
            path,
            f"the {called} has no fixed IPv{address.version} subnet that {address} could be of",
            f"Give {network.path}.ipam.config a subnet.",
        )
    for subnet in known:
        found = t.cast(IPNetwork, subnet.network)
        if address not in found:
            continue
        if not is_host_address(found, address):
            refuse(path, f"{address} is the network or broadcast address of {found}", "Choose another address.")
        if address == gateway_of(network, subnet):
            refuse(path, f"{address} is the gateway of {called}", "Choose another address.")
        for name, reserved in subnet.aux_addresses:
            if address == reserved:
                refuse(path, f"{address} is reserved as {name} in {called}", "Choose another address.")
        return
    refuse(
        path,
        f"{address} is not within {', '.join(str(subnet.network) for subnet in known)} of {called}",
        "Choose an address of the subnet.",
    )


def _take(endpoint: Endpoint, what: t.Any, key: str, taken: _Taken) -> None:
    other = taken.setdefault((endpoint.network, what), endpoint)
    if other is not endpoint:
        refuse(
            f"{endpoint.path}.{key}",
            f"{what} is taken by the sandbox {other.project}/{other.sandbox} ({other.path})",
            "Choose another one.",
        )
