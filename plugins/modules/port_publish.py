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
  - Makes ports of a sandbox reachable at addresses of the host, from the host itself, from other hosts and from other sandboxes.
  - A port on all addresses of the host is open to everybody who reaches the host, and comes before the host's own rules
    for what it lets in. M(dockless.network.network_info) lists every such port.
  - A port of the host that something else has already, a sandbox or a process, is an error that names it.
  - Takes one sandbox, or a list of them in O(sandboxes).
options:
  sandbox:
    description: The sandbox's name.
    type: str
  sandboxes:
    description: Several sandboxes, each with its ports.
    type: list
    elements: dict
    suboptions:
      sandbox:
        description: The sandbox's name.
        type: str
        required: true
      ports: &ports
        description:
          - The ports to publish. They are added to the ones that the sandbox has, unless O(purge=true).
          - The short form is C([HOST_IP:][HOST_PORT:]PORT[/PROTOCOL]), such as C("80"), C("8080:80"), C("127.0.0.1:8443:443"),
            C("[fd00::1]:8080:80"), C("8000-8010:80") and C("5353:53/udp"). Quote it, since YAML reads C(22:22) as a number.
          - The long form has C(target), C(published), C(host_ip), C(protocol) and C(source_ranges).
          - C(source_ranges) is a list of addresses and subnets of those who may use the port, besides the host itself; an address family
            that it does not name may not. Without it, everybody may. It holds at the sandbox's own address as well, where the network's
            gateway mode or a trusted interface opens published ports there; V(nat-unprotected) opens every port to everybody.
            Publishing the same port for others takes the place of what was said.
          - A port without one of the host gets a free one, which is chosen once and kept.
        type: list
        elements: raw
      publish_all: &publish_all
        description: Whether to publish every port of O(expose) too, each on a free port of the host. By default not.
        type: bool
      expose: &expose
        description: Ports that the sandbox serves, as C(PORT[/PROTOCOL]). They are added to the ones that it has, unless O(purge=true).
        type: list
        elements: raw
  ports: *ports
  publish_all: *publish_all
  expose: *expose
  purge:
    description: Whether to withdraw the ports of the named sandboxes that the task does not name.
    type: bool
    default: false
  state:
    description:
      - With V(absent), the given ports are withdrawn, and no longer exposed if O(expose) names them.
      - When neither O(ports) nor O(expose) is given, V(absent) withdraws all.
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

- name: A port for two subnets
  dockless.network.port_publish:
    project: ports-demo
    sandbox: ports-web
    ports:
      - target: 9000
        published: 15059
        source_ranges: [192.0.2.0/24, "2001:db8::/64"]

- name: Its web server on port 15050 of the host, and its admin page for the host alone
  dockless.network.port_publish:
    project: ports-demo
    sandbox: ports-web
    ports:
      - "15050:80"
      - target: 8443
        published: "15443"
        host_ip: 127.0.0.1

- name: What it exposes, on free ports of the host
  dockless.network.port_publish:
    project: ports-demo
    sandbox: ports-web
    expose: ["9100", 5353/udp]
    publish_all: true
  register: published

- name: Where they are
  ansible.builtin.debug:
    msg: "{{ item.protocol }} {{ item.target_port }} is {{ item.host_ip }}:{{ item.host_port }}"
  loop: "{{ published.ports }}"
  loop_control:
    label: "{{ item.target_port }}"

- name: Withdraw one
  dockless.network.port_publish:
    project: ports-demo
    sandbox: ports-web
    ports: ["15050:80"]
    state: absent
"""

RETURN = r"""
operations:
  description: The operations that changed the host, or in check mode would change it, each with its reason. Empty when nothing changes.
  returned: success
  type: list
  elements: str
  sample: [update nft table inet dockless (content differs)]
ports:
  description: The ports that the named sandboxes publish now, in check mode those that they would.
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
"""

from ..module_utils._dockless.ansible_module import objects, one_or_many, run_edit
from ..module_utils._dockless.edits import ports
from ..module_utils._dockless.engine.converge import Outcome

OPTIONS = {
    "sandbox": {"type": "str"},
    "ports": {"type": "list", "elements": "raw"},
    "publish_all": {"type": "bool"},
    "expose": {"type": "list", "elements": "raw"},
}
KEY = ("sandbox",)
ARGUMENTS = one_or_many("sandboxes", OPTIONS, KEY)
ARGUMENTS.rules.pop("required_if")  # a sandbox alone has a list too: its ports


def edit(params: dict, declaration: dict) -> dict:
    """Publish or withdraw the ports of the sandboxes that the task names."""
    for spec in objects(params, "sandboxes", OPTIONS, KEY):
        sandbox = spec.pop("sandbox")
        if params["state"] == "absent":
            declaration = ports.withdraw(declaration, sandbox, spec)
        else:
            change = ports.replace_ports if params["purge"] else ports.publish
            declaration = change(declaration, sandbox, spec)
    return declaration


def report(params: dict, outcome: Outcome) -> dict:
    """Return the ports of the sandboxes that the task names."""
    named = {spec["sandbox"] for spec in objects(params, "sandboxes", OPTIONS, KEY)}
    return {"ports": [port for port in outcome.ports if port["sandbox"] in named]}


def main() -> None:
    """Run the module."""
    run_edit(ARGUMENTS.options, edit, report, **ARGUMENTS.rules)


if __name__ == "__main__":
    main()
