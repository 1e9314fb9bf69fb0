# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Access to the kernel and to programs: netlink, namespaces, nft, sysctl, WireGuard, files, locks.

Not here: decisions. Callers pass objects and get answers or errors.
"""
