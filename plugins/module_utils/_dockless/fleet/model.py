# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""What a plan for many hosts is made of: values only, relations by name."""

from __future__ import annotations

import typing as t

from ..model.host import Endpoint, Sandbox, Subnet

Key = tuple[str, str]  # (project, name) of a network or a sandbox
Spec = t.Mapping[str, t.Any]


class EndpointRecord(t.NamedTuple):
    """A sandbox on a network, as it is remembered: where it was last, and what others must know of it."""

    host: str
    addresses: tuple[str, ...] = ()  # without prefix length, IPv4 first
    mac_address: str = ""
    aliases: tuple[str, ...] = ()
    hostname: str = ""


class PriorNetwork(t.NamedTuple):
    """What was given to an overlay network before."""

    vni: int = 0
    subnets: tuple[str, ...] = ()
    members: tuple[str, ...] = ()  # hosts that have it
    slices: t.Mapping[str, tuple[str, ...]] = {}  # mode routed: host -> its parts of the subnets
    endpoints: t.Mapping[Key, EndpointRecord] = {}
    reserved: tuple[str, ...] = ()  # gateways and auxiliary addresses
    services: t.Mapping[str, tuple[str, ...]] = {}  # their virtual addresses


class HostUnderlay(t.NamedTuple):
    """How a host is reached by the others. mtu is in bytes, of the link that holds the VTEP address; 0 is not known."""

    vtep: str = ""
    mtu: int = 0
    tunnel: str = ""  # its address inside the encrypted tunnels
    public_keys: t.Mapping[str, str] = {}  # of each of its tunnels: one, and two while keys are renewed
    endpoint: str = ""  # ADDRESS:PORT of its first tunnel, as the others see it


class Ledger(t.NamedTuple):
    """All that earlier plans gave out."""

    networks: t.Mapping[Key, PriorNetwork] = {}
    hosts: t.Mapping[str, HostUnderlay] = {}


class HostReport(t.NamedTuple):
    """What a host says that it has. others are the peers of its networks: told at second hand."""

    underlay: HostUnderlay = HostUnderlay()
    interfaces: t.Mapping[str, str] = {}  # first address of each link that is not ours
    taken: tuple[str, ...] = ()  # subnets of routes and networks that no overlay network may take
    networks: t.Mapping[Key, PriorNetwork] = {}  # endpoints are the local ones only
    others: t.Mapping[Key, PriorNetwork] = {}  # endpoints are the remote ones only
    peers: t.Mapping[str, HostUnderlay] = {}


class FleetHost(t.NamedTuple):
    """One host of the inventory. memory None means that it was not read in this run.

    networks or sandboxes None is "not said": the host's project keeps what it has.
    """

    name: str
    project: str = "default"
    networks: Spec | None = None
    sandboxes: Spec | None = None
    defaults: Spec = {}
    vtep: str = ""  # an address, or the name of an interface
    endpoint: str = ""
    memory: HostReport | None = None


class FleetOverlay(t.NamedTuple):
    """An overlay network as the first host that declares it does; host "" means that nobody does in this run."""

    key: Key
    host: str = ""
    spec: Spec = {}
    vni: int = 0
    subnets: tuple[Subnet, ...] = ()
    enable_ipv4: bool = True
    enable_ipv6: bool | None = None
    routed: bool = False
    slice_prefix: int | None = None
    slice_prefix_ipv6: int | None = None
    encrypted: bool = False
    tunnel_port: int = 51820
    mtu: int | None = None


class EndpointDeclaration(t.NamedTuple):
    """A sandbox's endpoint on an overlay network, and the host that it is declared on. endpoint.network is the real key."""

    host: str
    sandbox: Sandbox
    endpoint: Endpoint
    called: str  # the network's name in the host's own document

    @property
    def key(self) -> Key:
        """Return the sandbox's key."""
        return self.endpoint.project, self.endpoint.sandbox


class Membership(t.NamedTuple):
    """A host's part in a network: what it calls it, and what it says of it (None: another project's, by external)."""

    called: str
    spec: Spec | None


class Inventory(t.NamedTuple):
    """The declarations of a fleet's hosts, sorted by overlay network."""

    networks: dict[Key, FleetOverlay]
    members: dict[Key, dict[str, Membership]]
    places: dict[Key, list[EndpointDeclaration]]


class ResolvedNetwork(t.NamedTuple):
    """An overlay network with every blank filled in."""

    overlay: FleetOverlay
    vni: int
    subnets: tuple[Subnet, ...]
    slices: t.Mapping[str, tuple[Subnet, ...]]  # of each member, mode routed only
    endpoints: t.Mapping[Key, EndpointRecord]  # those declared
    staying: t.Mapping[Key, EndpointRecord]  # not declared, but there
    leaving: t.Mapping[Key, EndpointRecord]  # not declared, and about to go: no longer told to others
    salted: t.AbstractSet[Key]  # whose MAC address is not the one that its host would compute
    services: t.Mapping[str, tuple[str, ...]] = {}  # their virtual addresses
    ipv4_only: t.AbstractSet[Key] = (
        frozenset()
    )  # that turn IPv6 off themselves: their IPv6 addresses are reserved, not used


class FleetPlan(t.NamedTuple):
    """What came of it. A host's documents leave out the peers: these are the network's table without the host's own row."""

    documents: dict[str, list[dict[str, t.Any]]]
    joined: dict[str, list[tuple[int, str, Key]]]  # host -> (number of the document, network's name in it, key)
    tables: dict[Key, dict[str, dict[str, t.Any]]]  # network -> host -> its row
    ledger: Ledger
    warnings: tuple[str, ...] = ()
