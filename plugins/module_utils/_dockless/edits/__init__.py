# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""What a module that manages one resource changes in a project's declaration.

Not here: parsing the result (document) or converging it (engine).
"""
