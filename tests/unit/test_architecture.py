# SPDX-License-Identifier: GPL-3.0-or-later
"""The shape of the engine, read from its source: which package may import which, and which may do more than compute.

LAYERS is the picture: a package may import from itself and from the layers above its own, never from below or beside.
"""

from __future__ import annotations

import ast
import pathlib
import sys
import typing as t

import pytest
import yaml

if sys.version_info < (3, 10):
    pytest.skip("needs sys.stdlib_module_names; the source is the same for each Python", allow_module_level=True)

ROOT = pathlib.Path(__file__).resolve().parents[2]
ENGINE = ROOT / "plugins" / "module_utils" / "_dockless"

LAYERS: tuple[set[str], ...] = (
    {"errors", "names"},
    {"model"},
    {"document", "allocate", "firewall", "dns"},
    {"edits", "state", "validate", "fleet"},
    {"desired", "report", "linux"},
    {"resolvers"},
    {"observe", "apply"},
    {"engine"},
    {"commands", "ansible_module"},
    {"cli"},
)
# These only compute. What else there is reads or changes the host.
PURE = {
    "errors",
    "names",
    "model",
    "document",
    "allocate",
    "firewall",
    "dns",
    "edits",
    "state",
    "validate",
    "fleet",
    "desired",
    "report",
}
IMPURE_MODULES = {
    "os",
    "subprocess",
    "socket",
    "shutil",
    "signal",
    "threading",
    "ctypes",
    "tempfile",
    "fcntl",
    "pathlib",
    "select",
    "selectors",
}
IMPURE_CALLS = {"open", "print", "input", "exec", "eval"}
# One door for each library and program: the only file that may import or run it.
ONLY_IMPORT = {"pyroute2": "linux/rtnetlink.py", "ansible": "ansible_module.py", "subprocess": "linux/programs.py"}
ONLY_RUN = {
    "nft": "linux/nft.py",
    "wg": "linux/wireguard.py",
    "wireguard-go": "linux/wireguard.py",
    "ufw": "linux/foreign_firewalls.py",
    "firewall-cmd": "linux/foreign_firewalls.py",
    "iptables": "linux/foreign_firewalls.py",
    "systemctl": "linux/systemd.py",
    "journalctl": "linux/systemd.py",
    "systemd-run": "linux/systemd.py",
}
LARGEST_TOP_LEVEL = 22
MOST_ARROWS = 90


class Import(t.NamedTuple):
    """file imports target: a path below the engine, or the name of a module outside of it."""

    file: str
    target: str
    inside: bool


def files() -> dict[str, ast.Module]:
    """Return the syntax tree of every file of the engine, by its path below the engine."""
    return {
        str(path.relative_to(ENGINE)): ast.parse(path.read_text(encoding="utf-8"))
        for path in sorted(ENGINE.rglob("*.py"))
    }


FILES = files()


def package(path: str) -> str:
    """Return the top-level package or module that a file belongs to."""
    return path.partition("/")[0].removesuffix(".py")


def _inside(file: str, node: ast.ImportFrom) -> t.Iterator[str]:
    above = file.split("/")[:-1]
    assert node.level <= len(above) + 1, f"{file}:{node.lineno} imports from outside of the engine"
    base = [*above[: len(above) + 1 - node.level], *(node.module.split(".") if node.module else [])]
    for alias in node.names:
        as_module = "/".join([*base, alias.name]) + ".py"
        yield (
            as_module
            if as_module in FILES
            else "/".join(base) + (".py" if "/".join(base) + ".py" in FILES else "/__init__.py")
        )


def imports() -> list[Import]:
    """Return every import of the engine, those inside of functions too."""
    found = []
    for file, tree in FILES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.level:
                found += [Import(file, target, True) for target in _inside(file, node)]
            elif isinstance(node, ast.ImportFrom):
                found.append(Import(file, str(node.module), False))
            elif isinstance(node, ast.Import):
                found += [Import(file, alias.name, False) for alias in node.names]
    return found


