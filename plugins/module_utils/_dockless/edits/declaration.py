# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""A declaration's parts, read and replaced without touching the declaration itself."""

from __future__ import annotations

import typing as t

from ..errors import DocklessError

Declaration = dict[str, t.Any]
Spec = t.Mapping[str, t.Any]


def section(declaration: Declaration, kind: str) -> dict[str, t.Any]:
    """Return the objects of a kind by name: networks, sandboxes or veth_pairs."""
    return declaration.get(kind) or {}


def given_options(spec: Spec) -> dict[str, t.Any]:
    """Return what a spec says: None is "not said"."""
    return {key: value for key, value in spec.items() if value is not None}


def with_object(declaration: Declaration, kind: str, name: str, spec: Spec) -> Declaration:
    """Return the declaration with the object in place of the one that had its name."""
    return {**declaration, kind: {**section(declaration, kind), name: dict(spec)}}


def without_objects(declaration: Declaration, kind: str, names: t.Iterable[str]) -> Declaration:
    """Return the declaration without the objects; those that are not there are no matter."""
    gone = set(names) & set(section(declaration, kind))
    if not gone:
        return declaration
    return {**declaration, kind: {name: spec for name, spec in section(declaration, kind).items() if name not in gone}}


def sandbox_of(declaration: Declaration, name: str) -> dict[str, t.Any]:
    """Return a sandbox's spec. Raises DocklessError if it is not declared."""
    sandboxes = section(declaration, "sandboxes")
    if name not in sandboxes:
        raise DocklessError(
            f"the sandbox {name} is not declared in this project",
            "Declare it first, with container_netns or container_networks.",
            f"sandboxes.{name}",
        )
    return sandboxes[name] or {}
