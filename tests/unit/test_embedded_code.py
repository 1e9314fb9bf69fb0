# SPDX-License-Identifier: GPL-3.0-or-later
"""Code in strings, which kernel tests run inside private hosts, uses names of the engine that exist.

No linter reads it, and a rename would be noticed only when the kernel tests run.
"""

from __future__ import annotations

import ast
import importlib
import re
import types

import pytest

from support.collection import ROOT

IMPORT = re.compile(r"from (_dockless[\w.]*) import ([\w, ]+)")
FILES = [path for path in sorted((ROOT / "tests").rglob("*.py")) if path.name != "test_embedded_code.py"]


def embedded(path):
    """Yield the strings of a Python file that import the engine. What an f-string inserts is left out."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.JoinedStr):
            text = "".join(part.value for part in node.values if isinstance(part, ast.Constant))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            text = node.value
        else:
            continue
        if IMPORT.search(text):
            yield text


def imported(text):
    """Return what code imports from the engine, by the name that it uses. Raises ImportError and AttributeError."""
    found = {}
    for module, names in IMPORT.findall(text):
        for name in filter(None, (part.strip() for part in names.split(","))):
            original, _as, alias = name.partition(" as ")
            parent = importlib.import_module(module)
            if not hasattr(parent, original):
                importlib.import_module(f"{module}.{original}")
            found[alias or original] = getattr(parent, original)
    return found


def missing(text):
    """Return the attributes of imported modules that code uses and that do not exist."""
    return [
        f"{name}.{attribute}"
        for name, module in imported(text).items()
        if isinstance(module, types.ModuleType)
        for attribute in re.findall(rf"(?<![\w.]){name}\.(\w+)", text)
        if not hasattr(module, attribute)
    ]


@pytest.mark.parametrize("path", [path for path in FILES if any(embedded(path))], ids=lambda path: path.stem)
def test_embedded_code_uses_names_that_exist(path):
    for text in embedded(path):
        assert missing(text) == [], text


def test_a_missing_name_is_noticed():
    assert missing("from _dockless.linux import nft; nft.no_such_function()") == ["nft.no_such_function"]
    with pytest.raises(ImportError):
        missing("from _dockless.linux import no_such_module")
