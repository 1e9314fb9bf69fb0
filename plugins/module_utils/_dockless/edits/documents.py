# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Combines a declaration with a whole document: a dictionary of networks, sandboxes and veth_pairs."""

from __future__ import annotations

from ..document.readers import is_mapping, wrong_type
from .declaration import Declaration, given_options, merged, section, with_object


def replace_document(declaration: Declaration, document: Declaration) -> Declaration:
    """Return the declaration with the kinds of objects that document has in place of its own."""
    return {**declaration, **given_options(document)}


def merge_document(declaration: Declaration, document: Declaration) -> Declaration:
    """Return the declaration with each object of document added, or merged into the object of its name.

    Raises DocklessError for an object that is neither a dictionary nor None.
    """
    for kind, objects in given_options(document).items():
        for name, spec in objects.items():
            if spec is not None and not is_mapping(spec):
                wrong_type(spec, f"{kind}.{name}", "a dictionary")
            before = section(declaration, kind).get(name)
            declaration = with_object(declaration, kind, name, merged(before, spec))
    return declaration
