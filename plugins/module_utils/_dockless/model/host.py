# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""A host as it is declared: its projects, the veth pairs outside of networks, and the defaults."""

from __future__ import annotations

import typing as t

from .addresses import IPAddress, IPNetwork, network_of
from .network import Network
from .sandbox import Endpoint, Sandbox


class VethEnd(t.NamedTuple):
    """One end of a veth pair. netns "" is the host's own namespace."""

    name: str
    netns: str = ""
    # The bridge that the end is a port of.
    master: str = ""
    # In CIDR notation.
    addresses: tuple[str, ...] = ()
    # (destination in CIDR notation, address of the next hop or "")
    routes: tuple[tuple[str, str], ...] = ()
    mac_address: str = ""
    # Bytes.
    mtu: int = 1500
    up: bool = True


class VethPair(t.NamedTuple):
    """A veth pair outside of networks, which connects two namespaces.

    Example: VethPair("lab", VethEnd("to-lab"), VethEnd("eth0", netns="lab", addresses=("10.0.0.2/24",))).
    """

    project: str
    end: VethEnd
    peer: VethEnd
    # The option's path, for messages.
    path: str = ""


class HostNames(t.NamedTuple):
    """The option host_names: programs of the host find sandboxes as NAME.NETWORK."""

    # The host's own resolver that dockless configures: dnsmasq, or "" for none.
    through: str = ""
    # PROJECT/NETWORK; empty: every network with names.
    networks: tuple[str, ...] = ()


class Defaults(t.NamedTuple):
    """The defaults of a host, which Docker has as options of dockerd. Example: Defaults(mtu=1400, coexist=("ufw",))."""

    # Address and prefix length of the default bridge.
    bip: tuple[IPAddress, int] | None = None
    fixed_cidr: IPNetwork | None = None
    default_gateway: IPAddress | None = None
    # (base network, prefix length of the subnets)
    default_address_pools: tuple[tuple[IPNetwork, int], ...] = ()
    dns: tuple[IPAddress, ...] = ()
    dns_search: tuple[str, ...] = ()
    dns_opt: tuple[str, ...] = ()
    icc: bool = True
    # The host address of published ports that set none.
    ip: IPAddress | None = None
    ip_masq: bool = True
    # Bytes; None is the MTU of the uplink.
    mtu: int | None = None
    ipv6: bool = False
    # Clients that have a route reach published ports at the sandboxes' own addresses, through every interface.
    allow_direct_routing: bool = False
    # The host forwards packets of others too, even if forwarding was turned on for dockless alone.
    ip_forward_no_drop: bool = False
    host_names: HostNames | None = None
    # Foreign firewalls to whose configuration dockless adds rules: docker, firewalld, ufw.
    coexist: tuple[str, ...] = ()

    @property
    def bridge_subnets(self) -> dict[str, IPNetwork]:
        """The subnets of the default bridge, each by the option that sets it.

        fixed_cidr is a subnet of its own in a family without bip, as in Docker. Otherwise it is a range of bip's.
        """
        found = {}
        if self.bip is not None:
            found["bip"] = network_of(*self.bip)
        if self.fixed_cidr is not None and (self.bip is None or self.bip[0].version != self.fixed_cidr.version):
            found["fixed_cidr"] = self.fixed_cidr
        return found


class Project(t.NamedTuple):
    """A set of networks and sandboxes that are declared together.

    Example: Project("shop", (Network("shop", "frontend"),), (Sandbox("shop", "web"),)).
    """

    name: str
    networks: tuple[Network, ...] = ()
    sandboxes: tuple[Sandbox, ...] = ()
    veth_pairs: tuple[VethPair, ...] = ()
    # Sentences about what was declared without effect.
    warnings: tuple[str, ...] = ()


class Host(t.NamedTuple):
    """All projects of one host, with its defaults."""

    projects: tuple[Project, ...] = ()
    defaults: Defaults = Defaults()

    def networks(self) -> t.Iterator[Network]:
        """Yield the networks of all projects, external entries too."""
        for project in self.projects:
            yield from project.networks

    def sandboxes(self) -> t.Iterator[Sandbox]:
        """Yield the sandboxes of all projects."""
        for project in self.projects:
            yield from project.sandboxes

    def endpoints(self) -> t.Iterator[Endpoint]:
        """Yield the endpoints of all sandboxes."""
        for sandbox in self.sandboxes():
            yield from sandbox.endpoints
