# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Options that the modules share."""

from __future__ import annotations


class ModuleDocFragment:
    """The project, and what to do about what exists and differs."""

    DOCUMENTATION = r"""
options:
  project:
    description:
      - The project that the objects belong to. Projects keep apart what is declared together, as in Compose.
      - Names of networks are the project's own. Names of sandboxes are the host's, because their namespaces are
        C(/run/netns/NAME); the same name in two projects is an error.
    type: str
    default: default
  on_mismatch:
    description:
      - What to do about an object that exists and differs from what is asked for.
      - V(update) changes it in place, and fails where that is impossible, such as for the name of an interface in a sandbox.
      - V(recreate) changes it in place where that is possible, and builds it again where it is not. What is built again
        has the addresses, MAC addresses and names that it had.
      - V(fail) fails rather than change an interface or a namespace that exists.
    type: str
    choices: [update, recreate, fail]
    default: update
notes:
  - Objects that this collection did not make are never changed. One that stands in the way is an error.
  - What is asked for, and the addresses and ports that were chosen, are kept in C(/etc/dockless), so that they stay the same.
seealso:
  - module: dockless.network.container_networks
  - module: dockless.network.network_info
"""

    STATE = r"""
options:
  state:
    description: Whether the objects should be there.
    type: str
    choices: [present, absent]
    default: present
"""
