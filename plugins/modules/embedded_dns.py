#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Manage the embedded DNS of networks and sandboxes."""

from __future__ import annotations

DOCUMENTATION = r"""
module: embedded_dns
short_description: Manage DNS records and name servers of networks and sandboxes
version_added: 0.1.0
description:
  - Each sandbox on a user-defined network has its own DNS resolver at 127.0.0.11. It resolves the sandboxes on its
    networks by C(NAME), C(NAME.NETWORK) and alias, and forwards queries for other names.
  - This module adds records to a network or a sandbox, and sets the name servers for other names.
  - Takes one network or sandbox, or a list of them in O(scopes).
  - An omitted option is not changed.
options:
  network:
    description: The network whose sandboxes the options apply to. Mutually exclusive with O(sandbox).
    type: str
  sandbox:
    description: The sandbox that the options apply to. Mutually exclusive with O(network).
    type: str
  scopes:
    description: Several networks and sandboxes, each with its options.
    type: list
    elements: dict
    suboptions:
      network:
        description: The network whose sandboxes the options apply to.
        type: str
      sandbox:
        description: The sandbox that the options apply to.
        type: str
      records: &records
        description: DNS records. They are added to the existing records, unless O(purge=true).
        type: list
        elements: dict
        suboptions:
          name:
            description: The name.
            type: str
            required: true
          type:
            description: The type of the record.
            type: str
            choices: [A, AAAA, CNAME, SRV, TXT, PTR]
            default: A
          value:
            description:
              - The value, in the form of a zone file.
              - An address for V(A) and V(AAAA), a name for V(CNAME) and V(PTR), C(PRIORITY WEIGHT PORT TARGET) for
                V(SRV).
              - The target of a V(CNAME) must be a name of the host's networks.
            type: str
            required: true
      dns: &dns
        description: Name servers for names that the embedded DNS does not know. The default is the host's name servers.
        type: list
        elements: str
      dns_search: &dns_search
        description: Search domains for short names. A single V(.) means none.
        type: list
        elements: str
      dns_opt: &dns_opt
        description: Resolver options, such as V(ndots:1); see resolv.conf(5).
        type: list
        elements: str
      forward: &forward
        description:
          - Where the embedded DNS forwards queries for names that it does not know.
          - V(host) are the host's name servers, V(servers) are those of O(dns). With V(none) it answers that the name
            does not exist.
          - The default is V(servers) if O(dns) is set, and V(host) otherwise. On internal networks it is always
            V(none).
        type: str
        choices: [host, servers, none]
  records: *records
  dns: *dns
  dns_search: *dns_search
  dns_opt: *dns_opt
  forward: *forward
  purge:
    description: Whether to remove records of these networks and sandboxes that are not in O(records).
    type: bool
    default: false
  state:
    description:
      - V(absent) removes the given records.
      - If O(records) is omitted, V(absent) removes all records, and resets the other options to their defaults.
    type: str
    choices: [present, absent]
    default: present
extends_documentation_fragment:
  - dockless.network.attributes
  - dockless.network.common
"""

EXAMPLES = r"""
- name: A network with a sandbox
  dockless.network.container_networks:
    project: dns-demo
    networks:
      names:
        ipam:
          config:
            - subnet: 172.30.61.0/24
    sandboxes:
      dns-app:
        networks: [names]

- name: Add names of machines outside the network
  dockless.network.embedded_dns:
    project: dns-demo
    network: names
    records:
      - name: printer
        value: 192.0.2.9
      - name: print
        type: CNAME
        value: printer

- name: Forward no queries of one sandbox
  dockless.network.embedded_dns:
    project: dns-demo
    sandbox: dns-app
    dns_search: [shop.internal]
    dns_opt: ["ndots:1"]
    forward: none

- name: Remove a name
  dockless.network.embedded_dns:
    project: dns-demo
    network: names
    records:
      - name: print
        type: CNAME
        value: printer
    state: absent
"""

RETURN = r"""
operations:
  description: The operations that changed the host, or in check mode would change it, each with its reason. Empty when
    nothing changes.
  returned: success
  type: list
  elements: str
  sample: [update file /run/dockless/dns/networks/dns-demo.names/dns-demo (content differs)]
"""

from ..module_utils._dockless.ansible_module import objects, run_edit
from ..module_utils._dockless.edits import dns

RECORD = {
    "name": {"type": "str", "required": True},
    "type": {"type": "str", "choices": ["A", "AAAA", "CNAME", "SRV", "TXT", "PTR"], "default": "A"},
    "value": {"type": "str", "required": True},
}
OPTIONS = {
    "network": {"type": "str"},
    "sandbox": {"type": "str"},
    "records": {"type": "list", "elements": "dict", "options": RECORD},
    "dns": {"type": "list", "elements": "str"},
    "dns_search": {"type": "list", "elements": "str"},
    "dns_opt": {"type": "list", "elements": "str"},
    "forward": {"type": "str", "choices": ["host", "servers", "none"]},
}
KEY = ("network", "sandbox")
ARGUMENT_SPEC = {
    **OPTIONS,
    "scopes": {
        "type": "list",
        "elements": "dict",
        "options": OPTIONS,
        "mutually_exclusive": [KEY],
        "required_one_of": [KEY],
    },
    "purge": {"type": "bool", "default": False},
}
RULES = {
    "mutually_exclusive": [KEY] + [("scopes", option) for option in OPTIONS],
    "required_one_of": [(*KEY, "scopes")],
}


def edit(params: dict, declaration: dict) -> dict:
    """Change the records and name servers of the task's networks and sandboxes."""
    for spec in objects(params, "scopes", OPTIONS, KEY):
        scope = ("networks", spec.pop("network")) if "network" in spec else ("sandboxes", spec.pop("sandbox"))
        if params["state"] == "absent":
            declaration = dns.remove_dns(declaration, scope, spec)
        else:
            change = dns.replace_dns if params["purge"] else dns.put_dns
            declaration = change(declaration, scope, spec)
    return declaration


def main() -> None:
    """Run the module."""
    run_edit(ARGUMENT_SPEC, edit, **RULES)


if __name__ == "__main__":
    main()
