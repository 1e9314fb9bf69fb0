# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""A sandbox: its namespace, its endpoints, its default routes and its sysctls."""

from __future__ import annotations

import typing as t

from .. import names
from ..model import gateways, topology
from ..model.facts import Facts
from ..model.host import Project
from ..model.network import Network, Networks
from ..model.sandbox import MODE_CONTAINER, MODE_HOST, Endpoint, Sandbox
from ..names import ALIAS_LIMIT
from ..state.keys import Conf
from ..state.objects import Address, Netns, Object, Route, Sysctl
from .attachment import NO_IPV6_DELAY, Attachment
from .drivers import DRIVERS


def sandbox_objects(project: Project, sandbox: Sandbox, networks: Networks, facts: Facts) -> t.Iterator[Object]:
    """Yield the objects of a sandbox, none for one that uses the host's namespace."""
    if sandbox.mode == MODE_HOST:
        return
    if sandbox.mode == MODE_CONTAINER:
        yield _second_name(project, sandbox)
        return
    name = sandbox.netns_name
    confs = _interface_confs(sandbox, networks, facts)
    yield _namespace(project, sandbox, confs, facts)
    for endpoint, conf in zip(sandbox.endpoints, confs):
        network = networks[endpoint.network]
        yield from _inside(endpoint, name)
        attachment = Attachment(endpoint, network, name, conf, is_published=bool(sandbox.ports))
        yield from DRIVERS[network.driver].endpoint(attachment, facts)
    yield from _default_routes(sandbox, name, networks)
    for key, value in sandbox.sysctls:
        yield Sysctl(name, key, value)


def _second_name(project: Project, sandbox: Sandbox) -> Netns:
    """Return the name that a sandbox with network_mode container: gives its partner's namespace."""
    name = sandbox.netns_name
    others = {other.name: other for other in project.sandboxes}
    return Netns(name, names.label(project.name, name), partner=topology.effective_netns(others, sandbox))


def _namespace(project: Project, sandbox: Sandbox, confs: t.Sequence[Conf], facts: Facts) -> Netns:
    """Return the sandbox's namespace. Settings of all interfaces are written once, as defaults of new interfaces."""
    name = sandbox.netns_name
    if sandbox.attach is None:
        shared = set.intersection(*map(set, confs)) if confs else set()
        return Netns(name, names.label(project.name, name), defaults=tuple(sorted(shared)))
    found = [(inode, path) for attached, inode, path in facts.attached if attached == sandbox.name]
    inode, source = found[0] if found else (0, "")
    return Netns(name, _label_of_attached(project, sandbox, name), inode, source=source)


def _label_of_attached(project: Project, sandbox: Sandbox, name: str) -> str:
    """Return the mark with every name that dockless gives an attached namespace.

    Others name it too, and their names are not to be removed.
    """
    shared = [
        other.netns_name
        for other in project.sandboxes
        if other.mode == MODE_CONTAINER and other.partner == sandbox.name
    ]
    label = names.label(project.name, " ".join((name, *sorted(shared))))
    return label if len(label) < ALIAS_LIMIT else label[:ALIAS_LIMIT].rpartition(" ")[0]


def _interface_confs(sandbox: Sandbox, networks: Networks, facts: Facts) -> list[Conf]:
    """Return the settings of each endpoint's interface."""
    has_several = len(sandbox.endpoints) > 1
    has_ipv6 = not sandbox.disables_ipv6
    joined = [networks[endpoint.network] for endpoint in sandbox.endpoints]
    return [_interface_conf(network, has_several, has_ipv6, facts) for network in joined]


def _interface_conf(network: Network, has_several: bool, has_ipv6: bool, facts: Facts) -> Conf:
    conf: list[tuple[str, int]] = [("ipv4/arp_notify", 1)]
    if has_several:
        # A strict reverse-path filter drops answers to what was published by way of the other network.
        conf.append(("ipv4/rp_filter", 2))
    if facts.ipv6:
        is_enabled = has_ipv6 and network.enable_ipv6
        conf += NO_IPV6_DELAY if is_enabled else ()
        conf.append(("ipv6/disable_ipv6", int(not is_enabled)))
    return tuple(conf)


def _inside(endpoint: Endpoint, netns: str) -> t.Iterator[Object]:
    for cidr in endpoint.addresses:
        yield Address(netns, endpoint.interface_name, cidr)
    for key, value in endpoint.sysctls:
        yield Sysctl(netns, key.replace("IFNAME", endpoint.interface_name), value)


def _default_routes(sandbox: Sandbox, netns: str, networks: Networks) -> t.Iterator[Route]:
    for version, destination in ((4, "0.0.0.0/0"), (6, "::/0")):
        endpoint = gateways.gateway_endpoint(sandbox, networks, version)
        if endpoint is not None:
            via = gateways.next_hop(endpoint, networks[endpoint.network], version) or ""
            yield Route(netns, destination, endpoint.interface_name, via)
