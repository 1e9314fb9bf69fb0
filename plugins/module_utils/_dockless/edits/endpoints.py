# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Connects the sandboxes of a declaration to networks and disconnects them."""

from __future__ import annotations

import typing as t

from ..errors import refuse
from .declaration import Declaration, Spec, merged, networks_of, sandbox_of, section, with_object


def connect(declaration: Declaration, sandbox: str, network: str, spec: Spec) -> Declaration:
    """Return the declaration with the sandbox on the network; options that spec does not set keep their value.

    Raises DocklessError for a sandbox that is not declared or whose network_mode excludes networks, and for the
    networks host and none.
    """
    before = sandbox_of(declaration, sandbox)
    path = f"sandboxes.{sandbox}.networks.{network}"
    if network in ("host", "none"):
        refuse(
            path,
            f"a sandbox cannot be connected to the network {network}",
            f"Use network_mode: {network} instead.",
        )
    mode = before.get("network_mode") or "bridge"
    if mode != "bridge":
        refuse(
            path,
            f"the sandbox {sandbox} has network_mode {mode} and cannot be connected to networks",
            "Remove its network_mode first.",
        )
    networks = networks_of(before)
    networks[network] = merged(networks.get(network), spec)
    return _with_networks(declaration, sandbox, networks)


def disconnect(declaration: Declaration, sandbox: str, network: str) -> Declaration:
    """Return the declaration with the sandbox not on the network.

    Options that need a network and have none left (ports, links, mac_address) are removed too. Raises DocklessError
    for the host's network: a sandbox leaves it only with another network_mode.
    """
    before = section(declaration, "sandboxes").get(sandbox) or {}
    if network == "host" and before.get("network_mode") == "host":
        refuse(
            f"sandboxes.{sandbox}.network_mode",
            f"the sandbox {sandbox} cannot be disconnected from the host's network",
            "Set another network_mode, or remove the sandbox.",
        )
    networks = networks_of(before)
    is_connected = sandbox in section(declaration, "sandboxes") and network in networks
    if not is_connected:
        return declaration
    del networks[network]
    declaration = _with_networks(declaration, sandbox, networks)
    unusable = _options_without_network(declaration, networks)
    options = section(declaration, "sandboxes")[sandbox]
    remaining = {option: value for option, value in options.items() if option not in unusable}
    return with_object(declaration, "sandboxes", sandbox, remaining)


def purge_endpoints(declaration: Declaration, keys: t.Iterable[tuple[str, str]]) -> Declaration:
    """Return the declaration with each sandbox in keys, which are (sandbox, network) pairs, on only these networks."""
    wanted: dict[str, set[str]] = {}
    for sandbox, network in keys:
        wanted.setdefault(sandbox, set()).add(network)
    for sandbox, networks in wanted.items():
        for network in networks_of(section(declaration, "sandboxes").get(sandbox)):
            if network not in networks:
                declaration = disconnect(declaration, sandbox, network)
    return declaration


def _with_networks(declaration: Declaration, sandbox: str, networks: dict[str, t.Any]) -> Declaration:
    before = section(declaration, "sandboxes")[sandbox] or {}
    after = {option: value for option, value in before.items() if option != "network_mode"}
    return with_object(declaration, "sandboxes", sandbox, {**after, "networks": networks})


def _options_without_network(declaration: Declaration, networks: t.Iterable[str]) -> set[str]:
    """Return the sandbox options that cannot be used with these networks alone."""
    unusable: set[str] = set()
    if not any(_can_publish(declaration, name) for name in networks):
        unusable |= {"ports", "publish_all"}
    if not networks:
        unusable |= {"links", "mac_address"}
    return unusable


def _can_publish(declaration: Declaration, network: str) -> bool:
    """Return whether ports of sandboxes on the network can be published: packets must pass the host."""
    spec = section(declaration, "networks").get(network) or {}
    return not spec.get("internal") and spec.get("driver") not in ("macvlan", "ipvlan")
