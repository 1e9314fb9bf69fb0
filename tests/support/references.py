# SPDX-License-Identifier: GPL-3.0-or-later
"""References to tests, as the ledger of advisories and the list of requirements name them."""

from __future__ import annotations

import ast
import pathlib

import yaml

from support.collection import ROOT


def functions_of(path: pathlib.Path) -> set[str]:
    """Return the names of a file's test functions."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}


def cases(path: pathlib.Path) -> set[str]:
    """Return the names of a YAML file's cases; empty where it is not a list of cases."""
    entries = yaml.safe_load(path.read_text(encoding="utf-8"))
    return {entry["name"] for entry in entries if "name" in entry}


def exists(reference: str) -> bool:
    """Tell whether a reference (FILE, or FILE::NAME of a test function or a case) names a test that exists."""
    file, _colons, name = reference.partition("::")
    path = ROOT / file
    if not path.is_file():
        return False
    names = functions_of(path) if path.suffix == ".py" else cases(path)
    return name in names if name else bool(names)
