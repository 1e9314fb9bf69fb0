# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Reads the report of a host before a fleet is planned. It creates missing WireGuard keys and changes nothing else."""

from __future__ import annotations

import typing as t

from ..allocate.leases import Leases
from ..fleet import host_report
from ..linux import wireguard
from ..model.facts import Facts, UnderlayAddress
from ..observe import snapshot, uplink
from . import store
from .document_files import Json


def report_host(
    vtep: str = "", peers: bool = False, tunnels: t.Sequence[str] = (), check: bool = False
) -> tuple[bool, Json]:
    """Return whether a key was created, or with check would be, and the report of this host.

    The report can be empty, but it is never missing. For each of tunnels a missing key is created, and the report has
    the public keys of all. Raises DocklessError for a VTEP address or interface that this host does not have.
    """
    documents = {
        name: (document.declaration, Leases.from_json(document.leases))
        for name, document in store.load_all().projects.items()
    }
    report = host_report.host_report(documents, _read_facts(), vtep, peers)
    if not tunnels:
        return False, report
    missing = [slot for slot in tunnels if wireguard.public_key(slot) is None]
    if not check:
        for slot in missing:
            wireguard.create_key(slot)
    return bool(missing), {**report, "public_keys": wireguard.public_keys()}


def _read_facts() -> Facts:
    """Return only those facts of the host that its report is made of."""
    found = uplink.read_uplink(snapshot.read_host())
    return Facts(
        routes=found.routes,
        addresses=found.addresses,
        mtu=found.mtu,
        uplink=found.link,
        underlay=tuple(UnderlayAddress(*each) for each in found.underlay),
    )
