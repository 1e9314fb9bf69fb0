#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Make and remove this host's part of networks that span hosts."""

from __future__ import annotations

DOCUMENTATION = r"""
module: overlay_network
short_description: Make and remove this host's part of overlay networks
version_added: 0.1.0
description:
  - Makes one host's part of networks that span hosts. Each is a bridge, as M(dockless.network.bridge_network) makes it, and a VXLAN device
    that leads to the network's other hosts.
  - Nothing is learned and nothing is flooded. Where each sandbox is comes from O(peers), or by EVPN.
  - The gateway is the same on every host, so a sandbox leaves by the host that it is on, and its ports are published there.
  - What hosts must agree on, they are told. The role C(overlay) computes that for a whole fleet, once for a play.
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
      ipam: &ipam
        description: The network's addresses. They are the same on every host, so a new network needs O(ipam.config).
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
                description: The subnet, as CIDR, the same on every host.
                type: str
              ip_range:
                description:
                  - The part of the subnet that sandboxes of this host get addresses from when they ask for none. Each host needs another one.
                  - With O(mode=routed), it is this host's slice, and required.
                type: str
              gateway:
                description: The bridge's address. By default the subnet's first.
                type: str
              aux_addresses:
                description: Addresses that no sandbox gets, by name.
                type: dict
      vni: &vni
        description: The network's number on the wire, from 1 to 16777215, the same on every host and free on it. A new network needs one.
        type: int
      mode: &mode
        description:
          - V(l2) is one subnet over all hosts, in which every sandbox has an entry on every other host.
          - V(routed) gives every host a slice of the subnet, and every other host one route to it.
          - By default V(l2).
        type: str
        choices: [l2, routed]
      control_plane: &control_plane
        description:
          - V(static) writes an entry for every sandbox in O(peers).
          - V(evpn) writes those of this host only, and leaves the others to FRR; see the role C(evpn). It needs an IPv4 O(vtep).
          - All networks of a project with O(mode=l2) have the same, since FRR announces all of a host's or none.
          - By default V(static).
        type: str
        choices: [static, evpn]
      vtep: &vtep
        description:
          - This host's end of the tunnels, an address or an interface.
          - By default the first address of the link with the default route. With O(encrypted=true), this host's address in the WireGuard network.
        type: str
      port: &port
        description: The UDP port that carries the network. By default 4789, and 4787 for an encrypted one.
        type: int
      encrypted: &encrypted
        description: Whether what leaves for another host goes through WireGuard, and nothing else does. By default it does not.
        type: bool
      tunnel_port: &tunnel_port
        description:
          - The UDP port of this host's WireGuard tunnel, by default 51820. A second tunnel, while keys are renewed, has the next one.
          - It is the same in all encrypted networks of a host, as O(vtep) and O(tunnels) are.
        type: int
      tunnels: &tunnels
        description:
          - This host's WireGuard tunnels. What is sent goes by the first that the other host has too, what comes by any is taken.
          - Keys are renewed by V([a, b]), V([b, a]) and V([b]), each on all hosts before the next; see the playbook C(rotate_keys). By default V([a]).
        type: list
        elements: str
        choices: [a, b]
      peers: &peers
        description:
          - The network's other hosts by name, each with C(vtep), C(sandboxes) (by name, each with C(addresses), C(mac_address), C(aliases),
            C(hostname) and C(project)), C(subnets) for its slices of a routed network, and for an encrypted one
            C(endpoint) and C(public_key), or C(public_keys) by tunnel.
          - The role C(overlay) fills it in for all hosts at once. It takes the place of the network's peers as a whole.
        type: dict
      internal: &internal
        description:
          - Whether the network has no way out; its sandboxes reach one another only, on whichever host.
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
        description: Whether the network's sandboxes may open connections out of it. By default they may, unless O(internal=true).
        type: bool
      ingress: &ingress
        description:
          - Whether the network's sandboxes may be connected to from outside of it, where something is open. By default they may, unless
            O(internal=true).
        type: bool
      trusted_host_interfaces: &trusted_host_interfaces
        description: Interfaces of this host by which published ports are reached at the sandboxes' own addresses too.
        type: list
        elements: str
      host_ipv4: &host_ipv4
        description: This host's IPv4 address that packets carry when they leave. By default that of the interface that they leave by.
        type: str
      host_ipv6: &host_ipv6
        description: The same for IPv6.
        type: str
      port_security: &port_security
        description: Whether a sandbox sends with its own MAC, its own addresses and the network's protocols only. By default it does.
        type: bool
      mtu: &mtu
        description: The largest packet, in bytes. By default that of the link that holds O(vtep), less what the encapsulation adds.
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
      labels: &labels
        description: Texts by name, to filter by in M(dockless.network.network_info) and M(dockless.network.network_prune).
        type: dict
      driver_opts: &driver_opts
        description:
          - C(vni), C(mode), C(control_plane), C(vtep), C(port) and C(encrypted) under these names, or settings under the names that Docker's
            overlay driver gives them, which are C(com.docker.network.driver.mtu) and C(com.docker.network.driver.overlay.vxlanid_list).
        type: dict
  ipam: *ipam
  vni: *vni
  mode: *mode
  control_plane: *control_plane
  vtep: *vtep
  port: *port
  encrypted: *encrypted
  tunnel_port: *tunnel_port
  tunnels: *tunnels
  peers: *peers
  internal: *internal
  enable_ipv4: *enable_ipv4
  enable_ipv6: *enable_ipv6
  isolate: *isolate
  icc: *icc
  masquerade: *masquerade
  egress: *egress
  ingress: *ingress
  trusted_host_interfaces: *trusted_host_interfaces
  host_ipv4: *host_ipv4
  host_ipv6: *host_ipv6
  port_security: *port_security
  mtu: *mtu
  bridge_name: *bridge_name
  default_publish_address: *default_publish_address
  dns: *dns
  services: *services
  labels: *labels
  driver_opts: *driver_opts
  purge:
    description: Whether to remove the project's overlay networks that O(networks) does not name.
    type: bool
    default: false
extends_documentation_fragment:
  - dockless.network.attributes
  - dockless.network.common
  - dockless.network.common.state
"""

