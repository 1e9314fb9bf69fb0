# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""What a host has: flat objects, each with a key (what it is) and the rest (what it is like).

Wanted and actual state are both a State, so that one diff serves all. netns ""
is the host's own namespace. Where a field is None in a wanted object, any value
will do.
"""

from __future__ import annotations

import typing as t

HOST = ""
Conf = tuple[tuple[str, int], ...]  # (("ipv4/rp_filter", 2), …), of one interface, sorted


class Netns(t.NamedTuple):
    """A named network namespace, /run/netns/NAME.

    inode is that of a namespace made by others and attached here (0: ours).
    defaults are conf/default sysctls written at its birth; they are not compared.
    partner is the other name of the same namespace, for container:. source is
    where an attached namespace is found; it is not compared either.
    """

    name: str
    label: str
    inode: int = 0
    defaults: Conf = ()
    partner: str = ""
    source: str = ""
    up: bool = True  # its loopback interface

    @property
    def key(self) -> Key:
        """Return what identifies it: the name of its kind first."""
        return "netns", self.name

    def __str__(self) -> str:
        """Return how plans and messages call it."""
        return f"namespace {self.name}"


class Link(t.NamedTuple):
    """An interface that is not one of a pair.

    data are its kind's own settings, in the order that linkdata.py gives. port are the settings of the
    bridge port that it is. parent is the host's interface that a vlan, macvlan or ipvlan sits on.
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
    data: tuple[tuple[str, t.Any], ...] = ()
    parent: str = ""
    port: Conf = ()

    @property
    def key(self) -> Key:
        """Return what identifies it: the name of its kind first."""
        return "link", self.netns, self.name

    def __str__(self) -> str:
        """Return how plans and messages call it."""
        return _within(f"{self.kind} {self.name}", self.netns)


