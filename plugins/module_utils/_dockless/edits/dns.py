# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""DNS records and settings added to and taken from a network's or a sandbox's declaration."""

from __future__ import annotations

import typing as t

from ..errors import DocklessError
from .declaration import Declaration, Spec, given_options, section, with_object

Scope = tuple[str, str]  # ("networks" or "sandboxes", name)
_SETTINGS = ("records", "dns", "dns_search", "dns_opt", "forward")


def put_names(declaration: Declaration, scope: Scope, spec: Spec) -> Declaration:
    """Return the declaration with spec's records added to those of scope, and its other settings set."""
    before = _scope_of(declaration, scope)
    after = {**before, **given_options(spec)}
    if spec.get("records") is not None:
        after["records"] = _united(before.get("records") or [], spec["records"])
    return with_object(declaration, *scope, after)


def replace_names(declaration: Declaration, scope: Scope, spec: Spec) -> Declaration:
    """Return the declaration with spec's records in place of those of scope, and its other settings set."""
    return with_object(declaration, *scope, {**_scope_of(declaration, scope), **given_options(spec)})


def remove_names(declaration: Declaration, scope: Scope, spec: Spec) -> Declaration:
    """Return the declaration without spec's records; without all records and settings of scope if it names none."""
    before = section(declaration, scope[0]).get(scope[1])
    if not before:
        return declaration
    if spec.get("records") is None:
        return with_object(declaration, *scope, {key: value for key, value in before.items() if key not in _SETTINGS})
    gone = {_identity(record) for record in spec["records"]}
    left = [record for record in before.get("records") or [] if _identity(record) not in gone]
    return with_object(declaration, *scope, {**before, "records": left})


def _scope_of(declaration: Declaration, scope: Scope) -> dict[str, t.Any]:
    kind, name = scope
    if name not in section(declaration, kind) and scope != (
        "networks",
        "default",
    ):  # that one exists without being declared
        one = "network" if kind == "networks" else "sandbox"
        raise DocklessError(f"the {one} {name} is not declared in this project", "Declare it first.", f"{kind}.{name}")
    return section(declaration, kind).get(name) or {}


def _united(before: list[t.Any], more: list[t.Any]) -> list[t.Any]:
    found = {_identity(record): record for record in before}
    for record in more:
        found.setdefault(_identity(record), record)
    return list(found.values())


def _identity(record: t.Mapping[str, t.Any]) -> tuple[str, str, str]:
    return (
        str(record.get("name", "")).lower().rstrip("."),
        str(record.get("type") or "A").upper(),
        str(record.get("value", "")),
    )
