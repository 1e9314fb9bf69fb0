# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""What people declare, in the words of the Container Network Model.

Values only: relations are by name, nothing here has a handle. Tuples rather
than dataclasses because a host has thousands of them and a tuple is built five
times faster (and importing dataclasses costs more than parsing a document).
"""

from __future__ import annotations

import ipaddress
import typing as t

Pairs = tuple[tuple[str, str], ...]

DEFAULT_BRIDGE = "bridge"  # the host's one default bridge network: links, but no names
MODE_NETWORKS = "networks"
MODE_HOST = "host"
MODE_NONE = "none"
MODE_CONTAINER = "container"
GATEWAY_NAT, GATEWAY_UNPROTECTED, GATEWAY_ROUTED, GATEWAY_ISOLATED = "nat", "nat-unprotected", "routed", "isolated"
SERVICE_VIP = "vip"
SERVICE_DNSRR = "dnsrr"


# Options of a network for which the host has a default.
HostDefault = t.Literal["enable_ipv6", "icc", "masquerade", "mtu"]
HOST_DEFAULTS: frozenset[HostDefault] = frozenset(("enable_ipv6", "icc", "masquerade", "mtu"))


class SubnetRequest(t.NamedTuple):
    """A subnet as a declaration requests it. Without network, dockless chooses one, of prefix_length if that is set."""

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
    """One subnet of a network. gateway is None if packets cannot leave the subnet."""

    network: IPNetwork
    version: int  # network.version, stored because each endpoint's addresses and routes are looked up by it
    gateway: IPAddress | None = None
    ip_range: IPNetwork | None = None  # addresses are assigned from this part only
    aux_addresses: tuple[tuple[str, IPAddress], ...] = ()  # (name, address): never assigned


class DnsRecord(t.NamedTuple):
    """An extra DNS record of a network. kind is A, AAAA, CNAME, SRV, TXT or PTR."""

    name: str
    kind: str
    value: str


class Backend(t.NamedTuple):
    """A sandbox that a service sends to, as declared. drain keeps new connections away from it."""

    sandbox: str
    weight: int = 1
    drain: bool = False


class ServicePort(t.NamedTuple):
    """A port of a service's virtual address, and the one of its sandboxes that it leads to."""

    port: int
    target: int
    protocol: str = "tcp"


class Service(t.NamedTuple):
    """One name over several sandboxes of a network.

    mode vip: the name's addresses are vips, one a family, behind which connections are
    balanced; without ports, those to any port. mode dnsrr: the name has the addresses of
    all sandboxes. backends None: the sandboxes with the service's name as an alias.
    """

    name: str
    mode: str = SERVICE_VIP
    vips: tuple[IPAddress, ...] = ()
    ports: tuple[ServicePort, ...] = ()
    backends: tuple[Backend, ...] | None = None
    sticky: bool = False
    path: str = ""  # option path, for messages


