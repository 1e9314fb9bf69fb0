#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Remove what nothing uses and nothing declares."""

from __future__ import annotations

DOCUMENTATION = r"""
module: network_prune
short_description: Remove networks that nothing uses
version_added: 0.1.0
description:
  - Removes the networks of a project that no sandbox is on, as C(docker network prune) does, and what is on the host
    with the mark of this collection although no project declares it any more.
  - Never removes a sandbox that is declared, and never what this collection did not make.
options:
  project:
    description: The project whose networks are looked at.
    type: str
    default: default
  filters:
    description: Which networks to remove, in the words of C(docker network prune --filter). All that are given must match.
    type: dict
    suboptions:
      name:
        description: A part of the network's name.
        type: str
      label:
        description: Labels, each C(KEY) or C(KEY=VALUE).
        type: list
        elements: str
extends_documentation_fragment:
  - dockless.network.attributes
seealso:
  - module: dockless.network.network_info
"""

EXAMPLES = r"""
- name: Two networks, one of them in use
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

- name: Remove the networks of a stage that nothing uses
  dockless.network.network_prune:
    project: prune-demo
    filters:
      label: [stage=test]

- name: Remove all that nothing uses
  dockless.network.network_prune:
    project: prune-demo
"""

RETURN = r"""
operations:
  description: What was removed, or in check mode what would be, one line each with its reason. Empty when nothing changes.
  returned: success
  type: list
  elements: str
  sample: [delete bridge br-0a1b2c3d4e5f (nothing declares it)]
"""

from ..module_utils._dockless.ansible_module import PROJECT, given_options, run_work
from ..module_utils._dockless.engine.converge import Outcome
from ..module_utils._dockless.engine.prune import prune

ARGUMENT_SPEC = {
    **PROJECT,
    "filters": {
        "type": "dict",
        "options": {"name": {"type": "str"}, "label": {"type": "list", "elements": "str"}},
    },
}


def work(params: dict, check: bool) -> Outcome:
    """Remove what the filters let through."""
    return prune(params["project"], given_options(params["filters"] or {}), check)


def main() -> None:
    """Run the module."""
    run_work(ARGUMENT_SPEC, work)


if __name__ == "__main__":
    main()
