#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Publish ports of sandboxes on the host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: port_publish
short_description: Publish ports of sandboxes on the host
version_added: 0.1.0
description:
  - Publishes ports of a sandbox at addresses of the host, for the host itself, other hosts and other sandboxes.
  - A port that is published on all addresses is open to every client that can reach the host. The input rules of the
    host's own firewall do not apply to it, because its packets are forwarded. M(dockless.network.network_info) lists
    every published port.
  - If another sandbox or a process already uses the port of the host, the module fails with its name.
  - Takes one sandbox, or a list of sandboxes in O(sandboxes).
options:
  sandbox:
    description: The name of the sandbox.
    type: str
  sandboxes:
    description: Several sandboxes, each with its ports.
    type: list
    elements: dict
    suboptions:
      sandbox:
        description: The name of the sandbox.
        type: str
        required: true
      ports: &ports
        description:
          - The ports to publish. They are added to the sandbox's published ports, unless O(purge=true).
          - The short form is C([HOST_IP:][HOST_PORT:]PORT[/PROTOCOL]), such as C("80"), C("8080:80"),
            C("127.0.0.1:8443:443"), C("[fd00::1]:8080:80"), C("8000-8010:80") and C("5353:53/udp"). Quote it, because
            YAML parses C(22:22) as a number.
          - The long form has C(target), C(published), C(host_ip), C(protocol) and C(source_ranges).
          - C(source_ranges) is a list of addresses and subnets from which clients can use the port. The host itself
            always can. If an address family is not in the list, no client of that family can use the port. The default
            is every client. The list also applies at the sandbox's own address, if the gateway mode or a trusted
            interface opens published ports there. Gateway mode V(nat-unprotected) opens every port to every client.
            Publishing the same port again replaces its list.
          - If no port of the host is set, dockless chooses a free one, and later runs keep it.
        type: list
        elements: raw
      publish_all: &publish_all
        description: Whether to publish every port of O(expose) too, each on a free port of the host. The default is
          V(false).
        type: bool
      expose: &expose
        description: Ports of the sandbox's services, as C(PORT[/PROTOCOL]). They are added to its exposed ports, unless
          O(purge=true).
        type: list
        elements: raw
  ports: *ports
  publish_all: *publish_all
  expose: *expose
  purge:
    description: Whether to unpublish ports of these sandboxes that are not in O(ports).
    type: bool
    default: false
  state:
    description:
      - V(absent) unpublishes the ports in O(ports), and removes those in O(expose) from the exposed ports.
      - If both O(ports) and O(expose) are omitted, V(absent) unpublishes all ports.
    type: str
    choices: [present, absent]
    default: present
extends_documentation_fragment:
  - dockless.network.attributes
  - dockless.network.common
"""

EXAMPLES = r"""
- name: A sandbox on a network
  dockless.network.container_networks:
    project: ports-demo
    networks:
      front:
        ipam:
          config:
            - subnet: 172.30.51.0/24
    sandboxes:
      ports-web:
        networks: [front]

- name: Publish a port for clients of two subnets
  dockless.network.port_publish:
    project: ports-demo
    sandbox: ports-web
    ports:
      - target: 9000
        published: 15059
        source_ranges: [192.0.2.0/24, "2001:db8::/64"]

- name: Publish its web server on port 15050 of the host, and its admin page for the host only
  dockless.network.port_publish:
    project: ports-demo
    sandbox: ports-web
    ports:
      - "15050:80"
      - target: 8443
        published: "15443"
        host_ip: 127.0.0.1

- name: Publish its exposed ports on free ports of the host
  dockless.network.port_publish:
    project: ports-demo
    sandbox: ports-web
    expose: ["9100", 5353/udp]
    publish_all: true
  register: published

- name: Show them
  ansible.builtin.debug:
    msg: "{{ item.protocol }} {{ item.target_port }} is {{ item.host_ip }}:{{ item.host_port }}"
  loop: "{{ published.ports }}"
  loop_control:
    label: "{{ item.target_port }}"

- name: Unpublish one
  dockless.network.port_publish:
    project: ports-demo
    sandbox: ports-web
    ports: ["15050:80"]
    state: absent
"""

RETURN = r"""
operations:
  description: The operations that changed the host, or in check mode would change it, each with its reason. Empty when
    nothing changes.
  returned: success
  type: list
  elements: str
  sample: ['update firewall: publish 8080/tcp on all addresses → web:80']
ports:
  description: The published ports of these sandboxes after the run. In check mode, they are predicted.
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
"""

from ..module_utils._dockless.ansible_module import objects, one_or_many, run_edit
from ..module_utils._dockless.edits import ports
from ..module_utils._dockless.engine.request import Outcome

OPTIONS = {
    "sandbox": {"type": "str"},
    "ports": {"type": "list", "elements": "raw"},
    "publish_all": {"type": "bool"},
    "expose": {"type": "list", "elements": "raw"},
}
KEY = ("sandbox",)
ARGUMENTS = one_or_many("sandboxes", OPTIONS, KEY)
ARGUMENTS.rules.pop("required_if")  # purge also applies to the ports of one sandbox


def edit(params: dict, declaration: dict) -> dict:
    """Publish or unpublish the ports of the task's sandboxes."""
    for spec in objects(params, "sandboxes", OPTIONS, KEY):
        sandbox = spec.pop("sandbox")
        if params["state"] == "absent":
            declaration = ports.unpublish(declaration, sandbox, spec)
        else:
            change = ports.replace_ports if params["purge"] else ports.publish
            declaration = change(declaration, sandbox, spec)
    return declaration


def report(params: dict, outcome: Outcome) -> dict:
    """Return the published ports of the task's sandboxes."""
    named = {spec["sandbox"] for spec in objects(params, "sandboxes", OPTIONS, KEY)}
    return {"ports": [port for port in outcome.ports if port["sandbox"] in named]}


def main() -> None:
    """Run the module."""
    run_edit(ARGUMENTS.options, edit, report, **ARGUMENTS.rules)


if __name__ == "__main__":
    main()
