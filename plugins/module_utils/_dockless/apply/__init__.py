# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Carries out the steps of a plan, in batches that cross kinds of objects.

Not here: deciding which steps there are (state.plan).
"""
