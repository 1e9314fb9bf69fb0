# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Types that the objects of a host share."""

from __future__ import annotations

Key = tuple[str, ...]  # identifies an object on the host; the name of its kind comes first
Conf = tuple[tuple[str, int], ...]  # settings of an interface below /proc/sys/net, sorted: (("ipv4/rp_filter", 2), …)
