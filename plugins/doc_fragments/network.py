# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Options of the modules that manage networks of one driver.

Such a module takes one network, or a list of them, so each option is documented twice: at the top and in O(networks).
Ansible does not merge the suboptions of a module with those of a fragment. Therefore the text of each option is here
once, and with_list() makes both from it.
"""

from __future__ import annotations

import textwrap

# Networks of every driver.
COMMON = r"""
enable_ipv4:
  description: Whether the network has IPv4 addresses. The default is V(true).
  type: bool
dns:
  description: Name servers for names that the embedded DNS does not know. The default is the host's name servers.
  type: list
  elements: str
labels:
  description: Labels, by name. M(dockless.network.network_info) and M(dockless.network.network_prune) can filter by
    them.
  type: dict
"""

# Networks with a bridge: the host is the sandboxes' gateway, and its firewall sees their packets.
BRIDGED = r"""
internal:
  description:
    - Whether the network is isolated. Its sandboxes reach each other only, and none of their ports is published on it.
    - It implies O(egress=false), O(ingress=false) and no default route. Set O(egress) or O(ingress) to allow one
      direction.
  type: bool
enable_ipv6:
  description: Whether the network has IPv6 addresses. The default is V(false), unless the host's defaults set C(ipv6).
  type: bool
isolate:
  description:
    - Whether the network is isolated from the host's other networks.
    - V(strict) drops packets from other networks, except those to published ports. V(open) accepts packets from other
      open networks.
    - The default is V(strict).
  type: str
  choices: [strict, open]
icc:
  description: Whether the network's sandboxes can connect to each other (inter-container communication). The default is
    V(true).
  type: bool
masquerade:
  description: Whether packets that leave the network get an address of the host as their source. The default is
    V(true).
  type: bool
egress:
  description:
    - Whether the network's sandboxes can open connections to destinations outside the network. The default is V(true),
      unless O(internal=true).
    - With V(false), ports can still be published, and the embedded DNS forwards no queries.
  type: bool
ingress:
  description:
    - Whether clients outside the network can connect to its sandboxes, at published ports and where the gateway mode
      allows it. The default is V(true), unless O(internal=true).
    - With V(false), no port is published on the network.
  type: bool
trusted_host_interfaces:
  description: Interfaces of the host from which clients can reach published ports at the sandboxes' own addresses, in
    gateway mode nat.
  type: list
  elements: str
host_ipv4:
  description: The IPv4 source address of packets that leave the network. The default is the address of the outgoing
    interface.
  type: str
host_ipv6:
  description: The IPv6 source address of packets that leave the network. The default is the address of the outgoing
    interface.
  type: str
port_security:
  description:
    - Whether a sandbox can send only with its own MAC address, its own IP addresses and the network's protocols. The
      default is V(true).
    - Use V(false) for sandboxes that set other addresses or MAC addresses themselves, such as routers and hosts of
      virtual machines.
  type: bool
bridge_name:
  description: The name of the bridge interface, at most 15 characters. The default is C(br-) and twelve hexadecimal
    digits.
  type: str
default_publish_address:
  description: The host address of published ports that set no C(host_ip). The default is all addresses.
  type: str
services:
  description:
    - Names for groups of the network's sandboxes, by name. Each connection to such a name goes to one sandbox of the
      group.
    - A service has one virtual address (C(vip)) of each family, which no sandbox has. The client's own sandbox
      translates it when a connection starts, so the server sees the address of the client. Only sandboxes on the
      network can use it.
    - C(vip) is an address, or a list with one of each family. By default dockless chooses free addresses from the end
      of the subnet, and later runs keep them.
    - C(ports) is a list of C(PORT), C(PORT:TARGET_PORT) and C(PORT/PROTOCOL), such as V(8080:80) and V(53/udp). The
      default is every port. A connection to another port, or to a service without sandboxes, is refused immediately.
    - C(sandboxes) is a list of names, or a dictionary with C(weight) (1 to 256, default V(1)) and C(drain) of each. A
      sandbox with C(drain=true) gets no new connections and keeps its open ones. The default is the sandboxes that have
      the service's name as an alias.
    - C(sticky=true) sends all connections of a client address to the same sandbox. When a sandbox is removed, only its
      clients change.
    - C(mode) is V(vip), or V(dnsrr) for no virtual address. The name then resolves to the addresses of all sandboxes,
      in rotation.
    - The name C(tasks.NAME) resolves to the addresses of all sandboxes of a service.
    - This option replaces all services of the network.
  type: dict
"""

BRIDGE = r"""
ipam:
  description: The network's addresses. By default dockless chooses one subnet that does not overlap the host's routes,
    and later runs keep it.
  type: dict
  suboptions:
    driver:
      description: V(default) assigns addresses. V(none) assigns none.
      type: str
      choices: [default, none]
    config:
      description: The subnets, at most one IPv4 and one IPv6 subnet.
      type: list
      elements: dict
      suboptions:
        subnet:
          description: The subnet, in CIDR notation. V(0.0.0.0/26) or V(::/64) requests any free subnet of that size.
          type: str
        ip_range:
          description: The part of the subnet from which sandboxes get an address if they do not set one.
          type: str
        gateway:
          description: The address of the bridge. The default is the first address of the subnet.
          type: str
        aux_addresses:
          description: Reserved addresses, by name. No sandbox gets them.
          type: dict
