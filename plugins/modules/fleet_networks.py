#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Give a host its part of a fleet's plan."""

from __future__ import annotations

DOCUMENTATION = r"""
module: fleet_networks
short_description: Give a host its networks by the fleet's plan
version_added: 0.1.0
description:
  - Does what M(dockless.network.container_networks) does, with the networks and sandboxes that the inventory declares for
    the host and M(dockless.network.fleet_plan) has filled in.
  - All of the host's networks are converged, overlay networks and others.
  - Takes only this host's part from the plan, and sends only that.
  - A network that another project declares on other hosts, and that the host joins by C(external), is added to that project
    first. It stays when the host no longer joins it.
options:
  plan:
    description: The plan, as M(dockless.network.fleet_plan) returned it in this run.
    type: path
    required: true
  veth_pairs:
    description: As O(dockless.network.container_networks#module:veth_pairs).
    type: dict
  defaults:
    description: As O(dockless.network.container_networks#module:defaults).
    type: dict
  purge:
    description: Whether to remove what the project has and the inventory no longer declares.
    type: bool
    default: true
  on_mismatch:
    description: As O(dockless.network.container_networks#module:on_mismatch).
    type: str
    choices: [update, recreate, fail]
    default: update
  verify:
    description: Whether to read the host again after a change and fail if it is not what was asked for.
    type: bool
    default: true
  project:
    description: Has no effect, as the plan says whose networks they are. It is accepted for C(module_defaults) of the whole group.
    type: str
extends_documentation_fragment:
  - dockless.network.attributes
attributes:
  action:
    description: Reads the plan on the controller, and runs M(dockless.network.container_networks) on the host.
    support: full
seealso:
  - module: dockless.network.container_networks
  - module: dockless.network.fleet_plan
"""

EXAMPLES = r"""
- name: Plan for the whole fleet
  dockless.network.fleet_plan:
    ledger: ""
  run_once: true
  register: fleet

- name: Give each host its part
  dockless.network.fleet_networks:
    plan: "{{ fleet.plan }}"
"""

RETURN = r"""
operations:
  description: The operations that changed the host, or in check mode would change it, each with its reason. Empty when nothing changes.
  returned: success
  type: list
  elements: str
endpoints:
  description: The host's endpoints, as in RV(dockless.network.container_networks#module:endpoints).
  returned: success
  type: list
  elements: dict
ports:
  description: The host's published ports, as in RV(dockless.network.container_networks#module:ports).
  returned: success
  type: list
  elements: dict
"""
