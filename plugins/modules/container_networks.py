#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Converge all networks of a project on a host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: container_networks
short_description: Converge all container networks of a project on a host
version_added: 0.1.0
description:
  - Makes the networks, sandboxes, endpoints, published ports and names of a project on this host equal to its
    declaration, with one plan and one transaction for any number of objects.
  - A sandbox is a network namespace, C(/run/netns/NAME). Run any program in it, for example a systemd unit with
    C(NetworkNamespacePath=), or C(ip netns exec NAME COMMAND).
  - The keys are those of the Compose specification, with O(sandboxes) in place of C(services).
  - If a run fails, or the host differs from the declaration afterwards, the module restores the state before the run.
options:
  networks:
    description:
      - The networks of the project, by name. A network without options (C(backend:)) is a bridge network with a subnet
        that dockless chooses.
      - If omitted, the networks of the project are not changed. An empty dictionary removes all of them.
      - C(driver) is V(bridge), V(overlay), V(macvlan) or V(ipvlan). For the options of the last three, see
        M(dockless.network.overlay_network) and M(dockless.network.macvlan_network).
      - C(external) is V(true) for a network of another project. C(name) is its name there, if it differs; V(host) and
        V(none) are C(network_mode) of the sandboxes on it, V(bridge) is the default bridge network. Without
        C(external), C(name) is a further name by which other projects can refer to the network.
      - C(ipam) has the key C(config), a list of subnets, each with C(subnet), C(ip_range), C(gateway) and
        C(aux_addresses).
      - For C(internal), C(egress), C(ingress), C(enable_ipv4), C(enable_ipv6), C(isolate), C(icc), C(masquerade),
        C(gateway_mode_ipv4), C(gateway_mode_ipv6), C(trusted_host_interfaces), C(host_ipv4), C(host_ipv6),
        C(port_security), C(mtu), C(bridge_name), C(default_publish_address), C(services), C(labels) and C(driver_opts),
        see M(dockless.network.bridge_network).
      - For C(dns), C(dns_search), C(dns_opt), C(forward) and C(records), see M(dockless.network.embedded_dns).
    type: dict
  sandboxes:
    description:
      - The sandboxes of the project, by name. A sandbox without networks joins the project's network C(default).
      - If omitted, the sandboxes of the project are not changed. An empty dictionary removes all of them.
      - C(networks) is a list of names, or a dictionary with the options of each endpoint, which are C(aliases),
        C(ipv4_address), C(ipv6_address), C(link_local_ips), C(mac_address), C(gw_priority), C(interface_name) and
        C(driver_opts); see M(dockless.network.network_endpoint).
      - C(network_mode) replaces C(networks). V(host) is the host's network stack, V(none) is a namespace with only
        C(lo), V(container:NAME) is the network stack of another sandbox, and V(bridge) is the host's default bridge
        network, on which only C(links) resolve names.
      - C(ports) is a list in Compose's short form (C("8080:80"), C("127.0.0.1:8443:443/tcp")) or long form (C(target),
        C(published), C(host_ip), C(protocol), C(source_ranges)); see M(dockless.network.port_publish).
        Put the short form in quotes. Without them YAML reads C(22:22) as 1342 and C(0022) as 18. A number is therefore
        refused, unless it is a port that is commonly written alone, such as 80, 443 or 8080.
      - For C(expose) and C(publish_all), see M(dockless.network.port_publish). For C(links), C(hostname),
        C(domainname), C(dns), C(dns_search), C(dns_opt), C(extra_hosts), C(sysctls), C(labels), C(attach) and C(netns),
        see M(dockless.network.container_netns).
    type: dict
  veth_pairs:
    description:
      - Pairs of interfaces outside any network, by the name of their first end. For the options, see
        M(dockless.network.veth_pair).
      - If omitted, the pairs of the project are not changed.
    type: dict
  defaults:
    description:
      - The host's defaults for all projects, under the names of dockerd's options, which are C(bip), C(fixed_cidr),
        C(default_gateway), C(default_address_pools) (a list of C(base) and C(size)), C(dns), C(dns_search), C(dns_opt),
        C(icc), C(ip) (the host address of published ports), C(ip_masq), C(mtu), C(ipv6), C(allow_direct_routing) and
        C(ip_forward_no_drop). C(coexist) is described below.
      - With C(allow_direct_routing), a client that has a route reaches published ports at the sandboxes' own addresses.
      - With C(ip_forward_no_drop), the host forwards packets between interfaces that dockless does not manage, even if
        forwarding was enabled by the role prerequisites. By default these packets are dropped.
      - With C(host_names), the host itself resolves C(NAME.NETWORK) at 127.0.0.12, port 10053, for all networks with
        names, or for those in C(host_names.networks), each as C(PROJECT/NETWORK). C(host_names.through=dnsmasq) writes
        C(/etc/dnsmasq.d/dockless.conf), so that the host's own dnsmasq forwards these names, and restarts it if systemd
        runs the host. Removing C(host_names) removes all of this.
      - An option of a network takes precedence. A changed default applies to new networks, and to existing networks if
        it can be changed in place.
      - If omitted, the host's defaults are not changed.
    type: dict
  coexist:
    description:
      - Other firewalls of this host in which dockless adds rules that accept the traffic of its networks. The rules are
        removed with the last network, or when the firewall is no longer listed. Nothing else in that firewall is
        changed.
      - V(docker) adds rules to the chain C(DOCKER-USER) for packets that Docker's C(FORWARD) policy would drop. Docker
        still decides about packets from and to its own bridges.
      - V(firewalld) creates the zone C(dockless), which contains the bridges and opens no service of the host, and the
        policy C(dockless-out) for packets that leave the networks. If sandboxes are reachable at their own addresses,
        it also creates the policy C(dockless-in). firewalld is reloaded when they are added or removed.
      - V(ufw) adds C(ufw route allow) rules with the comment C(dockless) for each bridge.
      - A listed firewall that does not exist on the host has no effect, so all hosts can have the same list.
      - It sets C(coexist) of O(defaults), for the whole host. If omitted, C(coexist) in O(defaults) applies. If both
        are omitted, nothing changes. An empty list means none.
    type: list
    elements: str
    choices: [docker, firewalld, ufw]
  purge:
    description:
      - Whether to remove objects of the project that are not in O(networks), O(sandboxes) or O(veth_pairs).
      - With V(false), the listed objects are added to the project. Only the given options of existing objects are
        changed.
    type: bool
    default: true
  state:
    description: V(absent) removes the whole project from the host.
    type: str
    choices: [present, absent]
    default: present
  verify:
    description:
      - Whether to read the host again after a change, and to fail if it differs from the declaration.
      - What root in a sandbox has changed there in the meantime is a warning.
    type: bool
    default: true
