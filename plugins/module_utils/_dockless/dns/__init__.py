# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Text of dnsmasq configuration, systemd units and the files below /etc/netns.

Not here: starting or querying a resolver (resolvers), deciding which sandbox has one (desired).
"""
