# SPDX-License-Identifier: GPL-3.0-or-later
"""The shape of the engine, read from its source: what may import what, how long things get, how they are called.

A file of the engine is pure unless it is listed here: it computes, and touches nothing.
"""
from __future__ import annotations

import ast
import pathlib
import re
import sys
import typing as t

import pytest

ENGINE = pathlib.Path(__file__).resolve().parents[2] / "plugins" / "module_utils" / "_dockless"
PYTHON_FILES = sorted(path for path in (ENGINE.parents[2] / "plugins").rglob("*.py"))
# The shell: files that read or change the host, or lead those that do.
SHELL = {
    "__main__", "apply", "attach", "codec", "converge", "directories", "dnsprobe", "dnsprocesses", "files", "fleet_files", "gather", "goal", "handles",
    "inspect", "lock", "messages", "module", "netlink", "netns", "nft", "observe", "observe_links", "observe_tunnels",
    "passages", "procfs", "prune", "records", "resolver", "sockets", "spaces", "standin",
    "build_tunnels", "commands", "conntrack", "links", "parents", "member", "store", "tables", "template", "unchanged", "underlay", "wireguard",
}
# Doors: the only files that may import a thing.
DOORS = {"pyroute2": {"codec"}, "ansible": {"module"}}
RUNS_NFT = {"nft"}
IMPURE = {"os", "subprocess", "socket", "shutil", "signal", "threading", "ctypes", "tempfile", "fcntl", "pathlib", "select", "selectors"}
# Words for a thing that nobody has named yet.
VAGUE = re.compile(r"Manager|Helper|Util|Handler|(^|_)(manager|helper|utils?|handler)(_|$)|^_?ensure_")
FUNCTION_LINES, LONG_FUNCTION_LINES, LONG_FUNCTIONS, FILE_LINES = 60, 40, 5, 300
LINE_LENGTH = 160


def engine_files() -> t.List[pathlib.Path]:
    """Return every file of the engine."""
    return sorted(ENGINE.rglob("*.py"))


def tree_of(path: pathlib.Path) -> ast.Module:
    """Return the syntax tree of a file."""
    return ast.parse(path.read_text(encoding="utf-8"))


def imports(path: pathlib.Path) -> t.Iterator[t.Tuple[int, str]]:
    """Yield (level, module) of every import in a file, those inside of functions as well."""
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            yield from ((0, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level and not node.module:
            yield from ((node.level, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.level, node.module or ""


def functions(path: pathlib.Path) -> t.Iterator[t.Tuple[str, int]]:
    """Yield (name, lines) of every function in a file, its decorators left out."""
    for node in ast.walk(tree_of(path)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            assert node.end_lineno
            yield f"{path.name}:{node.name}", node.end_lineno - node.lineno + 1


def is_pure(path: pathlib.Path) -> bool:
    """Tell whether a file only computes."""
    return path.stem not in SHELL


@pytest.mark.parametrize("path", [p for p in engine_files() if is_pure(p)], ids=lambda p: p.stem)
def test_pure_file_imports_only_the_standard_library_and_pure_files(path):
    wrong = []
    for level, module in imports(path):
        top = module.split(".")[0]
        if level:
            if top in SHELL:
                wrong.append(f".{module} is part of the shell")
        elif top not in sys.stdlib_module_names and top != "__future__":
            wrong.append(f"{module} is not of the standard library")
        elif top in IMPURE:
            wrong.append(f"{module} does more than compute")
    calls = [node.func.id for node in ast.walk(tree_of(path)) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)]
    wrong += [f"{name}() does more than compute" for name in calls if name in ("open", "print", "input", "exec", "eval")]
    assert not wrong, f"{path.name}: {'; '.join(wrong)}"


@pytest.mark.parametrize("path", engine_files(), ids=lambda p: p.stem)
def test_file_goes_through_the_doors(path):
    for level, module in imports(path):
        assert level <= 1, f"{path.name} reaches outside of the engine"
        top = module.split(".")[0]
        if not level and top in DOORS:
            assert path.stem in DOORS[top], f"{path.name} imports {top}; only {', '.join(DOORS[top])} may"
        assert level or top == "__future__" or top in sys.stdlib_module_names or top in DOORS, f"{path.name} imports {module}"


@pytest.mark.parametrize("path", engine_files(), ids=lambda p: p.stem)
def test_only_one_file_runs_nft(path):
    """A program's name is the first word of a list; as a kind of object or in a tuple the word is free."""
    lists = [node.elts[0] for node in ast.walk(tree_of(path)) if isinstance(node, ast.List) and node.elts]
    programs = [node.value for node in lists if isinstance(node, ast.Constant)]
    assert not {"nft", "/usr/sbin/nft", "/sbin/nft"} & set(programs) or path.stem in RUNS_NFT


def test_the_shell_lists_no_file_that_is_gone():
    """A name left over in the list would excuse the next file that takes it."""
    assert {path.stem for path in engine_files()} >= SHELL


def test_functions_are_short():
    lengths = dict(entry for path in PYTHON_FILES for entry in functions(path))
    assert lengths
    too_long = {name: lines for name, lines in lengths.items() if lines > FUNCTION_LINES}
    assert not too_long
    long = {name: lines for name, lines in lengths.items() if lines > LONG_FUNCTION_LINES}
    assert len(long) <= LONG_FUNCTIONS, long


@pytest.mark.parametrize("path", engine_files(), ids=lambda p: p.stem)
def test_file_is_short(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= FILE_LINES


def test_lines_are_no_longer_than_ansible_allows():
    """The sanity test pep8 says so as well, some minutes later."""
    root = ENGINE.parents[2]
    paths = [*PYTHON_FILES, *(path for path in (root / "tests").rglob("*.py") if root / "tests" / "output" not in path.parents)]
    lines = ((path.name, number, len(line)) for path in paths for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1))
    assert not [found for found in lines if found[2] > LINE_LENGTH]


@pytest.mark.parametrize("path", PYTHON_FILES, ids=lambda p: p.stem)
def test_names_say_what_a_thing_is(path):
    named = [node.name for node in ast.walk(tree_of(path)) if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef))]
    assert not [name for name in [*named, path.stem] if VAGUE.search(name)]


@pytest.mark.parametrize("path", engine_files(), ids=lambda p: p.stem)
def test_header_says_licence_and_private(path):
    lines = path.read_text(encoding="utf-8").splitlines()[:2]
    assert lines == ["# SPDX-License-Identifier: GPL-3.0-or-later",
                     "# PRIVATE: part of dockless.network only; no guarantees to anybody else."]


def test_the_checks_see_what_they_forbid():
    """The patterns above match the very things they are for."""
    for name in ("LinkManager", "dns_helper", "utils", "ensure_link", "_ensure_link", "ErrorHandler"):
        assert VAGUE.search(name), name
    for name in ("utility_of", "links", "handle", "converge"):
        assert not VAGUE.search(name), name
