# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""From the document that people write to the model. Pure: nothing of the host is looked at."""

from __future__ import annotations

import typing as t

from ..errors import refuse
from ..model.host import Network, Project, Sandbox
from . import values
from .endpoint import DEFAULT_NETWORK
from .network import parse_network
from .readers import anything, is_mapping, read, wrong_type
from .sandbox import parse_sandbox
from .veth_pair import parse_veth

_KEYS = {"networks": anything, "sandboxes": anything, "veth_pairs": anything}
_Parser = t.Callable[[str, t.Any, t.Any, str], t.Any]


def parse_project(name: str, declaration: t.Mapping[str, t.Any]) -> Project:
    """Return the project that a declaration of networks, sandboxes and veth_pairs describes.

    Raises DocklessError with the option's path for anything that cannot be
    meant. What can only be judged beside other objects is left to checks.
    """
    name = values.name(name, "project", "project's name")
    if is_mapping(declaration) and "services" in declaration:
        refuse("services", "'services' is not an option here", "Call them sandboxes.")
    said = read(declaration, "", _KEYS)
    networks: tuple[Network, ...] = _each(name, said, "networks", parse_network)
    parsed = _each(name, said, "sandboxes", parse_sandbox)
    sandboxes = tuple(one.sandbox for one in parsed)
    return Project(
        name,
        networks + _implied(name, networks, sandboxes),
        sandboxes,
        _each(name, said, "veth_pairs", parse_veth),
        tuple(warning for one in parsed for warning in one.warnings),
    )


def _each(project: str, said: dict[str, t.Any], kind: str, parser: _Parser) -> tuple[t.Any, ...]:
    value = said.get(kind, {})
    if not is_mapping(value):
        wrong_type(value, kind, f"a dictionary of {kind} by name")
    return tuple([parser(project, name, spec, f"{kind}.{name}") for name, spec in value.items()])


def _implied(project: str, networks: t.Sequence[Network], sandboxes: t.Sequence[Sandbox]) -> tuple[Network, ...]:
    """Return the default network if a sandbox joins it and nobody declared it."""
    if any(network.name == DEFAULT_NETWORK for network in networks):
        return ()
    key = (project, DEFAULT_NETWORK)
    if any(endpoint.network == key for sandbox in sandboxes for endpoint in sandbox.endpoints):
        return (Network(project, DEFAULT_NETWORK, path=f"networks.{DEFAULT_NETWORK}"),)
    return ()
