# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Text and data of the nft tables, published ports as map elements, and rules for and analysis of foreign firewalls.

Not here: running nft or iptables (linux), deciding which table a host needs (desired).
"""
