# SPDX-License-Identifier: GPL-3.0-or-later
"""Whole documents that replace a declaration's parts or are merged into it."""

from __future__ import annotations

from _dockless.edits.documents import merge_document, replace_document


def test_documents_are_replaced_by_part_and_merged_by_object(shop):
    document = {"networks": {"front": {"mtu": 1300}}, "sandboxes": None}
    assert replace_document(shop, document) == {**shop, "networks": {"front": {"mtu": 1300}}}
    merged = merge_document(shop, document)
    assert merged["networks"]["front"] == {"internal": False, "mtu": 1300}
    assert merged["sandboxes"] == shop["sandboxes"]
