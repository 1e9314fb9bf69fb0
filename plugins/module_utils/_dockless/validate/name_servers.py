# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Sandboxes that resolve no outside name, because the host has no name server."""

from __future__ import annotations

from ..dns import upstreams
from ..model import topology
from ..model.facts import Facts
from ..model.host import Host
from ..model.sandbox import MODE_NETWORKS

_FILE = "/etc/resolv.conf"


def warnings(host: Host, facts: Facts, project: str | None) -> list[str]:
    """Return at most one warning for the sandboxes of a project (None: of all), if the host's file is of no use.

    It is no refusal: resolvers know the names of sandboxes, and at boot a network manager may write the file later.
    """
    if facts.nameservers:
        return []
    known = topology.read_topology(host)
    selected = [each for each in host.projects if project in (None, each.name)]
    sandboxes = [sandbox for each in selected for sandbox in each.sandboxes if sandbox.mode == MODE_NETWORKS]
    if not facts.resolv_conf_exists:
        return [_missing_file(facts)] if any(sandbox.endpoints for sandbox in sandboxes) else []
    if any(upstreams.servers(sandbox, known, facts, host.defaults).are_missing for sandbox in sandboxes):
        return [_missing_servers(facts)]
    return []


def _missing_file(facts: Facts) -> str:
    return (
        f"{_FILE} {facts.resolv_conf_fault}. Sandboxes without the option dns do not resolve outside names, and "
        "ip netns exec cannot mount the resolv.conf of a sandbox there. Make it a regular file that lists a name "
        "server, then run dockless again."
    )


def _missing_servers(facts: Facts) -> str:
    again = "" if facts.resolv_conf else " Then run dockless again."
    return (
        f"{_FILE} {facts.resolv_conf_fault}, so sandboxes without the option dns do not resolve outside names. "
        f"List a name server in it, or set dns in the host's defaults.{again}"
    )
