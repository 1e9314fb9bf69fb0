# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Reads what a host must tell before a fleet is planned. It changes nothing but a key that is missing."""

from __future__ import annotations

import typing as t

from ..allocate.leases import Leases
from ..fleet import host_report
from ..linux import wireguard
from ..model.facts import Facts, UnderlayAddress
from ..observe import snapshot, uplink
from . import store

Json = dict[str, t.Any]


def report_host(
    vtep: str = "", peers: bool = False, tunnels: t.Sequence[str] = (), check: bool = False
) -> tuple[bool, Json]:
    """Return whether a key was made, or with check would be, and what this host has, also where it has nothing yet.

    tunnels makes those keys of its tunnels that are missing, and tells the public
    halves of all. Raises DocklessError for a VTEP that it does not have.
    """
    documents = store.load_all()
    present = snapshot.read_host()
    way_out = uplink.read_uplink(present)
    facts = Facts(
        routes=way_out.routes,
        addresses=way_out.addresses,
        mtu=way_out.mtu,
        uplink=way_out.link,
        underlay=tuple(UnderlayAddress(*each) for each in way_out.underlay),
    )
    found = host_report.host_report(
        {
            name: (document.declaration, Leases.from_json(document.leases))
            for name, document in documents.projects.items()
        },
        facts,
        vtep,
        peers,
    )
    if not tunnels:
        return False, found
    missing = [slot for slot in tunnels if wireguard.public_key(slot) is None]
    for slot in missing if not check else ():
        wireguard.create_key(slot)
    return bool(missing), {**found, "public_keys": wireguard.public_keys()}
