# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Options that the modules share."""

from __future__ import annotations


class ModuleDocFragment:
    """The project, and what to do about existing objects that differ."""

    DOCUMENTATION = r"""
options:
  project:
    description:
      - The project of the objects. A project is a set of objects that are declared together, as in Compose.
      - Two projects can use the same network name. Names of sandboxes are unique on a host, because their namespaces
        are C(/run/netns/NAME). The same name in two projects is an error.
    type: str
    default: default
  on_mismatch:
    description:
      - What to do if an object exists and differs from its declaration.
      - V(update) changes it in place, and fails if the kernel cannot do that, for example for the name of an interface
        in a sandbox.
      - V(recreate) changes it in place if possible, and otherwise deletes and creates it again, with the same
        addresses, MAC addresses and names.
      - V(fail) does not change existing interfaces and namespaces, and fails instead.
    type: str
    choices: [update, recreate, fail]
    default: update
  wait:
    description:
      - How long to wait for another run on the same host to end, in seconds. Only one run changes a host at a time. If
        it has not ended by then, the module fails, and names the process.
    type: float
    default: 120
notes:
  - The module never changes objects that this collection did not create. If such an object has a name that is needed,
    the module fails.
  - The declaration, and the chosen addresses and ports, are stored in C(/etc/dockless), so that later runs use the
    same.
seealso:
  - module: dockless.network.container_networks
  - module: dockless.network.network_info
"""

    STATE = r"""
options:
  state:
    description: Whether the objects must exist.
    type: str
    choices: [present, absent]
    default: present
"""
