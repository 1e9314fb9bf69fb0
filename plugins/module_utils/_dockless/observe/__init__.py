# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Reads the host: facts that decisions rest on, and the actual state of what dockless manages.

Not here: changes of any kind.
"""