class Network(t.NamedTuple):
    """One network: a driver and its subnets.

    A network is first as declared, then resolved (allocate/host.py). As declared, it has subnet_requests but no
    subnets, and the values of the options in left_open mean nothing. Resolved, it has subnets but no subnet_requests,
    every option has its value, and left_open is empty.
    """

    project: str
    name: str
    driver: str = "bridge"
    external: str = ""  # "PROJECT/NETWORK", "PROJECT_NETWORK" or a name, when it is another project's
    subnet_requests: tuple[SubnetRequest, ...] = ()
    subnets: tuple[Subnet, ...] = ()
    left_open: frozenset[HostDefault] = HOST_DEFAULTS  # options that are not declared: they get the host's defaults
    enable_ipv4: bool = True
    enable_ipv6: bool = False
    internal: bool = False
    isolate: str = "strict"  # or "open"
    icc: bool = True
    masquerade: bool = True
    inhibit_ipv4: bool = False
    egress: bool = True  # its sandboxes may open connections out of it
    ingress: bool = True  # they may be connected to from outside; internal is neither
    gateway_mode_ipv4: str = GATEWAY_NAT
    gateway_mode_ipv6: str = GATEWAY_NAT
    trusted: tuple[
        str, ...
    ] = ()  # interfaces of the host by which published ports are reached at sandboxes' own addresses
    host_ipv4: IPAddress | None = None  # what leaves by IPv4 has this source, in place of the way out's own address
    host_ipv6: IPAddress | None = None
    port_security: bool = True  # a sandbox sends with its own MAC and addresses only
    mtu: int = 0  # bytes; 0 until it is resolved, unless it is declared
    bridge_name: str = ""
    publish_address: IPAddress | None = None
    dns_enabled: bool = True
    dns: tuple[IPAddress, ...] = ()
    dns_search: tuple[str, ...] = ()
    dns_opt: tuple[str, ...] = ()
    forward: str = "host"  # where unknown names go: host, servers or none
    records: tuple[DnsRecord, ...] = ()
    iface_prefix: str = "eth"
    labels: Pairs = ()
    path: str = ""  # option path, for messages
    services: tuple[Service, ...] = ()
    overlay: Overlay | None = None  # driver overlay
    peers: tuple[OverlayPeer, ...] = ()  # its other hosts
    macvlan: Macvlan | None = None  # drivers macvlan and ipvlan

    @property
    def passes_host(self) -> bool:
        """Return whether its packets pass the host's network stack, and with it firewall, NAT and published ports."""
        return self.macvlan is None

    @property
    def spans_hosts(self) -> bool:
        """Return whether it has sandboxes on several hosts."""
        return self.overlay is not None

    @property
    def is_routed(self) -> bool:
        """Return whether it spans hosts by routes, a slice of the subnet for each, and not as one Ethernet segment."""
        return self.overlay is not None and self.overlay.mode == "routed"

    @property
    def is_encrypted(self) -> bool:
        """Return whether it reaches other hosts through WireGuard only."""
        return self.overlay is not None and self.overlay.encrypted

    @property
    def key(self) -> tuple[str, str]:
        """Return what identifies it on the host."""
        return self.project, self.name

    @property
    def fixed_subnets(self) -> tuple[Subnet, ...]:
        """The requested subnets that dockless need not choose, in the order of declaration."""
        return tuple(
            request.with_network(request.network) for request in self.subnet_requests if request.network is not None
        )


class LegacyLink(t.NamedTuple):
    """A legacy link: alias names another sandbox, seen by one endpoint only."""

    sandbox: str
    alias: str


class Endpoint(t.NamedTuple):
    """A sandbox's attachment to one network."""

    project: str
    sandbox: str
    network: tuple[str, str]  # key of the Network
    ipv4_address: IPAddress | None = None
    ipv6_address: IPAddress | None = None
    link_local_ips: tuple[IPAddress, ...] = ()
    mac_address: str = ""
    aliases: tuple[str, ...] = ()
    links: tuple[LegacyLink, ...] = ()
    gw_priority: int = 0
    interface_name: str = ""
    sysctls: Pairs = ()  # ("net/ipv4/conf/IFNAME/forwarding", "1"): IFNAME stands for the interface's name
    addresses: tuple[str, ...] = ()  # CIDR, filled in by ipam
    path: str = ""

    @property
    def key(self) -> tuple[str, str, tuple[str, str]]:
        """Return what identifies it on the host."""
        return self.project, self.sandbox, self.network


class PortMapping(t.NamedTuple):
    """A published port. host_ip None binds every address of both families.

    host_port 0 asks for a free one, from host_port_end's range where that is set.
    """

    project: str
    sandbox: str
    target_port: int
    protocol: str = "tcp"
    host_ip: IPAddress | None = None
    host_port: int = 0
    host_port_end: int = 0  # "8000-9000:80": the first free of these
    path: str = ""
    source_ranges: tuple[IPNetwork, ...] = ()  # who may use it; empty is everybody


class Attach(t.NamedTuple):
    """A namespace that exists already. kind is pid, path, unit, docker or podman."""

    kind: str
    value: str


class Sandbox(t.NamedTuple):
    """One network stack, with its DNS and hosts data."""

    project: str
    name: str
    mode: str = MODE_NETWORKS
    partner: str = ""  # of container:PARTNER
    attach: Attach | None = None
    netns: str = ""  # name under /run/netns; the sandbox's own name unless given
    endpoints: tuple[Endpoint, ...] = ()
    ports: tuple[PortMapping, ...] = ()
    expose: tuple[tuple[int, str], ...] = ()
    publish_all: bool = False
    hostname: str = ""
    domainname: str = ""
    dns: tuple[IPAddress, ...] = ()
    dns_search: tuple[str, ...] = ()
    dns_opt: tuple[str, ...] = ()
    forward: str = ""
    extra_hosts: tuple[tuple[str, str], ...] = ()  # (name, address or "host-gateway")
    records: tuple[DnsRecord, ...] = ()
    sysctls: Pairs = ()
    labels: Pairs = ()
    path: str = ""


