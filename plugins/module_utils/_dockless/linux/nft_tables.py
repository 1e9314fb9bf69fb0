# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""dockless's nft tables of a host and its sandboxes, with a cache, because each question to nft is a process."""

from __future__ import annotations

import os
import typing as t

from .. import names
from ..state.objects import HOST, NftTable, State
from . import conntrack, netns, nft

Known = dict[int, tuple[int, str]]  # a namespace's inode -> its ruleset's generation, and the digest of the text there


class Tables:
    """The tables of all namespaces, compared in the form in which nft lists them.

    The kernel increments a namespace's generation with every change of its ruleset, whoever makes it. A namespace whose
    generation is the known one still has the text that is known for it, and nft is not run there.
    """

    def __init__(self, known: Known | None = None) -> None:
        self.known = known or {}
        self.generations: dict[str, int] = {}  # as last read, by namespace
        self._listings: dict[str, str] = {}  # nft's listing of a text, by the digest of the text

    def were_here(self) -> bool:
        """Return whether this thread's namespace is known to have had a table. Where none was, nft need not be run."""
        return _own_inode() in self.known

    def inside(self, name: str, wanted: State) -> t.Iterator[NftTable]:
        """Yield the table in this thread's namespace, whose name is given, if there is one.

        The text is the wanted one if nft lists that in the same form, otherwise nft's listing.
        """
        found = wanted.get(("nft_table", name))
        wanted_text = found.text if isinstance(found, NftTable) else ""
        generation = nft.generation()
        self.generations[name] = generation
        never_had_rules = generation <= 1
        if never_had_rules and not wanted_text:
            return
        known_generation, known_digest = self.known.get(_own_inode(), (0, ""))
        if known_generation != generation:
            known_digest = ""
        if known_digest == names.text_digest(wanted_text):
            if wanted_text:
                yield NftTable(name, wanted_text)
            return
        listing = self._cached_listing(known_digest) if known_digest else ""
        listing = listing or self._list(name)
        if not listing:
            if not wanted_text:  # the rules in this namespace are not dockless's
                self.note("", generation)
        elif wanted_text and listing == self.canonical(wanted_text):
            self.note(wanted_text, generation)
            yield NftTable(name, wanted_text)
        else:
            yield NftTable(name, listing)

    def put(self, table: NftTable) -> None:
        """Load a table into its namespace, and note that it is there until something raises the generation."""
        with netns.entered_named(table.netns):
            nft.replace(table.text)
            self.note(table.text, nft.generation())

    def publish(self, before: NftTable | None, after: NftTable | None) -> None:
        """Replace the host's table, and cut the connections that the new one would not let begin."""
        nft.replace(after.text if after else "")
        if after:
            self.note(after.text, nft.generation())
        conntrack.follow(before.text if before else "", after.text if after else "")

    def note(self, text: str, generation: int) -> None:
        """Note that this thread's namespace has a text at a generation. The latest notes are the last in known."""
        inode = _own_inode()
        self.known.pop(inode, None)
        self.known[inode] = generation, names.text_digest(text)

    def canonical(self, text: str) -> str:
        """Return nft's listing of a text. Sandboxes with the same text share it."""
        digest = names.text_digest(text)
        if not self._cached_listing(digest):
            self._listings[digest] = nft.canonical(text)
        return self._listings[digest]

    def _cached_listing(self, digest: str) -> str:
        """Return nft's listing of the text with this digest, "" if neither this run nor an earlier one has it."""
        if digest not in self._listings:
            self._listings[digest] = nft.cached_listing(digest)
        return self._listings[digest]

    @staticmethod
    def _list(name: str) -> str:
        """Return nft's listing of the tables in this thread's namespace. A sandbox has one, so one process will do."""
        return nft.listing() if name == HOST else nft.listing(families=("inet",))


def _own_inode() -> int:
    return os.stat("/proc/thread-self/ns/net").st_ino
