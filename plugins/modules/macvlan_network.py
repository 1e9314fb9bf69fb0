#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Make and remove networks on the host's own interfaces."""

from __future__ import annotations

DOCUMENTATION = r"""
module: macvlan_network
short_description: Make and remove macvlan and ipvlan networks
version_added: 0.1.0
description:
  - Makes networks of one host whose sandboxes are hosts of the link that one of the host's interfaces, the parent, is on. Each has
    an interface on the parent, with an address of that link's own subnet, and is reached there without the host in between.
  - Packets to and from these sandboxes do not pass the host's firewall. Nothing is masqueraded, no ports are published, and the networks
    are not walled off from what else is on the link. A sandbox that is on a bridge network as well has its ports published by that one.
  - Takes one network, or a list of them in O(networks).
  - An option that is left out keeps what stands; on a new network it is the default.
options:
  name:
    description: The network's name in the project.
    type: str
  networks:
    description:
      - Several networks. Each has the options of one network.
      - Networks of the project that the list does not name stay as they are, unless O(purge=true).
    type: list
    elements: dict
    suboptions:
      name:
        description: The network's name.
        type: str
        required: true
      driver: &driver
        description:
          - V(macvlan) gives each sandbox a MAC of its own. V(ipvlan) gives all of them the parent's, where the switch or a wireless
            network takes no other.
          - By default V(macvlan).
        type: str
        choices: [macvlan, ipvlan]
      parent: &parent
        description:
          - The host's interface that the network is on.
          - A name like V(eth0.60) is VLAN 60 on V(eth0). It is made if it is not there, and then goes with the last network that uses it.
            One that is there is used as it is, and stays.
          - Without a parent, the network leads nowhere, as with O(internal=true). Its sandboxes reach one another only.
        type: str
      mode: &mode
        description:
          - With V(bridge), the default of macvlan, sandboxes reach one another and everything on the link.
          - With V(private), they do not reach one another. With V(vepa), they do so by way of a switch that reflects frames.
          - With V(passthru), the one sandbox on the network has the parent for itself, with its MAC. No other network can be on that parent.
          - With V(l2), the default of ipvlan, the link is shared as with V(bridge). With V(l3) and V(l3s), packets are routed by the host's
            kernel, gateways have no meaning, and the link's other hosts need a route to the subnets. With V(l3s) they pass the host's firewall.
          - All ipvlan networks of one parent have one mode.
        type: str
        choices: [bridge, private, vepa, passthru, l2, l3, l3s]
      ipam: &ipam
        description:
          - The network's addresses. Without it, a subnet is chosen that does not overlap the host's routes, and kept.
          - As a rule, the subnet is that of the link, and O(ipam.config[].ip_range) the part that nobody else there gives out.
        type: dict
        suboptions:
          driver:
            description: V(default) gives the network addresses, V(none) gives it none.
            type: str
            choices: [default, none]
          config:
            description:
              - The subnets, any number of each family. A sandbox gets one address of each family.
              - Those of several macvlan and ipvlan networks may overlap. No address is given twice.
            type: list
            elements: dict
            suboptions:
              subnet:
                description: The subnet, as CIDR. V(0.0.0.0/26) or V(::/64) chooses one of that size.
                type: str
              ip_range:
                description: The part of the subnet that sandboxes get addresses from when they ask for none.
                type: str
              gateway:
                description: The router of the subnet, which is the sandboxes' default route. By default none.
                type: str
              aux_addresses:
                description:
                  - Addresses that no sandbox gets, by name.
                  - That named V(host) is the host's own, with O(host_access=true).
                type: dict
      host_access: &host_access
        description:
          - Whether the host and the sandboxes reach one another. The kernel lets nothing pass between a parent and what is on it, so the host gets
            an interface of its own on the parent, and a route to each sandbox.
          - By default they do not.
        type: bool
      host_access_address: &host_access_address
        description: The host's addresses on the network, one of each family. By default the first that is free, which is kept.
        type: list
        elements: str
      internal: &internal
        description: Whether sandboxes have no default route and no names but their own. The link itself they reach.
        type: bool
      enable_ipv4: &enable_ipv4
        description: Whether the network has IPv4 addresses. By default it has.
        type: bool
      enable_ipv6: &enable_ipv6
        description: Whether the network has IPv6 addresses. By default it has not, unless it has such a subnet or the host's defaults say so.
        type: bool
      mtu: &mtu
        description: The largest packet, in bytes. By default, and at most, that of the parent.
        type: int
      dns: &dns
        description: Name servers that unknown names are sent to, instead of the host's.
        type: list
        elements: str
      driver_opts: &driver_opts
        description:
          - Settings under the names that Docker gives them, V(parent), V(macvlan_mode), V(ipvlan_mode) and V(com.docker.network.driver.mtu).
          - A setting that is also an option of its own must say the same.
        type: dict
      labels: &labels
        description: Texts by name, to filter by in M(dockless.network.network_info) and M(dockless.network.network_prune).
        type: dict
  driver: *driver
  parent: *parent
  mode: *mode
  ipam: *ipam
  host_access: *host_access
  host_access_address: *host_access_address
  internal: *internal
  enable_ipv4: *enable_ipv4
  enable_ipv6: *enable_ipv6
  mtu: *mtu
  dns: *dns
  driver_opts: *driver_opts
  labels: *labels
  purge:
    description: Whether to remove the project's macvlan and ipvlan networks that O(networks) does not name.
    type: bool
    default: false
notes:
  - The switch that the parent is on must let several MACs pass at one port. The virtual switch of a hypervisor does so only where promiscuous mode
    and changed (forged) MACs are allowed for the virtual machine. Networks of most clouds, and wireless ones, never do. Use O(driver=ipvlan) there.
    The module warns where it sees the card of a virtual machine or a wireless one.
  - The parent must not be a port of a bridge or bond. An interface carries macvlan or ipvlan links, not both.
  - The kernel needs C(macvlan) or C(ipvlan), and C(8021q) for VLANs that are made. What is missing is refused before anything is touched.
extends_documentation_fragment:
  - dockless.network.attributes
  - dockless.network.common
  - dockless.network.common.state
"""

