# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Reads and loads table inet dockless-transit, in the network namespace of the calling thread."""

from __future__ import annotations

from ..errors import DocklessError
from ..names import TRANSIT_TABLE
from . import netns, nft

_LIST = ("-s", "list", "table", "inet", TRANSIT_TABLE)
_DELETE = f"table inet {TRANSIT_TABLE}\ndelete table inet {TRANSIT_TABLE}\n"  # "destroy" needs nft 1.0.8
_ABSENT = "No such file or directory"


def listing() -> str:
    """Return the table as nft lists it, "" if there is none. Raises DocklessError if nft cannot list it."""
    output = nft.run_nft(_LIST)
    if output.status and _ABSENT not in output.stderr:
        raise DocklessError(f"nft cannot list table inet {TRANSIT_TABLE}: {output.reason}")
    return output.stdout


def is_same(found: str, text: str) -> bool:
    """Return whether a listing is that of a text. Versions of nft that list it in another form are asked for theirs."""
    if found == text or not (found and text):
        return found == text
    with netns.temporary_namespace():
        replace(text)
        return found == listing()


def replace(text: str) -> None:
    """Replace the table in one transaction; "" deletes it. Raises DocklessError with nft's message."""
    output = nft.run_nft(["-f", "-"], _DELETE + text)
    if output.status:
        raise DocklessError(f"nft refused table inet {TRANSIT_TABLE}: {output.reason}")
