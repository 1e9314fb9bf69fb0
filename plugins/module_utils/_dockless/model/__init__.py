# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Types of the declaration (Host, Network, Sandbox, Endpoint, PortMapping) and of facts about the host (Facts).

Functions on them find the sandboxes of a network, the endpoint with the default route, or the owner of a network.
Not here: parsing (document), values that dockless chooses (allocate), objects of the kernel (state), and anything that
reads or changes the host.
"""
