# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""The resolved model becomes the desired state: the objects that the kernel, files and resolvers must have.

Not here: comparing with what is there (state), the text of rules (firewall) and of DNS files (dns).
"""
