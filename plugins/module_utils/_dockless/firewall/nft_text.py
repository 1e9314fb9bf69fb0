# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Sets, chains, tables and changes of elements as nft text (nft(8))."""

from __future__ import annotations

import re
import typing as t

from ..errors import DocklessError
from ..names import TABLE

SetElements = dict[str, list[str]]  # of sets and maps, by name
Element = tuple[str, str]  # name of a set or map, and the element as nft writes it: "tcp . 80 : 10.0.0.2 . 80"
Elements = frozenset[Element]
# Quoted names of interfaces, numbers, addresses and the words for protocols: nothing that ends a statement.
_SAFE = re.compile(r'[\w.:/@ "-]+\Z')


class NftSet(t.NamedTuple):
    """A set or map. kind: "set" or "map". type: its type statement. interval: elements may be ranges or prefixes.

    limit: a statement of which each element has its own state, such as "limit rate 1/second". A rule that looks up an
    element matches within the limit only.
    """

    kind: str
    name: str
    type: str
    interval: bool = False
    limit: str = ""


def no_elements(sets: t.Iterable[NftSet]) -> SetElements:
    """Return an empty list for each set."""
    return {each.name: [] for each in sets}


def frozen(elements: SetElements) -> Elements:
    """Return the elements in the form in which they are compared: a prefix of one address is that address."""
    return frozenset((name, _without_full_prefixes(each)) for name, found in elements.items() for each in found)


def chain_text(name: str, *statements: str) -> str:
    """Return a chain. statements: the rules, and before them the hook of a base chain."""
    return f"\n\tchain {name} {{\n" + "".join(f"\t\t{statement}\n" for statement in statements) + "\t}\n"


def table_text(family: str, counters: t.Sequence[str], sets: t.Iterable[NftSet], chains: str) -> str:
    """Return dockless's table of a family, with empty sets."""
    parts = [f"\tcounter {name} {{\n\t}}\n" for name in counters]
    parts += [_set_text(each) for each in sets]
    return f"table {family} {TABLE} {{\n" + "\n".join(parts) + chains + "}\n"


def element_statements(action: str, family: str, elements: t.Iterable[Element]) -> str:
    """Return the statements that add or delete elements of a family's table: one for each set.

    action: "add" or "delete". Raises DocklessError for an element that is more than an element.
    """
    by_set: dict[str, list[str]] = {}
    for name, element in sorted(elements):
        if not _SAFE.match(element):
            raise DocklessError(
                f"an element of the firewall's set {name} was not loaded, because it contains more than an element",
                "This is a fault of dockless. Report it with the names in your document.",
            )
        by_set.setdefault(name, []).append(element)
    return "".join(f"{action} element {family} {TABLE} {name} {{ {', '.join(of)} }}\n" for name, of in by_set.items())


def _without_full_prefixes(element: str) -> str:
    """Return an element in which 10.0.0.2/32 is 10.0.0.2, and likewise in IPv6, as the kernel has no other form."""
    if "/32" not in element and "/128" not in element:
        return element
    fields = re.split(r"( \. | : )", element)
    return "".join(field.removesuffix("/128" if ":" in field else "/32") for field in fields)


def _set_text(nft_set: NftSet) -> str:
    lines = [f"\t{nft_set.kind} {nft_set.name} {{", f"\t\t{nft_set.type}"]
    if nft_set.interval:
        lines.append("\t\tflags interval")
    if nft_set.limit:
        lines.append(f"\t\t{nft_set.limit}")
    return "\n".join(lines) + "\n\t}\n"
