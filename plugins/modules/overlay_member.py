#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Read what a host has of a fleet's overlay networks."""

from __future__ import annotations

DOCUMENTATION = r"""
module: overlay_member
short_description: Read what a host has of a fleet's overlay networks
version_added: 0.1.0
description:
  - Returns what M(dockless.network.fleet_plan) must know of a host, which is its end of the tunnels, the addresses of its
    sandboxes on overlay networks, and the subnets that it uses already.
  - Works on a host that has no networks yet.
  - Changes nothing, except that O(encrypted=true) makes keys of the host that are missing.
options:
  vtep:
    description:
      - The host's end of the tunnels, an address or the name of the interface that has it.
      - By default the first address of the interface that the default route leaves by.
    type: str
  encrypted:
    description:
      - Whether to make the keys of O(tunnels) that the host does not have, and to return the public ones. It needs C(wg).
      - Private keys never leave the host and are in no output.
    type: bool
    default: false
  tunnels:
    description: Which tunnels need a key. It is one, and two while keys are renewed.
    type: list
    elements: str
    choices: [a, b]
    default: [a]
  peers:
    description:
      - Whether to return what the host knows of other hosts as well. It is needed only where the plan keeps no ledger,
        and is much on a network of many hosts.
    type: bool
    default: false
  project:
    description: Has no effect, as a host tells of all of its projects. It is accepted for C(module_defaults) of the whole group.
    type: str
extends_documentation_fragment:
  - dockless.network.attributes
attributes:
  diff_mode:
    support: none
    details: The one thing that it may change is a key, which is not shown.
seealso:
  - module: dockless.network.fleet_plan
  - module: dockless.network.fleet_networks
"""

EXAMPLES = r"""
- name: Read what the host has
  dockless.network.overlay_member:
    vtep: "{{ dockless_vtep | default(omit) }}"
  register: member
"""

RETURN = r"""
memory:
  description: What the host has, for the option O(dockless.network.fleet_plan#module:memory) of the plan.
  returned: success
  type: dict
  contains:
    vtep:
      description: The address of the host's end of the tunnels, empty if it has none.
      type: str
    mtu:
      description: The MTU in bytes of the link that has this address.
      type: int
    public_keys:
      description: The public key of each of its tunnels.
      type: dict
      returned: with O(encrypted=true)
    interfaces:
      description: The first address of each interface that could be an end of tunnels.
      type: dict
    taken:
      description: Subnets of its routes and of its other networks, which no new overlay network can have.
      type: list
      elements: str
    networks:
      description: Its overlay networks by C(PROJECT/NETWORK), with C(vni), C(subnets), its C(slices) and its C(endpoints).
      type: dict
    peers:
      description: What it knows of other hosts, by network and host.
      type: dict
  sample:
    vtep: 192.0.2.11
    mtu: 1500
    interfaces:
      eth0: 192.0.2.11
    taken: [192.0.2.0/24]
    networks:
      shop/fleet:
        vni: 256
        subnets: [10.60.0.0/16]
        endpoints:
          shop/web:
            addresses: [10.60.0.2]
    peers: {}
"""

from ..module_utils._dockless.ansible_module import run_host_report
from ..module_utils._dockless.engine.fleet_member import report_host

ARGUMENT_SPEC = {
    "vtep": {"type": "str"},
    "encrypted": {"type": "bool", "default": False},
    "tunnels": {"type": "list", "elements": "str", "choices": ["a", "b"], "default": ["a"]},
    "peers": {"type": "bool", "default": False},
    "project": {"type": "str"},
}


def read(params: dict, check: bool) -> tuple:
    """Return whether a key was made, and what the host has."""
    changed, memory = report_host(
        params["vtep"] or "", params["peers"], params["tunnels"] if params["encrypted"] else (), check
    )
    return changed, {"memory": memory}


def main() -> None:
    """Run the module."""
    run_host_report(ARGUMENT_SPEC, read)


if __name__ == "__main__":
    main()
