# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Veth pairs added to and taken from a declaration. A pair is known by its first end's namespace and name."""

from __future__ import annotations

import typing as t

from .declaration import Declaration, Spec, given_options, section, with_object, without_objects

Identity = tuple[str, str]  # (netns or "", interface)


def put_veth_pair(declaration: Declaration, pair: Spec) -> Declaration:
    """Return the declaration with a pair that has what pair says, and else what it had. pair has a name."""
    identity = (pair.get("netns") or "", pair["name"])
    key = _keys(declaration).get(identity) or "/".join(filter(None, identity))
    before = section(declaration, "veth_pairs").get(key) or {}
    after = {**before, **given_options(pair)}
    if pair.get("peer") is not None:
        after["peer"] = {**(before.get("peer") or {}), **given_options(pair["peer"])}
    return with_object(declaration, "veth_pairs", key, after)


def remove_veth_pair(declaration: Declaration, name: str, netns: str = "") -> Declaration:
    """Return the declaration without the pair whose first end this is."""
    key = _keys(declaration).get((netns, name))
    return without_objects(declaration, "veth_pairs", (key,)) if key else declaration


def keep_veth_pairs(declaration: Declaration, pairs: t.Iterable[Spec]) -> Declaration:
    """Return the declaration with no pairs but these, each known by its name and netns."""
    kept = {(pair.get("netns") or "", pair["name"]) for pair in pairs}
    return without_objects(
        declaration, "veth_pairs", [key for identity, key in _keys(declaration).items() if identity not in kept]
    )


def _keys(declaration: Declaration) -> dict[Identity, str]:
    """Return the key of each pair by its identity, which the key spells unless the spec says otherwise."""
    found = {}
    for key, spec in section(declaration, "veth_pairs").items():
        netns, slash, name = key.rpartition("/")
        spec = spec or {}
        found[spec.get("netns") or netns, spec.get("name") or name] = key
    return found
