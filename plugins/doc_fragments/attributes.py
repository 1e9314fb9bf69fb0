# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Attributes and requirements of the modules."""

from __future__ import annotations


class ModuleDocFragment:
    """Attributes that the modules share."""

    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    description: Runs in check mode, and returns the operations of a real run without changing anything.
    support: full
  diff_mode:
    description: Returns the state before and after, with the reason of each change. In check mode, the state after is
      predicted.
    support: full
  idempotent:
    description: A second run changes nothing.
    support: full
  platform:
    description: The platforms on which the module runs.
    support: full
    platforms: linux
  action_group:
    description: Use C(group/dockless.network.dockless) in C(module_defaults) to set options for all modules of this
      collection.
    support: full
    membership:
      - dockless.network.dockless
requirements:
  - Python 3.9 or newer
  - pyroute2 0.7.2 or newer
  - nft (nftables)
author:
  - The dockless.network authors (@dockless)
"""

    INFO = r"""
options: {}
attributes:
  check_mode:
    description: Runs in check mode. The module never changes anything.
    support: full
  diff_mode:
    description: Returns the state before and after.
    support: N/A
    details: The module changes nothing.
  idempotent:
    description: A second run changes nothing.
    support: full
  platform:
    description: The platforms on which the module runs.
    support: full
    platforms: linux
  action_group:
    description: Use C(group/dockless.network.dockless) in C(module_defaults) to set options for all modules of this
      collection.
    support: full
    membership:
      - dockless.network.dockless
requirements:
  - Python 3.9 or newer
  - pyroute2 0.7.2 or newer
  - nft (nftables)
author:
  - The dockless.network authors (@dockless)
"""
