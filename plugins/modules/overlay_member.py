#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Report the state of a host's overlay networks to the fleet's plan."""

from __future__ import annotations

DOCUMENTATION = r"""
module: overlay_member
short_description: Report the state of a host's overlay networks
version_added: 0.1.0
description:
  - Returns the host report that M(dockless.network.fleet_plan) needs. It contains the host's VTEP, the addresses of its
    sandboxes on overlay networks, and the subnets that it already uses.
  - Works on a host without networks.
  - Changes nothing, except that O(encrypted=true) creates missing keys.
options:
  vtep:
    description:
      - The VXLAN tunnel endpoint of the host, as an address or as the name of an interface.
      - The default is the first address of the interface with the default route.
    type: str
  encrypted:
    description:
      - Whether to create the missing keys of O(tunnels), and to return the public keys. It requires C(wg).
      - Private keys stay on the host, and are never part of the output.
    type: bool
    default: false
  tunnels:
    description: The tunnels that need a key. There is one, and two during a key rotation.
    type: list
    elements: str
    choices: [a, b]
    default: [a]
  peers:
    description:
      - Whether to return the host's data about other hosts too. The plan needs them only if it has no ledger. On a
        network of many hosts they are large.
    type: bool
    default: false
  project:
    description: Has no effect, because the report covers all projects. It exists so that C(module_defaults) of the
      whole group can set it.
    type: str
extends_documentation_fragment:
  - dockless.network.attributes
attributes:
  diff_mode:
    support: none
    details: The module can only change keys, which it does not show.
seealso:
  - module: dockless.network.fleet_plan
  - module: dockless.network.fleet_networks
"""

EXAMPLES = r"""
- name: Read the report of the host
  dockless.network.overlay_member:
    vtep: "{{ dockless_vtep | default(omit) }}"
  register: member
"""

RETURN = r"""
memory:
  description: The host report, for the option O(dockless.network.fleet_plan#module:memory) of the plan.
  returned: success
  type: dict
  contains:
    vtep:
      description: The VTEP address of the host, empty if it has none.
      type: str
    mtu:
      description: The MTU, in bytes, of the link with this address.
      type: int
    public_keys:
      description: The public key of each tunnel.
      type: dict
      returned: with O(encrypted=true)
    interfaces:
      description: The first address of each interface that can be a VTEP.
      type: dict
    taken:
      description: Subnets of the host's routes and other networks, which a new overlay network cannot use.
      type: list
      elements: str
    networks:
      description: Its overlay networks by C(PROJECT/NETWORK), with C(vni), C(subnets), C(slices) and C(endpoints).
      type: dict
    peers:
      description: Its data about other hosts, by network and host.
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
    """Return whether a key was created, and the host report."""
    changed, memory = report_host(
        params["vtep"] or "", params["peers"], params["tunnels"] if params["encrypted"] else (), check
    )
    return changed, {"memory": memory}


def main() -> None:
    """Run the module."""
    run_host_report(ARGUMENT_SPEC, read)


if __name__ == "__main__":
    main()
