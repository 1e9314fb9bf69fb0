#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Give a host its networks, all of a project's at once."""

from __future__ import annotations

DOCUMENTATION = r"""
module: container_networks
short_description: Give a host its container networks, all at once
version_added: 0.1.0
description:
  - Makes the networks, sandboxes, endpoints, published ports and names of one project what its document says, in one
    plan and one transaction, however many they are.
  - A sandbox is a network stack of its own, C(/run/netns/NAME). What runs in it is up to you, such as a systemd unit with
    C(NetworkNamespacePath=), or C(ip netns exec NAME COMMAND).
  - The keys are those of the Compose specification. O(sandboxes) stands where Compose says C(services).
  - A run that fails, or whose result is not what was asked for, is taken back to what was there before.
options:
  networks:
    description:
      - The project's networks by name. A name without settings (C(backend:)) is a bridge network with a subnet that
        is chosen for it.
      - When left out, the project's networks stay as they are. An empty dictionary means that there are none.
      - C(driver) is V(bridge), V(overlay), V(macvlan) or V(ipvlan). The options of the last three are those of
        M(dockless.network.overlay_network) and M(dockless.network.macvlan_network).
      - C(external) is V(true) for a network that another project holds, with C(name) if it has another name there.
      - C(ipam) has C(config), a list with one entry a subnet of C(subnet), C(ip_range), C(gateway) and C(aux_addresses).
      - C(internal), C(egress), C(ingress), C(enable_ipv4), C(enable_ipv6), C(isolate) (V(strict) or V(open)), C(icc),
        C(masquerade), C(gateway_mode_ipv4), C(gateway_mode_ipv6), C(trusted_host_interfaces), C(host_ipv4), C(host_ipv6),
        C(port_security), C(mtu), C(bridge_name), C(default_publish_address), C(labels) and C(driver_opts) are those of
        M(dockless.network.bridge_network).
      - C(dns), C(dns_search), C(dns_opt), C(forward) and C(records) are those of M(dockless.network.embedded_dns).
      - C(services) are names over several sandboxes, each with an address that connections are shared out behind. Each has
        C(vip), C(ports), C(sandboxes), C(sticky) and C(mode); see M(dockless.network.bridge_network).
    type: dict
  sandboxes:
    description:
      - The project's sandboxes by name. A sandbox that names no network joins the project's network C(default).
      - When left out, the project's sandboxes stay as they are. An empty dictionary means that there are none.
      - C(networks) is a list of names, or a dictionary of the settings of each endpoint, which are C(aliases),
        C(ipv4_address), C(ipv6_address), C(link_local_ips), C(mac_address), C(gw_priority), C(interface_name) and
        C(driver_opts); see M(dockless.network.network_endpoint).
      - C(network_mode) stands instead of C(networks). V(host) is the host's own stack, V(none) has only C(lo),
        V(container:NAME) is another sandbox's stack, and V(bridge) is the host's default bridge network, which has no
        names but those of C(links).
      - C(ports) is a list in Compose's short form (C("8080:80"), C("127.0.0.1:8443:443/tcp")) or long form
        (C(target), C(published), C(host_ip), C(protocol), C(source_ranges)); see M(dockless.network.port_publish).
      - C(expose), C(publish_all), C(links), C(hostname), C(domainname), C(dns), C(dns_search), C(dns_opt),
        C(extra_hosts), C(sysctls), C(labels), C(attach) and C(netns) are those of M(dockless.network.container_netns).
    type: dict
  veth_pairs:
    description:
      - Pairs of interfaces outside any network, by the name of their first end; the settings are those of
        M(dockless.network.veth_pair).
      - When left out, the project's pairs stay as they are.
    type: dict
  defaults:
    description:
      - The host's defaults, for all projects, in the words of dockerd's flags, which are C(bip), C(fixed_cidr),
        C(default_gateway), C(default_address_pools) (a list of C(base) and C(size)), C(dns), C(dns_search), C(dns_opt),
        C(icc), C(ip) (the address that ports are published on), C(ip_masq), C(mtu), C(ipv6), C(allow_direct_routing) (whoever has a route
        reaches published ports at the sandboxes' own addresses) and C(ip_forward_no_drop) (what others send through this host passes, though
        the role prerequisites turned forwarding on for these networks); and C(coexist), as below.
      - With C(host_names) the host itself finds sandboxes as C(NAME.NETWORK), at 127.0.0.12, port 10053. Of all networks with names, or of those in
        C(host_names.networks), each as C(PROJECT/NETWORK). C(host_names.through=dnsmasq) writes C(/etc/dnsmasq.d/dockless.conf), so that
        the host's own dnsmasq asks there, and restarts it where systemd runs the host. When C(host_names) goes, so does all of this.
      - A network's own setting wins. A changed default reaches new networks, and others where it can be changed in place.
      - When left out, the host's defaults stay as they are.
    type: dict
  coexist:
    description:
      - Other firewalls of this host that are asked to let this collection's traffic through, by the least rule that does. It is
        taken away with the last network, or when they are no longer named. Nothing else of theirs is changed.
      - V(docker) adds rules to the chain C(DOCKER-USER), for what Docker's C(FORWARD) policy would drop. What goes to or comes
        from Docker's own bridges is left to Docker.
      - V(firewalld) makes the zone C(dockless), which holds this collection's bridges and opens nothing of the host, and the
        policy C(dockless-out), which lets them out; and C(dockless-in) where sandboxes are reached at their own addresses.
        firewalld is reloaded when they come and go.
      - V(ufw) adds C(ufw route allow) rules with the comment C(dockless), for each bridge.
      - One that is not on the host needs nothing, so hosts with and without it may be told the same.
      - They are the C(coexist) of O(defaults), and hold for the whole host. When left out, they are what O(defaults) says,
        and when that is left out too, they stay as they are. An empty list means none.
    type: list
    elements: str
    choices: [docker, firewalld, ufw]
  purge:
    description:
      - Whether to remove what the project has and O(networks), O(sandboxes) or O(veth_pairs) no longer name.
      - With V(false), what they name is added to the project. What it has already under the same name is changed in
        what the new one says.
    type: bool
    default: true
  state:
    description: With V(absent), the whole project is removed, and nothing of it is left on the host.
    type: str
    choices: [present, absent]
    default: present
  verify:
    description: Whether to read the host again after a change and fail if it is not what was asked for.
    type: bool
    default: true
extends_documentation_fragment:
  - dockless.network.attributes
  - dockless.network.common
"""