class Veth(t.NamedTuple):
    """Both ends of a pair, because the kernel makes and removes them as one.

    An empty mac lets the kernel choose. isolated, hairpin and learning are the bridge port's flags.
    label marks a pair outside any network, on both ends: "" for endpoints, whose
    host end is found by its name. Only endpoints' links are the firewall's.
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

    @property
    def key(self) -> Key:
        """Return what identifies it: the name of its kind first."""
        return "veth", self.netns, self.name

    def __str__(self) -> str:
        """Return how plans and messages call it."""
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
        """Return what identifies it: the name of its kind first."""
        return "address", self.netns, self.link, self.cidr

    def __str__(self) -> str:
        """Return how plans and messages call it."""
        return f"address {self.cidr} on {_within(self.link, self.netns)}"


class Neighbour(t.NamedTuple):
    """A permanent neighbour, marked with our protocol: address is answered for by mac."""

    netns: str
    link: str
    address: str
    mac: str

    @property
    def key(self) -> Key:
        """Return what identifies it: the name of its kind first."""
        return "neighbour", self.netns, self.link, self.address

    def __str__(self) -> str:
        """Return how plans and messages call it."""
        return f"neighbour {self.address} on {_within(self.link, self.netns)}"


class ForwardingEntry(t.NamedTuple):
    """A static forwarding entry: frames to mac leave by link.

    vtep is the host behind a vxlan device; bridged says whether the bridge that link is a port of has the
    entry as well. Without vtep, link is an ordinary port, and only its bridge has it.
    """

    netns: str
    link: str
    mac: str
    vtep: str = ""
    bridged: bool = True

    @property
    def key(self) -> Key:
        """Return what identifies it: the name of its kind first."""
        return "forwarding_entry", self.netns, self.link, self.mac

    def __str__(self) -> str:
        """Return how plans and messages call it."""
        return f"forwarding entry {self.mac} on {_within(self.link, self.netns)}"


class Route(t.NamedTuple):
    """A route of the main table, marked with our protocol. destination 0.0.0.0/0 or ::/0 is the default.

    onlink: via is beyond the link, whatever its addresses say.
    """

    netns: str
    destination: str
    link: str
    via: str = ""
    metric: int = 0
    onlink: bool = False

    @property
    def key(self) -> Key:
        """Return what identifies it: the name of its kind first."""
        return "route", self.netns, self.destination, str(self.metric)

    def __str__(self) -> str:
        """Return how plans and messages call it."""
        return f"route {self.destination} on {_within(self.link, self.netns)}"


class WireguardKey(t.NamedTuple):
    """A private key of this host, known by its public one. "" is any: it is yet to be made."""

    slot: str
    public_key: str = ""

    @property
    def key(self) -> Key:
        """Return what identifies it: the name of its kind first."""
        return "wireguard_key", self.slot

    def __str__(self) -> str:
        """Return how plans and messages call it."""
        return f"WireGuard key {self.slot}"


class KillSwitchRoute(t.NamedTuple):
    """An unreachable route behind all others: what is for a tunnel that is not there must not leave by another way."""

    netns: str
    destination: str

    @property
    def key(self) -> Key:
        """Return what identifies it: the name of its kind first."""
        return "kill_switch_route", self.netns, self.destination

    def __str__(self) -> str:
        """Return how plans and messages call it."""
        return f"kill-switch route {self.destination}"


class WireguardLink(t.NamedTuple):
    """A WireGuard link. slot tells which private key it has, by public_key that key is known; "" is any.

    answering is False where nothing serves the link any more, or it was left half made.
    """

    netns: str
    name: str
    slot: str
    public_key: str
    listen_port: int
    mtu: int
    address: str
    label: str
    up: bool = True
    conf: Conf = ()
    answering: bool = True

    @property
    def key(self) -> Key:
        """Return what identifies it: the name of its kind first."""
        return "wireguard_link", self.netns, self.name

    def __str__(self) -> str:
        """Return how plans and messages call it."""
        return f"WireGuard link {self.name}"


class WireguardPeer(t.NamedTuple):
    """Another host at the end of a WireGuard link. Only it may send from allowed; routed: and what is for those goes by this link.

    endpoint "" is anywhere: the one that it spoke from last.
    """

    netns: str
    link: str
    public_key: str
    endpoint: str
    allowed: str  # CIDRs, separated by spaces
    routed: bool = True

    @property
    def key(self) -> Key:
        """Return what identifies it: the name of its kind first."""
        return "wireguard_peer", self.netns, self.link, self.public_key

    def __str__(self) -> str:
        """Return how plans and messages call it."""
        return f"WireGuard peer {self.allowed} on {self.link}"


class Sysctl(t.NamedTuple):
    """One key under /proc/sys/net of a namespace, with slashes: net/ipv4/ip_unprivileged_port_start."""

    netns: str
    name: str
    value: str

    @property
    def key(self) -> Key:
        """Return what identifies it: the name of its kind first."""
        return "sysctl", self.netns, self.name

    def __str__(self) -> str:
        """Return how plans and messages call it."""
        return f"sysctl {_within(self.name, self.netns)}"


class NftTable(t.NamedTuple):
    """Our one table of a namespace, as nft text."""

    netns: str
    text: str

    @property
    def key(self) -> Key:
        """Return what identifies it: the name of its kind first."""
        return "nft_table", self.netns

    def __str__(self) -> str:
        """Return how plans and messages call it."""
        return _within("nft table inet dockless", self.netns)


class File(t.NamedTuple):
    """A file of ours."""

    path: str
    text: str
    mode: int = 0o644

    @property
    def key(self) -> Key:
        """Return what identifies it: the name of its kind first."""
        return "file", self.path

    def __str__(self) -> str:
        """Return how plans and messages call it."""
        return f"file {self.path}"


class Resolver(t.NamedTuple):
    """A running DNS server of one sandbox, from the file config. digest names what it runs with; program: whether that is installed still."""

    sandbox: str
    netns: str
    config: str
    digest: str
    program: str = "installed"

    @property
    def key(self) -> Key:
        """Return what identifies it: the name of its kind first."""
        return "resolver", self.sandbox

    def __str__(self) -> str:
        """Return how plans and messages call it."""
        return f"resolver of {self.sandbox}"


class ForeignFirewallRules(t.NamedTuple):
    """What another firewall of the host is asked to let through: a line for each rule or setting, as coexist.py words them."""

    firewall: str
    text: str

    @property
    def key(self) -> Key:
        """Return what identifies it: the name of its kind first."""
        return "foreign_firewall_rules", self.firewall

    def __str__(self) -> str:
        """Return how plans and messages call it."""
        return f"rules for {self.firewall}"


Key = tuple[str, ...]
Object = t.Union[
    Netns,
    WireguardKey,
    KillSwitchRoute,
    WireguardLink,
    WireguardPeer,
    Link,
    Veth,
    Address,
    Neighbour,
    ForwardingEntry,
    Route,
    Sysctl,
    NftTable,
    File,
    Resolver,
    ForeignFirewallRules,
]
State = dict[Key, Object]


def _within(what: str, netns: str) -> str:
    return f"{what} in {netns}" if netns else what


def foreign_firewall_rules(firewall: str, lines: t.Iterable[str]) -> ForeignFirewallRules:
    """Return lines as one object."""
    return ForeignFirewallRules(firewall, "".join(line + "\n" for line in lines))


Data = tuple[tuple[str, t.Any], ...]


def vxlan_data(vni: int, local: str, udp_port: int) -> Data:
    """Return the settings of a vxlan device that learns nothing; local is the address of its own end."""
    return ("id", vni), ("learning", 0), ("local6" if ":" in local else "local", local), ("port", udp_port)
