#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Make and remove bridge networks."""

from __future__ import annotations

DOCUMENTATION = r"""
module: bridge_network
short_description: Make and remove bridge networks
version_added: 0.1.0
description:
  - Makes networks of one host. Each is a bridge with subnets of its own, apart from the other networks, whose sandboxes
    find one another by name and reach the world through the host.
  - Takes one network, or a list of them in O(networks).
  - An option that is left out keeps what stands; on a new network it is the default.
options:
  name:
    description:
      - The network's name in the project.
      - V(bridge), V(host) and V(none) are not free. V(bridge) is the host's default bridge network, which belongs to no
        project; its settings are in O(dockless.network.container_networks#module:defaults).
    type: str
  networks:
    description:
      - Several networks. Each has the options of one network.
      - Networks of the project that the list does not name stay as they are, unless O(purge=true).
    type: list
    elements: dict
    suboptions: &network
      name:
        description: The network's name.
        type: str
        required: true
      ipam: &ipam
        description: The network's addresses. Without it, one subnet is chosen that does not overlap the host's routes, and kept.
        type: dict
        suboptions:
          driver:
            description: V(default) gives the network addresses, V(none) gives it none.
            type: str
            choices: [default, none]
          config:
            description: The subnets, at most one IPv4 and one IPv6.
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
                description: The bridge's address. By default the subnet's first.
                type: str
              aux_addresses:
                description: Addresses that no sandbox gets, by name.
                type: dict
      internal: &internal
        description:
          - Whether the network has no way out; its sandboxes reach one another only, and no port of theirs is published on it.
          - It is O(egress=false) and O(ingress=false), and no default route. One of the two may be opened by its own name.
        type: bool
      enable_ipv4: &enable_ipv4
        description: Whether the network has IPv4 addresses. By default it has.
        type: bool
      enable_ipv6: &enable_ipv6
        description: Whether the network has IPv6 addresses. By default it has not, unless the host's defaults say so.
        type: bool
      isolate: &isolate
        description:
          - Whether the network is kept apart from the host's other networks.
          - V(strict) drops what other networks send it, except to published ports. V(open) lets other open networks in.
          - By default V(strict).
        type: str
        choices: [strict, open]
      icc: &icc
        description: Whether the network's sandboxes reach one another. By default they do.
        type: bool
      masquerade: &masquerade
        description: Whether what leaves the network carries the host's address. By default it does.
        type: bool
      egress: &egress
        description:
          - Whether the network's sandboxes may open connections out of it. By default they may, unless O(internal=true).
          - Without it, ports can be published still, and unknown names are not looked up outside.
        type: bool
      ingress: &ingress
        description:
          - Whether the network's sandboxes may be connected to from outside of it, where something is open. By default they may, unless
            O(internal=true).
          - Without it, no port of theirs is published on the network.
        type: bool
      gateway_mode_ipv4: &gateway_mode_ipv4
        description:
          - How the network is joined to the rest by IPv4.
          - V(nat), the default, translates. Published ports are ports of the host, and nobody addresses a sandbox from outside.
          - V(nat-unprotected) translates too, and whoever has a route reaches every port of the sandboxes at their own addresses.
          - V(routed) translates nothing. Whoever has a route pings the sandboxes, and reaches the ports that are published, at the
            sandboxes' own addresses. The host has no such ports.
          - V(isolated) gives the host no address on the network, which must be O(internal=true). Its sandboxes have one another and
            nothing else.
        type: str
        choices: [nat, nat-unprotected, routed, isolated]
      gateway_mode_ipv6: &gateway_mode_ipv6
        description: The same for IPv6.
        type: str
        choices: [nat, nat-unprotected, routed, isolated]
      trusted_host_interfaces: &trusted_host_interfaces
        description: Interfaces of the host by which published ports are reached at the sandboxes' own addresses too, where the mode is V(nat).
        type: list
        elements: str
      host_ipv4: &host_ipv4
        description: The host's IPv4 address that packets carry when they leave. By default that of the interface that they leave by.
        type: str
      host_ipv6: &host_ipv6
        description: The same for IPv6.
        type: str
      port_security: &port_security
        description:
          - Whether a sandbox sends with its own MAC, its own addresses and the network's protocols only. By default it does.
          - V(false) is for sandboxes that give themselves other addresses or MACs, such as routers and hosts of virtual machines.
        type: bool
      mtu: &mtu
        description: The largest packet, in bytes. By default that of the host's default route.
        type: int
      bridge_name: &bridge_name
        description: The bridge interface's name, at most 15 characters. By default V(br-) and twelve hexadecimal digits.
        type: str
      default_publish_address: &default_publish_address
        description: The host's address that ports are published on when they name none. By default all addresses.
        type: str
      dns: &dns
        description: Name servers that unknown names are sent to, instead of the host's.
        type: list
        elements: str
      services: &services
        description:
          - Names over several of the network's sandboxes, by name, so that each connection goes to one of them.
          - A service's name has one address a family, which belongs to no sandbox. A connection to it is sent on where it
            begins, in the client's sandbox, so that the other end sees the client's own address. Sandboxes on the network
            use it, others don't.
          - C(vip) is that address, or a list with one of each family. Without it, free ones are chosen from the top end of the subnet, and kept.
          - C(ports) is a list of C(PORT), C(PORT:TARGET_PORT) and C(PORT/PROTOCOL), as in V(8080:80) and V(53/udp). Without it, every port is
            served. A port that is not, and a service with nobody behind it, refuse at once.
          - C(sandboxes) are those behind it, a list of names, or a dictionary with C(weight) (1 to 256, V(1) by default) and C(drain) of
            each. One with C(drain=true) gets no new connections and keeps those that it has. Without it, they are the sandboxes that have the
            service's name as an alias.
          - C(sticky=true) sends a client to the same sandbox every time, by the client's address. When one leaves, only its own clients move.
          - C(mode) is V(vip), or V(dnsrr) for no address of its own; then the name has the addresses of all, in turn.
          - C(tasks.NAME) has the addresses of all that are behind a service.
          - It takes the place of the network's services as a whole.
        type: dict
      driver_opts: &driver_opts
        description:
          - Settings under the names that Docker gives them, such as C(com.docker.network.bridge.name) or
            C(com.docker.network.driver.mtu).
          - A setting that is also an option of its own must say the same.
        type: dict
      labels: &labels
        description: Texts by name, to filter by in M(dockless.network.network_info) and M(dockless.network.network_prune).
        type: dict
  ipam: *ipam
  internal: *internal
  enable_ipv4: *enable_ipv4
  enable_ipv6: *enable_ipv6
  isolate: *isolate
  icc: *icc
  masquerade: *masquerade
  egress: *egress
  ingress: *ingress
  gateway_mode_ipv4: *gateway_mode_ipv4
  gateway_mode_ipv6: *gateway_mode_ipv6
  trusted_host_interfaces: *trusted_host_interfaces
  host_ipv4: *host_ipv4
  host_ipv6: *host_ipv6
  port_security: *port_security
  mtu: *mtu
  bridge_name: *bridge_name
  default_publish_address: *default_publish_address
  dns: *dns
  services: *services
  driver_opts: *driver_opts
  labels: *labels
  purge:
    description: Whether to remove the project's bridge networks that O(networks) does not name.
    type: bool
    default: false
extends_documentation_fragment:
  - dockless.network.attributes
  - dockless.network.common
  - dockless.network.common.state
"""

