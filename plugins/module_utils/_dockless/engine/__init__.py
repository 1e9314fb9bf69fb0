# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Runs: lock, load, observe, plan, apply, verify, record or roll back. Documents that persist.

Not here: work that a lower package can do without knowing about runs.
"""
