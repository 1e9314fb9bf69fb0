# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""The ledger of a fleet as JSON, and what hosts tell of themselves: text in, values out, and back."""

from __future__ import annotations

import ipaddress
import json
import typing as t

from ..errors import DocklessError
from .model import EndpointRecord, HostReport, HostUnderlay, Key, Ledger, PriorNetwork

FORMAT = 1
_BROKEN = (KeyError, TypeError, ValueError, AttributeError)


def parse_ledger(text: str, origin: str) -> Ledger:
    """Return the ledger in a JSON text. Raises DocklessError that names origin."""
    remedy = "Bring back the last good copy; or remove the file and run over the whole fleet, whose hosts know what they have."
    try:
        content = json.loads(text)
        if content["format"] != FORMAT:
            raise DocklessError(f"{origin}: format {content['format']!r} is not known here, only {FORMAT}", remedy)
        networks = {_key(name): _kept(spec) for name, spec in content["networks"].items()}
        return Ledger(networks, {name: HostUnderlay(**spec) for name, spec in content["hosts"].items()})
    except _BROKEN as error:
        raise DocklessError(f"{origin} is not the ledger of a fleet: {error}", remedy) from None


def ledger_text(ledger: Ledger) -> str:
    """Return the ledger as JSON with a line for each host, network and sandbox, in a fixed order."""
    rows = [f' "format": {FORMAT},', ' "hosts": {', *_lines(_hosts(ledger), 2), " },", ' "networks": {']
    networks = sorted(ledger.networks.items())
    for place, (key, kept) in enumerate(networks):
        rows += [
            f"  {json.dumps(_name(key))}: {{",
            *(f'   "{name}": {json.dumps(value)},' for name, value in _facts(kept)),
            '   "endpoints": {',
            *_lines([(_name(one), _entry_json(entry)) for one, entry in sorted(kept.endpoints.items())], 4),
            "   }",
            "  }," if place + 1 < len(networks) else "  }",
        ]
    return "\n".join(["{", *rows, " }", "}"]) + "\n"


def ledger_lines(ledger: Ledger) -> list[str]:
    """Return a line for each thing that the ledger holds, as a person reads it."""
    lines = []
    for name, underlay in sorted(ledger.hosts.items()):
        lines.append(
            " ".join(
                [f"host {name}:", *(f"{field} {value}" for field, value in zip(underlay._fields, underlay) if value)]
            )
        )
    for key, kept in sorted(ledger.networks.items()):
        lines.append(f"network {_name(key)}: VNI {kept.vni}, {', '.join(kept.subnets)}")
        lines += [
            f"network {_name(key)}: host {name} has {', '.join(parts)}" for name, parts in sorted(kept.slices.items())
        ]
        lines += [
            f"network {_name(key)}: {'/'.join(one)} on host {entry.host} has {', '.join(entry.addresses)}"
            for one, entry in sorted(kept.endpoints.items())
        ]
    return lines


def parse_host_report(told: t.Any, host: str) -> HostReport:
    """Return what a host told of itself, under its own name. Raises DocklessError for what no host tells."""
    try:
        networks = {_key(name): _told(spec, host) for name, spec in told.get("networks", {}).items()}
        others: dict[Key, PriorNetwork] = {}
        peers: dict[str, HostUnderlay] = {}
        for name, rows in told.get("peers", {}).items():
            others[_key(name)] = _second_hand(rows)
            peers.update((peer, _underlay(row)) for peer, row in rows.items())
        taken = tuple(str(ipaddress.ip_network(one)) for one in told.get("taken", ()))
        return HostReport(_underlay(told), dict(told.get("interfaces", {})), taken, networks, others, peers)
    except _BROKEN as error:
        raise DocklessError(
            f"what host {host} tells of itself cannot be read: {error}",
            "Give what the module dockless.network.overlay_member returned as memory.",
        ) from None


def _underlay(told: t.Mapping[str, t.Any]) -> HostUnderlay:
    return HostUnderlay(**{field: told[field] for field in HostUnderlay._fields if told.get(field)})


def _told(spec: t.Mapping[str, t.Any], host: str) -> PriorNetwork:
    endpoints = {_key(name): _entry({**entry, "host": host}) for name, entry in spec.get("endpoints", {}).items()}
    parts = _networks(spec.get("slices", ()))
    return PriorNetwork(
        int(spec.get("vni", 0)),
        _networks(spec.get("subnets", ())),
        (host,),
        {host: parts} if parts else {},
        endpoints,
        _addresses(spec.get("reserved", ())),
        _services(spec),
    )


def _second_hand(rows: t.Mapping[str, t.Any]) -> PriorNetwork:
    endpoints, slices = {}, {}
    for peer, row in rows.items():
        for name, entry in row.get("endpoints", {}).items():
            endpoints[_key(name)] = _entry({**entry, "host": peer})
        if row.get("slices"):
            slices[peer] = _networks(row["slices"])
    return PriorNetwork(members=tuple(sorted(rows)), slices=slices, endpoints=endpoints)


def _networks(texts: t.Iterable[str]) -> tuple[str, ...]:
    return tuple(str(ipaddress.ip_network(text)) for text in texts)


def _addresses(texts: t.Iterable[str]) -> tuple[str, ...]:
    return tuple([str(ipaddress.ip_address(text)) for text in texts])


def _services(spec: t.Mapping[str, t.Any]) -> dict[str, tuple[str, ...]]:
    return {str(name): _addresses(vips) for name, vips in spec.get("services", {}).items()}


def _key(name: str) -> Key:
    project, slash, own = name.partition("/")
    if not slash:
        raise ValueError(f"{name!r} is not PROJECT/NAME")
    return project, own


def _name(key: Key) -> str:
    return "/".join(key)


def _kept(spec: t.Mapping[str, t.Any]) -> PriorNetwork:
    return PriorNetwork(
        int(spec["vni"]),
        _networks(spec["subnets"]),
        tuple(spec["members"]),
        {host: _networks(parts) for host, parts in spec.get("slices", {}).items()},
        {_key(name): _entry(entry) for name, entry in spec["endpoints"].items()},
        _addresses(spec.get("reserved", ())),
        _services(spec),
    )


def _entry(entry: t.Mapping[str, t.Any]) -> EndpointRecord:
    return EndpointRecord(
        entry["host"],
        _addresses(entry.get("addresses", ())),
        entry.get("mac_address", ""),
        tuple(entry.get("aliases", ())),
        entry.get("hostname", ""),
    )


def _entry_json(entry: EndpointRecord) -> dict[str, t.Any]:
    return {field: value for field, value in zip(entry._fields, entry) if value}


def _hosts(ledger: Ledger) -> list[tuple[str, t.Any]]:
    return [
        (name, {field: value for field, value in zip(one._fields, one) if value})
        for name, one in sorted(ledger.hosts.items())
    ]


def _facts(kept: PriorNetwork) -> t.Iterator[tuple[str, t.Any]]:
    yield "vni", kept.vni
    yield "subnets", kept.subnets
    yield "reserved", kept.reserved
    yield "members", sorted(kept.members)
    if kept.slices:
        yield "slices", dict(sorted(kept.slices.items()))
    if kept.services:
        yield "services", dict(sorted(kept.services.items()))


def _lines(rows: t.Sequence[tuple[str, t.Any]], indent: int) -> list[str]:
    return [
        f"{' ' * indent}{json.dumps(name)}: {json.dumps(value)}{',' if place + 1 < len(rows) else ''}"
        for place, (name, value) in enumerate(rows)
    ]
