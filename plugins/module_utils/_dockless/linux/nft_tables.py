# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""dockless's nft tables of a host and its sandboxes, with a cache, so that what nobody changed is not read again."""

from __future__ import annotations

import os
import typing as t

from .. import names
from ..firewall import host_firewall
from ..state.firewall import OTHER_RULES, Firewall
from ..state.objects import HOST, NftTable
from . import netlink, netns, nft, nft_dump
from .nft import Ruleset

Known = dict[int, tuple[int, str]]  # a namespace -> its ruleset's generation, and the digest of what is there
# Bytes that are read of the tables in a sandbox. A table of 1,000 services with 10 sandboxes each has about a quarter.
_SANDBOX_LIMIT = 8 << 20
_DATA_SETS = frozenset(each.name for sets in host_firewall.FAMILY_SETS.values() for each in sets)
_NEW_GENERATION = 1  # of a namespace in which nobody has loaded rules
_NO_TABLE = names.text_digest("")
_HOST_RULES = Ruleset("".join(host_firewall.RULES.values()), tuple(host_firewall.RULES), _DATA_SETS)


class Tables:
    """The tables of all namespaces.

    The kernel increments a namespace's generation with every change of its ruleset, whoever makes it. A namespace whose
    generation is the known one still has what is known for it, and is not read.
    """

    def __init__(self, known: Known | None = None) -> None:
        self.known = known or {}
        self.generations: dict[str, int] = {}  # as last read, by namespace
        self._references: dict[str, str] = {}  # fingerprint of a text, by the digest of the text

    def were_here(self) -> bool:
        """Return whether this thread's namespace is known to have had a table. Where none was, it need not be read."""
        return _own_namespace() in self.known

    # ---- sandboxes -----------------------------------------------------------

    def inside(self, name: str, wanted: NftTable | None) -> NftTable | None:
        """Return the table in this thread's namespace, whose name is given, None if there is none.

        The text is the wanted one if the kernel has the same rules, otherwise "".
        """
        wanted_text = wanted.text if wanted is not None else ""
        generation = self._generation(name)
        never_had_rules = generation <= _NEW_GENERATION
        if never_had_rules and not wanted_text:
            return None
        known = self._known_digest(generation)
        if known == names.text_digest(wanted_text):
            return NftTable(name, wanted_text) if wanted_text else None
        if known:  # an earlier text, which is not read: a hundred clients of a thousand services have large tables
            return None if known == _NO_TABLE else NftTable(name, "")
        found = nft_dump.fingerprint(("inet",), limit=_SANDBOX_LIMIT)
        if not found:
            if not wanted_text:  # the rules in this namespace are not dockless's
                self._note("", generation)
            return None
        if wanted_text and found == self.fingerprint(Ruleset.of_sandbox(wanted_text)):
            self._note(wanted_text, generation)
            return NftTable(name, wanted_text)
        return NftTable(name, "")

    def put(self, table: NftTable) -> None:
        """Load a table into its sandbox, and note that it is there until something raises the generation."""
        with netns.entered_named(table.netns):
            nft.replace(table.text)
            self._note_loaded(table.netns, table.text)

    # ---- the host ------------------------------------------------------------

    def firewall(self, wanted: Firewall | None) -> Firewall | None:
        """Return the host's firewall, None if there is none. If the kernel has the wanted one, it is that object."""
        generation = self._generation(HOST)
        never_had_rules = generation <= _NEW_GENERATION
        if never_had_rules and wanted is None:
            return None
        if wanted is not None and self._known_digest(generation) == _digest(wanted):
            return wanted
        found = nft_dump.fingerprint(_HOST_RULES.families, _HOST_RULES.data_sets)
        if not found:
            return None
        rules = host_firewall.RULES_VERSION if found == self.fingerprint(_HOST_RULES) else OTHER_RULES
        elements = frozenset(nft_dump.elements(host_firewall.FAMILY_SETS))
        if wanted is None or (rules, elements) != (wanted.rules, wanted.elements):
            return Firewall(rules, elements)
        self._note_firewall(wanted, generation)
        return wanted

    def change_firewall(self, before: Firewall | None, after: Firewall) -> None:
        """Load the rules if they are others, otherwise the elements that differ. Does nothing if all are equal."""
        if before is None or before.rules != after.rules:
            nft.load(host_firewall.load_script(after.elements))
        elif before.elements != after.elements:
            nft.load(host_firewall.change_script(before.elements, after.elements))
        else:
            return
        self._note_loaded(HOST, _text(after))

    def remove_firewall(self) -> None:
        """Delete both tables."""
        nft.load(host_firewall.deletion_script())

    # ---- what is known -------------------------------------------------------

    def fingerprint(self, ruleset: Ruleset) -> str:
        """Return the fingerprint that a ruleset has on this kernel. Sandboxes with the same text share it."""
        digest = names.text_digest(ruleset.text)
        if digest not in self._references:
            self._references[digest] = nft.reference(ruleset)
        return self._references[digest]

    def cache_fingerprints(self, texts: t.Iterable[str]) -> None:
        """Write the fingerprints of sandboxes' tables, and of the host's rules, for later runs."""
        rulesets = [_HOST_RULES, *map(Ruleset.of_sandbox, texts)]
        for ruleset in rulesets:
            nft.cache_fingerprint(ruleset.text, self.fingerprint(ruleset))

    def _generation(self, name: str) -> int:
        self.generations[name] = nft.generation()
        return self.generations[name]

    def _known_digest(self, generation: int) -> str:
        known_generation, digest = self.known.get(_own_namespace(), (0, ""))
        return digest if known_generation == generation else ""

    def _note(self, text: str, generation: int) -> None:
        """Note what this thread's namespace has at a generation. The latest notes are the last in known."""
        namespace = _own_namespace()
        self.known.pop(namespace, None)
        self.known[namespace] = generation, names.text_digest(text)

    def _note_loaded(self, name: str, text: str) -> None:
        """Note a text that was just loaded, unless somebody else has changed the ruleset since it was last read.

        A change of theirs would otherwise count as ours, and verification would not see it.
        """
        expected = self.generations.get(name, _NEW_GENERATION) + 1
        if self._generation(name) == expected:
            self._note(text, expected)

    def _note_firewall(self, firewall: Firewall, generation: int) -> None:
        self._note(_text(firewall), generation)


def _digest(firewall: Firewall) -> str:
    return names.text_digest(_text(firewall))


def _text(firewall: Firewall) -> str:
    """Return what identifies a firewall."""
    lines = sorted(f"{name} {element}" for name, element in firewall.elements)
    return "\n".join([firewall.rules, *lines])


def _own_namespace() -> int:
    """Return the cookie of this thread's namespace, which no later one gets, or before Linux 5.14 its inode."""
    with netlink.Socket() as sock:
        return sock.cookie() or os.stat("/proc/thread-self/ns/net").st_ino
