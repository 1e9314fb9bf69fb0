# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Adds DNS records and DNS options to the declaration of a network or a sandbox and removes them."""

from __future__ import annotations

import typing as t

from ..document.endpoint import DEFAULT_NETWORK
from ..errors import refuse
from .declaration import Declaration, Spec, merged, section, with_object

Owner = tuple[str, str]  # a kind, networks or sandboxes, and a name
_OPTIONS = ("records", "dns", "dns_search", "dns_opt", "forward")


def put_dns(declaration: Declaration, owner: Owner, spec: Spec) -> Declaration:
    """Return the declaration with the records of spec added to the owner's; its other options are set.

    Raises DocklessError for an owner that is not declared.
    """
    before = _options_of(declaration, owner)
    after = merged(before, spec)
    if spec.get("records") is not None:
        after["records"] = _united(before.get("records") or [], spec["records"])
    return with_object(declaration, *owner, after)


def replace_dns(declaration: Declaration, owner: Owner, spec: Spec) -> Declaration:
    """Return the declaration with the records and other options of the owner as spec sets them.

    Raises DocklessError for an owner that is not declared.
    """
    return with_object(declaration, *owner, merged(_options_of(declaration, owner), spec))


def remove_dns(declaration: Declaration, owner: Owner, spec: Spec) -> Declaration:
    """Return the declaration without the records of spec; without all DNS options of the owner if it has none."""
    kind, name = owner
    before = section(declaration, kind).get(name)
    if not before:
        return declaration
    if spec.get("records") is None:
        remaining = {option: value for option, value in before.items() if option not in _OPTIONS}
        return with_object(declaration, kind, name, remaining)
    removed = {_identity(record) for record in spec["records"]}
    records = [record for record in before.get("records") or [] if _identity(record) not in removed]
    return with_object(declaration, kind, name, {**before, "records": records})


def _options_of(declaration: Declaration, owner: Owner) -> dict[str, t.Any]:
    kind, name = owner
    exists = name in section(declaration, kind)
    is_implied = owner == ("networks", DEFAULT_NETWORK)  # it exists without being declared
    if not exists and not is_implied:
        noun = "network" if kind == "networks" else "sandbox"
        refuse(f"{kind}.{name}", f"the {noun} {name} is not declared in this project", "Declare it first.")
    return section(declaration, kind).get(name) or {}


def _united(records: list[t.Any], more: list[t.Any]) -> list[t.Any]:
    """Return the records of both lists, each once."""
    united = {_identity(record): record for record in records}
    for record in more:
        united.setdefault(_identity(record), record)
    return list(united.values())


def _identity(record: t.Mapping[str, t.Any]) -> tuple[str, str, str]:
    """Return name, type and value as DNS compares them: names without case and final dot, and A as the default type."""
    return (
        str(record.get("name", "")).lower().rstrip("."),
        str(record.get("type") or "A").upper(),
        str(record.get("value", "")),
    )
