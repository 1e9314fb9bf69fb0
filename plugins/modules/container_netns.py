#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Manage sandboxes."""

from __future__ import annotations

DOCUMENTATION = r"""
module: container_netns
short_description: Manage the network namespaces that containers run in
version_added: 0.1.0
description:
  - Adds, changes and removes sandboxes. A sandbox is a network namespace, C(/run/netns/NAME), with its own links,
    addresses, routes, ports and C(/etc/netns/NAME/{resolv.conf,hosts,hostname}).
  - A sandbox can also be the existing namespace of a process, a container or a systemd unit, with O(attach). It can
    then be connected to networks as any other sandbox.
  - A new sandbox has only C(lo). M(dockless.network.network_endpoint) connects it to networks.
  - Takes one sandbox, or a list of sandboxes in O(sandboxes).
  - An omitted option of an existing sandbox is not changed. For a new sandbox it has its default.
options:
  name:
    description: The name of the sandbox and of its namespace.
    type: str
  sandboxes:
    description:
      - Several sandboxes. Each has the options of one sandbox.
      - Sandboxes of the project that are not in the list are not changed, unless O(purge=true).
    type: list
    elements: dict
    suboptions:
      name:
        description: The name of the sandbox.
        type: str
        required: true
      network_mode: &network_mode
        description:
          - A network stack for the sandbox instead of endpoints of its own.
          - V(none) is a namespace with only C(lo). V(host) is the host's network stack. V(bridge) is the host's default
            bridge network.
          - V(container:NAME) is the network stack of the sandbox NAME, with the same links and addresses.
        type: str
      attach: &attach
        description: An existing namespace. It is connected to networks, and is not removed with the sandbox.
        type: dict
        suboptions:
          pid:
            description: The namespace of the process with this number.
            type: int
          path:
            description: The namespace with a file at this absolute path, such as C(/proc/4711/ns/net).
            type: path
          unit:
            description: The namespace of the main process of this systemd unit.
            type: str
          docker:
            description: The namespace of the Docker container with this name or id.
            type: str
          podman:
            description: The namespace of the Podman container with this name or id.
            type: str
      netns: &netns
        description: The file name below C(/run/netns). The default is the name of the sandbox.
        type: str
      hostname: &hostname
        description: The host name in C(/etc/netns/NAME/hostname) and C(/etc/netns/NAME/hosts). The default is the name
          of the sandbox.
        type: str
      domainname: &domainname
        description: The domain of O(hostname).
        type: str
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
      extra_hosts: &extra_hosts
        description:
          - More names with an address. A dictionary, or a list of C(NAME=ADDRESS).
          - V(host-gateway) instead of an address is the host's address on the sandbox's network.
        type: raw
      links: &links
        description:
          - Sandboxes whose names this sandbox resolves on its networks, as C(NAME) or C(NAME:ALIAS).
          - On the default bridge network, no other names of sandboxes exist.
        type: list
        elements: str
      sysctls: &sysctls
        description: Sysctl settings of the namespace, by name, such as C(net.ipv4.ip_unprivileged_port_start).
        type: dict
      labels: &labels
        description: Labels, by name. M(dockless.network.network_info) returns them.
        type: dict
  network_mode: *network_mode
  attach: *attach
  netns: *netns
  hostname: *hostname
  domainname: *domainname
  dns: *dns
  dns_search: *dns_search
  dns_opt: *dns_opt
  extra_hosts: *extra_hosts
  links: *links
  sysctls: *sysctls
  labels: *labels
  force:
    description:
      - Whether to remove a sandbox even if other sandboxes share its network stack by O(network_mode). They keep their
        namespace, with only C(lo).
      - With V(false), the module fails in that case.
    type: bool
    default: false
  purge:
    description: Whether to remove sandboxes of the project that are not in O(sandboxes).
    type: bool
    default: false
extends_documentation_fragment:
  - dockless.network.attributes
  - dockless.network.common
  - dockless.network.common.state
"""

EXAMPLES = r"""
- name: Add a sandbox without networks
  dockless.network.container_netns:
    name: netns-lab

- name: Add several, with options
  dockless.network.container_netns:
    sandboxes:
      - name: netns-web
        hostname: web
        domainname: shop.internal
        extra_hosts:
          printer: 192.0.2.9
        sysctls:
          net.ipv4.ip_unprivileged_port_start: 0
      - name: netns-log
        network_mode: container:netns-web

- name: A namespace that another program created
  ansible.builtin.command:
    cmd: ip netns add netns-elsewhere
    creates: /run/netns/netns-elsewhere

- name: Attach it, so that it can be connected to networks
  dockless.network.container_netns:
    name: netns-attached
    attach:
      path: /run/netns/netns-elsewhere

- name: Detach it; the namespace itself is not removed
  dockless.network.container_netns:
    name: netns-attached
    state: absent

- name: Remove the namespace
  ansible.builtin.command:
    cmd: ip netns delete netns-elsewhere
    removes: /run/netns/netns-elsewhere
"""

RETURN = r"""
operations:
  description: The operations that changed the host, or in check mode would change it, each with its reason. Empty when
    nothing changes.
  returned: success
  type: list
  elements: str
  sample: [create namespace netns-lab (missing)]
"""

from ..module_utils._dockless.ansible_module import objects, one_or_many, run_edit
from ..module_utils._dockless.edits import sandboxes

ATTACH = {"pid": "int", "path": "path", "unit": "str", "docker": "str", "podman": "str"}
OPTIONS = {
    "name": {"type": "str"},
    "network_mode": {"type": "str"},
    "attach": {
        "type": "dict",
        "options": {kind: {"type": value} for kind, value in ATTACH.items()},
        "mutually_exclusive": [tuple(ATTACH)],
        "required_one_of": [tuple(ATTACH)],
    },
    "netns": {"type": "str"},
    "hostname": {"type": "str"},
    "domainname": {"type": "str"},
    "dns": {"type": "list", "elements": "str"},
    "dns_search": {"type": "list", "elements": "str"},
    "dns_opt": {"type": "list", "elements": "str"},
    "extra_hosts": {"type": "raw"},
    "links": {"type": "list", "elements": "str"},
    "sysctls": {"type": "dict"},
    "labels": {"type": "dict"},
}
ARGUMENTS = one_or_many("sandboxes", OPTIONS, ("name",))


def edit(params: dict, declaration: dict) -> dict:
    """Add, change or remove the sandboxes of the task."""
    named = {spec.pop("name"): spec for spec in objects(params, "sandboxes", OPTIONS)}
    for name, spec in named.items():
        if params["state"] == "absent":
            declaration = sandboxes.remove_sandbox(declaration, name, params["force"])
        else:
            declaration = sandboxes.put_sandbox(declaration, name, spec)
    return sandboxes.purge_sandboxes(declaration, named) if params["purge"] else declaration


def main() -> None:
    """Run the module."""
    run_edit({**ARGUMENTS.options, "force": {"type": "bool", "default": False}}, edit, **ARGUMENTS.rules)


if __name__ == "__main__":
    main()
