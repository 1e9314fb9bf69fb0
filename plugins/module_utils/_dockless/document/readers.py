# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Readers of general types: booleans, numbers, text, lists, dictionaries of options.

A reader takes a value from YAML or from Ansible and its option path. It returns the typed value, or raises
DocklessError with that path. None means that the option is not set and never reaches a reader; [] and {} are empty
values. Ansible passes some values as text ("yes", "8080"): readers accept text wherever its meaning is unambiguous.
"""

from __future__ import annotations

import typing as t

from .. import errors

Reader = t.Callable[[t.Any, str], t.Any]
_TRUE = frozenset(("yes", "true", "on", "1"))
_FALSE = frozenset(("no", "false", "off", "0"))
_TYPE_NAMES = {dict: "a dictionary", list: "a list", tuple: "a list", str: "text", bool: "a boolean", int: "a number"}
_LONGEST_QUOTE = 60
_LONGEST_INTEGER = 11  # characters; the largest accepted numbers are VNIs and 32-bit priorities


def shown(value: t.Any) -> str:
    """Return the value as messages quote it: its repr on one line, shortened to 60 characters."""
    text = repr(value)
    return text if len(text) <= _LONGEST_QUOTE else text[: _LONGEST_QUOTE - 3] + "..."


def wrong_type(value: t.Any, path: str, wanted: str, remedy: str = "") -> t.NoReturn:
    """Raise DocklessError, because the value is not of the wanted type ("a list")."""
    type_name = _TYPE_NAMES.get(type(value), type(value).__name__)
    errors.refuse(path, f"{shown(value)} is {type_name}, not {wanted}", remedy or f"Use {wanted}.")


def is_mapping(value: t.Any) -> t.TypeGuard[t.Mapping[str, t.Any]]:
    """Return whether the value is a dictionary."""
    # dict comes first: isinstance with an abstract Mapping takes ten times as long
    return isinstance(value, (dict, t.Mapping))


def is_list(value: t.Any) -> t.TypeGuard[t.Sequence[t.Any]]:
    """Return whether the value is a list."""
    return isinstance(value, (list, tuple))


def read(value: t.Any, path: str, readers: t.Mapping[str, Reader]) -> dict[str, t.Any]:
    """Return the options in a dictionary, each converted by its reader; options that are None are left out.

    Raises DocklessError if the value is not a dictionary, or has a key without a reader (the message suggests the
    closest key that has one).
    """
    if not is_mapping(value):
        wrong_type(value, path, "a dictionary")
    options = {}
    for key, item in value.items():
        reader = readers.get(key) if isinstance(key, str) else None
        if reader is None:
            unknown_option(key, path, readers)
        if item is not None:
            options[key] = reader(item, f"{path}.{key}" if path else key)
    return options


def unknown_option(key: t.Any, path: str, known: t.Iterable[str]) -> t.NoReturn:
    """Raise DocklessError, because the option does not exist; suggest the closest known one."""
    import difflib  # importing it costs more time than parsing a document, so only errors pay for it

    close = difflib.get_close_matches(str(key), sorted(known), 1, 0.6)
    remedy = f"Did you mean {close[0]}?" if close else "Known options: " + ", ".join(sorted(known)) + "."
    errors.refuse(path, f"unknown option {shown(key)}", remedy)


def anything(value: t.Any, path: str) -> t.Any:
    """Return the value unchanged: another function reads it later."""
    return value


def text(value: t.Any, path: str) -> str:
    """Return text: not empty, printable, on one line."""
    if not isinstance(value, str):
        wrong_type(value, path, "text", "Put it in quotes.")
    if not value or not value.isprintable():
        errors.refuse(
            path,
            f"{shown(value)} is empty or contains unprintable characters",
            "Use printable text on one line.",
        )
    return str(value)


def scalar(value: t.Any, path: str) -> str:
    """Return text, a number or a boolean as text; empty text is allowed. Labels and sysctls accept all of these."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return str(value)
    return text(value, path) if value != "" else ""


def boolean(value: t.Any, path: str) -> bool:
    """Return a boolean. Accepts true/false, yes/no, on/off and 1/0, in any case."""
    if value is True or value is False:
        return value
    word = str(value).lower() if isinstance(value, (str, int)) else ""
    if word not in _TRUE and word not in _FALSE:
        errors.refuse(path, f"{shown(value)} is not a boolean", "Use true or false.")
    return word in _TRUE


def to_integer(value: t.Any, path: str) -> int:
    """Return a whole number. Accepts a number or its decimal digits as text."""
    if isinstance(value, int) and not isinstance(value, bool):
        return int(value)
    if not isinstance(value, str) or not _is_integer(value):
        errors.refuse(path, f"{shown(value)} is not a whole number", "Use a number without a unit.")
    return int(value)


def _is_integer(value: str) -> bool:
    digits = value[1:] if value[:1] == "-" else value
    return len(value) <= _LONGEST_INTEGER and digits.isdigit() and digits.isascii()


def integer(low: int, high: int) -> Reader:
    """Return a reader of whole numbers from low to high."""

    def reader(value: t.Any, path: str) -> int:
        number = to_integer(value, path)
        if not low <= number <= high:
            errors.refuse(path, f"{number} is out of range", f"Use a number from {low} to {high}.")
        return number

    return reader


def either(options: t.Sequence[str]) -> str:
    """Return the options as a sentence lists them: "a, b or c"."""
    *first, last = options
    return f"{', '.join(first)} or {last}" if first else last


def choice(*options: str) -> Reader:
    """Return a reader that accepts exactly these words."""

    def reader(value: t.Any, path: str) -> str:
        if not isinstance(value, str) or value not in options:
            errors.refuse(path, f"{shown(value)} is not supported", f"Use {either(options)}.")
        return value

    return reader


def list_of(item: Reader) -> Reader:
    """Return a reader of lists whose items the reader ``item`` reads. It returns a tuple."""

    def reader(value: t.Any, path: str) -> tuple[t.Any, ...]:
        if not is_list(value):
            wrong_type(value, path, "a list")
        return tuple(item(one, f"{path}[{index}]") for index, one in enumerate(value))

    return reader


def one_or_list_of(item: Reader) -> Reader:
    """Return a reader of lists that also accepts one item as text, as Compose does for dns and dns_search."""
    read_list = list_of(item)

    def reader(value: t.Any, path: str) -> tuple[t.Any, ...]:
        if isinstance(value, str):
            return (item(value, path),)
        items: tuple[t.Any, ...] = read_list(value, path)
        return items

    return reader


def pairs(value: t.Any, path: str) -> tuple[tuple[str, str], ...]:
    """Return (key, value) pairs sorted by key, from a dictionary or a list of "KEY=VALUE" (Compose's two forms).

    A key without a value has an empty one.
    """
    if is_mapping(value):
        found = {text(key, path): "" if one is None else scalar(one, f"{path}.{key}") for key, one in value.items()}
    elif is_list(value):
        split = (text(one, f"{path}[{index}]").partition("=") for index, one in enumerate(value))
        found = {key: one for key, equals, one in split}
    else:
        wrong_type(value, path, "a dictionary or a list of KEY=VALUE")
    if "" in found:
        errors.refuse(path, "a key is empty", "Use KEY=VALUE.")
    return tuple(sorted(found.items()))
