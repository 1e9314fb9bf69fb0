# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Sets, chains and tables as nft text (nft(8)), indented with tabs, as nft lists them."""

from __future__ import annotations

import typing as t

from ..names import TABLE

Elements = dict[str, list[str]]  # of sets and maps, by name


class NftSet(t.NamedTuple):
    """A set or map. kind: "set" or "map". type: its type statement. interval: elements may be ranges or prefixes."""

    kind: str
    name: str
    type: str
    interval: bool = False


def no_elements(sets: t.Iterable[NftSet]) -> Elements:
    """Return an empty list for each set."""
    return {each.name: [] for each in sets}


def chain_text(name: str, *statements: str) -> str:
    """Return a chain. statements: the rules, and before them the hook of a base chain."""
    return f"\n\tchain {name} {{\n" + "".join(f"\t\t{statement}\n" for statement in statements) + "\t}\n"


def table_text(
    family: str, counters: t.Sequence[str], sets: t.Iterable[NftSet], elements: Elements, chains: str
) -> str:
    """Return dockless's table of a family."""
    parts = [f"\tcounter {name} {{\n\t}}\n" for name in counters]
    parts += [_set_text(each, elements[each.name]) for each in sets]
    return f"table {family} {TABLE} {{\n" + "\n".join(parts) + chains + "}\n"


def _set_text(nft_set: NftSet, elements: t.Sequence[str]) -> str:
    lines = [f"\t{nft_set.kind} {nft_set.name} {{", f"\t\t{nft_set.type}"]
    if nft_set.interval:
        lines.append("\t\tflags interval")
    if elements:  # an empty list is a syntax error in nft 1.0.6
        lines.append("\t\telements = { " + ",\n\t\t\t     ".join(sorted(set(elements))) + " }")
    return "\n".join(lines) + "\n\t}\n"
