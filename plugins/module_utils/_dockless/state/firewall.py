# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""The firewall of the host as an object of the plan."""

from __future__ import annotations

import typing as t

from ..firewall import descriptions, host_firewall
from ..firewall.descriptions import Names
from ..firewall.host_firewall import RULES_VERSION
from ..firewall.nft_text import Elements
from .keys import Key

OTHER_RULES = "other"  # the version of rules that this version of the engine has not written
FIREWALL_KEY: Key = ("firewall", "host")


class Firewall(t.NamedTuple):
    """The two tables of the host.

    rules     version of the rules that are loaded, or OTHER_RULES
    elements  the data in their sets
    names     of what the elements are about, for descriptions
    """

    rules: str
    elements: Elements
    names: Names = descriptions.NO_NAMES

    @property
    def key(self) -> Key:
        """Identifies the object on the host. The name of its kind comes first."""
        return FIREWALL_KEY

    def __str__(self) -> str:
        """Return its name for plans and messages."""
        return "firewall"

    def until_removal(self, actual: Firewall) -> Firewall:
        """Return the firewall that must be there as long as undeclared links are, wanted being self."""
        return self._replace(elements=host_firewall.until_removal(self.elements, actual.elements))

    def before_links(self, before: Firewall | None) -> Firewall:
        """Return the firewall that must be there while links change, between one (None: no tables) and this one."""
        elements = before.elements if before is not None else frozenset()
        return self._replace(elements=host_firewall.before_links(elements, self.elements))

    def closed(self) -> Firewall:
        """Return the firewall that publishes nothing and still guards every link."""
        return Firewall(RULES_VERSION, host_firewall.needed_until_removal(self.elements), self.names)

    def described_changes(self, other: Firewall) -> list[str]:
        """Return what this firewall has and another lacks, in the words of the document."""
        names = self.names.with_more(other.names)
        return descriptions.describe(self.elements - other.elements, names)
