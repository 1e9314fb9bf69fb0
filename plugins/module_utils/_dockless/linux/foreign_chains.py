# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Reads the forward chains of foreign firewalls with nft(8) and finds those that drop traffic of dockless's bridges."""

from __future__ import annotations

import typing as t

from ..errors import DocklessError
from ..firewall import foreign_chains
from ..firewall.foreign_chains import BlockingChain, Chain
from ..names import TABLE, TRANSIT_TABLE
from . import nft, nft_dump


def blocking_chains(bridges: t.Sequence[str], families: t.Collection[str] = ("ip", "ip6")) -> list[BlockingChain]:
    """Return the foreign chains at the forward hook that drop traffic of these bridges.

    families: those that the networks use. Chains of the families inet and bridge are always analysed.

    First nft lists the headers of all chains, then the rules of each forward chain alone, because an old nft crashes on
    foreign rules that it does not know. A chain that cannot be listed is returned as such.
    """
    if not bridges:
        return []
    headers = nft.run_nft(["list", "chains"])
    if headers.status:
        return [foreign_chains.unreadable_chain(Chain("", "", "", ""), headers.reason)]
    found: list[BlockingChain] = []
    for chain in foreign_chains.forward_chains(headers.stdout):
        is_own = chain.family in nft_dump.FAMILY_NUMBERS and chain.table in (TABLE, TRANSIT_TABLE)
        if is_own or chain.family not in {*families, "inet", "bridge"}:
            continue
        try:
            rules = _rules_with_jumps(chain)
        except DocklessError as error:
            found.append(foreign_chains.unreadable_chain(chain, error.what))
        else:
            found += foreign_chains.analyse(chain, rules, bridges, _bridged_frames_pass(chain.family))
    return found


def _rules_with_jumps(chain: Chain) -> dict[str, list[str]]:
    """Return the rules of a chain and of every chain that it can jump to, by chain name. Raises DocklessError."""
    rules: dict[str, list[str]] = {}
    unread = [chain.name]
    while unread:
        name = unread.pop()
        if name in rules:
            continue
        output = nft.run_nft(["list", "chain", chain.family, chain.table, name])
        if output.status:
            raise DocklessError(output.reason)
        rules[name] = foreign_chains.rules_in(output.stdout)
        unread += foreign_chains.jumps(rules[name])
    return rules


def _bridged_frames_pass(family: str) -> bool:
    """Return whether frames between two ports of one bridge pass the forward chains of a family.

    Those of the families ip, ip6 and inet see such frames only with br_netfilter (bridge-nf-call-*).
    """
    settings = {"ip": ("iptables",), "ip6": ("ip6tables",), "inet": ("iptables", "ip6tables")}.get(family)
    if settings is None:
        return True
    return any(_is_one(f"/proc/sys/net/bridge/bridge-nf-call-{setting}") for setting in settings)


def _is_one(path: str) -> bool:
    try:
        with open(path, encoding="ascii") as value:
            return value.read().strip() == "1"
    except FileNotFoundError:  # br_netfilter is not loaded
        return False
