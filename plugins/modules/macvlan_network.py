#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Manage macvlan and ipvlan networks."""

from __future__ import annotations

DOCUMENTATION = r"""
module: macvlan_network
short_description: Manage macvlan and ipvlan networks
version_added: 0.1.0
description:
  - Adds, changes and removes macvlan and ipvlan networks of one host. Such a network is attached to an interface of the
    host, the parent. Each sandbox has an interface on the parent with an address of that link's own subnet. Other hosts
    on the link reach it directly.
  - Packets of these sandboxes do not pass the host's firewall. There is no address translation, no published port and
    no isolation from other hosts on the link. If a sandbox is also on a bridge network, that network publishes its
    ports.
  - Takes one network, or a list of networks in O(networks).
  - An omitted option of an existing network is not changed. For a new network it has its default.
options:
  purge:
    description: Whether to remove macvlan and ipvlan networks of the project that are not in O(networks).
    type: bool
    default: false
notes:
  - The switch port of the parent must accept several MAC addresses. The virtual switch of a hypervisor accepts them
    only if promiscuous mode and changed (forged) MAC addresses are allowed for the virtual machine. Most cloud
    networks, and wireless networks, never accept them. Use O(driver=ipvlan) there. The module warns if the parent is a
    wireless interface or one of a virtual machine.
  - The parent must not be a port of a bridge or bond. An interface carries either macvlan or ipvlan links.
  - The kernel must support C(macvlan) or C(ipvlan), and C(8021q) if dockless creates a VLAN. The module checks this
    before it changes anything.
extends_documentation_fragment:
  - dockless.network.attributes
  - dockless.network.common
  - dockless.network.common.state
  - dockless.network.network.macvlan
"""

EXAMPLES = r"""
- name: A network on the host's own link, with the part of its subnet that no DHCP server assigns
  dockless.network.macvlan_network:
    name: lan
    parent: eth0
    ipam:
      config:
        - subnet: 192.0.2.0/24
          ip_range: 192.0.2.128/26
          gateway: 192.0.2.3

- name: Let the host and the sandboxes reach each other
  dockless.network.macvlan_network:
    name: lan
    host_access: true
    host_access_address: [192.0.2.190]

- name: Several networks in one task, and no other macvlan or ipvlan network in the project
  dockless.network.macvlan_network:
    project: plant
    purge: true
    networks:
      - name: machines
        parent: eth0
        mode: private
      - name: island

- name: Remove a network
  dockless.network.macvlan_network:
    name: lan
    state: absent
"""

RETURN = r"""
operations:
  description: The operations that changed the host, or in check mode would change it, each with its reason. Empty when
    nothing changes.
  returned: success
  type: list
  elements: str
  sample: [create macvlan eth0 in web (missing)]
"""

from ..module_utils._dockless.ansible_module import NETWORK, run_networks

OPTIONS = {
    **NETWORK,
    "driver": {"type": "str", "choices": ["macvlan", "ipvlan"]},
    "parent": {"type": "str"},
    "mode": {"type": "str", "choices": ["bridge", "private", "vepa", "passthru", "l2", "l3", "l3s"]},
    "host_access": {"type": "bool"},
    "host_access_address": {"type": "list", "elements": "str"},
}


def main() -> None:
    """Run the module."""
    run_networks(("macvlan", "ipvlan"), OPTIONS)


if __name__ == "__main__":
    main()