gateway_mode_ipv4:
  description:
    - How the host forwards IPv4 packets between the network and other networks.
    - V(nat), the default, translates addresses. Published ports are ports of the host. Nothing outside can address a
      sandbox directly.
    - V(nat-unprotected) translates addresses too, but a client that has a route can reach every port of the sandboxes
      at their own addresses.
    - V(routed) translates nothing. A client that has a route can ping the sandboxes and reach their published ports at
      their own addresses. The host itself has no such ports.
    - V(isolated) gives the host no address on the network, and requires O(internal=true). The sandboxes reach each
      other only.
  type: str
  choices: [nat, nat-unprotected, routed, isolated]
gateway_mode_ipv6:
  description: How the host forwards IPv6 packets between the network and other networks. The values are those of
    O(gateway_mode_ipv4).
  type: str
  choices: [nat, nat-unprotected, routed, isolated]
mtu:
  description: The MTU, in bytes. The default is the MTU of the interface with the host's default route.
  type: int
driver_opts:
  description:
    - Options under the names that Docker uses, such as C(com.docker.network.bridge.name) and
      C(com.docker.network.driver.mtu).
    - An option that is set here and under its own name must have the same value.
  type: dict
"""

OVERLAY = r"""
ipam:
  description: The network's addresses. They must be the same on every host, so a new network requires O(ipam.config).
  type: dict
  suboptions:
    driver:
      description: V(default) assigns addresses. V(none) assigns none.
      type: str
      choices: [default, none]
    config:
      description: The subnets, at most one IPv4 and one IPv6 subnet.
      type: list
      elements: dict
      suboptions:
        subnet:
          description: The subnet, in CIDR notation, the same on every host.
          type: str
        ip_range:
          description:
            - The part of the subnet from which this host's sandboxes get an address if they do not set one. Each host
              needs a different range.
            - With O(mode=routed) it is the subnet slice of this host, and required.
          type: str
        gateway:
          description: The address of the bridge. The default is the first address of the subnet.
          type: str
        aux_addresses:
          description: Reserved addresses, by name. No sandbox gets them.
          type: dict
vni:
  description:
    - The VXLAN network identifier, from 1 to 16777215. It must be the same on every host, and no other VXLAN device of
      the host can use it.
    - A new network requires it.
  type: int
mode:
  description:
    - V(l2) is one subnet across all hosts. Each host has an entry for every sandbox of the other hosts.
    - V(routed) assigns a slice of the subnet to each host. Each host has one route to every other host's slice.
    - The default is V(l2).
  type: str
  choices: [l2, routed]
control_plane:
  description:
    - V(static) writes an entry for every sandbox in O(peers).
    - V(evpn) writes entries of this host's sandboxes only. FRR distributes them; see the role C(evpn). It requires an
      IPv4 O(vtep).
    - All networks of a project with O(mode=l2) must have the same value, because FRR announces all networks of a host
      or none.
    - The default is V(static).
  type: str
  choices: [static, evpn]
vtep:
  description:
    - The VXLAN tunnel endpoint of this host, as an address or as the name of an interface.
    - The default is the first address of the interface with the default route. With O(encrypted=true) it is this host's
      WireGuard address.
  type: str
port:
  description: The UDP port of VXLAN packets. The default is 4789, and 4787 for an encrypted network.
  type: int
encrypted:
  description: Whether packets to other hosts are encrypted by WireGuard. Unencrypted packets are dropped. The default
    is V(false).
  type: bool
tunnel_port:
  description:
    - The UDP port of this host's WireGuard tunnel. The default is 51820. During a key rotation, the second tunnel uses
      the next port.
    - It must be the same in all encrypted networks of a host, as must O(vtep) and O(tunnels).
  type: int
tunnels:
  description:
    - This host's WireGuard tunnels. Packets are sent through the first one that the other host has too, and accepted
      from each of them.
    - A key rotation sets V([a, b]), then V([b, a]), then V([b]), each on all hosts before the next. The playbook
      C(rotate_keys) does this. The default is V([a]).
  type: list
  elements: str
  choices: [a, b]
peers:
  description:
    - The network's other hosts, by name. Each has C(vtep) and C(sandboxes), which are by name and have C(addresses),
      C(mac_address), C(aliases), C(hostname) and C(project). A routed network also needs C(subnets), the slices of the
      host. An encrypted network also needs C(endpoint), and C(public_key) or C(public_keys), which is by tunnel.
    - The role C(overlay) computes it for all hosts. This option replaces all peers of the network.
  type: dict
mtu:
  description: The MTU, in bytes. The default is the MTU of the interface with O(vtep), less the overhead of the
    encapsulation.
  type: int
