# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""External networks: references to networks of other projects."""

from __future__ import annotations

import typing as t

from ..errors import refuse
from .host import Host, Project
from .network import DEFAULT_BRIDGE, Network, NetworkKey
from .sandbox import Sandbox

# The networks that each reference may mean.
Index = dict[str, list[NetworkKey]]


def resolve_externals(host: Host) -> Host:
    """Return the host without external entries, and with each endpoint on the network that its entry refers to.

    Raises DocklessError for an entry that refers to no network or to several.
    """
    external = [network for network in host.networks() if network.external]
    if not external:
        return host
    index = _index_of_host(host)
    owners = {network.key: _owner(network, index) for network in external}
    return host._replace(projects=tuple(_resolve_project(project, owners) for project in host.projects))


def index_by_reference(keys: t.Iterable[NetworkKey], second_names: t.Mapping[NetworkKey, str]) -> Index:
    """Return the networks that each reference may mean. second_names: those that have one, by key.

    A reference is NETWORK, PROJECT/NETWORK, the second name or, as Compose writes it, PROJECT_NETWORK.
    One reference may mean several networks: a_b is network a_b of any project, and network b of project a.
    """
    index: Index = {}
    for key in dict.fromkeys(keys):
        project, name = key
        references = (name, f"{project}/{name}", f"{project}_{name}", second_names.get(key) or name)
        for reference in dict.fromkeys(references):
            index.setdefault(reference, []).append(key)
    return index


def _index_of_host(host: Host) -> Index:
    own = [network for network in host.networks() if not network.external]
    index = index_by_reference((one.key for one in own), {one.key: one.second_name for one in own})
    return {DEFAULT_BRIDGE: [("", DEFAULT_BRIDGE)], **index}


def _owner(network: Network, index: Index) -> NetworkKey:
    """Return the key of the network that an external entry refers to. Raises DocklessError."""
    found = [key for key in index.get(network.external, ()) if key != network.key]
    path = network.path + ".name"
    if not found:
        refuse(
            path,
            f"no other project has a network {network.external}, which {network.project} joins",
            "Declare it in its own project first, or remove external: true to make one.",
        )
    if len(found) > 1:
        candidates = ", ".join("/".join(key) for key in sorted(found))
        refuse(
            path,
            f"the external network {network.external} may be any of {candidates}",
            "Write it as PROJECT/NETWORK.",
        )
    return found[0]


def _resolve_project(project: Project, owners: t.Mapping[NetworkKey, NetworkKey]) -> Project:
    """Return a project without its external entries. owners: the network that each external entry refers to, by key."""
    own = {key for key in owners if key[0] == project.name}
    if not own:
        return project
    return project._replace(
        networks=tuple(network for network in project.networks if not network.external),
        sandboxes=tuple(_resolve_sandbox(sandbox, owners) for sandbox in project.sandboxes),
    )


def _resolve_sandbox(sandbox: Sandbox, owners: t.Mapping[NetworkKey, NetworkKey]) -> Sandbox:
    if not any(endpoint.network in owners for endpoint in sandbox.endpoints):
        return sandbox
    endpoints = (
        endpoint._replace(network=owners.get(endpoint.network, endpoint.network)) for endpoint in sandbox.endpoints
    )
    return sandbox._replace(endpoints=tuple(endpoints))
