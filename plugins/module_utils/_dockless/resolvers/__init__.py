# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Runs dnsmasq: starts, stops, reloads and queries the resolvers of sandboxes and of the host.

Not here: the text of their configuration (dns), and which sandbox has one (desired).
"""
