# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Types of the objects of a host: flat tuples, each with a key that identifies it.

The desired and the actual state are both a State, which one function compares. netns "" is the host's own namespace.
"""

from __future__ import annotations

import typing as t

from .firewall import Firewall
from .keys import Conf, Key
from .wireguard import WireguardObject

HOST = ""
Data = tuple[tuple[str, t.Union[str, int]], ...]  # settings of a kind of link, in the order of linux.link_kinds


class Netns(t.NamedTuple):
    """A named network namespace, /run/netns/NAME.

    inode     of an attached namespace, which others made; 0 is one that dockless made
    defaults  conf/default settings, written when the namespace is created and never compared
    partner   the first name of the same namespace, for network_mode container:
    source    the path at which an attached namespace is found; never compared
    up        state of its loopback interface
    """

    name: str
    label: str
    inode: int = 0
    defaults: Conf = ()
    partner: str = ""
    source: str = ""
    up: bool = True

    @property
    def key(self) -> Key:
        """Identifies the object on the host. The name of its kind comes first."""
        return "netns", self.name

    def __str__(self) -> str:
        """Return its name for plans and messages."""
        return f"namespace {self.name}"


class Link(t.NamedTuple):
    """An interface that is not one of a pair.

    conf    settings below /proc/sys/net/{ipv4,ipv6}/conf/NAME
    data    settings of its kind, in the order of linux.link_kinds
    port    settings as the port of a bridge, by the names of bridge(8)
    parent  the host's interface below a vlan, macvlan or ipvlan
    arp     whether a link of the host uses ARP (netdevice(7), IFF_NOARP); always True for one in a sandbox
    """

    netns: str
    name: str
    kind: str
    mac: str
    mtu: int
    label: str
    master: str = ""
    up: bool = True
    conf: Conf = ()
    data: Data = ()
    parent: str = ""
    port: Conf = ()
    arp: bool = True

    @property
    def key(self) -> Key:
        """Identifies the object on the host. The name of its kind comes first."""
        return "link", self.netns, self.name

    def __str__(self) -> str:
        """Return its name for plans and messages."""
        return _within(f"{self.kind} {self.name}", self.netns)


class Veth(t.NamedTuple):
    """A veth pair: one object, because the kernel creates and deletes both ends together.

    An empty mac lets the kernel choose. isolated, hairpin, learning and arp are settings of the first end as a port.
    label marks both ends of a pair outside any network; "" is an endpoint's, whose host end is found by its name.
    """

    netns: str
    name: str
    peer_netns: str
    peer_name: str
    mac: str = ""
    peer_mac: str = ""
    mtu: int = 1500
    peer_mtu: int = 1500
    master: str = ""
    peer_master: str = ""
    up: bool = True
    peer_up: bool = True
    isolated: bool = False
    conf: Conf = ()
    peer_conf: Conf = ()
    label: str = ""
    hairpin: bool = False
    learning: bool = True
    arp: bool = True

    @property
    def key(self) -> Key:
        """Identifies the object on the host. The name of its kind comes first."""
        return "veth", self.netns, self.name

    def __str__(self) -> str:
        """Return its name for plans and messages."""
        if not self.peer_name:
            return f"veth pair {self.name}"
        return f"veth pair {self.name} - {self.peer_name}" + (f" of {self.peer_netns}" if self.peer_netns else "")


class Address(t.NamedTuple):
    """An address with its prefix length, as CIDR."""

    netns: str
    link: str
    cidr: str

    @property
    def key(self) -> Key:
        """Identifies the object on the host. The name of its kind comes first."""
        return "address", self.netns, self.link, self.cidr

    def __str__(self) -> str:
        """Return its name for plans and messages."""
        return f"address {self.cidr} on {_within(self.link, self.netns)}"


class Neighbour(t.NamedTuple):
    """A permanent neighbour with dockless's protocol number: address is at mac."""

    netns: str
    link: str
    address: str
    mac: str

    @property
    def key(self) -> Key:
        """Identifies the object on the host. The name of its kind comes first."""
        return "neighbour", self.netns, self.link, self.address

    def __str__(self) -> str:
        """Return its name for plans and messages."""
        return f"neighbour {self.address} on {_within(self.link, self.netns)}"


