# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Ports added to and taken from a sandbox's declaration. Two entries are one when they map the same ports, whoever may use them."""

from __future__ import annotations

import typing as t

from ..document.ports import parse_expose, parse_ports
from ..model.host import PortMapping
from .declaration import Declaration, Spec, given_options, sandbox_of, section, with_object

Entries = list[t.Any]
MappingsOf = t.Callable[[Entries, str], set[t.Any]]


def publish(declaration: Declaration, sandbox: str, spec: Spec) -> Declaration:
    """Return the declaration with spec's ports and expose added, and publish_all as it says."""
    before = sandbox_of(declaration, sandbox)
    after = {**before, **given_options(spec)}
    for key, mappings_of in _KINDS.items():
        if spec.get(key) is not None:
            path = f"sandboxes.{sandbox}.{key}"
            kept = _without_others(before.get(key) or [], spec[key], mappings_of, path)
            after[key] = _added(kept, spec[key], mappings_of, path)
    return with_object(declaration, "sandboxes", sandbox, after)


def replace_ports(declaration: Declaration, sandbox: str, spec: Spec) -> Declaration:
    """Return the declaration with what spec says of ports, expose and publish_all in place of what was there."""
    return with_object(declaration, "sandboxes", sandbox, {**sandbox_of(declaration, sandbox), **given_options(spec)})


def withdraw(declaration: Declaration, sandbox: str, spec: Spec) -> Declaration:
    """Return the declaration without spec's ports and expose; without all of them if it names none."""
    before = section(declaration, "sandboxes").get(sandbox)
    if not before:
        return declaration
    named = {key: spec[key] for key in _KINDS if spec.get(key) is not None}
    if not named:
        after = {key: value for key, value in before.items() if key not in (*_KINDS, "publish_all")}
    else:
        after = dict(before)
        for key, entries in named.items():
            after[key] = _taken(before.get(key) or [], entries, _KINDS[key], f"sandboxes.{sandbox}.{key}")
    return with_object(declaration, "sandboxes", sandbox, after)


def _mappings(entries: Entries, path: str) -> set[t.Any]:
    return {port._replace(path="", source_ranges=()) for port in parse_ports("", "", entries, path)}


def _audience(entry: t.Any, path: str) -> tuple[t.Any, ...]:
    """Return who may use what an entry publishes."""
    return next((port.source_ranges for port in parse_ports("", "", [entry], path)), ())


def _exposed(entries: Entries, path: str) -> set[t.Any]:
    return set(parse_expose(entries, path))


_KINDS: dict[str, MappingsOf] = {"ports": _mappings, "expose": _exposed}


def _added(before: Entries, more: Entries, mappings_of: MappingsOf, path: str) -> Entries:
    found = list(before)
    known = mappings_of(found, path)
    for entry in more:
        new = mappings_of([entry], path)
        if not new <= known:
            found += [entry] if new.isdisjoint(known) else _rest(entry, new - known, path)
            known |= new
    return found


def _without_others(before: Entries, more: Entries, mappings_of: MappingsOf, path: str) -> Entries:
    """Return the entries without what is published anew for somebody else."""
    found = list(before)
    for entry in more:
        new, audience = mappings_of([entry], path), _audience(entry, path)
        if any(not new.isdisjoint(mappings_of([old], path)) and _audience(old, path) != audience for old in found):
            found = _taken(found, [entry], mappings_of, path)
    return found


def _taken(before: Entries, less: Entries, mappings_of: MappingsOf, path: str) -> Entries:
    gone = mappings_of(less, path)
    found: Entries = []
    for entry in before:
        held = mappings_of([entry], path)
        found += [entry] if held.isdisjoint(gone) else _rest(entry, held - gone, path)  # the rest of a range
    return found


def _rest(entry: t.Any, left: set[t.Any], path: str) -> Entries:
    """Return a part of an entry, for the clients that the whole is for."""
    audience = _audience(entry, path) if any(isinstance(one, PortMapping) for one in left) else ()
    shortened: Entries = sorted(map(_short, left))
    if not audience:
        return shortened
    fields = sorted(
        (one.target_port, one.protocol, str(one.host_ip or ""), one.host_port, one.host_port_end) for one in left
    )
    return [
        {
            "target": target,
            "protocol": protocol,
            **({"host_ip": address} if address else {}),
            **({"published": f"{first}-{last}" if last else str(first)} if first else {}),
            "source_ranges": list(map(str, audience)),
        }
        for target, protocol, address, first, last in fields
    ]


def _short(one: t.Any) -> str:
    """Return the short form of one mapping or exposed port."""
    if not isinstance(one, PortMapping):
        return f"{one[0]}/{one[1]}"
    published = (
        "" if not one.host_port else f"{one.host_port}-{one.host_port_end}" if one.host_port_end else str(one.host_port)
    )
    if one.host_ip is not None:
        address = f"[{one.host_ip}]" if one.host_ip.version == 6 else str(one.host_ip)
        return f"{address}:{published}:{one.target_port}/{one.protocol}"
    return (published + ":" if published else "") + f"{one.target_port}/{one.protocol}"
