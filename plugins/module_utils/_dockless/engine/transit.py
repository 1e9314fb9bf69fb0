# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Restores table inet dockless-transit, which the role prerequisites loads before it turns forwarding on.

Another firewall can delete it ("nft flush ruleset"). From then on the host is a router for its neighbours.
"""

from __future__ import annotations

import typing as t

from ..firewall.transit import transit_table
from ..linux import transit_table as live
from ..model.facts import NO_TRANSIT, Transit
from ..names import FORMER_SETTINGS, TRANSIT_FILE, TRANSIT_TABLE

_TABLE = f"nft table {TRANSIT_TABLE}"


class Result(t.NamedTuple):
    """What was done, or in check mode would be: a line for each change, and warnings."""

    operations: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def converge(transit: Transit, forward_for_others: bool, check: bool) -> Result:
    """Load the table that the role's record asks for. forward_for_others (ip_forward_no_drop) deletes it.

    Without a record the table, if there is one, is left as it is: a lost record must not make the host a router.
    """
    if not transit.is_known:
        return Result(warnings=(_UNKNOWN,))
    if not transit.closed:
        return Result()
    wanted = transit_table(NO_TRANSIT if forward_for_others else transit)
    found = live.listing()
    if live.is_same(found, wanted):
        return Result()
    if not check:
        live.replace(wanted)
    if not wanted:
        return Result((f"delete {_TABLE}",))
    return Result((f"{'update' if found else 'create'} {_TABLE}",), (_lost(found, transit, check),))


def _lost(found: str, transit: Transit, check: bool) -> str:
    versions = " and ".join(f"IPv{version}" for version in transit.closed)
    return (
        f"Table inet {TRANSIT_TABLE} was {'changed' if found else 'missing'}, so this host could forward {versions} "
        f"packets for other hosts, although forwarding is on for dockless only. "
        f"{'The next run loads it again.' if check else 'It is loaded again.'} If a firewall deletes it "
        f'(flush ruleset), add the line include "{TRANSIT_FILE}" to the configuration of that firewall. If that file '
        "is missing, run the role dockless.network.prerequisites."
    )


_UNKNOWN = (
    f"{FORMER_SETTINGS} cannot be read, so it is unknown whether forwarding is on for dockless only. Table inet "
    f"{TRANSIT_TABLE} is left as it is. Restore the file from a backup, then run the role "
    "dockless.network.prerequisites."
)
