# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Our nft tables of a host and its sandboxes, asked for as seldom as can be: each question is a process."""

from __future__ import annotations

import os
import typing as t

from .. import names
from ..state.objects import HOST, NftTable, State
from . import conntrack, netns, nft

_NONE = names.text_digest("")


class Tables:
    """Our nft tables, compared by nft's own listing; a namespace whose ruleset has not changed since is not asked again."""

    def __init__(self, known: dict[int, tuple[int, str]] | None = None) -> None:
        self.known = known or {}  # inode -> (generation, digest of the text that it held then)
        self._forms: dict[str, str] = {}  # nft's own, by the digest of ours
        self.generations: dict[str, int] = {}  # as they were when last asked for, by namespace

    def were_here(self) -> bool:
        """Return whether a table is known to have been in the namespace that this thread is in: where none was, nobody need be asked."""
        return _inode() in self.known

    def inside(self, name: str, wanted: State) -> t.Iterator[NftTable]:
        """Yield the table of the namespace that this thread is in, if there is one."""
        want = wanted.get(("nft_table", name))
        generation = self.generations[name] = nft.generation()
        if generation <= 1 and want is None:
            return
        before = self.known.get(_inode())
        if isinstance(want, NftTable) and before == (generation, names.text_digest(want.text)):
            yield want
            return
        if want is None and before == (generation, _NONE):
            return
        text = self._form(before[1]) if before is not None and before[0] == generation else ""
        if not text:
            text = nft.listing() if name == HOST else nft.listing(families=("inet",))
        if not text:
            if want is None:  # others have rules there
                self.note("", generation)
            return
        if isinstance(want, NftTable) and text == self.canonical(want.text):
            self.note(want.text, generation)
            yield want
        else:
            yield NftTable(name, text)

    def put(self, table: NftTable) -> None:
        """Load a table into its namespace. nft has taken it whole, so it is known until something raises the generation."""
        with netns.entered_named(table.netns):
            nft.replace(table.text)
            self.note(table.text, nft.generation())

    def publish(self, before: NftTable | None, after: NftTable | None) -> None:
        """Put the host's table in place of the one before, and cut the connections that it would not let come about."""
        nft.replace(after.text if after else "")
        if after:
            self.note(after.text, nft.generation())
        conntrack.follow(before.text if before else "", after.text if after else "")

    def note(self, text: str, generation: int) -> None:
        """Keep what this thread's namespace holds at a generation."""
        inode = _inode()
        self.known.pop(inode, None)
        self.known[inode] = generation, names.text_digest(text)

    def canonical(self, text: str) -> str:
        """Return nft's form of a text; sandboxes share theirs."""
        digest = names.text_digest(text)
        if not self._form(digest):
            self._forms[digest] = nft.canonical(text)
        return self._forms[digest]

    def _form(self, digest: str) -> str:
        """Return nft's form of the text with this digest, as far as this or an earlier run has asked for it, else ""."""
        if digest not in self._forms:
            self._forms[digest] = nft.cached_listing(digest)
        return self._forms[digest]


def _inode() -> int:
    return os.stat("/proc/thread-self/ns/net").st_ino
