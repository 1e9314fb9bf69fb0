#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Read the networks of a host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: network_info
short_description: Read the networks, sandboxes and exposed ports of a host
version_added: 0.1.0
description:
  - Returns the data that C(docker network ls), C(docker network inspect) and C(docker port) show, and also which
    clients can reach which ports, which addresses are assigned, and where the host differs from its declaration.
  - Changes nothing.
options:
  project:
    description: The project to read. The default is all projects of the host.
    type: str
  wait:
    description:
      - How long to wait for another run on the same host to end, in seconds. Only one run changes a host at a time. If
        it has not ended by then, the module fails, and names the process.
    type: float
    default: 120
  filters:
    description: The networks to return, with the filters of C(docker network ls --filter). A network must match all of
      them.
    type: dict
    suboptions:
      name:
        description: A part of the name of the network.
        type: str
      driver:
        description: The driver of the network.
        type: str
      type:
        description: V(custom) networks are declared in projects. The only V(builtin) network is the host's default
          bridge network.
        type: str
        choices: [builtin, custom]
      label:
        description: Labels, each as C(KEY) or C(KEY=VALUE).
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

- name: Read all networks of the host
  dockless.network.network_info:
  register: host

- name: Read one network
  dockless.network.network_info:
    project: info-demo
    filters:
      name: shown
  register: shown

- name: Show its addresses
  ansible.builtin.debug:
    msg: "{{ item.sandbox }} has {{ item.addresses | join(', ') }} on {{ item.interface }}"
  loop: "{{ shown.endpoints }}"
  loop_control:
    label: "{{ item.sandbox }}"

- name: Fail if the host differs from its declaration
  ansible.builtin.assert:
    that: host.drift | length == 0
"""

RETURN = r"""
networks:
  description: The networks of the projects, and networks of other projects that their sandboxes have joined.
  returned: success
  type: list
  elements: dict
  contains:
    project:
      description: The project of the network, empty for the host's default bridge network.
      type: str
    name:
      description: The name.
      type: str
    driver:
      description: The driver.
      type: str
    scope:
      description: V(local) for a network of one host, V(fleet) for an overlay.
      type: str
    bridge_name:
      description: The name of the bridge interface. Empty if a macvlan or ipvlan network has a parent.
      type: str
    parent:
      description: The parent interface of a macvlan or ipvlan network. Empty if the network is isolated.
      returned: for macvlan and ipvlan networks
      type: str
    mode:
      description: The mode of a macvlan or ipvlan network.
      returned: for macvlan and ipvlan networks
      type: str
    host_access:
      description: The addresses of the host on a macvlan or ipvlan network.
      returned: for macvlan and ipvlan networks
      type: list
      elements: str
    internal:
      description: Whether the network is isolated, with no route to other networks.
      type: bool
    egress:
      description: Whether its sandboxes can open connections to destinations outside the network.
      type: bool
    ingress:
      description: Whether clients outside the network can connect to its sandboxes, at open ports.
      type: bool
    gateway_mode_ipv4:
      description: V(nat), V(nat-unprotected), V(routed) or V(isolated). macvlan and ipvlan networks have no gateway
        mode.
      type: str
    gateway_mode_ipv6:
      description: The gateway mode of IPv6.
      type: str
    trusted_host_interfaces:
      description: Interfaces of the host from which clients can reach published ports at the sandboxes' own addresses.
      type: list
      elements: str
    port_security:
      description: Whether a sandbox can send only with its own MAC address and IP addresses.
      type: bool
    isolate:
      description: Whether the network is isolated from other networks, V(strict) or V(open).
      type: str
    icc:
      description: Whether its sandboxes can connect to each other.
      type: bool
    masquerade:
      description: Whether packets that leave the network get an address of the host as their source.
      type: bool
    mtu:
      description: The MTU, in bytes.
      type: int
    enable_ipv4:
      description: Whether the network has IPv4 addresses.
      type: bool
    enable_ipv6:
      description: Whether the network has IPv6 addresses.
      type: bool
    dns_enabled:
      description: Whether its sandboxes can resolve each other's names.
      type: bool
    labels:
      description: The labels.
      type: dict
    vni:
      description: The VXLAN network identifier of an overlay network. Such a network also has C(mode),
        C(control_plane), C(vtep), C(port), C(encrypted) and C(peers).
      type: int
    ipam:
      description: The subnets, declared or chosen, in C(config).
      type: dict
    services:
      description:
        - The services by name, with C(mode), C(vip), C(ports) and C(sticky).
        - C(sandboxes) are the sandboxes of the service by name, on this and other hosts, with C(project), C(addresses),
          C(weight) and C(drain).
      type: dict
    names:
      description: The names that every sandbox on the network resolves, each with C(name), C(type) and C(value).
      type: list
      elements: dict
      sample:
        - name: info-one.shown
          type: A
          value: 172.30.71.2
    endpoints:
      description: The endpoints by name of the sandbox, with C(mac_address), C(interface), C(ipv4_address) and
        C(ipv6_address).
      type: dict
