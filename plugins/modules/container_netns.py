#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Make, attach and remove sandboxes."""

from __future__ import annotations

DOCUMENTATION = r"""
module: container_netns
short_description: Make and remove the network namespaces that containers run in
version_added: 0.1.0
description:
  - Makes sandboxes. Each is a network namespace, C(/run/netns/NAME), with its own links, addresses, routes, ports and
    C(/etc/netns/NAME/{resolv.conf,hosts,hostname}).
  - Or attaches one to the namespace of a process, a container or a unit that runs already, so that it can be given
    networks as any other.
  - A new sandbox is on no network, and has only C(lo), until M(dockless.network.network_endpoint) connects it.
  - Takes one sandbox, or a list of them in O(sandboxes).
  - An option that is left out keeps what stands; on a new sandbox it is the default.
options:
  name:
    description: The sandbox's name, which is its namespace's too.
    type: str
  sandboxes:
    description:
      - Several sandboxes. Each has the options of one sandbox.
      - Sandboxes of the project that the list does not name stay as they are, unless O(purge=true).
    type: list
    elements: dict
    suboptions:
      name:
        description: The sandbox's name.
        type: str
        required: true
      network_mode: &network_mode
        description:
          - Where the sandbox has its network from, instead of endpoints of its own.
          - V(none) has only C(lo). V(host) is the host's own stack. V(bridge) is the host's default bridge network.
          - V(container:NAME) is the stack of the sandbox NAME, with the same links and addresses.
        type: str
      attach: &attach
        description: A namespace that exists already. It is given networks, and is left alone when the sandbox is removed.
        type: dict
        suboptions:
          pid:
            description: That of the process with this number.
            type: int
          path:
            description: The one with a handle at this absolute path, such as C(/proc/4711/ns/net).
            type: path
          unit:
            description: That of the main process of this systemd unit.
            type: str
          docker:
            description: That of the Docker container with this name or id.
            type: str
          podman:
            description: That of the Podman container with this name or id.
            type: str
      netns: &netns
        description: The name under C(/run/netns). By default the sandbox's own name.
        type: str
      hostname: &hostname
        description: The name that C(/etc/netns/NAME/hostname) and C(hosts) give the sandbox. By default its name.
        type: str
      domainname: &domainname
        description: The domain that follows O(hostname).
        type: str
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
      extra_hosts: &extra_hosts
        description:
          - Further names, each with an address. A dictionary, or a list of C(NAME=ADDRESS).
          - V(host-gateway) instead of an address is the host, seen from the sandbox.
        type: raw
      links: &links
        description: Sandboxes that this one sees by name on its networks, as C(NAME) or C(NAME:ALIAS). On the default bridge network there are no other names.
        type: list
        elements: str
      sysctls: &sysctls
        description: Kernel settings of the sandbox's namespace by name, such as C(net.ipv4.ip_unprivileged_port_start).
        type: dict
      labels: &labels
        description: Texts by name, to filter by in M(dockless.network.network_info) and M(dockless.network.network_prune).
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
      - Whether to remove a sandbox whose stack others share by O(network_mode). They keep their namespace, with only C(lo).
      - Without it, that is an error which names them.
    type: bool
    default: false
  purge:
    description: Whether to remove the project's sandboxes that O(sandboxes) does not name.
    type: bool
    default: false
extends_documentation_fragment:
  - dockless.network.attributes
  - dockless.network.common
  - dockless.network.common.state
"""

EXAMPLES = r"""
- name: Make an empty network stack
  dockless.network.container_netns:
    name: netns-lab

- name: Make several, with settings
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

- name: A namespace that something else made
  ansible.builtin.command:
    cmd: ip netns add netns-elsewhere
    creates: /run/netns/netns-elsewhere

- name: Attach it, so that it can be given networks
  dockless.network.container_netns:
    name: netns-attached
    attach:
      path: /run/netns/netns-elsewhere

- name: Let go of it; whoever made it keeps it
  dockless.network.container_netns:
    name: netns-attached
    state: absent

- name: And removes it
  ansible.builtin.command:
    cmd: ip netns delete netns-elsewhere
    removes: /run/netns/netns-elsewhere
"""

RETURN = r"""
operations:
  description: The operations that changed the host, or in check mode would change it, each with its reason. Empty when nothing changes.
  returned: success
  type: list
  elements: str
  sample: [create namespace netns-lab (missing)]
"""

from ..module_utils._dockless.ansible_module import objects, one_or_many, run_edit
from ..module_utils._dockless.edits import networks

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
    """Put or remove the sandboxes that the task names."""
    named = {spec.pop("name"): spec for spec in objects(params, "sandboxes", OPTIONS)}
    for name, spec in named.items():
        if params["state"] == "absent":
            declaration = networks.remove_sandbox(declaration, name, params["force"])
        else:
            declaration = networks.put_sandbox(declaration, name, spec)
    return networks.keep_sandboxes(declaration, named) if params["purge"] else declaration


def main() -> None:
    """Run the module."""
    run_edit({**ARGUMENTS.options, "force": {"type": "bool", "default": False}}, edit, **ARGUMENTS.rules)


if __name__ == "__main__":
    main()