class ForwardingEntry(t.NamedTuple):
    """A static forwarding entry: frames to mac leave by link, to the host vtep if link is a vxlan device.

    bridged: the bridge of link has the entry, too if there is a vtep. sticky: no frame moves it (NTF_STICKY).
    """

    netns: str
    link: str
    mac: str
    vtep: str = ""
    bridged: bool = True
    sticky: bool = True

    @property
    def key(self) -> Key:
        """Identifies the object on the host. The name of its kind comes first."""
        return "forwarding_entry", self.netns, self.link, self.mac

    def __str__(self) -> str:
        """Return its name for plans and messages."""
        return f"forwarding entry {self.mac} on {_within(self.link, self.netns)}"


class Route(t.NamedTuple):
    """A route of the main table with dockless's protocol number. destination 0.0.0.0/0 or ::/0 is the default route.

    onlink: via is reached by the link, even if no address of the link covers it.
    """

    netns: str
    destination: str
    link: str
    via: str = ""
    metric: int = 0
    onlink: bool = False

    @property
    def key(self) -> Key:
        """Identifies the object on the host. The name of its kind comes first."""
        return "route", self.netns, self.destination, str(self.metric)

    def __str__(self) -> str:
        """Return its name for plans and messages."""
        return f"route {self.destination} on {_within(self.link, self.netns)}"


class Sysctl(t.NamedTuple):
    """One key under /proc/sys/net of a namespace, with slashes: net/ipv4/ip_unprivileged_port_start."""

    netns: str
    name: str
    value: str

    @property
    def key(self) -> Key:
        """Identifies the object on the host. The name of its kind comes first."""
        return "sysctl", self.netns, self.name

    def __str__(self) -> str:
        """Return its name for plans and messages."""
        return f"sysctl {_within(self.name, self.netns)}"


class NftTable(t.NamedTuple):
    """The nft table in a sandbox, as the text that nft loads; "" is a table whose text the engine has not written."""

    netns: str
    text: str

    @property
    def key(self) -> Key:
        """Identifies the object on the host. The name of its kind comes first."""
        return "nft_table", self.netns

    def __str__(self) -> str:
        """Return its name for plans and messages."""
        return _within("nft table inet dockless", self.netns)


class File(t.NamedTuple):
    """A managed file."""

    path: str
    text: str
    mode: int = 0o644

    @property
    def key(self) -> Key:
        """Identifies the object on the host. The name of its kind comes first."""
        return "file", self.path

    def __str__(self) -> str:
        """Return its name for plans and messages."""
        return f"file {self.path}"


class Resolver(t.NamedTuple):
    """The running resolver of a sandbox.

    config   path of its configuration
    digest   of the configuration that it runs with
    program  "installed", "replaced" if its file was upgraded since its start, "deaf" if a directory that it watches was
    """

    sandbox: str
    netns: str
    config: str
    digest: str
    program: str = "installed"

    @property
    def key(self) -> Key:
        """Identifies the object on the host. The name of its kind comes first."""
        return "resolver", self.sandbox

    def __str__(self) -> str:
        """Return its name for plans and messages."""
        return f"resolver of {self.sandbox}"


class ForeignFirewallRules(t.NamedTuple):
    """Rules that dockless adds to another firewall: a line for each rule or setting."""

    firewall: str
    text: str

    @classmethod
    def of(cls, firewall: str, lines: t.Iterable[str]) -> ForeignFirewallRules:
        """Return the lines of a firewall as one object."""
        return cls(firewall, "".join(line + "\n" for line in lines))

    @property
    def key(self) -> Key:
        """Identifies the object on the host. The name of its kind comes first."""
        return "foreign_firewall_rules", self.firewall

    def __str__(self) -> str:
        """Return its name for plans and messages."""
        return f"rules for {self.firewall}"


Object = t.Union[
    Netns,
    WireguardObject,
    Link,
    Veth,
    Address,
    Neighbour,
    ForwardingEntry,
    Route,
    Sysctl,
    NftTable,
    Firewall,
    File,
    Resolver,
    ForeignFirewallRules,
]
State = dict[Key, Object]


def _within(description: str, netns: str) -> str:
    return f"{description} in {netns}" if netns else description
