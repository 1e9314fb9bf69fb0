#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Remove unused networks."""

from __future__ import annotations

DOCUMENTATION = r"""
module: network_prune
short_description: Remove unused networks
version_added: 0.1.0
description:
  - Removes networks of a project without sandboxes, as C(docker network prune) does, and objects on the host that have
    the mark of this collection but that no project declares any more.
  - Never removes declared sandboxes, or objects that this collection did not create.
options:
  project:
    description: The project of the networks.
    type: str
    default: default
  filters:
    description: The networks to remove, with the filters of C(docker network prune --filter). A network must match all
      of them.
    type: dict
    suboptions:
      name:
        description: A part of the name of the network.
        type: str
      label:
        description: Labels, each as C(KEY) or C(KEY=VALUE).
        type: list
        elements: str
  wait:
    description:
      - How long to wait for another run on the same host to end, in seconds. Only one run changes a host at a time. If
        it has not ended by then, the module fails, and names the process.
    type: float
    default: 120
extends_documentation_fragment:
  - dockless.network.attributes
seealso:
  - module: dockless.network.network_info
"""

EXAMPLES = r"""
- name: Two networks, one of them used
  dockless.network.container_networks:
    project: prune-demo
    networks:
      used:
        ipam:
          config:
            - subnet: 172.30.81.0/24
      spare:
        ipam:
          config:
            - subnet: 172.30.82.0/24
        labels:
          stage: test
    sandboxes:
      prune-app:
        networks: [used]

- name: Remove unused networks with a label
  dockless.network.network_prune:
    project: prune-demo
    filters:
      label: [stage=test]

- name: Remove all unused networks
  dockless.network.network_prune:
    project: prune-demo
"""

RETURN = r"""
operations:
  description: The operations that changed the host, or in check mode would change it, each with its reason. Empty when
    nothing changes.
  returned: success
  type: list
  elements: str
  sample: [delete bridge br-0a1b2c3d4e5f (nothing declares it)]
"""

from ..module_utils._dockless.ansible_module import PROJECT, WAIT, given_options, run_work
from ..module_utils._dockless.engine.prune import prune
from ..module_utils._dockless.engine.request import Outcome

ARGUMENT_SPEC = {
    **PROJECT,
    **WAIT,
    "filters": {
        "type": "dict",
        "options": {"name": {"type": "str"}, "label": {"type": "list", "elements": "str"}},
    },
}


def work(params: dict, check: bool) -> Outcome:
    """Remove the networks that match the filters."""
    return prune(params["project"], given_options(params["filters"] or {}), check, params["wait"])


def main() -> None:
    """Run the module."""
    run_work(ARGUMENT_SPEC, work)


if __name__ == "__main__":
    main()
