# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Adds published and exposed ports to a sandbox's declaration and removes them.

Ports are compared by meaning, not as text: "8080:80" and {target: 80, published: 8080} are the same port, and
"9000-9003:90-93" contains "9001:91". Entries are therefore parsed here for the comparison alone; the declaration keeps
them as written, and the document parser reads the result once more. Of an entry that is removed in part, the remaining
ports become new entries. source_ranges do not distinguish ports: a port that is published again with others replaces
the earlier one.
"""

from __future__ import annotations

import typing as t

from ..document.ports import parse_exposed, parse_port
from ..model.addresses import IPAddress, IPNetwork
from .declaration import Declaration, Spec, merged, sandbox_of, section, with_object


class _Port(t.NamedTuple):
    """One port: its identity. host_port 0 is a free one; host_port_end is set if dockless chooses from a range."""

    target: int
    protocol: str
    host_ip: IPAddress | None = None
    host_port: int = 0
    host_port_end: int = 0


class _Entry(t.NamedTuple):
    """One entry of ports or expose: as written, and the ports that it means."""

    written: t.Any
    ports: frozenset[_Port]
    source_ranges: tuple[IPNetwork, ...] = ()


def publish(declaration: Declaration, sandbox: str, spec: Spec) -> Declaration:
    """Return the declaration with the ports and expose of spec added to the sandbox's, and publish_all set.

    Raises DocklessError for a sandbox that is not declared and for entries that are not valid ports.
    """
    before = sandbox_of(declaration, sandbox)
    after = merged(before, spec)
    for option, parse in _PARSERS.items():
        if spec.get(option) is None:
            continue
        path = f"sandboxes.{sandbox}.{option}"
        requested = parse(spec[option], path)
        present = _without_changed_sources(parse(before.get(option) or [], path), requested)
        after[option] = _written(_with_new_ports(present, requested))
    return with_object(declaration, "sandboxes", sandbox, after)


def replace_ports(declaration: Declaration, sandbox: str, spec: Spec) -> Declaration:
    """Return the declaration with ports, expose and publish_all of the sandbox as spec sets them."""
    return with_object(declaration, "sandboxes", sandbox, merged(sandbox_of(declaration, sandbox), spec))


def unpublish(declaration: Declaration, sandbox: str, spec: Spec) -> Declaration:
    """Return the declaration without the ports and expose of spec; if it sets neither, without all of the sandbox's."""
    before = section(declaration, "sandboxes").get(sandbox)
    if not before:
        return declaration
    if all(spec.get(option) is None for option in _PARSERS):
        removed_options = (*_PARSERS, "publish_all")
        after = {option: value for option, value in before.items() if option not in removed_options}
        return with_object(declaration, "sandboxes", sandbox, after)
    after = dict(before)
    for option, parse in _PARSERS.items():
        if spec.get(option) is None:
            continue
        path = f"sandboxes.{sandbox}.{option}"
        removed = _ports_of(parse(spec[option], path))
        after[option] = _written(_without_ports(parse(before.get(option) or [], path), removed))
    return with_object(declaration, "sandboxes", sandbox, after)


def _parse_published(entries: t.Sequence[t.Any], path: str) -> list[_Entry]:
    return [_parse_published_entry(entry, f"{path}[{index}]") for index, entry in enumerate(entries)]


def _parse_published_entry(written: t.Any, path: str) -> _Entry:
    mappings = list(parse_port("", "", written, path))
    ports = frozenset(
        _Port(mapping.target_port, mapping.protocol, mapping.host_ip, mapping.host_port, mapping.host_port_end)
        for mapping in mappings
    )
    return _Entry(written, ports, mappings[0].source_ranges)


def _parse_exposed(entries: t.Sequence[t.Any], path: str) -> list[_Entry]:
    parsed = []
    for index, written in enumerate(entries):
        exposed = parse_exposed(written, f"{path}[{index}]")
        parsed.append(_Entry(written, frozenset(_Port(port, protocol) for port, protocol in exposed)))
    return parsed


def _ports_of(entries: t.Iterable[_Entry]) -> frozenset[_Port]:
    return frozenset(port for entry in entries for port in entry.ports)


def _written(entries: t.Iterable[_Entry]) -> list[t.Any]:
    return [entry.written for entry in entries]


def _with_new_ports(entries: list[_Entry], requested: t.Iterable[_Entry]) -> list[_Entry]:
    """Return the entries and, as written if possible, the requested ports that are not among them."""
    result = list(entries)
    known = _ports_of(entries)
    for entry in requested:
        new_ports = entry.ports - known
        if new_ports == entry.ports:
            result.append(entry)
        else:
            result += _entries_for(new_ports, entry.source_ranges)
        known |= entry.ports
    return result


def _without_changed_sources(entries: list[_Entry], requested: t.Iterable[_Entry]) -> list[_Entry]:
    """Return the entries without the ports that are requested with other source_ranges.

    Otherwise the clients of both would be let in.
    """
    for new in requested:
        has_other_sources = any(
            not old.ports.isdisjoint(new.ports) and old.source_ranges != new.source_ranges for old in entries
        )
        if has_other_sources:
            entries = _without_ports(entries, new.ports)
    return entries


def _without_ports(entries: t.Iterable[_Entry], removed: frozenset[_Port]) -> list[_Entry]:
    """Return the entries without these ports. An entry with a removed port is replaced by one for each other port."""
    result = []
    for entry in entries:
        if entry.ports.isdisjoint(removed):
            result.append(entry)
        else:
            result += _entries_for(entry.ports - removed, entry.source_ranges)
    return result


def _entries_for(ports: t.Iterable[_Port], source_ranges: tuple[IPNetwork, ...]) -> list[_Entry]:
    """Return one entry for each port: in the short form, or in the long form if it has source_ranges."""
    if not source_ranges:
        return [_Entry(_short_form(port), frozenset((port,))) for port in sorted(ports, key=_short_form)]
    return [
        _Entry(_long_form(port, source_ranges), frozenset((port,)), source_ranges)
        for port in sorted(ports, key=_sort_key)
    ]


def _sort_key(port: _Port) -> tuple[int, str, str, int, int]:
    return port.target, port.protocol, str(port.host_ip or ""), port.host_port, port.host_port_end


def _published(port: _Port) -> str:
    """Return the host port or the range that it is chosen from, "" for any free one."""
    if not port.host_port:
        return ""
    return f"{port.host_port}-{port.host_port_end}" if port.host_port_end else str(port.host_port)


def _short_form(port: _Port) -> str:
    """Return [[HOST_IP:]HOST_PORT:]TARGET/PROTOCOL."""
    target = f"{port.target}/{port.protocol}"
    published = _published(port)
    if port.host_ip is not None:
        host_ip = f"[{port.host_ip}]" if port.host_ip.version == 6 else str(port.host_ip)
        return f"{host_ip}:{published}:{target}"
    return f"{published}:{target}" if published else target


def _long_form(port: _Port, source_ranges: tuple[IPNetwork, ...]) -> dict[str, t.Any]:
    form: dict[str, t.Any] = {"target": port.target, "protocol": port.protocol}
    if port.host_ip is not None:
        form["host_ip"] = str(port.host_ip)
    if port.host_port:
        form["published"] = _published(port)
    form["source_ranges"] = [str(network) for network in source_ranges]
    return form


_PARSERS: dict[str, t.Callable[[t.Sequence[t.Any], str], list[_Entry]]] = {
    "ports": _parse_published,
    "expose": _parse_exposed,
}
