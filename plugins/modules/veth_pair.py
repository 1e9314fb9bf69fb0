#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Join namespaces by pairs of interfaces."""

from __future__ import annotations

DOCUMENTATION = r"""
module: veth_pair
short_description: Join two network namespaces by a pair of interfaces
version_added: 0.1.0
description:
  - Makes pairs of virtual Ethernet interfaces, outside any network. What enters one end leaves the other.
  - Each end is in the host's own namespace or in a sandbox's, or in any other that has a handle under C(/run/netns).
  - Takes one pair, or a list of them in O(pairs).
  - An option that is left out keeps what stands; on a new pair it is the default.
options:
  name:
    description: The first end's interface name, at most 15 characters. With O(netns) it names the pair.
    type: str
  pairs:
    description:
      - Several pairs. Each has the options of one pair.
      - Pairs of the project that the list does not name stay as they are, unless O(purge=true).
    type: list
    elements: dict
    suboptions:
      name:
        description: The first end's interface name, at most 15 characters.
        type: str
        required: true
      netns: &netns
        description: The namespace of the end, a name under C(/run/netns). By default the host's own.
        type: str
      master: &master
        description: A bridge in the same namespace that the end is a port of.
        type: str
      addresses: &addresses
        description: The end's addresses with their prefix lengths, such as V(10.0.0.1/24).
        type: list
        elements: str
      routes: &routes
        description: Routes through the end.
        type: list
        elements: dict
        suboptions:
          destination:
            description: Where to, as CIDR. V(0.0.0.0/0) and V(::/0) are the default routes.
            type: str
            required: true
          via:
            description: The router's address. Without it, the destination is on the link.
            type: str
      mac_address: &mac_address
        description: The end's MAC address. By default the kernel chooses one.
        type: str
      mtu: &mtu
        description: The largest packet, in bytes. By default 1500.
        type: int
      up: &up
        description: Whether the end is up. By default it is.
        type: bool
      peer: &peer
        description: The other end. A new pair needs it.
        type: dict
        suboptions:
          name:
            description: Its interface name, at most 15 characters.
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
    description: Whether to remove the project's pairs that O(pairs) does not name.
    type: bool
    default: false
extends_documentation_fragment:
  - dockless.network.attributes
  - dockless.network.common
  - dockless.network.common.state
"""

EXAMPLES = r"""
- name: Two empty network stacks
  dockless.network.container_netns:
    sandboxes:
      - name: veth-left
      - name: veth-right

- name: Joined by one pair, with addresses that ping each other
  dockless.network.veth_pair:
    name: eth0
    netns: veth-left
    addresses: [10.230.31.1/24]
    peer:
      name: eth0
      netns: veth-right
      addresses: [10.230.31.2/24]

- name: A way from the host into one of them
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

- name: Apart again
  dockless.network.veth_pair:
    name: eth0
    netns: veth-left
    state: absent
"""

RETURN = r"""
operations:
  description: The operations that changed the host, or in check mode would change it, each with its reason. Empty when nothing changes.
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
    """Put or remove the pairs that the task names."""
    pairs = objects(params, "pairs", OPTIONS, key=("netns", "name"))
    for pair in pairs:
        if params["state"] == "absent":
            declaration = veth_pairs.remove_veth_pair(declaration, pair["name"], pair.get("netns", ""))
        else:
            declaration = veth_pairs.put_veth_pair(declaration, pair)
    return veth_pairs.keep_veth_pairs(declaration, pairs) if params["purge"] else declaration


def main() -> None:
    """Run the module."""
    run_edit(ARGUMENTS.options, edit, **ARGUMENTS.rules)


if __name__ == "__main__":
    main()