sandboxes:
  description: The sandboxes.
  returned: success
  type: list
  elements: dict
  contains:
    project:
      description: The project of the sandbox.
      type: str
    name:
      description: The name.
      type: str
    id:
      description:
        - Twelve hexadecimal digits that identify the sandbox on this host and in a fleet, like the short id of a
          container. They do not change when the sandbox is created again, and are one of its names on every network.
      type: str
    network_mode:
      description: V(networks), V(bridge), V(host), V(none) or C(container:NAME).
      type: str
    netns:
      description: The path of the namespace, empty in mode V(host).
      type: str
    shares:
      description: The name of the namespace that the sandbox shares with another one, empty if it shares none.
      type: str
    networks:
      description: The names of its networks.
      type: list
      elements: str
    expose:
      description: The exposed ports.
      type: list
      elements: str
    hostname:
      description: The host name.
      type: str
    resolves:
      description: The networks whose names the sandbox resolves. It resolves names of no other network.
      type: list
      elements: str
    name_servers:
      description:
        - The name servers for all other names, to which its embedded DNS forwards queries, if it has one. Empty if they
          are not forwarded.
        - V(172.20.0.1#10053) is the host's forwarder, which forwards queries to name servers on the host's loopback
          addresses.
      type: list
      elements: str
    search:
      description: The search domains for short names.
      type: list
      elements: str
    own_names:
      description: The names that only this sandbox resolves, from its links and records. The entries are as in C(names)
        of a network.
      type: list
      elements: dict
    labels:
      description: The labels.
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
      description: The addresses with their prefix lengths.
      type: list
      elements: str
    mac_address:
      description: The MAC address.
      type: str
    gateway:
      description: The gateway of the network, empty if it has none.
      type: str
    aliases:
      description: Aliases of the sandbox on this network.
      type: list
      elements: str
ports:
  description: The published ports, one entry for each host address.
  returned: success
  type: list
  elements: dict
  contains:
    sandbox:
      description: The name of the sandbox.
      type: str
    host_ip:
      description: The host address of the published port. Empty if the gateway mode is V(routed).
      type: str
    host_port:
      description: The port on the host. V(0) if the gateway mode is V(routed), because the port is open at the
        sandbox's own address.
      type: int
    protocol:
      description: V(tcp), V(udp) or V(sctp).
      type: str
    target_port:
      description: The port in the sandbox.
      type: int
exposures:
  description:
    - Everything that is reachable because of the host's networks, and from where. These are published ports, sandboxes'
      own addresses that the gateway mode or a trusted interface opens, and tunnel endpoints for other hosts.
    - Each entry has the keys of RV(ports) and the following. If it is not a port of the host, C(host_ip) is empty and
      C(host_port) is 0. For a tunnel endpoint, C(sandbox) is empty.
  returned: success
  type: list
  elements: dict
  contains:
    family:
      description: V(ipv4) or V(ipv6).
      type: str
    address:
      description: The destination address. V(0.0.0.0) and V(::) are every address of the host.
      type: str
    port:
      description: The destination port. V(0) is every port, with C(protocol=any).
      type: int
    reachable_from:
      description: The clients that can reach the port.
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
  description: The addresses, interface names, ports and other values that dockless chose for each project, and that
    later runs keep.
  returned: success
  type: dict
drift:
  description: The differences between the host and its declaration, as the operations that would remove them. Empty if
    there are none.
  returned: success
  type: list
  elements: str
"""

from ..module_utils._dockless.ansible_module import WAIT, given_options, run_inspect
from ..module_utils._dockless.engine.info import read_info

ARGUMENT_SPEC = {
    "project": {"type": "str"},
    **WAIT,
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
    """Return the networks of the host."""
    return read_info(params["project"], given_options(params["filters"] or {}), params["wait"])


def main() -> None:
    """Run the module."""
    run_inspect(ARGUMENT_SPEC, read)


if __name__ == "__main__":
    main()
