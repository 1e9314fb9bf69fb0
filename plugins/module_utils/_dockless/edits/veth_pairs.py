# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Adds veth pairs to a declaration and removes them. A pair is identified by its first end's namespace and name."""

from __future__ import annotations

import typing as t

from .declaration import Declaration, Spec, merged, section, with_object, without_objects

Identity = tuple[str, str]  # namespace, "" for the host's, and interface name


def put_veth_pair(declaration: Declaration, pair: Spec) -> Declaration:
    """Return the declaration with the pair; options that it does not set keep their value. Its name must be set."""
    netns, name = _identity(pair)
    default_key = f"{netns}/{name}" if netns else name
    key = _keys(declaration).get((netns, name), default_key)
    before = section(declaration, "veth_pairs").get(key) or {}
    after = merged(before, pair)
    if pair.get("peer") is not None:
        after["peer"] = merged(before.get("peer"), pair["peer"])
    return with_object(declaration, "veth_pairs", key, after)


def remove_veth_pair(declaration: Declaration, name: str, netns: str = "") -> Declaration:
    """Return the declaration without the pair with this first end."""
    key = _keys(declaration).get((netns, name))
    return without_objects(declaration, "veth_pairs", (key,)) if key else declaration


def purge_veth_pairs(declaration: Declaration, pairs: t.Iterable[Spec]) -> Declaration:
    """Return the declaration with only these pairs, identified by their name and netns."""
    wanted = {_identity(pair) for pair in pairs}
    others = [key for identity, key in _keys(declaration).items() if identity not in wanted]
    return without_objects(declaration, "veth_pairs", others)


def _identity(pair: Spec) -> Identity:
    return pair.get("netns") or "", pair["name"]


def _keys(declaration: Declaration) -> dict[Identity, str]:
    """Return each pair's key in the declaration ("NAME" or "NETNS/NAME") by the pair's identity.

    The options name and netns of a pair take precedence over its key.
    """
    keys = {}
    for key, spec in section(declaration, "veth_pairs").items():
        netns, slash, name = key.rpartition("/")
        options = spec or {}
        keys[options.get("netns") or netns, options.get("name") or name] = key
    return keys
