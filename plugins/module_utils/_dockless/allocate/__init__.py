# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Choices that a declaration leaves open: subnets, addresses, MACs, interface names, VIPs, host ports; and the leases by which
the next run chooses the same.

Not here: rules that refuse a declaration (validate).
"""
