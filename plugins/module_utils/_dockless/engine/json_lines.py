# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Finds the line of a value in a JSON text, so that a message about a document names it."""

from __future__ import annotations

import json
import re
import typing as t

_SPACE = re.compile(r"[ \t\n\r]*")
_DECODER = json.JSONDecoder()


def line_of(text: str, keys: t.Sequence[str]) -> int:
    """Return the line of the member that keys lead to, or of the last one on the way that exists.

    A key of a list is its index. A name with dots may be several keys. The text must be valid JSON.
    """
    place = value = _after_space(text, 0)
    rest = list(keys)
    while rest:
        for count in range(1, len(rest) + 1):
            member = _member(text, value, ".".join(rest[:count]))
            if member is not None:
                place, value = member
                rest = rest[count:]
                break
        else:
            break
    return text.count("\n", 0, place) + 1


def keys_of(path: str) -> list[str]:
    """Return the keys in the path of an option, such as sandboxes.web.ports[0]."""
    return re.findall(r"[^.\[\]]+", path)


def _member(text: str, start: int, key: str) -> tuple[int, int] | None:
    """Return the offsets of a member and of its value, None if the value at start has no such member.

    Of two members with one key, the last one counts, as for json.loads().
    """
    found = None
    for name, place, value in _members(text, start):
        if name == key:
            found = place, value
    return found


def _members(text: str, start: int) -> t.Iterator[tuple[str, int, int]]:
    """Yield key, offset, and offset of the value of each member of the object or list that begins at start."""
    opening = text[start : start + 1]
    if opening not in ("{", "["):
        return
    offset = _after_space(text, start + 1)
    number = 0
    while text[offset : offset + 1] not in ("}", "]", ""):
        place = offset
        name = str(number)
        if opening == "{":
            name, offset = _DECODER.raw_decode(text, offset)
            offset = _after_space(text, _after_space(text, offset) + 1)  # the colon
        yield name, place, offset
        _value, offset = _DECODER.raw_decode(text, offset)
        offset = _after_space(text, offset)
        if text[offset : offset + 1] == ",":
            offset = _after_space(text, offset + 1)
        number += 1


def _after_space(text: str, offset: int) -> int:
    found = _SPACE.match(text, offset)
    return found.end() if found else offset
