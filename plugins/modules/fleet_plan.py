#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Plan the overlay networks of a fleet on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: fleet_plan
short_description: Plan the overlay networks of a fleet, once for all of its hosts
version_added: 0.1.0
description:
  - Reads from the inventory what every host of the fleet declares, and computes the VNI, the subnets, the addresses and the
    MAC addresses of all overlay networks, and what each host must know of the others.
  - Runs on the controller, once for the play (C(run_once)), and connects to no host. M(dockless.network.fleet_networks)
    then gives each host its part.
  - What a host declares comes first, then what was given before, then the lowest that is free. No two hosts are given one
    address, because the plan is always made over all hosts of O(group), whichever the play runs over.
  - A host that is outside of C(--limit) or cannot be reached keeps everything it has. What it had is known from O(ledger), or
    from other hosts. Where it is not known at all, nothing new is given out on its networks, and the error says so.
  - A sandbox keeps its address when hosts and other sandboxes come and go, and when it moves to another host. On a network of
    C(mode=routed) it gets one of the other host's slice.
  - Addresses are free again when nobody declares the sandbox any more, and its host was read and does not have it, or has
    left the inventory.
options:
  group:
    description: The group of the fleet's hosts.
    type: str
    default: all
  ledger:
    description:
      - The file on the controller that remembers what was given. It holds no secret, and belongs into version control with
        the inventory.
      - By default C(.dockless-fleet.json) in the directory of the inventory, hidden because Ansible reads other files of such a directory as hosts.
      - An empty text keeps none. The hosts then must remember, by O(dockless.network.overlay_member#module:peers).
    type: str
  memory:
    description:
      - The variable that M(dockless.network.overlay_member) was registered in on each host. A host that has none was not
        read in this run.
    type: str
    default: dockless_member
  purge:
    description: Whether the hosts remove what they have and no longer declare. If not, the others still are told of it.
    type: bool
    default: true
  tunnel_subnet:
    description: The addresses inside of the tunnels of encrypted networks, one for each host.
    type: str
    default: 100.64.0.0/16
  tunnels:
    description: The tunnels of encrypted networks. Hosts send by the first and take what comes by any. There are two while keys are renewed.
    type: list
    elements: str
    choices: [a, b]
    default: [a]
  project:
    description: The project of hosts that have no variable C(dockless_project).
    type: str
    default: default
extends_documentation_fragment:
  - dockless.network.attributes
attributes:
  action:
    description: Runs on the controller.
    support: full
  check_mode:
    details: The plan is made, but the ledger is not written.
requirements:
  - Python 3.9 or newer, on the controller only
notes:
  - The variables are C(dockless_project), C(dockless_networks), C(dockless_sandboxes) and C(dockless_defaults), as
    in M(dockless.network.container_networks), and C(dockless_vtep), an address of the host or one of its interfaces.
    C(dockless_endpoint) is where the others reach the host's encrypted tunnel, C(ADDRESS:PORT), if not at its VTEP address.
  - Besides what a network of C(driver=overlay) has elsewhere, C(slice_prefix) and C(slice_prefix_ipv6) are the prefix lengths
    of the slices of a network of C(mode=routed), by default 24 and 80.
  - The options of an overlay network must be the same on all hosts, except C(vtep), C(bridge_name) and
    C(default_publish_address).
seealso:
  - module: dockless.network.overlay_member
  - module: dockless.network.fleet_networks
"""

EXAMPLES = r"""
- name: Read what each host has
  dockless.network.overlay_member:
    vtep: "{{ dockless_vtep | default(omit) }}"
  register: dockless_member

- name: Plan for the whole fleet
  dockless.network.fleet_plan:
    group: all
    ledger: ""
  run_once: true
  register: fleet

- name: Give each host its part
  dockless.network.fleet_networks:
    plan: "{{ fleet.plan }}"
"""

RETURN = r"""
plan:
  description:
    - A directory on the controller with the part of each host. It is removed when the play ends.
    - Results of tasks are copied to every host's variables, so the parts themselves, which are many, are not in it.
  returned: success
  type: str
  sample: /root/.ansible/tmp/ansible-local-1a2b3c/dockless-plan-x7k2
ledger:
  description: The file that remembers, empty if there is none.
  returned: success
  type: str
  sample: /srv/inventory/.dockless-fleet.json
hosts:
  description: For each host how many overlay networks it is on, how many sandboxes it has there, and how many others have.
  returned: success
  type: dict
  sample:
    one:
      networks: 2
      local: 3
      remote: 2
"""