EXAMPLES = r"""
- name: A shop with a frontend and a backend that has no way out
  dockless.network.container_networks:
    project: shop
    networks:
      frontend:
        ipam:
          config:
            - subnet: 172.30.10.0/24
      backend:
        internal: true
    sandboxes:
      shop-web:
        networks:
          frontend:
            aliases: [www]
          backend: {}
        ports: ["18080:80"]
      shop-db:
        networks: [backend]
      shop-probe:
        network_mode: container:shop-web

- name: What the host has now, a sandbox later
  dockless.network.container_networks:
    project: shop
    purge: false
    sandboxes:
      shop-client:
        networks: [frontend]

- name: The host's defaults
  dockless.network.container_networks:
    project: shop
    defaults:
      default_address_pools:
        - base: 10.210.0.0/16
          size: 24

- name: Docker and firewalld are on the same host
  dockless.network.container_networks:
    project: shop
    coexist: [docker, firewalld]

- name: Nothing of the shop is left
  dockless.network.container_networks:
    project: shop
    state: absent
"""

RETURN = r"""
operations:
  description: The operations that changed the host, or in check mode would change it, each with its reason. Empty when nothing changes.
  returned: success
  type: list
  elements: str
endpoints:
  description: The project's endpoints, one for each network of each sandbox.
  returned: success
  type: list
  elements: dict
  contains:
    project:
      description: The sandbox's project.
      type: str
    network:
      description: The network's name.
      type: str
    sandbox:
      description: The sandbox's name.
      type: str
    interface:
      description: The interface's name in the sandbox.
      type: str
    addresses:
      description: Its addresses with their prefix lengths.
      type: list
      elements: str
    mac_address:
      description: Its MAC address.
      type: str
    gateway:
      description: The network's gateway, empty if it has none.
      type: str
    aliases:
      description: Further names of the sandbox on this network.
      type: list
      elements: str
  sample:
    - project: shop
      network: frontend
      sandbox: shop-web
      interface: eth0
      addresses: [172.30.10.2/24]
      mac_address: 02:5d:0c:4b:aa:10
      gateway: 172.30.10.1
      aliases: [www]
ports:
  description: The project's published ports.
  returned: success
  type: list
  elements: dict
  contains:
    sandbox:
      description: The sandbox's name.
      type: str
    host_ip:
      description: The host's address that the port is published on. Empty where the gateway mode is V(routed).
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
  sample:
    - sandbox: shop-web
      host_ip: 0.0.0.0
      host_port: 18080
      protocol: tcp
      target_port: 80
"""

from ..module_utils._dockless.ansible_module import ON_MISMATCH, PROJECT, STATE, run_work
from ..module_utils._dockless.edits.networks import merge_document, replace_document
from ..module_utils._dockless.engine.converge import Outcome, Request, converge

ARGUMENT_SPEC = {
    **PROJECT,
    **STATE,
    **ON_MISMATCH,
    "networks": {"type": "dict"},
    "sandboxes": {"type": "dict"},
    "veth_pairs": {"type": "dict"},
    "defaults": {"type": "dict"},
    "coexist": {"type": "list", "elements": "str", "choices": ["docker", "firewalld", "ufw"]},
    "purge": {"type": "bool", "default": True},
    "verify": {"type": "bool", "default": True},
}


def work(params: dict, check: bool) -> Outcome:
    """Replace the parts of the document that the task gives, or add to them."""
    document = {part: params[part] for part in ("networks", "sandboxes", "veth_pairs") if params[part] is not None}
    change = replace_document if params["purge"] else merge_document
    request = Request(
        project=params["project"],
        edit=lambda declaration: change(declaration, document),
        defaults=params["defaults"],
        coexist=params["coexist"],
        remove_project=params["state"] == "absent",
        check=check,
        verify=params["verify"],
        on_mismatch=params["on_mismatch"],
    )
    return converge(request)


def main() -> None:
    """Run the module."""
    run_work(
        ARGUMENT_SPEC, work, report=lambda params, outcome: {"endpoints": outcome.endpoints, "ports": outcome.ports}
    )


if __name__ == "__main__":
    main()
