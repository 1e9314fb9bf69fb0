#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Plan the overlay networks of a fleet on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: fleet_plan
short_description: Plan the overlay networks of all hosts of a fleet
version_added: 0.1.0
description:
  - Reads the declarations of all hosts of the fleet from the inventory, and computes the VNI, subnets, addresses and
    MAC addresses of all overlay networks, and the peers of each host.
  - Runs once for each play (C(run_once)) on the controller, and connects to no host. M(dockless.network.fleet_networks)
    then converges each host's part.
  - Declared values take precedence, then those of earlier plans, then the lowest free one. Two hosts never get the same
    address, because each plan covers all hosts of O(group), even if the play runs on some of them.
  - A host that C(--limit) excludes or that is unreachable keeps its assignments. They are read from O(ledger), or from
    other hosts. If they are unknown, the module assigns nothing new on the networks of that host, and fails if a new
    assignment is needed.
  - A sandbox keeps its address when hosts or other sandboxes are added or removed, and when it moves to another host.
    On a network with C(mode=routed) it then gets an address of the new host's slice.
  - An address becomes free when no host declares the sandbox any more, and its host was read and no longer has it, or
    was removed from the inventory.
options:
  group:
    description: The inventory group of the fleet's hosts.
    type: str
    default: all
  ledger:
    description:
      - The file on the controller that stores the assignments of earlier plans. It contains no secrets. Keep it under
        version control with the inventory.
      - The default is C(.dockless-fleet.json) in the directory of the inventory. The name starts with a dot because
        Ansible reads other files in such a directory as inventory.
      - An empty string disables the file. Assignments are then read from the hosts only, with
        O(dockless.network.overlay_member#module:peers).
    type: str
  memory:
    description:
      - The variable in which the result of M(dockless.network.overlay_member), the host report, was registered. A host
        without the variable counts as not read in this run.
    type: str
    default: dockless_member
  purge:
    description: Whether hosts remove objects that they no longer declare. If V(false), these objects stay in the plan
      of the other hosts.
    type: bool
    default: true
  tunnel_subnet:
    description: The subnet of the addresses inside the tunnels of encrypted networks, one address for each host.
    type: str
    default: 100.64.0.0/16
  tunnels:
    description: The tunnels of encrypted networks. Hosts send through the first one and accept packets from all. A key
      rotation uses two.
    type: list
    elements: str
    choices: [a, b]
    default: [a]
  project:
    description: The project of hosts without the variable C(dockless_project).
    type: str
    default: default
extends_documentation_fragment:
  - dockless.network.attributes
attributes:
  action:
    description: Runs on the controller.
    support: full
  check_mode:
    details: The module computes the plan, but does not write the ledger.
requirements:
  - Python 3.9 or newer, on the controller only
notes:
  - The inventory variables are C(dockless_project), C(dockless_networks), C(dockless_sandboxes) and
    C(dockless_defaults), as in M(dockless.network.container_networks), and C(dockless_vtep), an address or interface of
    the host. C(dockless_endpoint) is the C(ADDRESS:PORT) at which other hosts reach the host's encrypted tunnel, if it
    is not at the VTEP address.
  - A network with C(driver=overlay) and C(mode=routed) has two more options. C(slice_prefix) and C(slice_prefix_ipv6)
    are the prefix lengths of its slices. The defaults are 24 and 80.
  - The options of an overlay network must be the same on all hosts, except C(vtep), C(bridge_name) and
    C(default_publish_address).
seealso:
  - module: dockless.network.overlay_member
  - module: dockless.network.fleet_networks
"""

EXAMPLES = r"""
- name: Read the report of each host
  dockless.network.overlay_member:
    vtep: "{{ dockless_vtep | default(omit) }}"
  register: dockless_member

- name: Plan for the whole fleet
  dockless.network.fleet_plan:
    group: all
    ledger: ""
  run_once: true
  register: fleet

- name: Converge each host's part
  dockless.network.fleet_networks:
    plan: "{{ fleet.plan }}"
"""

RETURN = r"""
plan:
  description:
    - A directory on the controller with the part of each host. It is removed at the end of the play.
    - The parts are in files, because Ansible copies the result of the task into the variables of every host.
  returned: success
  type: str
  sample: /root/.ansible/tmp/ansible-local-1a2b3c/dockless-plan-x7k2
ledger:
  description: The file with the assignments, empty if it is disabled.
  returned: success
  type: str
  sample: /srv/inventory/.dockless-fleet.json
hosts:
  description: For each host the number of its overlay networks, and of the local and remote sandboxes on them.
  returned: success
  type: dict
  sample:
    one:
      networks: 2
      local: 3
      remote: 2
"""
