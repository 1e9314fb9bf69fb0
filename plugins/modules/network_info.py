#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Read what networks a host has."""

from __future__ import annotations

DOCUMENTATION = r"""
module: network_info
short_description: Read the networks of a host, who is on them, and what they expose
version_added: 0.1.0
description:
  - Returns what C(docker network ls), C(docker network inspect) and C(docker port) show, and besides which ports are
    open to whom, which addresses are taken, and where the host differs from what was asked for.
  - Changes nothing.
options:
  project:
    description: Read this project only. By default all projects of the host.
    type: str
  filters:
    description: Which networks to return, in the words of C(docker network ls --filter). All that are given must match.
    type: dict
    suboptions:
      name:
        description: A part of the network's name.
        type: str
      driver:
        description: The network's driver.
        type: str
      type:
        description: V(custom) networks are declared in projects. The one V(builtin) network is the host's default bridge network.
        type: str
        choices: [builtin, custom]
      label:
        description: Labels, each C(KEY) or C(KEY=VALUE).
        type: list
        elements: str
extends_documentation_fragment:
  - dockless.network.attributes.info
seealso:
  - module: dockless.network.container_networks
  - module: dockless.network.network_prune
"""

EXAMPLES = r"""
- name: A network with two sandboxes
  dockless.network.container_networks:
    project: info-demo
    networks:
      shown:
        ipam:
          config:
            - subnet: 172.30.71.0/24
    sandboxes:
      info-one:
        networks: [shown]
        ports: ["17080:80"]
      info-two:
        networks: [shown]

- name: All that the host has
  dockless.network.network_info:
  register: host

- name: Who is on a network
  dockless.network.network_info:
    project: info-demo
    filters:
      name: shown
  register: shown

- name: Their addresses
  ansible.builtin.debug:
    msg: "{{ item.sandbox }} has {{ item.addresses | join(', ') }} on {{ item.interface }}"
  loop: "{{ shown.endpoints }}"
  loop_control:
    label: "{{ item.sandbox }}"

- name: Nothing has drifted
  ansible.builtin.assert:
    that: host.drift | length == 0
"""

