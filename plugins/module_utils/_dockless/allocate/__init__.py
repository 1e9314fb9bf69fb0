# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Choices that a declaration leaves open: subnets, addresses, MACs, interface names, VIPs and host ports.

Leases record the choices of a run, so that the next run makes the same ones.

Not here: rules that refuse a declaration (validate).
"""