EXAMPLES = r"""
- name: A network on the host's own link, with the part of its subnet that is ours to give
  dockless.network.macvlan_network:
    name: lan
    parent: eth0
    ipam:
      config:
        - subnet: 192.0.2.0/24
          ip_range: 192.0.2.128/26
          gateway: 192.0.2.3

- name: The same, and the host reaches its sandboxes
  dockless.network.macvlan_network:
    name: lan
    host_access: true
    host_access_address: [192.0.2.190]

- name: Several networks in one task, and no others of this kind beside them
  dockless.network.macvlan_network:
    project: plant
    purge: true
    networks:
      - name: machines
        parent: eth0
        mode: private
      - name: island

- name: No such network
  dockless.network.macvlan_network:
    name: lan
    state: absent
"""

RETURN = r"""
operations:
  description: What was done, or in check mode what would be done, one line each with its reason. Empty when nothing changes.
  returned: success
  type: list
  elements: str
  sample: [create macvlan eth0 in web (missing)]
"""

from ..module_utils._dockless.ansible_module import objects, one_or_many, run_edit
from ..module_utils._dockless.edits import networks

DRIVERS = ("macvlan", "ipvlan")
OPTIONS = {
    "name": {"type": "str"},
    "driver": {"type": "str", "choices": ["macvlan", "ipvlan"]},
    "parent": {"type": "str"},
    "mode": {"type": "str", "choices": ["bridge", "private", "vepa", "passthru", "l2", "l3", "l3s"]},
    "ipam": {
        "type": "dict",
        "options": {
            "driver": {"type": "str", "choices": ["default", "none"]},
            "config": {
                "type": "list",
                "elements": "dict",
                "options": {
                    "subnet": {"type": "str"},
                    "ip_range": {"type": "str"},
                    "gateway": {"type": "str"},
                    "aux_addresses": {"type": "dict"},
                },
            },
        },
    },
    "host_access": {"type": "bool"},
    "host_access_address": {"type": "list", "elements": "str"},
    "internal": {"type": "bool"},
    "enable_ipv4": {"type": "bool"},
    "enable_ipv6": {"type": "bool"},
    "mtu": {"type": "int"},
    "dns": {"type": "list", "elements": "str"},
    "driver_opts": {"type": "dict"},
    "labels": {"type": "dict"},
}
ARGUMENTS = one_or_many("networks", OPTIONS, ("name",))


def edit(params: dict, declaration: dict) -> dict:
    """Put or remove the networks that the task names."""
    named = {spec.pop("name"): spec for spec in objects(params, "networks", OPTIONS)}
    for name, spec in named.items():
        if params["state"] == "absent":
            declaration = networks.remove_network(declaration, name)
        else:
            before = ((declaration.get("networks") or {}).get(name) or {}).get("driver", "macvlan")
            declaration = networks.put_network(
                declaration, name, {"driver": before if before in DRIVERS else "macvlan", **spec}
            )
    return networks.keep_networks(declaration, named, DRIVERS) if params["purge"] else declaration


def main() -> None:
    """Run the module."""
    run_edit(ARGUMENTS.options, edit, **ARGUMENTS.rules)


if __name__ == "__main__":
    main()
