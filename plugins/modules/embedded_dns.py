#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Say which names sandboxes see, and where the others are looked up."""

from __future__ import annotations

DOCUMENTATION = r"""
module: embedded_dns
short_description: Set the names that sandboxes see
version_added: 0.1.0
description:
  - Every sandbox on a user-defined network asks a name server of its own, at 127.0.0.11, which knows the sandboxes on its
    networks by name, by C(NAME.NETWORK) and by alias, and sends other names on.
  - This module adds names to a network or a sandbox, and says where others are looked up.
  - Takes one network or sandbox, or a list of them in O(scopes).
  - An option that is left out keeps what stands.
options:
  network:
    description: The network whose sandboxes it is for. Exclusive with O(sandbox).
    type: str
  sandbox:
    description: The sandbox that it is for. Exclusive with O(network).
    type: str
  scopes:
    description: Several networks and sandboxes, each with its settings.
    type: list
    elements: dict
    suboptions:
      network:
        description: The network whose sandboxes it is for.
        type: str
      sandbox:
        description: The sandbox that it is for.
        type: str
      records: &records
        description: Further names. They are added to the ones that there are, unless O(purge=true).
        type: list
        elements: dict
        suboptions:
          name:
            description: The name.
            type: str
            required: true
          type:
            description: The record's type.
            type: str
            choices: [A, AAAA, CNAME, SRV, TXT, PTR]
            default: A
          value:
            description:
              - What the name has, in the form that zone files give it.
              - An address for V(A) and V(AAAA), a name for V(CNAME) and V(PTR), C(PRIORITY WEIGHT PORT TARGET) for V(SRV).
            type: str
            required: true
      dns: &dns
        description: Name servers that unknown names are sent to, instead of the host's.
        type: list
        elements: str
      dns_search: &dns_search
        description: Domains that short names are looked up in. A single V(.) means none.
        type: list
        elements: str
      dns_opt: &dns_opt
        description: Options of the resolver, such as V(ndots:1); see resolv.conf(5).
        type: list
        elements: str
      forward: &forward
        description:
          - Where names are sent that the server does not know.
          - V(host) is the host's name servers, V(servers) those of O(dns), V(none) nowhere, the name does not exist.
          - By default V(servers) where O(dns) names some, else V(host). On internal networks V(none), whatever is said here.
        type: str
        choices: [host, servers, none]
  records: *records
  dns: *dns
  dns_search: *dns_search
  dns_opt: *dns_opt
  forward: *forward
  purge:
    description: Whether to remove the records of the named networks and sandboxes that the task does not name.
    type: bool
    default: false
  state:
    description:
      - With V(absent), the given records are removed.
      - When O(records) is not given, V(absent) removes all records, and sets the other options back to their defaults.
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

- name: Names of things outside
  dockless.network.embedded_dns:
    project: dns-demo
    network: names
    records:
      - name: printer
        value: 192.0.2.9
      - name: print
        type: CNAME
        value: printer

- name: One sandbox looks nothing up outside
  dockless.network.embedded_dns:
    project: dns-demo
    sandbox: dns-app
    dns_search: [shop.internal]
    dns_opt: ["ndots:1"]
    forward: none

- name: Take a name away
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
  description: The operations that changed the host, or in check mode would change it, each with its reason. Empty when nothing changes.
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
    """Change the names of the networks and sandboxes that the task names."""
    for spec in objects(params, "scopes", OPTIONS, KEY):
        scope = ("networks", spec.pop("network")) if "network" in spec else ("sandboxes", spec.pop("sandbox"))
        if params["state"] == "absent":
            declaration = dns.remove_names(declaration, scope, spec)
        else:
            change = dns.replace_names if params["purge"] else dns.put_names
            declaration = change(declaration, scope, spec)
    return declaration


def main() -> None:
    """Run the module."""
    run_edit(ARGUMENT_SPEC, edit, **RULES)


if __name__ == "__main__":
    main()
