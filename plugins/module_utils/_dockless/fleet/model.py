# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""The values that a plan for many hosts reads and makes. Relations are by name.

The field names of EndpointRecord and HostUnderlay are keys in the ledger file and in host reports: they cannot change.
"""

from __future__ import annotations

import typing as t

from ..model.network import Subnet, SubnetRequest
from ..model.sandbox import Endpoint, Sandbox

Key = tuple[str, str]  # (project, name) of a network or a sandbox
Spec = t.Mapping[str, t.Any]


class EndpointRecord(t.NamedTuple):
    """What is recorded of a sandbox on a network: its host, its addresses, and the names that other hosts must know."""

    host: str
    addresses: tuple[str, ...] = ()  # without prefix length, IPv4 first
    mac_address: str = ""
    aliases: tuple[str, ...] = ()
    hostname: str = ""


class PriorNetwork(t.NamedTuple):
    """What earlier plans assigned to an overlay network and its endpoints."""

    vni: int = 0
    subnets: tuple[str, ...] = ()
    members: tuple[str, ...] = ()  # hosts that have the network
    slices: t.Mapping[str, tuple[str, ...]] = {}  # mode routed: host -> its parts of the subnets
    endpoints: t.Mapping[Key, EndpointRecord] = {}
    reserved: tuple[str, ...] = ()  # gateways and auxiliary addresses
    services: t.Mapping[str, tuple[str, ...]] = {}  # service -> its virtual addresses


class HostUnderlay(t.NamedTuple):
    """How other hosts reach a host. mtu is that of the link with the VTEP address, in bytes; 0 is unknown."""

    vtep: str = ""
    mtu: int = 0
    tunnel: str = ""  # the host's address inside the encrypted tunnels
    public_keys: t.Mapping[str, str] = {}  # tunnel -> key; two tunnels while keys are rotated, otherwise one
    endpoint: str = ""  # ADDRESS:PORT of the host's first tunnel, as the other hosts see it


class Ledger(t.NamedTuple):
    """Everything that earlier plans assigned: the content of the fleet's state file."""

    networks: t.Mapping[Key, PriorNetwork] = {}
    hosts: t.Mapping[str, HostUnderlay] = {}


NO_LEDGER = Ledger()


class HostReport(t.NamedTuple):
    """What one host reports of itself before the plan is made.

    networks are its own, with the local endpoints (first hand). remote is what its documents say of other hosts on
    the same networks, with the endpoints of those hosts (second hand), and peers how they are reached.
    """

    underlay: HostUnderlay = HostUnderlay()
    interfaces: t.Mapping[str, str] = {}  # link that dockless does not manage -> its first address
    used_subnets: tuple[str, ...] = ()  # of routes and of networks that are no overlays; not available to overlays
    networks: t.Mapping[Key, PriorNetwork] = {}
    remote: t.Mapping[Key, PriorNetwork] = {}
    peers: t.Mapping[str, HostUnderlay] = {}


class FleetHost(t.NamedTuple):
    """One host of the inventory. report is None if this run did not read the host.

    networks or sandboxes is None if the inventory does not set it: the host's project then keeps what it has.
    """

    name: str
    project: str = "default"
    networks: Spec | None = None
    sandboxes: Spec | None = None
    defaults: Spec = {}
    vtep: str = ""  # an address, or the name of an interface
    endpoint: str = ""
    report: HostReport | None = None


class FleetOverlay(t.NamedTuple):
    """An overlay network as the first host declares it. host is "" if no host declares it in this run."""

    key: Key
    host: str = ""
    spec: Spec = {}
    vni: int = 0
    subnet_requests: tuple[SubnetRequest, ...] = ()
    enable_ipv4: bool = True
    enable_ipv6: bool | None = None
    routed: bool = False
    slice_prefix: int | None = None
    slice_prefix_ipv6: int | None = None
    encrypted: bool = False
    tunnel_port: int = 51820
    mtu: int | None = None

    @property
    def title(self) -> str:
        """PROJECT/NETWORK, as messages name it."""
        return "/".join(self.key)

    @property
    def path(self) -> str:
        """The place of its declaration, as messages begin with it."""
        return f"host {self.host}, networks.{self.key[1]}"


class EndpointDeclaration(t.NamedTuple):
    """A sandbox's endpoint on an overlay network, and the host that declares it. endpoint.network is the network's key.

    local_name is what the host's own document calls the network: an external network may have another name there.
    """

    host: str
    sandbox: Sandbox
    endpoint: Endpoint
    local_name: str

    @property
    def key(self) -> Key:
        """The sandbox's key."""
        return self.endpoint.project, self.endpoint.sandbox


class Membership(t.NamedTuple):
    """A host's part in a network: the name of the network in the host's document, and its declaration there.

    spec is None if the network belongs to another project and the host refers to it by `external`.
    """

    local_name: str
    spec: Spec | None


class Inventory(t.NamedTuple):
    """The declarations of a fleet's hosts, by overlay network."""

    networks: dict[Key, FleetOverlay]
    members: dict[Key, dict[str, Membership]]
    declarations: dict[Key, list[EndpointDeclaration]]


class ResolvedNetwork(t.NamedTuple):
    """An overlay network with everything assigned that its declaration leaves open."""

    overlay: FleetOverlay
    vni: int
    subnets: tuple[Subnet, ...]
    slices: t.Mapping[str, tuple[Subnet, ...]] = {}  # mode routed: host -> its parts of the subnets
    endpoints: t.Mapping[Key, EndpointRecord] = {}  # the declared ones
    staying: t.Mapping[Key, EndpointRecord] = {}  # not declared, but present on their hosts after this run
    leaving: t.Mapping[Key, EndpointRecord] = {}  # not declared, and removed by this run; other hosts forget them
    # Sandboxes with another MAC address than their host would derive from the names.
    explicit_macs: t.AbstractSet[Key] = frozenset()
    services: t.Mapping[str, tuple[str, ...]] = {}  # service -> its virtual addresses
    # Sandboxes that turn IPv6 off themselves: their IPv6 addresses are reserved, not used.
    ipv4_only: t.AbstractSet[Key] = frozenset()


class NetworkPosition(t.NamedTuple):
    """Where one overlay network is in a host's documents: the document's index, the network's name in it, its key."""

    document_index: int
    local_name: str
    key: Key


class FleetPlan(t.NamedTuple):
    """The result. Documents have no peers: peer_tables has them once for each network, with all of its hosts."""

    documents: dict[str, list[dict[str, t.Any]]]  # host -> its documents, in the order in which they are converged
    positions: dict[str, list[NetworkPosition]]  # host -> where its overlay networks are in its documents
    peer_tables: dict[Key, dict[str, dict[str, t.Any]]]  # network -> host -> its row
    ledger: Ledger
    warnings: tuple[str, ...] = ()