EXAMPLES = r"""
- name: A network with a subnet of its own choice
  dockless.network.bridge_network:
    name: plain

- name: A network with settings
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

- name: Several networks in one task, and none beside them
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

- name: A network that routers elsewhere lead to, whose sandboxes keep their addresses
  dockless.network.bridge_network:
    name: routed
    ipam:
      config:
        - subnet: 172.30.23.0/24
    gateway_mode_ipv4: routed

- name: A network whose ports are open, and whose sandboxes reach nothing outside
  dockless.network.bridge_network:
    name: inward
    egress: false

- name: One name for several web servers
  dockless.network.bridge_network:
    name: tuned
    services:
      web:
        ports: ["80/tcp"]

- name: No such network
  dockless.network.bridge_network:
    name: plain
    state: absent
"""

RETURN = r"""
operations:
  description: What was done, or in check mode what would be done, one line each with its reason. Empty when nothing changes.
  returned: success
  type: list
  elements: str
  sample: [create bridge br-tuned (missing)]
"""

from ..module_utils._dockless.ansible_module import objects, one_or_many, run_edit
from ..module_utils._dockless.edits import networks

OPTIONS = {
    "name": {"type": "str"},
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
    "internal": {"type": "bool"},
    "enable_ipv4": {"type": "bool"},
    "enable_ipv6": {"type": "bool"},
    "isolate": {"type": "str", "choices": ["strict", "open"]},
    "icc": {"type": "bool"},
    "masquerade": {"type": "bool"},
    "egress": {"type": "bool"},
    "ingress": {"type": "bool"},
    "gateway_mode_ipv4": {"type": "str", "choices": ["nat", "nat-unprotected", "routed", "isolated"]},
    "gateway_mode_ipv6": {"type": "str", "choices": ["nat", "nat-unprotected", "routed", "isolated"]},
    "trusted_host_interfaces": {"type": "list", "elements": "str"},
    "host_ipv4": {"type": "str"},
    "host_ipv6": {"type": "str"},
    "port_security": {"type": "bool"},
    "mtu": {"type": "int"},
    "bridge_name": {"type": "str"},
    "default_publish_address": {"type": "str"},
    "dns": {"type": "list", "elements": "str"},
    "services": {"type": "dict"},
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
            declaration = networks.put_network(declaration, name, spec)
    return networks.keep_networks(declaration, named) if params["purge"] else declaration


def main() -> None:
    """Run the module."""
    run_edit(ARGUMENTS.options, edit, **ARGUMENTS.rules)


if __name__ == "__main__":
    main()
