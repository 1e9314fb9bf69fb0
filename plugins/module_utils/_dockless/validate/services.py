# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Services beside the sandboxes of their network: names, virtual addresses, and who can be behind them."""

from __future__ import annotations

import typing as t

from ..errors import refuse
from ..model.host import SERVICE_VIP, Endpoint, Host, IPAddress, Network, Service
from .endpoints import check_fixed_address


def check_services(host: Host) -> None:
    """Raise DocklessError for names and addresses that a service cannot have, and for sandboxes that cannot be behind it."""
    serving = {network.key: network for project in host.projects for network in project.networks if network.services}
    if not serving:
        return
    members: dict[tuple[str, str], list[Endpoint]] = {key: [] for key in serving}
    for project in host.projects:
        for sandbox in project.sandboxes:
            for endpoint in sandbox.endpoints:
                if endpoint.network in members:
                    members[endpoint.network].append(endpoint)
    for key, network in serving.items():
        _check_network(network, members[key])


def _check_network(network: Network, members: t.Sequence[Endpoint]) -> None:
    here = {
        endpoint.sandbox.lower(): f"the sandbox {endpoint.project}/{endpoint.sandbox} ({endpoint.path})"
        for endpoint in members
    }
    there = {
        sandbox.name.lower(): f"the sandbox {sandbox.name} on host {peer.name}"
        for peer in network.peers
        for sandbox in peer.sandboxes
    }
    called = {**there, **here}
    taken: dict[IPAddress, str] = {
        address: f"the sandbox {sandbox.name} on host {peer.name}"
        for peer in network.peers
        for sandbox in peer.sandboxes
        for address in sandbox.addresses
    }
    taken.update(
        {
            address: f"the sandbox {endpoint.project}/{endpoint.sandbox} ({endpoint.path})"
            for endpoint in members
            for address in (endpoint.ipv4_address, endpoint.ipv6_address)
            if address is not None
        }
    )
    for service in network.services:
        other = called.setdefault(service.name.lower(), f"another service ({service.path})")
        if service.path not in other:
            refuse(
                service.path,
                f"the name {service.name} on network {network.project}/{network.name} is that of {other}",
                "Rename one.",
            )
        for vip in service.vips:
            path = service.path + ".vip"
            check_fixed_address(network, vip, path)
            other = taken.setdefault(vip, f"the service {service.name} ({service.path})")
            if service.path not in other:
                refuse(path, f"{vip} is taken by {other}", "Choose another one.")
        _check_choice(network, service)
        if network.overlay is None:  # a sandbox of another host may be known there only
            _check_backends(network, service, [endpoint.sandbox for endpoint in members])


def _check_choice(network: Network, service: Service) -> None:
    if (
        network.overlay is not None
        and service.mode == SERVICE_VIP
        and not service.vips
        and any(subnet.ip_range is None for subnet in network.subnets)
    ):
        refuse(
            service.path + ".vip",
            f"the service {service.name} has no address on the overlay network {network.name}, and a host alone cannot know which are free",
            "Give it a vip, or the subnet an ip_range of this host's own. The role overlay fills it in for all hosts at once.",
        )


def _check_backends(network: Network, service: Service, members: t.Sequence[str]) -> None:
    for backend in service.backends or ():
        if backend.sandbox not in members:
            import difflib  # for refusals only

            close = difflib.get_close_matches(backend.sandbox, members, 1, 0.6)
            refuse(
                f"{service.path}.sandboxes.{backend.sandbox}",
                f"the sandbox {backend.sandbox} is not on network {network.project}/{network.name}",
                f"Did you mean {close[0]}?" if close else "Connect it, or take it out of the service.",
            )
