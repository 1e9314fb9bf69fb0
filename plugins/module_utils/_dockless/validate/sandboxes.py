# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Names, network namespaces and partners of sandboxes, and the interfaces of veth pairs."""

from __future__ import annotations

import typing as t

from ..errors import refuse
from ..model.host import Host, Project
from ..model.sandbox import MODE_CONTAINER, MODE_HOST, Sandbox

_Interface = tuple[str, str]  # (namespace or "" for the host's own, name)


def check_sandboxes(host: Host) -> None:
    """Raise DocklessError for names and namespaces that two sandboxes have, and for partners that cannot be shared."""
    by_name: dict[str, Sandbox] = {}
    by_netns: dict[str, Sandbox] = {}
    for project in host.projects:
        for sandbox in project.sandboxes:
            other = by_name.setdefault(sandbox.name, sandbox)
            if other is not sandbox:
                refuse(
                    sandbox.path,
                    f"sandbox {sandbox.name} is declared in the projects {other.project} and {project.name}",
                    "Rename one: a sandbox name is unique on a host.",
                )
            if sandbox.netns:
                _check_netns(sandbox, by_netns)
    for project in host.projects:
        if any(sandbox.mode == MODE_CONTAINER for sandbox in project.sandboxes):
            _check_partners(project, by_name)


def check_veth_pairs(host: Host) -> None:
    """Raise DocklessError for an end of a veth pair whose interface a bridge, an endpoint or another end has."""
    pairs = [pair for project in host.projects for pair in project.veth_pairs]
    if not pairs:
        return
    owners = {**_bridge_interfaces(host), **_endpoint_interfaces(host)}
    for pair in pairs:
        for end, path in ((pair.end, pair.path), (pair.peer, pair.path + ".peer")):
            interface = end.netns, end.name
            if interface in owners:
                place = f"of namespace {end.netns}" if end.netns else "of the host"
                refuse(path, f"interface {end.name} {place} is taken by {owners[interface]}", "Choose another name.")
            owners[interface] = f"a veth pair ({pair.path})"


def _check_netns(sandbox: Sandbox, by_netns: dict[str, Sandbox]) -> None:
    other = by_netns.setdefault(sandbox.netns, sandbox)
    if other is not sandbox:
        refuse(
            sandbox.path + (".netns" if sandbox.netns != sandbox.name else ""),
            f"network namespace {sandbox.netns} is used by the sandboxes {other.project}/{other.name} "
            f"and {sandbox.project}/{sandbox.name}",
            "Choose another name or netns for one of them.",
        )


def _check_partners(project: Project, by_name: t.Mapping[str, Sandbox]) -> None:
    own = {sandbox.name: sandbox for sandbox in project.sandboxes}
    for sandbox in project.sandboxes:
        if sandbox.mode == MODE_CONTAINER:
            _check_partner(sandbox, own, by_name)


def _check_partner(sandbox: Sandbox, own: t.Mapping[str, Sandbox], by_name: t.Mapping[str, Sandbox]) -> None:
    path, name = sandbox.path + ".network_mode", sandbox.partner
    partner = own.get(name)
    if name == sandbox.name:
        refuse(path, f"sandbox {name} would share its own network stack", "Choose another sandbox.")
    if partner is None and name in by_name:
        refuse(
            path,
            f"sandbox {name} is in project {by_name[name].project}, not in {sandbox.project}",
            "Declare both in one project.",
        )
    if partner is None:
        refuse(
            path,
            f"sandbox {name}, whose network stack {sandbox.name} shares, is not declared",
            f"Declare it, or remove {sandbox.name} too.",
        )
    if partner.mode == MODE_HOST:
        refuse(
            path,
            f"sandbox {name} has no network stack of its own, because it uses that of the host",
            "Use network_mode: host here as well.",
        )
    if partner.mode == MODE_CONTAINER:
        _refuse_chain(sandbox, partner, path)


def _refuse_chain(sandbox: Sandbox, partner: Sandbox, path: str) -> t.NoReturn:
    if partner.partner == sandbox.name:
        refuse(
            path,
            f"the sandboxes {sandbox.name} and {partner.name} would share each other's network stack",
            "Connect one of them to networks instead.",
        )
    refuse(
        path,
        f"sandbox {partner.name} has no network stack of its own, because it uses that of {partner.partner}",
        f"Use network_mode: container:{partner.partner} here as well.",
    )


def _bridge_interfaces(host: Host) -> dict[_Interface, str]:
    return {
        ("", network.bridge_name): f"the bridge of network {network.project}/{network.name}"
        for network in host.networks()
        if network.bridge_name
    }


def _endpoint_interfaces(host: Host) -> dict[_Interface, str]:
    """Return the interfaces that endpoints have or will probably get: the lowest numbers in the declared order."""
    prefixes = {network.key: network.iface_prefix for network in host.networks()}
    found = {}
    for sandbox in host.sandboxes():
        for number, endpoint in enumerate(sandbox.endpoints):
            name = endpoint.interface_name or f"{prefixes.get(endpoint.network, 'eth')}{number}"
            found[sandbox.netns, name] = f"an endpoint ({endpoint.path})"
    return found