def test_imports_go_down():
    layer = {name: number for number, names in enumerate(LAYERS) for name in names}
    assert {package(file) for file in FILES} - {"__init__"} == set(layer), (
        "LAYERS names every package and top-level file"
    )
    arrows = {(package(one.file), package(one.target)) for one in imports() if one.inside} - {
        (name, name) for name in layer
    }
    wrong = [f"{source} imports {target}" for source, target in sorted(arrows) if layer[target] >= layer[source]]
    assert not wrong
    assert len(arrows) <= MOST_ARROWS
    assert len([path for path in ENGINE.iterdir() if path.name != "__pycache__"]) <= LARGEST_TOP_LEVEL


def test_pure_packages_only_compute():
    wrong = [
        f"{one.file} imports {one.target}"
        for one in imports()
        if not one.inside
        and package(one.file) in PURE
        and (one.target.split(".")[0] in IMPURE_MODULES or one.target.split(".")[0] not in sys.stdlib_module_names)
    ]
    wrong += [
        f"{file}:{node.lineno} calls {node.func.id}()"
        for file, tree in FILES.items()
        if package(file) in PURE
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in IMPURE_CALLS
    ]
    assert not wrong


def _programs(tree: ast.Module) -> t.Iterator[str]:
    """Yield what may be a program: the first word of a list, or the first argument of a call that runs one."""
    for node in ast.walk(tree):
        first = node.elts[:1] if isinstance(node, ast.List) else []
        for constant in first:
            if isinstance(constant, ast.Constant) and isinstance(constant.value, str):
                yield constant.value.rpartition("/")[2]


def test_one_file_for_each_library_and_program():
    wrong = [
        f"{one.file} imports {one.target}"
        for one in imports()
        if not one.inside
        and one.target.split(".")[0] in ONLY_IMPORT
        and one.file != ONLY_IMPORT[one.target.split(".")[0]]
    ]
    wrong += [
        f"{one.file} imports {one.target}, which no target need have"
        for one in imports()
        if not one.inside and one.target.split(".")[0] not in {*sys.stdlib_module_names, *ONLY_IMPORT, "__future__"}
    ]
    wrong += [
        f"{file} runs {program}"
        for file, tree in FILES.items()
        for program in _programs(tree)
        if package(file) not in PURE and ONLY_RUN.get(program, file) != file
    ]
    assert not wrong
    used = {one.target.split(".")[0]: one.file for one in imports() if one.target.split(".")[0] in ONLY_IMPORT}
    assert used == ONLY_IMPORT, "each door is in use"


def test_no_circle_between_files():
    uses: dict[str, set[str]] = {file: set() for file in FILES}
    for one in imports():
        if one.inside and one.target != one.file:
            uses[one.file].add(one.target)
    while True:
        leaves = {file for file, targets in uses.items() if not targets & set(uses)}
        if not leaves:
            break
        uses = {file: targets for file, targets in uses.items() if file not in leaves}
    assert not uses, "these import each other in a circle, or are imported by one"


def test_no_file_is_called_like_a_standard_module():
    """A script that is started inside such a folder imports ours in place of Python's."""
    assert not [file for file in FILES if file.rpartition("/")[2].removesuffix(".py") in sys.stdlib_module_names]


def test_every_package_says_what_belongs_in_it():
    packages = {file.partition("/")[0] for file in FILES if "/" in file}
    for name in sorted(packages):
        text = ast.get_docstring(FILES[f"{name}/__init__.py"])
        assert text and "Not here:" in text, f"{name}/__init__.py says what belongs in the package, and what does not"
    listed = yaml.safe_load((ROOT / "roles/boot/vars/main.yml").read_text(encoding="utf-8"))["__boot_packages"]
    assert listed == sorted(packages), "the role boot installs every package"
