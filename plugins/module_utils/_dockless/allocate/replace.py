# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""A host with some of its networks or sandboxes replaced. Values are tuples: a change deep inside rebuilds the rest."""

from __future__ import annotations

import typing as t

from ..model.host import Host
from ..model.network import Network
from ..model.sandbox import Sandbox


def replace_networks(host: Host, replacement: t.Callable[[Network], Network]) -> Host:
    """Return the host with replacement(network) in place of each network."""
    return host._replace(
        projects=tuple(
            project._replace(networks=tuple(replacement(network) for network in project.networks))
            for project in host.projects
        )
    )


def replace_sandboxes(host: Host, replacement: t.Callable[[Sandbox], Sandbox]) -> Host:
    """Return the host with replacement(sandbox) in place of each sandbox, in the order of declaration."""
    return host._replace(
        projects=tuple(
            project._replace(sandboxes=tuple(replacement(sandbox) for sandbox in project.sandboxes))
            for project in host.projects
        )
    )
