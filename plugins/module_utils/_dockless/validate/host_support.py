# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Refusals and warnings that depend on the host: forwarding, IPv6, and addresses that the host does not have."""

from __future__ import annotations

import typing as t

from ..allocate.leases import NO_LEASES, Leases
from ..errors import DocklessError
from ..model import addresses
from ..model.facts import Facts
from ..model.host import Host, Project
from ..model.network import Network, Subnet
from . import macvlan, overlay


def refuse_without_forwarding(host: Host, facts: Facts) -> None:
    """Raise DocklessError if a network needs forwarding, and the host does not forward.

    dockless does not turn it on: it is the host's own setting, and would make the host a router for all its links.
    """
    for network, version, sysctl in _without_forwarding(host, facts):
        raise DocklessError(
            f"network {network.name} needs IPv{version} forwarding, but {sysctl} is 0",
            f"Set {sysctl} to 1 (the role dockless.network.prerequisites does), or make the network internal.",
            network.path,
        )


def missing_forwarding(host: Host, facts: Facts) -> list[str]:
    """Return the same as warnings, for the boot: the program that turns forwarding on can start later."""
    return [
        f"Network {network.name} needs IPv{version} forwarding, but {sysctl} is 0. Nothing leaves or enters it until "
        "another program sets it to 1."
        for network, version, sysctl in _without_forwarding(host, facts)
    ]


def _without_forwarding(host: Host, facts: Facts) -> t.Iterator[tuple[Network, int, str]]:
    """Yield each network that needs forwarding which is off, with the IP version and the sysctl."""
    used = {endpoint.network for endpoint in host.endpoints()}
    settings = (
        (4, facts.forwarding4, "net.ipv4.ip_forward"),
        (6, facts.forwarding6, "net.ipv6.conf.all.forwarding"),
    )
    for network in host.networks():
        if network.internal or not network.passes_host or network.key not in used:
            continue
        for version, is_on, sysctl in settings:
            if not is_on and any(subnet.version == version for subnet in network.subnets):
                yield network, version, sysctl


def refuse_missing_families(host: Host, facts: Facts) -> None:
    """Raise DocklessError if a network needs IPv6 and the kernel does not have it."""
    for network in host.networks():
        if network.enable_ipv6 and not facts.ipv6:
            raise DocklessError(
                f"network {network.name} needs IPv6, but this kernel has it disabled",
                "Boot without ipv6.disable=1, or set enable_ipv6 to false.",
                network.path,
            )


def refuse_own_addresses(host: Host, facts: Facts, leases: t.Mapping[str, Leases], project: str | None) -> None:
    """Raise DocklessError if a new subnet contains an address of the host, a next hop or the client of this session.

    The host would send packets for it into the network, and drop what arrives for it: an operator who declared the
    subnet of the host's own link, or of the own desk, lost the session. A subnet that an earlier run has recorded is
    only reported, because the host got the address later, and its networks work.
    """
    for network, subnet in _subnets_on_host(host):
        is_selected = project is None or network.project in (project, "")
        recorded = leases.get(network.project, NO_LEASES).networks.get(network.name, ())
        is_new = is_selected and str(subnet.network) not in recorded
        conflict = _conflict(subnet, facts) or _session_conflict(subnet, facts) if is_new else None
        if conflict is not None:
            raise DocklessError(
                f"subnet {subnet.network} of network {network.name} contains {conflict}. Packets to that address would "
                "go into the network",
                "Choose a subnet that no link, route or administrator of this host uses.",
                network.path,
            )


def warnings(host: Host, facts: Facts, project: str | None) -> list[str]:
    """Return the warnings of a resolved host. project limits those that concern one project; None is all of them.

    Overlays and overlapping routes are reported for every project.
    """
    selected = [each for each in host.projects if project in (None, each.name)]
    found = [warning for each in selected for warning in each.warnings]
    found += overlay.warnings(host.projects)
    found += _unreachable_ports(host, selected, facts)
    found += _own_addresses(host, facts)
    for each in host.projects:
        is_selected = project in (None, each.name)
        if is_selected:
            found += _foreign_sources(each.networks, facts)
        for network in each.networks:
            if network.passes_host:
                found += _shadowed_routes(network, facts)
            elif is_selected:  # its subnet is usually that of the host's own link, so overlaps are wanted
                found += macvlan.warnings(network, facts)
    return found


def _subnets_on_host(host: Host) -> t.Iterator[tuple[Network, Subnet]]:
    """Yield the subnets that a route of the host is for, with their networks.

    IPv6 link-local ones are left out: every link has its own fe80::/64, and its addresses are valid on that link only.
    """
    for network in host.networks():
        if not network.passes_host:
            continue
        for subnet in network.subnets:
            if subnet.version == 4 or not subnet.network.is_link_local:
                yield network, subnet


def _conflict(subnet: Subnet, facts: Facts) -> str | None:
    """Return what of the host is in a subnet, None if nothing is."""
    for address in facts.addresses:
        if address in subnet.network:
            return f"{address}, which is an address of this host"
    for address in facts.next_hops:
        if address in subnet.network:
            return f"{address}, which is the next hop of a route of this host"
    return None


def _session_conflict(subnet: Subnet, facts: Facts) -> str | None:
    """Return the client of this session if it is in a subnet. A client in an existing network is its sandbox."""
    for address in facts.session_peers:
        if address in subnet.network:
            return f"{address}, from where this session controls the host"
    return None


def _own_addresses(host: Host, facts: Facts) -> t.Iterator[str]:
    """Yield a warning for each subnet that contains an address of the host, which the host got after the network."""
    for network, subnet in _subnets_on_host(host):
        conflict = _conflict(subnet, facts)
        if conflict is not None:
            yield (
                f"Subnet {subnet.network} of network {network.name} contains {conflict}. Sandboxes and this host "
                "cannot reach other addresses of that subnet outside the network. Choose another subnet."
            )


def _unreachable_ports(host: Host, projects: t.Iterable[Project], facts: Facts) -> t.Iterator[str]:
    """Yield a warning for each host address of published ports that the host does not have.

    That is no error, because the host may get the address later.
    """
    gateways = {subnet.gateway for network in host.networks() for subnet in network.subnets}
    published = {
        (mapping.host_ip, sandbox.name)
        for project in projects
        for sandbox in project.sandboxes
        for mapping in sandbox.ports
        if mapping.host_ip is not None
    }
    for address, sandbox_name in sorted(published, key=str):
        is_own = address in facts.addresses or address in gateways
        if not is_own and not address.is_loopback and not address.is_unspecified:
            yield (
                f"Ports of sandbox {sandbox_name} are published on {address}, but this host has no such address. "
                "They are unreachable until it is added."
            )


def _foreign_sources(networks: t.Iterable[Network], facts: Facts) -> t.Iterator[str]:
    """Yield a warning for each source address of a network's egress that the host does not have.

    That is no error, because the address may be routed to the host.
    """
    for network in networks:
        for address in (network.host_ipv4, network.host_ipv6):
            if address is not None and address not in facts.addresses:
                yield (
                    f"Packets that leave network {network.name} have the source address {address}, but this host has "
                    "no such address. Replies arrive only if it is routed to this host."
                )


def _shadowed_routes(network: Network, facts: Facts) -> t.Iterator[str]:
    """Yield a warning for each subnet that hides a route of the host."""
    for subnet in network.subnets:
        route = addresses.overlaps(subnet.network, facts.routes)
        if route is not None:
            yield (
                f"Subnet {subnet.network} of network {network.name} overlaps the route of this host to {route}. "
                "Sandboxes cannot reach addresses behind that route."
            )
