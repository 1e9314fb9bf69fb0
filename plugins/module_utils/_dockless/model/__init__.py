# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Values: what people declare (Host, Network, Sandbox, Endpoint, PortMapping), what the host is like (Facts), and questions
about them: who is on which network, which endpoint has the default route, which interface a network sits on.

Not here: parsing, choosing what was left open, objects of the kernel, anything that reads or changes the host.
"""
