# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""MAC addresses of sandboxes, derived from names so that none must be recorded."""

from __future__ import annotations

import typing as t

from .. import names


def free_mac(project: str, network: tuple[str, str], sandbox: str, taken: t.Container[str]) -> tuple[str, int]:
    """Return the first derived MAC address that is not taken, and its salt.

    The salt is 0 unless two sandboxes of one network derive the same of 2**40 addresses.
    """
    salt = 0
    while True:
        candidate = names.endpoint_mac(project, network, sandbox, salt)
        if candidate not in taken:
            return candidate, salt
        salt += 1
