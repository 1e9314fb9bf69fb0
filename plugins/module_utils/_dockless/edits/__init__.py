# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Changes that a module for one kind of resource makes to its project's declaration.

Each function takes a declaration and returns another one; neither the declaration nor its parts are modified. In a
spec, None means that an option is not set, and the existing value stays; [] and {} are empty values. put_* adds or
changes an object, replace_* and purge_* also remove what the caller does not list. Removing something that does not
exist changes nothing.
Not here: validating the result (document, validate) or converging it (engine).
"""