extends_documentation_fragment:
  - dockless.network.attributes
  - dockless.network.common
"""

EXAMPLES = r"""
- name: A shop with a frontend, and a backend that is isolated
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

- name: Add a sandbox to the project
  dockless.network.container_networks:
    project: shop
    purge: false
    sandboxes:
      shop-client:
        networks: [frontend]

- name: Set the host's defaults
  dockless.network.container_networks:
    project: shop
    defaults:
      default_address_pools:
        - base: 10.210.0.0/16
          size: 24

- name: Coexist with Docker and firewalld on the same host
  dockless.network.container_networks:
    project: shop
    coexist: [docker, firewalld]

- name: Remove the project
  dockless.network.container_networks:
    project: shop
    state: absent
"""

RETURN = r"""
operations:
  description: The operations that changed the host, or in check mode would change it, each with its reason. Empty when
    nothing changes.
  returned: success
  type: list
  elements: str
endpoints:
  description: The endpoints of the project, one for each network of each sandbox.
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
  description: The published ports of the project.
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
  sample:
    - sandbox: shop-web
      host_ip: 0.0.0.0
      host_port: 18080
      protocol: tcp
      target_port: 80
"""

from ..module_utils._dockless.ansible_module import ON_MISMATCH, PROJECT, STATE, WAIT, run_work
from ..module_utils._dockless.edits.documents import merge_document, replace_document
from ..module_utils._dockless.engine.converge import converge
from ..module_utils._dockless.engine.request import Outcome, Request

ARGUMENT_SPEC = {
    **PROJECT,
    **STATE,
    **ON_MISMATCH,
    **WAIT,
    "networks": {"type": "dict"},
    "sandboxes": {"type": "dict"},
    "veth_pairs": {"type": "dict"},
    "defaults": {"type": "dict"},
    "coexist": {"type": "list", "elements": "str", "choices": ["docker", "firewalld", "ufw"]},
    "purge": {"type": "bool", "default": True},
    "verify": {"type": "bool", "default": True},
}


def work(params: dict, check: bool) -> Outcome:
    """Replace the parts of the declaration that the task sets, or merge into them, and converge."""
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
        wait_s=params["wait"],
    )
    return converge(request)


def main() -> None:
    """Run the module."""
    run_work(
        ARGUMENT_SPEC, work, report=lambda params, outcome: {"endpoints": outcome.endpoints, "ports": outcome.ports}
    )


if __name__ == "__main__":
    main()
