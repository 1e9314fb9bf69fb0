# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/contributing/requirements.md: every requirement names tests that exist, or says that it has none."""

from __future__ import annotations

import re

import pytest

from support.collection import ROOT
from support.references import exists, functions_of

LIST = ROOT / "docs" / "contributing" / "requirements.md"
REQUIREMENTS = [line for line in LIST.read_text(encoding="utf-8").splitlines() if line.startswith("- ")]
REFERENCE = re.compile(r"`((?:tests|molecule)/[^`]+)`")
# What test names began with once: one or two letters and a number, as test_xy_07_…
OPAQUE_ID = re.compile(r"^test_[a-z]{1,2}\d?_\d{1,2}_")


@pytest.mark.parametrize("requirement", REQUIREMENTS, ids=lambda line: line[2:].partition(" `")[0])
def test_requirement_names_tests_that_exist(requirement):
    references = REFERENCE.findall(requirement)
    assert references or requirement.endswith("*No test.*")
    for reference in references:
        assert exists(reference), f"there is no test {reference}"


def test_no_requirement_is_listed_twice():
    sentences = [REFERENCE.sub("", requirement) for requirement in REQUIREMENTS]
    assert len(sentences) >= 200
    for sentence in sentences:
        assert sentences.count(sentence) == 1, sentence


def test_names_of_tests_are_words():
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for name in functions_of(path):
            assert not OPAQUE_ID.match(name), f"{path}: {name} begins with an id that says nothing"


def test_a_missing_test_is_noticed():
    assert exists("tests/unit/test_requirements.py::test_a_missing_test_is_noticed")
    assert exists("tests/unit/document/bad_input/network.yml::predefined network bridge")
    assert not exists("tests/unit/test_requirements.py::test_of_nothing")
    assert not exists("tests/unit/document/bad_input/network.yml::no such case")
    assert not exists("tests/unit/test_nothing.py")
