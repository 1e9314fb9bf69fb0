#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Manage veth pairs outside of networks."""

from __future__ import annotations

DOCUMENTATION = r"""
module: veth_pair
short_description: Manage veth pairs between network namespaces
version_added: 0.1.0
description:
  - Adds, changes and removes pairs of virtual Ethernet interfaces that belong to no network. A packet sent into one end
    arrives at the other.
  - Each end is in the host's namespace, in that of a sandbox, or in any other namespace with a file in C(/run/netns).
  - Takes one pair, or a list of pairs in O(pairs).
  - An omitted option of an existing pair is not changed. For a new pair it has its default.
options:
  name:
    description: The interface name of the first end, at most 15 characters. O(name) and O(netns) identify the pair.
    type: str
  pairs:
    description:
      - Several pairs. Each has the options of one pair.
      - Pairs of the project that are not in the list are not changed, unless O(purge=true).
    type: list
    elements: dict
    suboptions:
      name:
        description: The interface name of the first end, at most 15 characters.
        type: str
        required: true
      netns: &netns
        description: The namespace of the end, a name in C(/run/netns). The default is the host's namespace.
        type: str
      master: &master
        description: The bridge in the same namespace of which the end is a port.
        type: str
      addresses: &addresses
        description: The addresses of the end with their prefix lengths, such as V(10.0.0.1/24).
        type: list
        elements: str
      routes: &routes
        description: Routes through the end.
        type: list
        elements: dict
        suboptions:
          destination:
            description: The destination, in CIDR notation. V(0.0.0.0/0) and V(::/0) are default routes.
            type: str
            required: true
          via:
            description: The address of the router. If omitted, the destination is on the link.
            type: str
      mac_address: &mac_address
        description: The MAC address of the end. By default the kernel chooses one.
        type: str
      mtu: &mtu
        description: The MTU, in bytes. The default is 1500.
        type: int
      up: &up
        description: Whether the end is up. The default is V(true).
        type: bool
      peer: &peer
        description: The other end. A new pair requires it.
        type: dict
        suboptions:
          name:
            description: The interface name of the other end, at most 15 characters.
            type: str
            required: true
          netns: *netns
          master: *master
          addresses: *addresses
          routes: *routes
          mac_address: *mac_address
          mtu: *mtu
          up: *up
  netns: *netns
  master: *master
  addresses: *addresses
  routes: *routes
  mac_address: *mac_address
  mtu: *mtu
  up: *up
  peer: *peer
  purge:
    description: Whether to remove pairs of the project that are not in O(pairs).
    type: bool
    default: false
extends_documentation_fragment:
  - dockless.network.attributes
  - dockless.network.common
  - dockless.network.common.state
"""

EXAMPLES = r"""
- name: Two sandboxes without networks
  dockless.network.container_netns:
    sandboxes:
      - name: veth-left
      - name: veth-right

- name: Connect them with a pair, so that they can ping each other
  dockless.network.veth_pair:
    name: eth0
    netns: veth-left
    addresses: [10.230.31.1/24]
    peer:
      name: eth0
      netns: veth-right
      addresses: [10.230.31.2/24]

- name: Connect the host to one of them
  dockless.network.veth_pair:
    pairs:
      - name: to-left
        addresses: [10.230.32.1/30]
        peer:
          name: eth1
          netns: veth-left
          addresses: [10.230.32.2/30]
          routes:
            - destination: 0.0.0.0/0
              via: 10.230.32.1

- name: Remove the pair
  dockless.network.veth_pair:
    name: eth0
    netns: veth-left
    state: absent
"""

RETURN = r"""
operations:
  description: The operations that changed the host, or in check mode would change it, each with its reason. Empty when
    nothing changes.
  returned: success
  type: list
  elements: str
  sample: [create veth pair to-left - eth1 of veth-left (missing)]
"""

from ..module_utils._dockless.ansible_module import objects, one_or_many, run_edit
from ..module_utils._dockless.edits import veth_pairs

END = {
    "name": {"type": "str"},
    "netns": {"type": "str"},
    "master": {"type": "str"},
    "addresses": {"type": "list", "elements": "str"},
    "routes": {
        "type": "list",
        "elements": "dict",
        "options": {"destination": {"type": "str", "required": True}, "via": {"type": "str"}},
    },
    "mac_address": {"type": "str"},
    "mtu": {"type": "int"},
    "up": {"type": "bool"},
}
OPTIONS = {**END, "peer": {"type": "dict", "options": {**END, "name": {"type": "str", "required": True}}}}
ARGUMENTS = one_or_many("pairs", OPTIONS, ("name",))


def edit(params: dict, declaration: dict) -> dict:
    """Add, change or remove the pairs of the task."""
    pairs = objects(params, "pairs", OPTIONS, key=("netns", "name"))
    for pair in pairs:
        if params["state"] == "absent":
            declaration = veth_pairs.remove_veth_pair(declaration, pair["name"], pair.get("netns", ""))
        else:
            declaration = veth_pairs.put_veth_pair(declaration, pair)
    return veth_pairs.purge_veth_pairs(declaration, pairs) if params["purge"] else declaration


def main() -> None:
    """Run the module."""
    run_edit(ARGUMENTS.options, edit, **ARGUMENTS.rules)


if __name__ == "__main__":
    main()
