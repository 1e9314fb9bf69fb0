#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Converge a host's part of a fleet's plan."""

from __future__ import annotations

DOCUMENTATION = r"""
module: fleet_networks
short_description: Converge the networks of a host according to the fleet's plan
version_added: 0.1.0
description:
  - Runs M(dockless.network.container_networks) with the networks and sandboxes that the inventory declares for the
    host, completed by M(dockless.network.fleet_plan).
  - It converges all networks of the host, not only overlay networks.
  - It sends only this host's part of the plan to the host.
  - If the host joins a network by C(external) that another project declares on other hosts, the module first adds the
    network to that project. The network stays when the host no longer joins it.
options:
  plan:
    description: The plan, as M(dockless.network.fleet_plan) returned it in this run.
    type: path
    required: true
  veth_pairs:
    description: See O(dockless.network.container_networks#module:veth_pairs).
    type: dict
  defaults:
    description: See O(dockless.network.container_networks#module:defaults).
    type: dict
  purge:
    description: Whether to remove objects of the project that the inventory no longer declares.
    type: bool
    default: true
  on_mismatch:
    description: See O(dockless.network.container_networks#module:on_mismatch).
    type: str
    choices: [update, recreate, fail]
    default: update
  verify:
    description:
      - Whether to read the host again after a change, and to fail if it differs from the declaration.
      - What root in a sandbox has changed there in the meantime is a warning.
    type: bool
    default: true
  project:
    description: Has no effect, because the plan contains the projects. It exists so that C(module_defaults) of the
      whole group can set it.
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

- name: Converge each host's part
  dockless.network.fleet_networks:
    plan: "{{ fleet.plan }}"
"""

RETURN = r"""
operations:
  description: The operations that changed the host, or in check mode would change it, each with its reason. Empty when
    nothing changes.
  returned: success
  type: list
  elements: str
endpoints:
  description: The endpoints of the host, as in RV(dockless.network.container_networks#module:endpoints).
  returned: success
  type: list
  elements: dict
ports:
  description: The published ports of the host, as in RV(dockless.network.container_networks#module:ports).
  returned: success
  type: list
  elements: dict
"""
