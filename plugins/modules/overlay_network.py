#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Manage this host's part of overlay networks."""

from __future__ import annotations

DOCUMENTATION = r"""
module: overlay_network
short_description: Manage this host's part of overlay networks
version_added: 0.1.0
description:
  - Adds, changes and removes this host's part of networks that span several hosts. Each network has a bridge, as in
    M(dockless.network.bridge_network), and a VXLAN device for packets to the network's other hosts.
  - The bridge learns no addresses and floods no packets. The addresses of remote sandboxes come from O(peers), or from
    EVPN.
  - The gateway is the same on every host. A sandbox reaches destinations outside the network through its own host, and
    its ports are published there.
  - Several options must have the same value on all hosts. The role C(overlay) computes them for a whole fleet, once for
    each play.
  - Takes one network, or a list of networks in O(networks).
  - An omitted option of an existing network is not changed. For a new network it has its default.
options:
  purge:
    description: Whether to remove overlay networks of the project that are not in O(networks).
    type: bool
    default: false
extends_documentation_fragment:
  - dockless.network.attributes
  - dockless.network.common
  - dockless.network.common.state
  - dockless.network.network.overlay
"""

EXAMPLES = r"""
- name: The network on this host, with one other host
  dockless.network.overlay_network:
    name: spanning
    vni: 4300
    ipam:
      config:
        - subnet: 10.143.0.0/16
    peers:
      hostb:
        vtep: 192.0.2.77
        sandboxes:
          far:
            addresses: [10.143.0.7]

- name: Add a sandbox
  dockless.network.container_netns:
    name: near

- name: Connect it to the network, with an address that no other host assigns
  dockless.network.network_endpoint:
    sandbox: near
    network: spanning
    ipv4_address: 10.143.0.2

- name: Remove the other host
  dockless.network.overlay_network:
    name: spanning
    peers: {}

- name: A routed network with one route for each host instead of one entry for each sandbox
  dockless.network.overlay_network:
    name: wide
    vni: 4301
    mode: routed
    ipam:
      config:
        - subnet: 10.144.0.0/16
          ip_range: 10.144.1.0/24
    peers:
      hostb:
        vtep: 192.0.2.77
        subnets: [10.144.2.0/24]
"""

RETURN = r"""
operations:
  description: The operations that changed the host, or in check mode would change it, each with its reason. Empty when
    nothing changes.
  returned: success
  type: list
  elements: str
  sample: [create vxlan vx-6e2e045a439d (missing)]
"""

from ..module_utils._dockless.ansible_module import BRIDGED_NETWORK, run_networks

OPTIONS = {
    **BRIDGED_NETWORK,
    "vni": {"type": "int"},
    "mode": {"type": "str", "choices": ["l2", "routed"]},
    "control_plane": {"type": "str", "choices": ["static", "evpn"]},
    "vtep": {"type": "str"},
    "port": {"type": "int"},
    "encrypted": {"type": "bool"},
    "tunnel_port": {"type": "int"},
    "tunnels": {"type": "list", "elements": "str", "choices": ["a", "b"]},
    "peers": {"type": "dict"},
}


def main() -> None:
    """Run the module."""
    run_networks(("overlay",), OPTIONS)


if __name__ == "__main__":
    main()