RETURN = r"""
networks:
  description: The networks of the projects, and those of others that their sandboxes have joined.
  returned: success
  type: list
  elements: dict
  contains:
    project:
      description: The network's project, empty for the host's default bridge network.
      type: str
    name:
      description: Its name.
      type: str
    driver:
      description: Its driver.
      type: str
    scope:
      description: V(local) for a network of one host, V(fleet) for an overlay.
      type: str
    bridge_name:
      description: The bridge interface's name. Empty where a macvlan or ipvlan network has a parent.
      type: str
    parent:
      description: The host's interface that a macvlan or ipvlan network is on. Empty where it leads nowhere.
      returned: for macvlan and ipvlan networks
      type: str
    mode:
      description: The mode of a macvlan or ipvlan network.
      returned: for macvlan and ipvlan networks
      type: str
    host_access:
      description: The host's own addresses on a macvlan or ipvlan network.
      returned: for macvlan and ipvlan networks
      type: list
      elements: str
    internal:
      description: Whether it has no way out.
      type: bool
    egress:
      description: Whether its sandboxes may open connections out of it.
      type: bool
    ingress:
      description: Whether its sandboxes may be connected to from outside of it, where something is open.
      type: bool
    gateway_mode_ipv4:
      description: V(nat), V(nat-unprotected), V(routed) or V(isolated). Not of macvlan and ipvlan networks.
      type: str
    gateway_mode_ipv6:
      description: The same for IPv6.
      type: str
    trusted_host_interfaces:
      description: Interfaces of the host by which published ports are reached at the sandboxes' own addresses.
      type: list
      elements: str
    port_security:
      description: Whether a sandbox sends with its own MAC and addresses only.
      type: bool
    isolate:
      description: Whether other networks are kept out, V(strict) or V(open).
      type: str
    icc:
      description: Whether its sandboxes reach one another.
      type: bool
    masquerade:
      description: Whether what leaves it carries the host's address.
      type: bool
    mtu:
      description: The largest packet, in bytes.
      type: int
    enable_ipv4:
      description: Whether it has IPv4 addresses.
      type: bool
    enable_ipv6:
      description: Whether it has IPv6 addresses.
      type: bool
    dns_enabled:
      description: Whether its sandboxes find one another by name.
      type: bool
    labels:
      description: Its labels.
      type: dict
    vni:
      description: An overlay's number on the wire. With it come C(mode), C(control_plane), C(vtep), C(port), C(encrypted) and C(peers).
      type: int
    ipam:
      description: Its subnets, as declared or as chosen, in C(config).
      type: dict
    services:
      description:
        - Its services by name, with C(mode), C(vip), C(ports) and C(sticky).
        - C(sandboxes) are those behind it by name, here and on other hosts, with C(project), C(addresses), C(weight) and C(drain).
      type: dict
    names:
      description: What every sandbox on it finds by name, each entry with C(name), C(type) and C(value).
      type: list
      elements: dict
      sample:
        - name: info-one.shown
          type: A
          value: 172.30.71.2
    endpoints:
      description: Who is on it, by the sandbox's name, with C(mac_address), C(interface), C(ipv4_address) and C(ipv6_address).
      type: dict
sandboxes:
  description: The sandboxes.
  returned: success
  type: list
  elements: dict
  contains:
    project:
      description: The sandbox's project.
      type: str
    name:
      description: Its name.
      type: str
    id:
      description:
        - Twelve hex digits that stand for the sandbox on this host and in a fleet, as a container's short id does. It is the same whenever the
          sandbox is made again, and one of its names on every network.
      type: str
    network_mode:
      description: V(networks), V(bridge), V(host), V(none) or C(container:NAME).
      type: str
    netns:
      description: The path of its namespace, empty in mode V(host).
      type: str
    shares:
      description: The name of the namespace that it shares, if it shares one.
      type: str
    networks:
      description: The names of the networks that it is on.
      type: list
      elements: str
    expose:
      description: The ports that it exposes.
      type: list
      elements: str
    hostname:
      description: Its host name.
      type: str
    resolves:
      description: The networks whose names it resolves. Names of no other network are known to it.
      type: list
      elements: str
    name_servers:
      description:
        - Where its questions for other names go, by way of its own resolver where it has one. Empty where they go nowhere.
        - V(172.20.0.1#10053) is the host's forwarder, which asks the name servers on the host's loopback addresses.
      type: list
      elements: str
    search:
      description: The domains that are tried behind short names.
      type: list
      elements: str
    own_names:
      description: What only this sandbox finds, by links and records of its own. Entries are as in a network's C(names).
      type: list
      elements: dict
    labels:
      description: Its labels.
      type: dict
endpoints:
  description: The endpoints, one for each network of each sandbox.
  returned: success
  type: list
  elements: dict
  contains:
    project:
      description: The project of the sandbox.
      type: str
    network:
      description: The name of the network.
      type: str
    sandbox:
      description: The name of the sandbox.
      type: str
    interface:
      description: The name of the interface in the sandbox.
      type: str
    addresses:
      description: Its addresses with their prefix lengths.
      type: list
      elements: str
    mac_address:
      description: Its MAC address.
      type: str
    gateway:
      description: The gateway of the network, empty if it has none.
      type: str
    aliases:
      description: Further names of the sandbox on this network.
      type: list
      elements: str
ports:
  description: The published ports, one entry for each address that one is bound to.
  returned: success
  type: list
  elements: dict
  contains:
    sandbox:
      description: The name of the sandbox.
      type: str
    host_ip:
      description: The address of the host that the port is published on. Empty where the gateway mode is V(routed).
      type: str
    host_port:
      description: The port on the host. V(0) where the gateway mode is V(routed), since the port is open at the sandbox's own address.
      type: int
    protocol:
      description: V(tcp), V(udp) or V(sctp).
      type: str
    target_port:
      description: The port in the sandbox.
      type: int
exposures:
  description:
    - Everything that the host lets in because of its networks, and for whom. Published ports, sandboxes' own addresses where the gateway
      mode or a trusted interface opens them, and the ends of tunnels to other hosts.
    - Each entry has what an entry of RV(ports) has, and besides the following. What is not a port of the host has an empty C(host_ip) and
      C(host_port=0), the end of a tunnel has no C(sandbox).
  returned: success
  type: list
  elements: dict
  contains:
    family:
      description: V(ipv4) or V(ipv6).
      type: str
    address:
      description: What a packet is sent to. V(0.0.0.0) and V(::) are every address of the host.
      type: str
    port:
      description: And the port there; V(0) is every port, then C(protocol=any).
      type: int
    reachable_from:
      description: Who reaches the port.
      type: str
  sample:
    - sandbox: info-one
      host_ip: 0.0.0.0
      host_port: 17080
      protocol: tcp
      target_port: 80
      family: ipv4
      address: 0.0.0.0
      port: 17080
      reachable_from: everyone who reaches any address of this host
leases:
  description: What was chosen for each project and is kept, such as addresses, interface names and ports.
  returned: success
  type: dict
drift:
  description: Where the host differs from what was asked for, as the operations that would put it right. Empty when it does not.
  returned: success
  type: list
  elements: str
"""

from ..module_utils._dockless.ansible_module import given_options, run_inspect
from ..module_utils._dockless.engine.info import read_info

ARGUMENT_SPEC = {
    "project": {"type": "str"},
    "filters": {
        "type": "dict",
        "options": {
            "name": {"type": "str"},
            "driver": {"type": "str"},
            "type": {"type": "str", "choices": ["builtin", "custom"]},
            "label": {"type": "list", "elements": "str"},
        },
    },
}


def read(params: dict) -> dict:
    """Return what the host has."""
    return read_info(params["project"], given_options(params["filters"] or {}))


def main() -> None:
    """Run the module."""
    run_inspect(ARGUMENT_SPEC, read)


if __name__ == "__main__":
    main()
