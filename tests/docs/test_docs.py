# SPDX-License-Identifier: GPL-3.0-or-later
"""The documentation must render, for every module and role."""

from __future__ import annotations

import functools
import json
import typing as t

import pytest

from support.collection import MODULES, NAME, ROLES, check

MODULE_NAMES = [f"{NAME}.{module}" for module in MODULES]
ROLE_NAMES = [f"{NAME}.{role}" for role in ROLES]


def test_collection_docs():
    check("antsibull-docs", "lint-collection-docs", "--plugin-docs", ".")


@functools.cache
def text_pages(kind: str, *names: str) -> str:
    """Return the pages of modules or roles as a terminal shows them, in capitals because headings are."""
    return check("ansible-doc", "--type", kind, *names).upper()


@functools.cache
def pages(kind: str, *names: str) -> dict[str, t.Any]:
    """Return what ansible-doc knows of modules or roles, by name."""
    return json.loads(check("ansible-doc", "--type", kind, "--json", *names))


@pytest.mark.parametrize("module", MODULE_NAMES)
def test_module_page(module):
    assert f"> MODULE {module}".upper() in text_pages("module", *MODULE_NAMES)
    page = pages("module", *MODULE_NAMES)[module]
    assert page["doc"]["short_description"] and page["examples"] and page["return"]


@pytest.mark.parametrize("role", ROLE_NAMES)
def test_role_page(role):
    assert f"> ROLE: *{role}*".upper() in text_pages("role", *ROLE_NAMES)
    assert pages("role", *ROLE_NAMES)[role]["entry_points"]["main"]["short_description"]


def test_html_pages(tmp_path):
    """The pages that a documentation site shows are made without an error in any of them."""
    check(
        "antsibull-docs",
        "collection",
        "--use-current",
        "--fail-on-error",
        "--squash-hierarchy",
        "--dest-dir",
        str(tmp_path),
        NAME,
    )
    made = {path.name for path in tmp_path.glob("*_module.rst")}
    assert made == {f"{module}_module.rst" for module in MODULES}
