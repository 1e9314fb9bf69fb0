# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Refusals and warnings: rules between objects of the model, and between the model and the host's facts.

Not here: the form of a single option (document). Nothing in this package chooses or changes a value.
"""
