# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Reads what a host must tell before a fleet is planned. It changes nothing but a key that is missing."""
from __future__ import annotations

import typing as t

from . import fleet_told, spaces, store
from .errors import DocklessError
from .facts import Facts, Underlay

Told = t.Dict[str, t.Any]


def read_member(vtep: str = "", peers: bool = False, encrypted: bool = False, check: bool = False) -> t.Tuple[bool, Told]:
    """Return whether a key was made, or with check would be, and what this host has, also where it has nothing yet.

    encrypted makes the key of its tunnels if it is missing, and tells the public
    half. Raises DocklessError for a VTEP that it does not have.
    """
    documents = store.load_all()
    present = spaces.read_host()
    uplink = spaces.uplink(present)
    facts = Facts(routes=uplink.routes, addresses=uplink.addresses, mtu=uplink.mtu, uplink=uplink.link,
                  underlay=tuple(Underlay(*each) for each in uplink.underlay))
    found = fleet_told.told({name: (document.declaration, document.leases) for name, document in documents.projects.items()}, facts, vtep, peers)
    if not encrypted:
        return False, found
    key = _public_key()
    made = not key
    if made and not check:
        key = _made_key()
    return made, {**found, "public_key": key}


def _public_key() -> str:
    return _wireguard().public_key() or ""


def _made_key() -> str:
    return _wireguard().create_key() or _wireguard().public_key() or ""


def _wireguard() -> t.Any:
    """Return the door to WireGuard, which hosts without encrypted networks need not load."""
    try:
        from . import wireguard
    except ImportError:
        raise DocklessError("encrypted networks are not available in this version", "Remove encrypted.", "encrypted") from None
    return wireguard
