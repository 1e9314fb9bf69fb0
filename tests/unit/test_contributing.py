# SPDX-License-Identifier: GPL-3.0-or-later
"""CONTRIBUTING.md and docs/adr against the code: the layers, the paths and the lists of files are true."""

from __future__ import annotations

import ast
import functools
import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
ENGINE = ROOT / "plugins" / "module_utils" / "_dockless"
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
RECORDS = ROOT / "docs" / "adr"
MOST_LINES, MOST_WORDS = 200, 40

# A change, and an example that exists already: the list of the change names every file that mentions the example.
EXAMPLES = [
    ("A network option", "trusted_host_interfaces"),
    ("A network option", "host_ipv4"),
    ("A network option", "default_publish_address"),
    ("A driver", "ipvlan"),
    ("A kind of object", "Neighbour"),
    ("A firewall to coexist with", "ufw"),
]


def sections(heading: str) -> dict[str, str]:
    """Return the text of each ### section below a ## heading."""
    text = TEXT.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    parts = re.split(r"^### (.*)$", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2]))


def listed(text: str) -> set[pathlib.Path]:
    """Return the paths that a text names, relative to the engine or to the repository."""
    names = {name for name in re.findall(r"`([^`\s]+)`", text) if "/" in name or name.endswith((".py", ".md"))}
    return {ENGINE / name if (ENGINE / name).exists() else ROOT / name for name in names}


@functools.cache
def code_of(path: pathlib.Path) -> str:
    """Return a file's code without comments and docstrings, but with the documentation of modules."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            node.value.value = ""
    return ast.unparse(tree)


def mentioning(word: str) -> set[pathlib.Path]:
    """Return the files of plugins/ with the word in their code."""
    pattern = re.compile(rf"\b{word}\b")
    return {path for path in (ROOT / "plugins").rglob("*.py") if pattern.search(code_of(path))}


def test_it_is_short():
    assert len(TEXT.splitlines()) <= MOST_LINES


def test_layers_are_those_of_the_architecture_test():
    tree = ast.parse((ROOT / "tests" / "unit" / "test_architecture.py").read_text(encoding="utf-8"))
    (layers,) = [
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.target.id == "LAYERS"
    ]
    picture = TEXT.partition("<!-- layers -->\n")[2].partition("<!-- /layers -->")[0]
    lines = [set(line.partition("|")[0].strip().split(", ")) for line in picture.splitlines() if line.strip()]
    assert lines == list(layers)


def test_glossary_is_short():
    rows = re.findall(r"^\| ([^|]+) \|", TEXT.partition("\n## Glossary\n")[2], re.MULTILINE)
    words = [word for row in rows if row != "word" for word in row.split(", ")]
    assert 30 <= len(words) <= MOST_WORDS
    assert len(words) == len(set(words))


@pytest.mark.parametrize("change", sections("Where does my change go"))
def test_every_path_of_a_list_exists(change):
    paths = listed(sections("Where does my change go")[change])
    assert paths
    assert not [str(path) for path in paths if not path.exists()]


@pytest.mark.parametrize(("change", "example"), EXAMPLES)
def test_a_list_is_complete(change, example):
    paths = listed(sections("Where does my change go")[change])
    files = mentioning(example)
    assert files
    missing = {path for path in files if not paths & {path, *path.parents}}
    assert not {str(path.relative_to(ROOT)) for path in missing}


def test_every_make_target_exists():
    targets = re.findall(r"^([a-z-]+)(?: [a-z-]+)*:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    named = set(re.findall(r"\bmake ([a-z-]+)", TEXT)) - {"git"}
    assert named and named <= set(targets)


def test_every_decision_record_is_in_the_index_with_its_status():
    index = (RECORDS / "README.md").read_text(encoding="utf-8")
    for path in sorted(RECORDS.glob("0*.md")):
        record = " ".join(path.read_text(encoding="utf-8").split())
        title, status = re.match(
            r"# \d+\. (.*?) Status: (accepted(?:, not yet built)?|replaced by \d+)", record
        ).groups()
        row = next(line for line in index.splitlines() if f"]({path.name})" in line)
        assert f"| {title} | {status}" in row
        for heading in ("Context", "Decision", "Consequences", "Alternatives"):
            assert f"## {heading}" in record
