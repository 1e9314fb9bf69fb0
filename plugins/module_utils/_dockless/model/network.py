# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Networks of every driver, with their subnets, services and DNS records.

The types are tuples and not dataclasses: a host has thousands of them, a tuple is built five times faster, and the
import of dataclasses takes longer than parsing a document.
"""

from __future__ import annotations

import typing as t

from .. import names
from .addresses import IPAddress, IPNetwork
from .macvlan import Macvlan
from .overlay import Overlay, OverlayPeer, PeerSandbox

# The host's one default bridge network. Sandboxes on it find each other by legacy links only.
DEFAULT_BRIDGE = "bridge"
GATEWAY_NAT = "nat"
GATEWAY_UNPROTECTED = "nat-unprotected"
GATEWAY_ROUTED = "routed"
GATEWAY_ISOLATED = "isolated"
SERVICE_VIP = "vip"
SERVICE_DNSRR = "dnsrr"

# (name, value), in the order of declaration.
Pairs = tuple[tuple[str, str], ...]
# (project, name). The project of the default bridge network is "".
NetworkKey = tuple[str, str]
# Options of a network for which the host has a default.
HostDefault = t.Literal["enable_ipv6", "icc", "masquerade", "mtu"]
HOST_DEFAULTS: frozenset[HostDefault] = frozenset(("enable_ipv6", "icc", "masquerade", "mtu"))


class SubnetRequest(t.NamedTuple):
    """A subnet as it is declared. Without network, dockless chooses one, of prefix_length if that is set.

    Example: SubnetRequest(prefix_length=26) requests any free IPv4 subnet with 64 addresses (0.0.0.0/26).
    """

    network: IPNetwork | None = None
    prefix_length: int | None = None
    version: int = 4
    gateway: IPAddress | None = None
    ip_range: IPNetwork | None = None
    aux_addresses: tuple[tuple[str, IPAddress], ...] = ()

    def with_network(self, network: IPNetwork) -> Subnet:
        """Return the subnet that this request becomes once its network is chosen."""
        return Subnet(network, self.version, self.gateway, self.ip_range, self.aux_addresses)


class Subnet(t.NamedTuple):
    """A subnet of a network.

    Example: Subnet(IPv4Network("172.20.0.0/16"), 4, IPv4Address("172.20.0.1")).
    """

    network: IPNetwork
    # network.version, stored because each endpoint's addresses and routes are looked up by it.
    version: int
    # None if packets cannot leave the subnet.
    gateway: IPAddress | None = None
    # Addresses are assigned from this part of the subnet only.
    ip_range: IPNetwork | None = None
    # (name, address): reserved, never assigned.
    aux_addresses: tuple[tuple[str, IPAddress], ...] = ()


class DnsRecord(t.NamedTuple):
    """An additional DNS record of a network or a sandbox. kind is A, AAAA, CNAME, SRV, TXT or PTR.

    Example: DnsRecord("db", "CNAME", "postgres").
    """

    name: str
    kind: str
    value: str


class Backend(t.NamedTuple):
    """A sandbox behind a service, as declared."""

    sandbox: str
    weight: int = 1
    # It gets no new connections, and keeps its open ones.
    drain: bool = False


class ServicePort(t.NamedTuple):
    """A port of a service's virtual address, and the port of the backends to which connections go.

    Example: ServicePort(8080, 80) is the declaration "8080:80".
    """

    port: int
    target: int
    protocol: str = "tcp"


class Service(t.NamedTuple):
    """A name for a group of sandboxes on a network.

    With mode vip, the name resolves to vips, at most one address of each family, and each connection to one of them
    goes to one backend. With mode dnsrr, the name resolves to the addresses of all backends.
    """

    name: str
    mode: str = SERVICE_VIP
    vips: tuple[IPAddress, ...] = ()
    # Empty: every port.
    ports: tuple[ServicePort, ...] = ()
    # None: the sandboxes that have the service's name as an alias.
    backends: tuple[Backend, ...] | None = None
    # All connections of a client address go to the same backend.
    sticky: bool = False
    # The option's path, for messages.
    path: str = ""


class Network(t.NamedTuple):
    """A network: its driver, subnets and options.

    A network is first as declared, then resolved (allocate/host.py). As declared, it has subnet_requests but no
    subnets, and the values of the options in left_open mean nothing. Resolved, it has subnets but no subnet_requests,
    every option has its value, and left_open is empty.

    Example: Network("shop", "frontend", subnet_requests=(SubnetRequest(IPv4Network("172.20.0.0/16")),)).
    """

    project: str
    name: str
    driver: str = "bridge"
    # A reference to a network of another project: PROJECT/NETWORK, PROJECT_NETWORK or NETWORK. "" if it is none.
    external: str = ""
    # Compose's name of an own network: external entries of other projects can refer to it by that too.
    second_name: str = ""
    subnet_requests: tuple[SubnetRequest, ...] = ()
    subnets: tuple[Subnet, ...] = ()
    # Options that are not declared: they get the host's defaults.
    left_open: frozenset[HostDefault] = HOST_DEFAULTS
    enable_ipv4: bool = True
    enable_ipv6: bool = False
    # Isolated: no default route, and no connections to or from outside unless egress or ingress allows them.
    internal: bool = False
    # strict drops packets from other networks of the host; open accepts those from other open networks.
    isolate: str = "strict"
    # Sandboxes can connect to each other (inter-container communication).
    icc: bool = True
    # Packets that leave the network get an address of the host as their source.
    masquerade: bool = True
    # The bridge has no IPv4 address.
    inhibit_ipv4: bool = False
    # Sandboxes can open connections to destinations outside the network.
    egress: bool = True
    # Clients outside the network can connect to its sandboxes.
    ingress: bool = True
    gateway_mode_ipv4: str = GATEWAY_NAT
    gateway_mode_ipv6: str = GATEWAY_NAT
    # Interfaces of the host from which clients reach published ports at the sandboxes' own addresses.
    trusted: tuple[str, ...] = ()
    # Source addresses of packets that leave the network, in place of the outgoing interface's address.
    host_ipv4: IPAddress | None = None
    host_ipv6: IPAddress | None = None
    # A sandbox can send with its own MAC address and IP addresses only.
    port_security: bool = True
    # Bytes; 0 until it is resolved, unless it is declared.
    mtu: int = 0
    bridge_name: str = ""
    # The host address of published ports that set none.
    publish_address: IPAddress | None = None
    dns_enabled: bool = True
    dns: tuple[IPAddress, ...] = ()
    dns_search: tuple[str, ...] = ()
    dns_opt: tuple[str, ...] = ()
    # Where queries for unknown names are forwarded to: host, servers or none.
    forward: str = "host"
    records: tuple[DnsRecord, ...] = ()
    # The start of its interfaces' names in sandboxes.
    iface_prefix: str = "eth"
    labels: Pairs = ()
    # The option's path, for messages.
    path: str = ""
    services: tuple[Service, ...] = ()
    # Set if the driver is overlay.
    overlay: Overlay | None = None
    # The remote hosts of an overlay network.
    peers: tuple[OverlayPeer, ...] = ()
    # Set if the driver is macvlan or ipvlan.
    macvlan: Macvlan | None = None

    @property
    def key(self) -> NetworkKey:
        """Identifies the network on the host."""
        return self.project, self.name

    @property
    def fixed_subnets(self) -> tuple[Subnet, ...]:
        """The requested subnets that dockless need not choose, in the order of declaration."""
        return tuple(
            request.with_network(request.network) for request in self.subnet_requests if request.network is not None
        )

    # What differs by driver.

    @property
    def passes_host(self) -> bool:
        """Whether its packets pass the host's network stack, and with it the firewall, NAT and published ports."""
        return self.macvlan is None

    @property
    def spans_hosts(self) -> bool:
        """Whether it has sandboxes on several hosts."""
        return self.overlay is not None

    @property
    def is_routed(self) -> bool:
        """Whether it spans hosts by routes to each host's slice of the subnet, and not as one Ethernet segment."""
        return self.overlay is not None and self.overlay.mode == "routed"

    @property
    def checks_ports(self) -> bool:
        """Whether the port of each sandbox accepts only what the sandbox may send.

        In a network without subnets, a sandbox chooses its addresses itself.
        """
        return self.port_security and bool(self.subnets)

    @property
    def learns(self) -> bool:
        """Whether its bridge learns from frames who is behind which port. Otherwise each endpoint has an entry."""
        return not (self.checks_ports or self.spans_hosts)

    @property
    def answers_arp(self) -> bool:
        """Whether its bridge answers ARP requests for sandboxes on other hosts, by the port that they came in by."""
        return self.spans_hosts and not self.is_routed

    @property
    def is_evpn(self) -> bool:
        """Whether a routing daemon distributes the places of its sandboxes, and moves the entries for them."""
        return self.overlay is not None and self.overlay.control_plane == "evpn"

    @property
    def is_encrypted(self) -> bool:
        """Whether packets to its remote hosts go through WireGuard only."""
        return self.overlay is not None and self.overlay.encrypted

    @property
    def shares_parent_mac(self) -> bool:
        """Whether its links have the MAC address of their parent, and none of their own."""
        return self.driver == "ipvlan" or self.macvlan is not None and self.macvlan.mode == "passthru"

    @property
    def overlay_options(self) -> Overlay:
        """The options of an overlay network. Raises AssertionError for another driver."""
        if self.overlay is None:
            raise AssertionError(f"network {self.name} is no overlay")
        return self.overlay

    @property
    def macvlan_options(self) -> Macvlan:
        """The options of a macvlan or ipvlan network. Raises AssertionError for another driver."""
        if self.macvlan is None:
            raise AssertionError(f"network {self.name} is neither macvlan nor ipvlan")
        return self.macvlan

    @property
    def parent_link(self) -> str:
        """The interface of the host on which the links of a macvlan or ipvlan network are created."""
        return self.macvlan_options.parent or self.bridge_name

    @property
    def vxlan_device(self) -> str:
        """The name of an overlay network's vxlan device."""
        return names.vxlan_link(self.project, self.name)

    def peer_mac(self, sandbox: PeerSandbox) -> str:
        """Return the MAC address of a sandbox on a remote host."""
        return sandbox.mac_address or names.endpoint_mac(sandbox.project or self.project, self.key, sandbox.name)

    # How packets enter and leave, for each address family. version is 4 or 6.

    @property
    def has_names(self) -> bool:
        """Whether the network's sandboxes find each other by name."""
        return self.dns_enabled and not is_default_bridge(self.key)

    @property
    def has_egress(self) -> bool:
        """Whether DNS queries of a sandbox can be forwarded through the network."""
        return not self.internal and self.egress

    def subnet(self, version: int) -> Subnet | None:
        """Return the first subnet of a family."""
        for subnet in self.subnets:
            if subnet.version == version:
                return subnet
        return None

    def gateway_mode(self, version: int) -> str:
        """Return the gateway mode of a family: nat, nat-unprotected, routed or isolated."""
        return self.gateway_mode_ipv4 if version == 4 else self.gateway_mode_ipv6

    def is_masqueraded(self, version: int) -> bool:
        """Return whether packets that leave the network get an address of the host as their source."""
        return self.masquerade and self.gateway_mode(version) in (GATEWAY_NAT, GATEWAY_UNPROTECTED)

    def has_host_address(self, version: int) -> bool:
        """Return whether the host has the gateway's address on the network's bridge."""
        is_inhibited = version == 4 and self.inhibit_ipv4
        return self.gateway_mode(version) != GATEWAY_ISOLATED and not is_inhibited

    def reserves_gateway(self, version: int) -> bool:
        """Return whether subnets of a family have a gateway. If they have none, a sandbox can get that address."""
        return self.passes_host and (self.has_host_address(version) or not self.internal)

    def gateway(self, version: int) -> IPAddress | None:
        """Return the next hop of a sandbox's default route, None if the network has no egress route."""
        subnet = self.subnet(version)
        if subnet is None or self.internal or not self.has_host_address(version):
            return None
        return subnet.gateway


Networks = t.Mapping[NetworkKey, Network]


def is_default_bridge(key: NetworkKey) -> bool:
    """Return whether key is that of the host's one default bridge network."""
    return key == ("", DEFAULT_BRIDGE)
