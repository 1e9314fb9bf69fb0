#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Connect sandboxes to networks, and disconnect them."""

from __future__ import annotations

DOCUMENTATION = r"""
module: network_endpoint
short_description: Connect sandboxes to networks and disconnect them
version_added: 0.1.0
description:
  - Connects sandboxes to networks, and disconnects them. An endpoint is the attachment of a sandbox to a network. It is
    an interface in the sandbox, with addresses.
  - O(state=present) connects, as C(docker network connect) does. O(state=absent) disconnects. If no other network of
    the sandbox can publish its ports, they are removed too.
  - Takes one endpoint, or a list of endpoints in O(endpoints).
  - An omitted option of an existing endpoint is not changed. For a new endpoint it has its default.
options:
  network:
    description: The name of the network in the project. V(bridge) is the host's default bridge network.
    type: str
  sandbox:
    description: The name of the sandbox.
    type: str
  endpoints:
    description:
      - Several endpoints. Each has the options of one endpoint.
      - Endpoints that are not in the list are not changed, unless O(purge=true).
    type: list
    elements: dict
    suboptions:
      network:
        description: The name of the network in the project.
        type: str
        required: true
      sandbox:
        description: The name of the sandbox.
        type: str
        required: true
      ipv4_address: &ipv4_address
        description: The IPv4 address of the sandbox on the network. By default dockless chooses one, and later runs
          keep it.
        type: str
      ipv6_address: &ipv6_address
        description: The IPv6 address of the sandbox on the network. By default dockless chooses one, and later runs
          keep it.
        type: str
      link_local_ips: &link_local_ips
        description: More addresses of the interface, from 169.254.0.0/16 or fe80::/64.
        type: list
        elements: str
      mac_address: &mac_address
        description: The MAC address of the interface. The default is computed from the names of project, network and
          sandbox.
        type: str
      aliases: &aliases
        description: Aliases of the sandbox on this network.
        type: list
        elements: str
      links: &links
        description: Other names by which this sandbox resolves sandboxes on this network, as C(NAME:ALIAS).
        type: list
        elements: str
      gw_priority: &gw_priority
        description: The priority of this network's gateway. The sandbox's default route is through the network with the
          highest number. The default is 0.
        type: int
      interface_name: &interface_name
        description: The name of the interface in the sandbox. The default is C(eth) and the next number.
        type: str
      driver_opts: &driver_opts
        description:
          - Options under the names that Docker uses, such as C(com.docker.network.endpoint.ifname) and
            C(com.docker.network.endpoint.sysctls).
        type: dict
  ipv4_address: *ipv4_address
  ipv6_address: *ipv6_address
  link_local_ips: *link_local_ips
  mac_address: *mac_address
  aliases: *aliases
  links: *links
  gw_priority: *gw_priority
  interface_name: *interface_name
  driver_opts: *driver_opts
  purge:
    description: Whether to disconnect the sandboxes in O(endpoints) from all networks for which they have no entry
      there.
    type: bool
    default: false
extends_documentation_fragment:
  - dockless.network.attributes
  - dockless.network.common
  - dockless.network.common.state
"""

EXAMPLES = r"""
- name: Two networks
  dockless.network.bridge_network:
    networks:
      - name: ep-front
        ipam:
          config:
            - subnet: 172.30.41.0/24
      - name: ep-back
        internal: true
        ipam:
          config:
            - subnet: 172.30.42.0/24

- name: Two sandboxes
  dockless.network.container_netns:
    sandboxes:
      - name: ep-app
      - name: ep-db

- name: Connect one to a network, with a fixed address
  dockless.network.network_endpoint:
    network: ep-front
    sandbox: ep-app
    ipv4_address: 172.30.41.10
    aliases: [www]

- name: Connect both to another
  dockless.network.network_endpoint:
    endpoints:
      - network: ep-back
        sandbox: ep-app
      - network: ep-back
        sandbox: ep-db
        aliases: [database]

- name: Disconnect one
  dockless.network.network_endpoint:
    network: ep-front
    sandbox: ep-app
    state: absent
"""

RETURN = r"""
operations:
  description: The operations that changed the host, or in check mode would change it, each with its reason. Empty when
    nothing changes.
  returned: success
  type: list
  elements: str
  sample: [create veth pair veth5d07321fd45 - eth0 of ep-app (missing)]
endpoints:
  description: The endpoints of the task after the run. Empty if they were removed.
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
"""

from ..module_utils._dockless.ansible_module import objects, one_or_many, run_edit
from ..module_utils._dockless.edits import endpoints
from ..module_utils._dockless.engine.request import Outcome

OPTIONS = {
    "network": {"type": "str"},
    "sandbox": {"type": "str"},
    "ipv4_address": {"type": "str"},
    "ipv6_address": {"type": "str"},
    "link_local_ips": {"type": "list", "elements": "str"},
    "mac_address": {"type": "str"},
    "aliases": {"type": "list", "elements": "str"},
    "links": {"type": "list", "elements": "str"},
    "gw_priority": {"type": "int"},
    "interface_name": {"type": "str"},
    "driver_opts": {"type": "dict"},
}
KEY = ("sandbox", "network")
ARGUMENTS = one_or_many("endpoints", OPTIONS, KEY)


def edit(params: dict, declaration: dict) -> dict:
    """Connect or disconnect the endpoints of the task."""
    named = [((spec.pop("sandbox"), spec.pop("network")), spec) for spec in objects(params, "endpoints", OPTIONS, KEY)]
    for (sandbox, network), spec in named:
        if params["state"] == "absent":
            declaration = endpoints.disconnect(declaration, sandbox, network)
        else:
            declaration = endpoints.connect(declaration, sandbox, network, spec)
    return endpoints.purge_endpoints(declaration, [key for key, spec in named]) if params["purge"] else declaration


def report(params: dict, outcome: Outcome) -> dict:
    """Return the endpoints of the task, not all endpoints of the project."""
    named = {(spec["sandbox"], spec["network"]) for spec in objects(params, "endpoints", OPTIONS, KEY)}
    return {"endpoints": [e for e in outcome.endpoints if (e["sandbox"], e["network"]) in named]}


def main() -> None:
    """Run the module."""
    run_edit(ARGUMENTS.options, edit, report, **ARGUMENTS.rules)


if __name__ == "__main__":
    main()
