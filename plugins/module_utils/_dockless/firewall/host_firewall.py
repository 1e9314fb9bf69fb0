# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""The transactions of a host's firewall: its rules are loaded once, its data are added to and deleted from sets.

Order within a run. What an element allows or closes decides when it is there:

- an element that closes something (CLOSING) is added before the links that it closes, and deleted after they are gone;
- what a bridge port may send (table bridge dockless) is added before the port, because the kernel announces a new
  MAC address immediately;
- every other element allows something. It is added after the links are complete, and deleted before they are removed.

So a run that is killed at any point, and rules without data, let nothing pass that the finished state would not.
"""

from __future__ import annotations

import hashlib
import ipaddress

from ..names import TABLE
from .nft_text import Element, Elements, element_statements, table_text
from .port_rules import PORT_CHAINS, PORT_COUNTERS, PORT_SETS
from .rules import CHAINS, CLOSING, COUNTERS, SETS

FAMILY_SETS = {"inet": SETS, "bridge": PORT_SETS}
RULES = {
    "inet": table_text("inet", COUNTERS, SETS, CHAINS),
    "bridge": table_text("bridge", PORT_COUNTERS, PORT_SETS, PORT_CHAINS),
}
RULES_VERSION = hashlib.sha256("".join(RULES.values()).encode()).hexdigest()[:12]
_FAMILY_OF = {each.name: family for family, sets in FAMILY_SETS.items() for each in sets}
_PORT_SETS = frozenset(each.name for each in PORT_SETS)


def load_script(elements: Elements) -> str:
    """Return the transaction that replaces both tables by the rules of this version with these elements."""
    # "destroy" needs Linux 6.3 and nft 1.0.8.
    tables = "".join(f"table {family} {TABLE}\ndelete table {family} {TABLE}\n{RULES[family]}" for family in RULES)
    return tables + _statements("add", elements)


def change_script(before: Elements, after: Elements) -> str:
    """Return the transaction that changes the elements, "" if they are equal. Others are not touched."""
    return _statements("delete", before - after) + _statements("add", after - before)


def deletion_script() -> str:
    """Return the transaction that deletes both tables, whether they exist or not."""
    return "".join(f"table {family} {TABLE}\ndelete table {family} {TABLE}\n" for family in RULES)


def needed_before_links(elements: Elements) -> Elements:
    """Return the elements that must be loaded before the links exist to which they apply."""
    return frozenset(each for each in elements if each[0] in CLOSING or each[0] in _PORT_SETS)


def needed_until_removal(elements: Elements) -> Elements:
    """Return the elements that must stay until the links are gone to which they apply."""
    return frozenset(each for each in elements if each[0] in CLOSING)


def before_links(before: Elements, after: Elements) -> Elements:
    """Return the elements that are loaded while the links change, between those before and after the change.

    A closing element of before that after lacks overlaps one of after: the kernel does not take both.
    """
    superseded = needed_until_removal(before - after)
    return (before - superseded) | needed_before_links(after)


def until_removal(wanted: Elements, actual: Elements) -> Elements:
    """Return the wanted elements with those actual ones that must stay until undeclared links are gone."""
    by_set: dict[str, list[Element]] = {}
    for element in wanted:
        if element[0] in CLOSING:
            by_set.setdefault(element[0], []).append(element)
    surplus = needed_until_removal(actual - wanted)
    kept = [each for each in surplus if not any(_overlap(each, other) for other in by_set.get(each[0], ()))]
    return wanted.union(kept)


def _overlap(one: Element, other: Element) -> bool:
    """Return whether the kernel cannot hold both elements in one set."""
    pairs = zip(_key_fields(one[1]), _key_fields(other[1]))
    return all(_fields_overlap(*pair) for pair in pairs)


def _key_fields(element: str) -> list[str]:
    return element.partition(" : ")[0].split(" . ")


def _fields_overlap(one: str, other: str) -> bool:
    if one == other:
        return True
    if one.startswith('"'):
        return False
    if "/" in one or "/" in other:
        return ipaddress.ip_network(one).overlaps(ipaddress.ip_network(other))
    if "-" in one or "-" in other:
        (first, last), (other_first, other_last) = _ports(one), _ports(other)
        return first <= other_last and other_first <= last
    return False


def _ports(field: str) -> tuple[int, int]:
    first, _dash, last = field.partition("-")
    return int(first), int(last or first)


def _statements(action: str, elements: Elements) -> str:
    by_family = {family: [each for each in elements if _FAMILY_OF[each[0]] == family] for family in RULES}
    return "".join(element_statements(action, family, found) for family, found in by_family.items())
