#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Manage bridge networks."""

from __future__ import annotations

DOCUMENTATION = r"""
module: bridge_network
short_description: Manage bridge networks
version_added: 0.1.0
description:
  - Adds, changes and removes bridge networks of one host. Each network has its own bridge and subnets, and is isolated
    from the other networks. Its sandboxes resolve each other's names, and reach other hosts through this host.
  - Takes one network, or a list of networks in O(networks).
  - An omitted option of an existing network is not changed. For a new network it has its default.
  - A network cannot be named V(bridge), V(host) or V(none). V(bridge) is the host's default bridge network, which
    belongs to no project; its options are in O(dockless.network.container_networks#module:defaults).
options:
  purge:
    description: Whether to remove bridge networks of the project that are not in O(networks).
    type: bool
    default: false
extends_documentation_fragment:
  - dockless.network.attributes
  - dockless.network.common
  - dockless.network.common.state
  - dockless.network.network.bridge
"""

EXAMPLES = r"""
- name: A network with a subnet that dockless chooses
  dockless.network.bridge_network:
    name: plain

- name: A network with options
  dockless.network.bridge_network:
    name: tuned
    ipam:
      config:
        - subnet: 172.30.21.0/24
          ip_range: 172.30.21.128/25
          gateway: 172.30.21.254
          aux_addresses:
            printer: 172.30.21.130
    enable_ipv6: true
    mtu: 1400
    bridge_name: br-tuned
    labels:
      tier: front

- name: Several networks in one task, and no other bridge network in the project
  dockless.network.bridge_network:
    project: plant
    purge: true
    networks:
      - name: floor
        ipam:
          config:
            - subnet: 172.30.22.0/24
      - name: vault
        internal: true

- name: A network without address translation, to which other routers have a route
  dockless.network.bridge_network:
    name: routed
    ipam:
      config:
        - subnet: 172.30.23.0/24
    gateway_mode_ipv4: routed

- name: A network with published ports whose sandboxes cannot open connections to the outside
  dockless.network.bridge_network:
    name: inward
    egress: false

- name: A service for several web servers
  dockless.network.bridge_network:
    name: tuned
    services:
      web:
        ports: ["80/tcp"]

- name: Remove a network
  dockless.network.bridge_network:
    name: plain
    state: absent
"""

RETURN = r"""
operations:
  description: The operations that changed the host, or in check mode would change it, each with its reason. Empty when
    nothing changes.
  returned: success
  type: list
  elements: str
  sample: [create bridge br-tuned (missing)]
"""

from ..module_utils._dockless.ansible_module import BRIDGED_NETWORK, run_networks

GATEWAY_MODE = {"type": "str", "choices": ["nat", "nat-unprotected", "routed", "isolated"]}
OPTIONS = {**BRIDGED_NETWORK, "gateway_mode_ipv4": GATEWAY_MODE, "gateway_mode_ipv6": GATEWAY_MODE}


def main() -> None:
    """Run the module."""
    run_networks(("bridge",), OPTIONS)


if __name__ == "__main__":
    main()
