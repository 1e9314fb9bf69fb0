# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Networks of another project: whose they are."""

from __future__ import annotations

import typing as t

from ..errors import refuse
from .host import DEFAULT_BRIDGE, Host, Network, Project, Sandbox

Key = tuple[str, str]
Index = dict[str, list[Key]]  # a reference as another project writes it -> the networks that it may mean


def resolve_external(host: Host, key: Key) -> Key:
    """Return the key of the network that an endpoint's network key means: its own, or the owner's if it is external.

    An external entry calls it PROJECT/NETWORK, as Compose does PROJECT_NETWORK, or by
    a name that one other project has. Raises DocklessError if there is none, or several.
    """
    for project in host.projects:
        for network in project.networks:
            if network.key == key and network.external:
                return _owner(network, _index(host))
    return key


def resolve_externals(host: Host) -> Host:
    """Return the host with every endpoint on its network's real key, and without external entries.

    Raises DocklessError for an entry that means no network, or several.
    """
    external = [network for project in host.projects for network in project.networks if network.external]
    if not external:
        return host
    index = _index(host)
    owners = {network.key: _owner(network, index) for network in external}
    return host._replace(projects=tuple(_resolved(project, owners) for project in host.projects))


def index_by_reference(keys: t.Iterable[Key]) -> Index:
    """Return the networks that each reference may mean.

    A reference is NETWORK, PROJECT/NETWORK or, as Compose writes it, PROJECT_NETWORK.
    One reference may mean several networks: a_b is network a_b of any project, and network b of project a.
    """
    index: Index = {}
    for key in dict.fromkeys(keys):
        project, name = key
        for reference in (name, f"{project}/{name}", f"{project}_{name}"):
            index.setdefault(reference, []).append(key)
    return index


def _index(host: Host) -> Index:
    own = (network.key for project in host.projects for network in project.networks if not network.external)
    return {DEFAULT_BRIDGE: [("", DEFAULT_BRIDGE)], **index_by_reference(own)}


def _owner(network: Network, index: Index) -> Key:
    found = [key for key in index.get(network.external, ()) if key != network.key]
    path = network.path + ".name"
    if not found:
        refuse(
            path,
            f"no other project has a network {network.external}, which {network.project} joins",
            "Declare it in its own project first, or remove external: true to make one.",
        )
    if len(found) > 1:
        several = ", ".join("/".join(key) for key in sorted(found))
        refuse(path, f"the external network {network.external} may be any of {several}", "Write it as PROJECT/NETWORK.")
    return found[0]


def _resolved(project: Project, owners: t.Mapping[Key, Key]) -> Project:
    own = {key for key in owners if key[0] == project.name}
    if not own:
        return project
    return project._replace(
        networks=tuple(network for network in project.networks if not network.external),
        sandboxes=tuple(
            _moved(sandbox, owners) if any(e.network in own for e in sandbox.endpoints) else sandbox
            for sandbox in project.sandboxes
        ),
    )


def _moved(sandbox: Sandbox, owners: t.Mapping[Key, Key]) -> Sandbox:
    return sandbox._replace(
        endpoints=tuple(e._replace(network=owners.get(e.network, e.network)) for e in sandbox.endpoints)
    )
