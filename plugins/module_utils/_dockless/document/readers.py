# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Typed readers of what people wrote. A reader takes (value, option path) and returns the value or refuses it.

None means "not said" and never reaches a reader; [] and {} mean "empty".
Ansible hands over some values as text ("yes", "8080"): what cannot be
misunderstood is accepted.
"""

from __future__ import annotations

import typing as t

from .. import errors

Reader = t.Callable[[t.Any, str], t.Any]
_TRUE = frozenset(("yes", "true", "on", "1"))
_FALSE = frozenset(("no", "false", "off", "0"))
_KINDS = {dict: "a dictionary", list: "a list", tuple: "a list", str: "text", bool: "a boolean", int: "a number"}


def shown(value: t.Any) -> str:
    """Return the value as a message may quote it: short, on one line."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def wrong_type(value: t.Any, path: str, wanted: str, remedy: str = "") -> t.NoReturn:
    """Raise that value is of another type than wanted."""
    kind = _KINDS.get(type(value), type(value).__name__)
    errors.refuse(path, f"{shown(value)} is {kind}, not {wanted}", remedy or f"Give {wanted}.")


def is_mapping(value: t.Any) -> t.TypeGuard[t.Mapping[str, t.Any]]:
    """Return whether it is a dictionary (dict first: asking for a Mapping takes ten times as long)."""
    return isinstance(value, (dict, t.Mapping))


def is_list(value: t.Any) -> t.TypeGuard[t.Sequence[t.Any]]:
    """Return whether it is a list."""
    return isinstance(value, (list, tuple))


def read(value: t.Any, path: str, readers: t.Mapping[str, Reader]) -> dict[str, t.Any]:
    """Return what a dictionary says, by key, each value through its reader; None is left out.

    Raises DocklessError for a key that has no reader, naming the closest one.
    """
    if not is_mapping(value):
        wrong_type(value, path, "a dictionary")
    said = {}
    for key, item in value.items():
        reader = readers.get(key) if isinstance(key, str) else None
        if reader is None:
            unknown_key(key, path, readers)
        if item is not None:
            said[key] = reader(item, f"{path}.{key}" if path else key)
    return said


def unknown_key(key: t.Any, path: str, known: t.Iterable[str]) -> t.NoReturn:
    """Raise that the option does not exist, with the closest that does."""
    import difflib  # costs more than a whole parse, and is for refusals only

    close = difflib.get_close_matches(str(key), sorted(known), 1, 0.6)
    remedy = f"Did you mean {close[0]}?" if close else "Known options: " + ", ".join(sorted(known)) + "."
    errors.refuse(path, f"{shown(key)} is not an option here", remedy)


def anything(value: t.Any, path: str) -> t.Any:
    """Return the value; another function reads it."""
    return value


def text(value: t.Any, path: str) -> str:
    """Return printable text on one line, not empty."""
    if not isinstance(value, str):
        wrong_type(value, path, "text", "Put it in quotes.")
    if not value or not value.isprintable():
        errors.refuse(
            path,
            f"{shown(value)} is empty or has characters that are not printable",
            "Give printable text on one line.",
        )
    return str(value)


def scalar(value: t.Any, path: str) -> str:
    """Return text, number or boolean as text, as labels and sysctls take them."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return str(value)
    return text(value, path) if value != "" else ""


def boolean(value: t.Any, path: str) -> bool:
    """Return a boolean; accepts yes/no, true/false, on/off and 1/0 as well."""
    if value is True or value is False:
        return value
    word = str(value).lower() if isinstance(value, (str, int)) else ""
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    errors.refuse(path, f"{shown(value)} is not a boolean", "Give true or false.")


def to_integer(value: t.Any, path: str) -> int:
    """Return a whole number, also from its digits as text."""
    if isinstance(value, int) and not isinstance(value, bool):
        return int(value)
    if isinstance(value, str) and len(value) < 12:
        digits = value[1:] if value[:1] == "-" else value
        if digits.isdigit() and digits.isascii():
            return int(value)
    errors.refuse(path, f"{shown(value)} is not a whole number", "Give a number, without a unit.")


def integer(low: int, high: int) -> Reader:
    """Return a reader of whole numbers from low to high."""

    def reader(value: t.Any, path: str) -> int:
        number = to_integer(value, path)
        if not low <= number <= high:
            errors.refuse(path, f"{number} is out of range", f"Give a number from {low} to {high}.")
        return number

    return reader


def choice(*options: str) -> Reader:
    """Return a reader of one word of several."""

    def reader(value: t.Any, path: str) -> str:
        if value not in options:
            errors.refuse(path, f"{shown(value)} is not one of the choices", "Choose " + " or ".join(options) + ".")
        return t.cast(str, value)

    return reader


def list_of(item: Reader) -> Reader:
    """Return a reader of lists, as tuples."""

    def reader(value: t.Any, path: str) -> tuple[t.Any, ...]:
        if not is_list(value):
            wrong_type(value, path, "a list")
        return tuple(item(one, f"{path}[{index}]") for index, one in enumerate(value))

    return reader


def one_or_list_of(item: Reader) -> Reader:
    """Return a reader of lists that takes a single text too, as Compose does for dns and dns_search."""
    listed = list_of(item)

    def reader(value: t.Any, path: str) -> tuple[t.Any, ...]:
        return (item(value, path),) if isinstance(value, str) else listed(value, path)

    return reader


def pairs(value: t.Any, path: str) -> tuple[tuple[str, str], ...]:
    """Return key and value pairs, sorted, from a dictionary or a list of "key=value"; a bare key has an empty value."""
    if is_mapping(value):
        found = {text(key, path): "" if one is None else scalar(one, f"{path}.{key}") for key, one in value.items()}
    elif is_list(value):
        split = (text(one, f"{path}[{index}]").partition("=") for index, one in enumerate(value))
        found = {key: one for key, equals, one in split}
    else:
        wrong_type(value, path, "a dictionary or a list of key=value")
    if "" in found:
        errors.refuse(path, "a key is empty", "Write key=value.")
    return tuple(sorted(found.items()))