class VethEnd(t.NamedTuple):
    """One end of a veth pair. netns "" is the host's own."""

    name: str
    netns: str = ""
    master: str = ""
    addresses: tuple[str, ...] = ()
    routes: tuple[tuple[str, str], ...] = ()  # (destination CIDR, via address or "")
    mac_address: str = ""
    mtu: int = 1500  # bytes
    up: bool = True


class VethPair(t.NamedTuple):
    """Two namespaces joined by one pair, outside any network."""

    project: str
    end: VethEnd
    peer: VethEnd
    path: str = ""


class HostNames(t.NamedTuple):
    """The host's own programs find sandboxes as NAME.NETWORK. through is its own resolver, dnsmasq, if that is to be told. No networks are all."""

    through: str = ""
    networks: tuple[str, ...] = ()  # PROJECT/NETWORK


class Defaults(t.NamedTuple):
    """A host's defaults: what dockerd's network flags set."""

    bip: tuple[IPAddress, int] | None = None  # address and prefix length of the default bridge
    fixed_cidr: IPNetwork | None = None
    default_gateway: IPAddress | None = None
    default_address_pools: tuple[tuple[IPNetwork, int], ...] = ()  # (base, size)
    dns: tuple[IPAddress, ...] = ()
    dns_search: tuple[str, ...] = ()
    dns_opt: tuple[str, ...] = ()
    icc: bool = True
    ip: IPAddress | None = None
    ip_masq: bool = True
    mtu: int | None = None
    ipv6: bool = False
    allow_direct_routing: bool = False  # published ports at sandboxes' own addresses, by every interface
    ip_forward_no_drop: bool = False  # what others send through this host passes, though forwarding is on for us alone
    host_names: HostNames | None = None
    coexist: tuple[str, ...] = ()  # other firewalls that are asked to let our traffic through


class Project(t.NamedTuple):
    """A set of networks and sandboxes that are declared together."""

    name: str
    networks: tuple[Network, ...] = ()
    sandboxes: tuple[Sandbox, ...] = ()
    veth_pairs: tuple[VethPair, ...] = ()
    warnings: tuple[str, ...] = ()


class Host(t.NamedTuple):
    """All that one host should have."""

    projects: tuple[Project, ...] = ()
    defaults: Defaults = Defaults()


IPNetwork = t.Union[ipaddress.IPv4Network, ipaddress.IPv6Network]

IPAddress = t.Union[ipaddress.IPv4Address, ipaddress.IPv6Address]


class PeerSandbox(t.NamedTuple):
    """A sandbox on another host, as its network knows it. An empty mac_address is the one that its names give it."""

    name: str
    project: str = ""  # the network's own unless given
    addresses: tuple[IPAddress, ...] = ()
    mac_address: str = ""
    aliases: tuple[str, ...] = ()
    hostname: str = ""


class OverlayPeer(t.NamedTuple):
    """Another host of an overlay: its end of the tunnels (RFC 7348, 3), and who lives there.

    subnets are its slices of a routed network. public_key and endpoint are those of its WireGuard link, behind
    which vtep is.
    """

    name: str
    vtep: IPAddress
    sandboxes: tuple[PeerSandbox, ...] = ()
    subnets: tuple[IPNetwork, ...] = ()
    public_key: str = ""
    endpoint: str = ""
    public_keys: tuple[tuple[str, str], ...] = ()  # of each of its tunnels, while keys are renewed


class Overlay(t.NamedTuple):
    """What makes a network span hosts. vni 0 is not chosen yet; vtep is an address, or until it is resolved an interface."""

    vni: int = 0
    mode: str = "l2"  # or routed
    control_plane: str = "static"  # or evpn
    vtep: str = ""
    port: int = 4789
    encrypted: bool = False
    tunnel_port: int = 51820  # UDP port of the host's tunnel a; that of b is the next one
    tunnels: tuple[str, ...] = (
        "a",
    )  # what is sent goes by the first that the other host has, what comes by any is taken
    whole: tuple[IPNetwork, ...] = ()  # of a routed network: the subnets that this host has a slice of


class Macvlan(t.NamedTuple):
    """What a macvlan or ipvlan network sits on: parent, or nothing (""). addresses are the host's own, where it has access."""

    parent: str = ""
    mode: str = "bridge"  # or private, vepa, passthru; ipvlan: l2, l3, l3s
    host_access: bool = False
    addresses: tuple[IPAddress, ...] = ()
