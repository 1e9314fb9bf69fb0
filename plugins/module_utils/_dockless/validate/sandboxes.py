# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Sandboxes and veth pairs beside each other: names, partners, interfaces."""

from __future__ import annotations

import typing as t

from ..errors import refuse
from ..model.host import MODE_CONTAINER, MODE_HOST, Host, Project, Sandbox


def check_sandboxes(host: Host) -> None:
    """Raise DocklessError for names that two sandboxes have, and for partners that cannot be shared."""
    seen: dict[str, Sandbox] = {}
    spaces: dict[str, Sandbox] = {}
    for project in host.projects:
        for sandbox in project.sandboxes:
            other = seen.setdefault(sandbox.name, sandbox)
            if other is not sandbox:
                refuse(
                    sandbox.path,
                    f"the sandbox {sandbox.name} is in the projects {other.project} and {project.name}",
                    "Names of sandboxes are a host's: rename one.",
                )
            if sandbox.netns:
                _check_space(sandbox, spaces)
    for project in host.projects:
        if any(sandbox.mode == MODE_CONTAINER for sandbox in project.sandboxes):
            _check_partners(project, seen)


def _check_space(sandbox: Sandbox, spaces: dict[str, Sandbox]) -> None:
    other = spaces.setdefault(sandbox.netns, sandbox)
    if other is not sandbox:
        refuse(
            sandbox.path + (".netns" if sandbox.netns != sandbox.name else ""),
            f"the network namespace {sandbox.netns} is that of the sandboxes {other.project}/{other.name} "
            f"and {sandbox.project}/{sandbox.name}",
            "Give one of them another name or netns.",
        )


def _check_partners(project: Project, everywhere: t.Mapping[str, Sandbox]) -> None:
    own = {sandbox.name: sandbox for sandbox in project.sandboxes}
    for sandbox in project.sandboxes:
        if sandbox.mode != MODE_CONTAINER:
            continue
        path, name = sandbox.path + ".network_mode", sandbox.partner
        partner = own.get(name)
        if name == sandbox.name:
            refuse(path, f"the sandbox {name} would share its own network stack", "Name another sandbox.")
        if partner is None and name in everywhere:
            refuse(
                path,
                f"the sandbox {name} is in the project {everywhere[name].project}, not in {project.name}",
                "Declare the two in one project.",
            )
        if partner is None:
            refuse(
                path,
                f"the sandbox {name}, whose network stack {sandbox.name} shares, is not declared",
                f"Declare it, or remove {sandbox.name} too.",
            )
        if partner.mode == MODE_HOST:
            refuse(
                path,
                f"the sandbox {name} has no network stack of its own but the host's",
                "Use network_mode: host here as well.",
            )
        if partner.mode == MODE_CONTAINER:
            _refuse_chain(sandbox, partner, path)


def _refuse_chain(sandbox: Sandbox, partner: Sandbox, path: str) -> t.NoReturn:
    if partner.partner == sandbox.name:
        refuse(
            path,
            f"the sandboxes {sandbox.name} and {partner.name} would share each other's network stack",
            "Give one of them networks of its own.",
        )
    refuse(
        path,
        f"the sandbox {partner.name} has no network stack of its own but that of {partner.partner}",
        f"Use network_mode: container:{partner.partner} here as well.",
    )


def check_veth_pairs(host: Host) -> None:
    """Raise DocklessError for an interface that two ends, or an end and an endpoint or bridge, would both be."""
    pairs = [pair for project in host.projects for pair in project.veth_pairs]
    if not pairs:
        return
    taken = {
        ("", network.bridge_name): f"the bridge of network {network.project}/{network.name}"
        for project in host.projects
        for network in project.networks
        if network.bridge_name
    }
    prefixes = {network.key: network.iface_prefix for project in host.projects for network in project.networks}
    for project in host.projects:
        for sandbox in project.sandboxes:
            for number, endpoint in enumerate(sandbox.endpoints):  # the generator takes the lowest free numbers
                name = endpoint.interface_name or f"{prefixes.get(endpoint.network, 'eth')}{number}"
                taken[sandbox.netns, name] = f"an endpoint's ({endpoint.path})"
    for pair in pairs:
        for end, path in ((pair.end, pair.path), (pair.peer, pair.path + ".peer")):
            key = end.netns, end.name
            if key in taken:
                where = f"of the namespace {end.netns}" if end.netns else "of the host"
                refuse(path, f"the interface {end.name} {where} is {taken[key]} already", "Choose another name.")
            taken[key] = f"that of a veth pair ({pair.path})"
