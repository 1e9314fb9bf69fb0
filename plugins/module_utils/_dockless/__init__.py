# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""The engine of dockless.network: parse, ipam, realize, plan, apply, verify."""
