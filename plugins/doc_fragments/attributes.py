# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the modules can do, in the words of Ansible's attributes."""

from __future__ import annotations


class ModuleDocFragment:
    """Attributes that the modules share."""

    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    description: Can run in check mode and return the operations of a real run without changing anything.
    support: full
  diff_mode:
    description: Returns what changes and why, before and after. In check mode the after is a prediction.
    support: full
  idempotent:
    description: Run twice in a row, the second run changes nothing and sends the kernel nothing that changes it.
    support: full
  platform:
    description: Where the module runs.
    support: full
    platforms: linux
  action_group:
    description: Use C(group/dockless.network.dockless) in C(module_defaults) to set options of all modules of this collection at once.
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
    description: Can run in check mode. The module never changes anything.
    support: full
  diff_mode:
    description: Returns what changes and why, before and after.
    support: N/A
    details: The module changes nothing.
  idempotent:
    description: Run twice in a row, the second run changes nothing.
    support: full
  platform:
    description: Where the module runs.
    support: full
    platforms: linux
  action_group:
    description: Use C(group/dockless.network.dockless) in C(module_defaults) to set options of all modules of this collection at once.
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
