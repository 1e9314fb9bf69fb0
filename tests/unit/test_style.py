# SPDX-License-Identifier: GPL-3.0-or-later
"""What no linter asks for: how long functions and files may grow, how things are called, and the header of
each file.
"""

from __future__ import annotations

import ast
import pathlib
import re
import typing as t

ROOT = pathlib.Path(__file__).resolve().parents[2]
PLUGINS = sorted((ROOT / "plugins").rglob("*.py"))
ENGINE = sorted((ROOT / "plugins" / "module_utils" / "_dockless").rglob("*.py"))
FUNCTION_LINES, FILE_LINES = 50, 400
HEADER = [
    "# SPDX-License-Identifier: GPL-3.0-or-later",
    "# PRIVATE: part of dockless.network only; no guarantees to anybody else.",
]
# Words for a thing that nobody has named yet.
VAGUE = re.compile(r"Manager|Helper|Util|Handler|(^|_)(manager|helper|utils?|handler)(_|$)|^_?ensure_")


def lines(path: pathlib.Path) -> list[str]:
    """Return the lines of a file."""
    return path.read_text(encoding="utf-8").splitlines()


def definitions(path: pathlib.Path) -> t.Iterator[ast.ClassDef | ast.FunctionDef]:
    """Yield every class and function of a file."""
    yield from (
        node
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, (ast.ClassDef, ast.FunctionDef))
    )


def test_functions_are_short():
    found = [
        (path.name, node.name, node.end_lineno - node.lineno + 1)
        for path in PLUGINS
        for node in definitions(path)
        if isinstance(node, ast.FunctionDef) and node.end_lineno
    ]
    assert found
    assert not [entry for entry in found if entry[2] > FUNCTION_LINES]


def test_files_are_short():
    assert not [(path.name, len(lines(path))) for path in ENGINE if len(lines(path)) > FILE_LINES]


def test_names_say_what_a_thing_is():
    found = [(path.name, name) for path in PLUGINS for name in (path.stem, *(node.name for node in definitions(path)))]
    assert not [entry for entry in found if VAGUE.search(entry[1])]
    assert (
        VAGUE.search("LinkManager")
        and VAGUE.search("_ensure_link")
        and not VAGUE.search("utility_of")
        and not VAGUE.search("handle")
    )


def test_header_says_licence_and_private():
    assert not [path.name for path in ENGINE if lines(path)[:2] != HEADER]


def test_no_file_has_a_name_that_galaxy_refuses():
    """Galaxy's importer refuses __main__.py: the engine's entry is cli.py."""
    assert [path for path in ENGINE if path.name == "__main__.py"] == []
