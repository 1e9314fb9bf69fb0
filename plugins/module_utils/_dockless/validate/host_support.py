# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Refusals and warnings that depend on the host: forwarding, IPv6, addresses that it does not have."""

from __future__ import annotations

import typing as t

from ..errors import DocklessError
from ..model import addresses
from ..model.facts import Facts
from ..model.host import Host, Network
from . import macvlan, overlay


def refuse_without_forwarding(host: Host, facts: Facts) -> None:
    """Forwarding is the host's own setting: turning it on silently would make it a router for all its links."""
    for project in host.projects:
        for network in project.networks:
            joined = any(e.network == network.key for p in host.projects for s in p.sandboxes for e in s.endpoints)
            if network.internal or network.macvlan is not None or not joined:
                continue
            for version, on, key in (
                (4, facts.forwarding4, "net.ipv4.ip_forward"),
                (6, facts.forwarding6, "net.ipv6.conf.all.forwarding"),
            ):
                if not on and any(s.version == version for s in network.subnets):
                    raise DocklessError(
                        f"network {network.name} leads out of the host by IPv{version}, and {key} is 0",
                        f"Set {key} to 1 (the role dockless.network.prerequisites does), or make the network internal.",
                        network.path,
                    )


def _published_nowhere(host: Host, facts: Facts, project: str | None) -> list[str]:
    """Return a sentence for each address that ports are on and the host has not: it may get it later, so that is no error."""
    own = {*facts.addresses, *(s.gateway for p in host.projects for n in p.networks for s in n.subnets)}
    asked = {
        (m.host_ip, s.name)
        for p in host.projects
        if project in (None, p.name)
        for s in p.sandboxes
        for m in s.ports
        if m.host_ip is not None
    }
    return [
        f"ports of sandbox {name} are published on {address}, which is no address of this host at present: nobody reaches them there"
        for address, name in sorted(asked, key=str)
        if address not in own and not address.is_loopback and not address.is_unspecified
    ]


def _leaving_as_another(networks: t.Iterable[Network], facts: Facts) -> list[str]:
    """Return a sentence for each address that packets should leave with and the host has not; it may be led here all the same."""
    return [
        f"what leaves network {network.name} carries {address}, which is no address of this host at present: answers come back only if they are led here"
        for network in networks
        for address in (network.host_ipv4, network.host_ipv6)
        if address is not None and address not in facts.addresses
    ]


def warnings(host: Host, facts: Facts, project: str | None) -> list[str]:
    warnings = [w for p in host.projects if project in (None, p.name) for w in p.warnings]
    warnings += overlay.warnings(host.projects)
    warnings += _published_nowhere(host, facts, project)
    for each in host.projects:
        warnings += _leaving_as_another(each.networks, facts) if project in (None, each.name) else []
        for network in each.networks:
            if network.macvlan is not None:  # of the same subnet as the host's own link, as a rule
                warnings += macvlan.warnings(network, facts) if project in (None, each.name) else []
                continue
            for subnet in network.subnets:
                clash = addresses.overlaps(subnet.network, facts.routes) if subnet.network else None
                if clash is not None:
                    warnings.append(
                        f"subnet {subnet.network} of network {network.name} overlaps the host's route to "
                        f"{clash}: sandboxes cannot reach what is behind it"
                    )
    return warnings


def refuse_missing_families(host: Host, facts: Facts) -> None:
    """Raise DocklessError where a network needs IPv6 and the kernel has none."""
    for project in host.projects:
        for network in project.networks:
            if network.enable_ipv6 and not facts.ipv6:
                raise DocklessError(
                    f"network {network.name} needs IPv6, which is off in this kernel",
                    "Boot without ipv6.disable=1, or set enable_ipv6 to false.",
                    network.path,
                )
