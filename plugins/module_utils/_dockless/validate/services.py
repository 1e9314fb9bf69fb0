# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Services beside the sandboxes of their network: names, virtual addresses and backends."""

from __future__ import annotations

import typing as t

from ..errors import refuse
from ..model.addresses import IPAddress
from ..model.host import Host
from ..model.network import SERVICE_VIP, Network, Service
from ..model.sandbox import Endpoint
from .endpoints import NetworkKey, check_fixed_address


def check_services(host: Host) -> None:
    """Raise DocklessError for names and addresses that a service cannot have, and for backends that do not exist."""
    serving = {network.key: network for network in host.networks() if network.services}
    if not serving:
        return
    members: dict[NetworkKey, list[Endpoint]] = {key: [] for key in serving}
    for endpoint in host.endpoints():
        if endpoint.network in members:
            members[endpoint.network].append(endpoint)
    for key, network in serving.items():
        _check_network(network, members[key])


def _check_network(network: Network, members: t.Sequence[Endpoint]) -> None:
    names = _sandbox_names(network, members)
    addresses = _sandbox_addresses(network, members)
    for service in network.services:
        _check_name(network, service, names)
        _check_vips(network, service, addresses)
        _check_vip_is_known(network, service)
        if not network.spans_hosts:  # of an overlay, a backend may be on another host that this one does not know
            _check_backends(network, service, [endpoint.sandbox for endpoint in members])


def _sandbox_names(network: Network, members: t.Iterable[Endpoint]) -> dict[str, str]:
    """Return the owners of names on the network, by name in lower case."""
    owners = {
        sandbox.name.lower(): f"sandbox {sandbox.name} on host {peer.name}"
        for peer in network.peers
        for sandbox in peer.sandboxes
    }
    for endpoint in members:
        owners[endpoint.sandbox.lower()] = _owner(endpoint)
    return owners


def _sandbox_addresses(network: Network, members: t.Iterable[Endpoint]) -> dict[IPAddress, str]:
    """Return the owners of declared addresses on the network."""
    owners = {
        address: f"sandbox {sandbox.name} on host {peer.name}"
        for peer in network.peers
        for sandbox in peer.sandboxes
        for address in sandbox.addresses
    }
    for endpoint in members:
        for address in (endpoint.ipv4_address, endpoint.ipv6_address):
            if address is not None:
                owners[address] = _owner(endpoint)
    return owners


def _owner(endpoint: Endpoint) -> str:
    return f"sandbox {endpoint.project}/{endpoint.sandbox} ({endpoint.path})"


def _check_name(network: Network, service: Service, names: dict[str, str]) -> None:
    owner = f"another service ({service.path})"
    other = names.setdefault(service.name.lower(), owner)
    if other != owner:
        refuse(
            service.path,
            f"the name {service.name} on network {network.project}/{network.name} is taken by {other}",
            "Rename one of the two.",
        )


def _check_vips(network: Network, service: Service, addresses: dict[IPAddress, str]) -> None:
    owner = f"service {service.name} ({service.path})"
    path = service.path + ".vip"
    for vip in service.vips:
        check_fixed_address(network, vip, path)
        other = addresses.setdefault(vip, owner)
        if other != owner:
            refuse(path, f"{vip} is taken by {other}", "Choose another address.")


def _check_vip_is_known(network: Network, service: Service) -> None:
    """Raise DocklessError if this host would choose an address of an overlay that another host may choose too."""
    needs_vip = service.mode == SERVICE_VIP and not service.vips
    has_own_range = all(request.ip_range is not None for request in network.subnet_requests)
    if network.spans_hosts and needs_vip and not has_own_range:
        refuse(
            service.path + ".vip",
            f"service {service.name} has no address on overlay network {network.name}, and this host cannot know "
            "which ones are free on the other hosts",
            "Set vip, or give the subnet an ip_range of this host's own. The role overlay sets it on all hosts.",
        )


def _check_backends(network: Network, service: Service, members: t.Sequence[str]) -> None:
    for backend in service.backends or ():
        if backend.sandbox not in members:
            import difflib  # only a refusal pays for the import

            similar = difflib.get_close_matches(backend.sandbox, members, 1, 0.6)
            refuse(
                f"{service.path}.sandboxes.{backend.sandbox}",
                f"sandbox {backend.sandbox} is not on network {network.project}/{network.name}",
                f"Did you mean {similar[0]}?" if similar else "Connect it, or remove it from the service.",
            )