driver_opts:
  description:
    - C(vni), C(mode), C(control_plane), C(vtep), C(port) and C(encrypted), or options under the names of Docker's
      overlay driver, which are C(com.docker.network.driver.mtu) and C(com.docker.network.driver.overlay.vxlanid_list).
  type: dict
"""

MACVLAN = r"""
driver:
  description:
    - V(macvlan) gives each sandbox its own MAC address. With V(ipvlan) all sandboxes use the parent's MAC address, for
      switches and wireless networks that accept only one.
    - The default is V(macvlan).
  type: str
  choices: [macvlan, ipvlan]
parent:
  description:
    - The host's interface that the network is attached to.
    - A name such as V(eth0.60) is VLAN 60 on V(eth0). If it does not exist, dockless creates it, and removes it with
      the last network that uses it. If it exists already, dockless uses it and does not remove it.
    - A network without a parent is isolated, as with O(internal=true). Its sandboxes reach each other only.
  type: str
mode:
  description:
    - V(bridge), the default for macvlan, allows sandboxes to reach each other and every host on the link.
    - With V(private), sandboxes cannot reach each other. With V(vepa), they reach each other through a switch that
      reflects frames.
    - With V(passthru), the network has one sandbox, which uses the parent exclusively, with the parent's MAC address.
      No other network can use that parent.
    - V(l2), the default for ipvlan, shares the link as V(bridge) does. With V(l3) and V(l3s), the host's kernel routes
      the packets. Gateways then have no effect, and other hosts on the link need a route to the subnets. With V(l3s),
      packets pass the host's firewall.
    - All ipvlan networks on a parent must have the same mode.
  type: str
  choices: [bridge, private, vepa, passthru, l2, l3, l3s]
ipam:
  description:
    - The network's addresses. By default dockless chooses a subnet that does not overlap the host's routes, and later
      runs keep it.
    - Usually the subnet is that of the link, and O(ipam.config[].ip_range) is a part of it that no DHCP server assigns.
  type: dict
  suboptions:
    driver:
      description: V(default) assigns addresses. V(none) assigns none.
      type: str
      choices: [default, none]
    config:
      description:
        - The subnets, any number of each family. A sandbox gets one address of each family.
        - Subnets of several macvlan and ipvlan networks can overlap. No address is assigned twice.
      type: list
      elements: dict
      suboptions:
        subnet:
          description: The subnet, in CIDR notation. V(0.0.0.0/26) or V(::/64) requests any free subnet of that size.
          type: str
        ip_range:
          description: The part of the subnet from which sandboxes get an address if they do not set one.
          type: str
        gateway:
          description: The router of the subnet, which becomes the default route of the sandboxes. By default they have
            no default route.
          type: str
        aux_addresses:
          description:
            - Reserved addresses, by name. No sandbox gets them.
            - The address named V(host) is the address of the host, with O(host_access=true).
          type: dict
host_access:
  description:
    - Whether the host and the sandboxes can reach each other. The kernel passes no packets between a parent and the
      links on it. With V(true) dockless therefore adds a link for the host on the parent, and a route to each sandbox.
    - The default is V(false).
  type: bool
host_access_address:
  description: The addresses of the host on the network, one of each family. By default dockless chooses the first free
    ones, and later runs keep them.
  type: list
  elements: str
internal:
  description: Whether sandboxes have no default route, and the embedded DNS forwards no queries. They can still reach
    the link.
  type: bool
enable_ipv6:
  description: Whether the network has IPv6 addresses. The default is V(true) if it has an IPv6 subnet or the host's
    defaults set C(ipv6).
  type: bool
mtu:
  description: The MTU, in bytes. The default, and the maximum, is the MTU of the parent.
  type: int
driver_opts:
  description:
    - Options under the names that Docker uses, which are V(parent), V(macvlan_mode), V(ipvlan_mode) and
      V(com.docker.network.driver.mtu).
    - An option that is set here and under its own name must have the same value.
  type: dict
"""

TEMPLATE = r"""
options:
  name:
    description: The name of the network in its project.
    type: str
  networks:
    description:
      - Several networks. Each has the options of one network.
      - Networks of the project that are not in the list are not changed, unless O(purge=true).
    type: list
    elements: dict
    suboptions:
      name:
        description: The name of the network.
        type: str
        required: true
{suboptions}
{options}
"""


def with_list(*texts: str) -> str:
    """Return a fragment with the options of texts, at the top and for each entry of the option networks."""
    options = "".join(texts)
    return TEMPLATE.format(options=textwrap.indent(options, " " * 2), suboptions=textwrap.indent(options, " " * 6))


class ModuleDocFragment:
    """Options of networks, by driver.

    The annotations are needed: the sanity test yamllint expects a literal text in each assignment without one.
    """

    BRIDGE: str = with_list(COMMON, BRIDGED, BRIDGE)

    OVERLAY: str = with_list(COMMON, BRIDGED, OVERLAY)

    MACVLAN: str = with_list(COMMON, MACVLAN)
