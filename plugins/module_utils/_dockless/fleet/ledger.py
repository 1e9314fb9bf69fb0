# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""The ledger of a fleet, its state file, as JSON: read, written, and shown line by line."""

from __future__ import annotations

import json
import typing as t

from ..errors import DocklessError
from .json_values import (
    READ_ERRORS,
    Json,
    key_text,
    read_addresses,
    read_endpoint,
    read_key,
    read_networks,
    read_services,
    set_fields,
)
from .model import HostUnderlay, Key, Ledger, PriorNetwork

FORMAT = 1
_REMEDY = (
    "Restore the last good copy. Or remove the file and run over the whole fleet: the hosts then report what they have."
)


def parse_ledger(text: str, origin: str) -> Ledger:
    """Return the ledger in a JSON text. Raises DocklessError, which names origin, if the text is no ledger."""
    try:
        content = json.loads(text)
        if content["format"] != FORMAT:
            raise DocklessError(
                f"{origin} has the format {content['format']!r}, but this version of dockless reads only {FORMAT}",
                _REMEDY,
            )
        networks = {read_key(name): _read_network(spec) for name, spec in content["networks"].items()}
        return Ledger(networks, {name: HostUnderlay(**spec) for name, spec in content["hosts"].items()})
    except READ_ERRORS as error:
        raise DocklessError(f"{origin} is not the ledger of a fleet: {error}", _REMEDY) from None


def ledger_text(ledger: Ledger) -> str:
    """Return the ledger as JSON in a fixed order. Each host and endpoint has its line, which suits version control."""
    hosts = [(name, set_fields(underlay)) for name, underlay in sorted(ledger.hosts.items())]
    lines = ["{", f' "format": {FORMAT},', ' "hosts": {', *_member_lines(hosts, 2), " },", ' "networks": {']
    for number, (key, network) in enumerate(sorted(ledger.networks.items()), 1):
        lines += _network_lines(key, network, is_last=number == len(ledger.networks))
    return "\n".join([*lines, " }", "}"]) + "\n"


def ledger_lines(ledger: Ledger) -> list[str]:
    """Return a line of text for each fact in the ledger, as a task's diff shows it."""
    lines = []
    for name, underlay in sorted(ledger.hosts.items()):
        fields = [f"{field} {value}" for field, value in set_fields(underlay).items()]
        lines.append(" ".join([f"host {name}:", *fields]))
    for key, network in sorted(ledger.networks.items()):
        prefix = f"network {key_text(key)}:"
        lines.append(f"{prefix} VNI {network.vni}, {', '.join(network.subnets)}")
        for name, parts in sorted(network.slices.items()):
            lines.append(f"{prefix} host {name} has {', '.join(parts)}")
        for sandbox, record in sorted(network.endpoints.items()):
            lines.append(f"{prefix} {key_text(sandbox)} on host {record.host} has {', '.join(record.addresses)}")
    return lines


def _read_network(spec: t.Mapping[str, t.Any]) -> PriorNetwork:
    return PriorNetwork(
        vni=int(spec["vni"]),
        subnets=read_networks(spec["subnets"]),
        members=tuple(spec["members"]),
        slices={host: read_networks(parts) for host, parts in spec.get("slices", {}).items()},
        endpoints={read_key(name): read_endpoint(row, row["host"]) for name, row in spec["endpoints"].items()},
        reserved=read_addresses(spec.get("reserved", ())),
        services=read_services(spec),
    )


def _network_lines(key: Key, network: PriorNetwork, is_last: bool) -> list[str]:
    endpoints = [(key_text(sandbox), set_fields(record)) for sandbox, record in sorted(network.endpoints.items())]
    return [
        f"  {json.dumps(key_text(key))}: {{",
        *(f'   "{name}": {json.dumps(value)},' for name, value in _network_fields(network).items()),
        '   "endpoints": {',
        *_member_lines(endpoints, 4),
        "   }",
        "  }" if is_last else "  },",
    ]


def _network_fields(network: PriorNetwork) -> Json:
    """Return the fields of a network but its endpoints."""
    fields: Json = {
        "vni": network.vni,
        "subnets": network.subnets,
        "reserved": network.reserved,
        "members": sorted(network.members),
    }
    if network.slices:
        fields["slices"] = dict(sorted(network.slices.items()))
    if network.services:
        fields["services"] = dict(sorted(network.services.items()))
    return fields


def _member_lines(members: t.Sequence[tuple[str, Json]], indent: int) -> list[str]:
    """Return the members of a JSON object, one on each line, with commas between them."""
    lines = [f"{' ' * indent}{json.dumps(name)}: {json.dumps(value)}" for name, value in members]
    return [f"{line}," for line in lines[:-1]] + lines[-1:]
