# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Parses the declaration of one project. Pure: nothing on the host is read."""

from __future__ import annotations

import typing as t

from ..errors import DocklessError, refuse
from ..model.host import Project
from ..model.network import Network
from ..model.sandbox import MODE_HOST, MODE_NONE, Sandbox
from . import values
from .endpoint import DEFAULT_NETWORK
from .network import parse_network
from .network_mode import with_predefined_network
from .readers import anything, is_mapping, read, wrong_type
from .sandbox import ParsedSandbox, parse_sandbox
from .veth_pair import parse_veth

_OPTIONS = {
    "networks": anything,  # by name, see parse_network
    "sandboxes": anything,  # by name, see parse_sandbox
    "veth_pairs": anything,  # by the first end, see parse_veth
}
_PREDEFINED = (MODE_HOST, MODE_NONE)  # networks of Docker that are modes here
_Object = t.TypeVar("_Object")


def parse_project(name: str, declaration: t.Mapping[str, t.Any], origin: str = "") -> Project:
    """Return the project that a declaration describes: a dictionary of networks, sandboxes and veth_pairs by name.

    origin is the file that it was read from, which then comes first in the path of each object: a message about
    another project than that of the run must name it.

    Raises DocklessError with the option's path for each error that one object alone shows. Errors that other objects
    or the host show are left to the package validate.
    """
    try:
        return _parse(values.name(name, "project", "project name"), declaration, f"{origin}: " if origin else "")
    except DocklessError as error:
        if not error.path.startswith(origin):
            error.path = f"{origin}: {error.path}" if error.path else origin
        raise


def _parse(name: str, declaration: t.Mapping[str, t.Any], prefix: str) -> Project:
    if is_mapping(declaration) and "services" in declaration:
        refuse("services", "unknown option 'services'", "Use sandboxes instead.")
    options = read(declaration, "", _OPTIONS)
    declared = _parse_each(name, options, "networks", parse_network, prefix)
    networks = tuple(network for network in declared if network.external not in _PREDEFINED)
    _resolve_predefined(options, declared, prefix)
    parsed: tuple[ParsedSandbox, ...] = _parse_each(name, options, "sandboxes", parse_sandbox, prefix)
    sandboxes = tuple(one.sandbox for one in parsed)
    return Project(
        name,
        networks + _implied_network(name, networks, sandboxes, prefix),
        sandboxes,
        _parse_each(name, options, "veth_pairs", parse_veth, prefix),
        tuple(warning for one in parsed for warning in one.warnings),
    )


def _parse_each(
    project: str,
    options: dict[str, t.Any],
    kind: str,
    parse: t.Callable[[str, t.Any, t.Any, str], _Object],
    prefix: str,
) -> tuple[_Object, ...]:
    objects = options.get(kind, {})
    if not is_mapping(objects):
        wrong_type(objects, kind, f"a dictionary of {kind} by name")
    return tuple([parse(project, name, spec, f"{prefix}{kind}.{name}") for name, spec in objects.items()])


def _resolve_predefined(options: dict[str, t.Any], networks: t.Iterable[Network], prefix: str) -> None:
    """Give a network_mode to the sandboxes that are on an external network named host or none."""
    predefined = {network.name: network.external for network in networks if network.external in _PREDEFINED}
    sandboxes = options.get("sandboxes")
    if predefined and is_mapping(sandboxes):
        options["sandboxes"] = {
            name: with_predefined_network(spec, predefined, f"{prefix}sandboxes.{name}")
            for name, spec in sandboxes.items()
        }


def _implied_network(
    project: str, networks: t.Sequence[Network], sandboxes: t.Sequence[Sandbox], prefix: str
) -> tuple[Network, ...]:
    """Return the network default if a sandbox joins it and the declaration does not contain it."""
    if any(network.name == DEFAULT_NETWORK for network in networks):
        return ()
    key = (project, DEFAULT_NETWORK)
    if any(endpoint.network == key for sandbox in sandboxes for endpoint in sandbox.endpoints):
        return (Network(project, DEFAULT_NETWORK, path=f"{prefix}networks.{DEFAULT_NETWORK}"),)
    return ()
