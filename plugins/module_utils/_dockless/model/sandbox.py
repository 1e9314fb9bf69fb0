# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Sandboxes, their endpoints on networks, and their published ports."""

from __future__ import annotations

import typing as t

from .addresses import IPAddress, IPNetwork
from .network import DnsRecord, NetworkKey, Pairs

# Values of network_mode; container is followed by the name of the partner.
MODE_NETWORKS = "networks"
MODE_HOST = "host"
MODE_NONE = "none"
MODE_CONTAINER = "container"


class LegacyLink(t.NamedTuple):
    """A name for another sandbox that one endpoint alone can use, as by docker run --link.

    Example: LegacyLink("db", "postgres") is the declaration "db:postgres".
    """

    sandbox: str
    alias: str


class Endpoint(t.NamedTuple):
    """A sandbox's attachment to one network.

    Example: Endpoint("shop", "web", ("shop", "frontend"), aliases=("www",)).
    """

    project: str
    sandbox: str
    # The key of the Network.
    network: NetworkKey
    ipv4_address: IPAddress | None = None
    ipv6_address: IPAddress | None = None
    link_local_ips: tuple[IPAddress, ...] = ()
    mac_address: str = ""
    aliases: tuple[str, ...] = ()
    links: tuple[LegacyLink, ...] = ()
    # The endpoint with the highest value has the sandbox's default route.
    gw_priority: int = 0
    interface_name: str = ""
    # ("net/ipv4/conf/IFNAME/forwarding", "1"): IFNAME stands for the interface's name.
    sysctls: Pairs = ()
    # In CIDR notation, such as 172.20.0.2/16; empty until they are allocated.
    addresses: tuple[str, ...] = ()
    # Compose's priority: the endpoint with the highest value gets the MAC address of the sandbox.
    priority: int = 0
    # The option's path, for messages.
    path: str = ""

    @property
    def key(self) -> tuple[str, str, NetworkKey]:
        """Identifies the endpoint on the host."""
        return self.project, self.sandbox, self.network

    @property
    def named_addresses(self) -> list[str]:
        """The addresses that the sandbox's names resolve to, without prefix length: all but link_local_ips."""
        link_local = {str(address) for address in self.link_local_ips}
        addresses = (cidr.partition("/")[0] for cidr in self.addresses)
        return [address for address in addresses if address not in link_local]

    def address(self, version: int) -> str:
        """Return the first address of a family (4 or 6) without prefix length, "" if there is none but link-local."""
        for cidr in self.addresses:
            if (":" in cidr) == (version == 6) and not cidr.startswith("fe80:"):
                return cidr.partition("/")[0]
        return ""


class PortMapping(t.NamedTuple):
    """A published port.

    Example: PortMapping("shop", "web", 80, host_port=8080) is the declaration "8080:80".
    """

    project: str
    sandbox: str
    target_port: int
    protocol: str = "tcp"
    # None: all addresses of both families.
    host_ip: IPAddress | None = None
    # 0 requests a free port. With host_port_end, it is the first port of a range of which a free one is requested.
    host_port: int = 0
    # The last port of that range: 9000 for "8000-9000:80".
    host_port_end: int = 0
    # The option's path, for messages.
    path: str = ""
    # Clients that can use the port; empty: all.
    source_ranges: tuple[IPNetwork, ...] = ()


class Attach(t.NamedTuple):
    """An existing namespace that a sandbox uses. kind is pid, path, unit, docker or podman.

    Example: Attach("unit", "postgresql.service").
    """

    kind: str
    value: str


class Sandbox(t.NamedTuple):
    """A network stack: a network namespace with its DNS and hosts data.

    Example: Sandbox("shop", "web", endpoints=(Endpoint("shop", "web", ("shop", "frontend")),)).
    """

    project: str
    name: str
    mode: str = MODE_NETWORKS
    # The sandbox whose namespace it shares, with mode container.
    partner: str = ""
    attach: Attach | None = None
    # Its name below /run/netns; "" is the sandbox's own name.
    netns: str = ""
    endpoints: tuple[Endpoint, ...] = ()
    ports: tuple[PortMapping, ...] = ()
    # (port, protocol)
    expose: tuple[tuple[int, str], ...] = ()
    # Every exposed port is published on a free port of the host.
    publish_all: bool = False
    hostname: str = ""
    domainname: str = ""
    dns: tuple[IPAddress, ...] = ()
    dns_search: tuple[str, ...] = ()
    dns_opt: tuple[str, ...] = ()
    # Where queries for unknown names are forwarded to: host, servers or none. "" is the setting of its networks.
    forward: str = ""
    # (name, address or "host-gateway")
    extra_hosts: tuple[tuple[str, str], ...] = ()
    records: tuple[DnsRecord, ...] = ()
    sysctls: Pairs = ()
    labels: Pairs = ()
    # The option's path, for messages.
    path: str = ""

    @property
    def netns_name(self) -> str:
        """The name of the sandbox's own namespace below /run/netns."""
        return self.netns or self.name

    @property
    def effective_hostname(self) -> str:
        """The hostname, which by default is the sandbox's name."""
        return self.hostname or self.name

    @property
    def all_addresses(self) -> frozenset[str]:
        """Its addresses on all networks, link-local ones too, without prefix length."""
        return frozenset(cidr.partition("/")[0] for endpoint in self.endpoints for cidr in endpoint.addresses)

    @property
    def disables_ipv6(self) -> bool:
        """Whether its own sysctls disable IPv6, even if its networks have it."""
        return ("net/ipv6/conf/all/disable_ipv6", "1") in self.sysctls