EXAMPLES = r"""
- name: This host's part of a network with one other host
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

- name: A sandbox
  dockless.network.container_netns:
    name: near

- name: On that network, with an address that no other host gives
  dockless.network.network_endpoint:
    sandbox: near
    network: spanning
    ipv4_address: 10.143.0.2

- name: The other host has left
  dockless.network.overlay_network:
    name: spanning
    peers: {}

- name: One route for each host instead of one entry for each sandbox
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
  description: What was done, or in check mode what would be done, one line each with its reason. Empty when nothing changes.
  returned: success
  type: list
  elements: str
  sample: [create vxlan vx-6e2e045a439d (missing)]
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
    "vni": {"type": "int"},
    "mode": {"type": "str", "choices": ["l2", "routed"]},
    "control_plane": {"type": "str", "choices": ["static", "evpn"]},
    "vtep": {"type": "str"},
    "port": {"type": "int"},
    "encrypted": {"type": "bool"},
    "tunnel_port": {"type": "int"},
    "tunnels": {"type": "list", "elements": "str", "choices": ["a", "b"]},
    "peers": {"type": "dict"},
    "internal": {"type": "bool"},
    "enable_ipv4": {"type": "bool"},
    "enable_ipv6": {"type": "bool"},
    "isolate": {"type": "str", "choices": ["strict", "open"]},
    "icc": {"type": "bool"},
    "masquerade": {"type": "bool"},
    "egress": {"type": "bool"},
    "ingress": {"type": "bool"},
    "trusted_host_interfaces": {"type": "list", "elements": "str"},
    "host_ipv4": {"type": "str"},
    "host_ipv6": {"type": "str"},
    "port_security": {"type": "bool"},
    "mtu": {"type": "int"},
    "bridge_name": {"type": "str"},
    "default_publish_address": {"type": "str"},
    "dns": {"type": "list", "elements": "str"},
    "services": {"type": "dict"},
    "labels": {"type": "dict"},
    "driver_opts": {"type": "dict"},
}
ARGUMENTS = one_or_many("networks", OPTIONS, ("name",))


def edit(params: dict, declaration: dict) -> dict:
    """Put or remove the networks that the task names."""
    named = {spec.pop("name"): spec for spec in objects(params, "networks", OPTIONS)}
    for name, spec in named.items():
        if params["state"] == "absent":
            declaration = networks.remove_network(declaration, name)
        else:
            declaration = networks.put_network(declaration, name, {"driver": "overlay", **spec})
    return networks.keep_networks(declaration, named, ("overlay",)) if params["purge"] else declaration


def main() -> None:
    """Run the module."""
    run_edit(ARGUMENTS.options, edit, **ARGUMENTS.rules)


if __name__ == "__main__":
    main()
