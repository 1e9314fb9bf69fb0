# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Facts of a host: values that a run reads once (observe.facts) and passes on to every decision."""

from __future__ import annotations

import typing as t

from .addresses import IPAddress, IPNetwork


class Listener(t.NamedTuple):
    """A socket that listens on the host.

    address is "0.0.0.0", "::" or one address. owner names its process, "" if that is not known.
    """

    protocol: str
    address: str
    port: int
    owner: str = ""


class UnderlayAddress(t.NamedTuple):
    """An address of the host that can be a VTEP address, with its link's name and MTU in bytes."""

    address: IPAddress
    link: str
    mtu: int


class Parent(t.NamedTuple):
    """An interface of the host that is the parent of macvlan or ipvlan networks."""

    name: str
    mtu: int = 1500  # bytes
    kind: str = ""  # of link, as ip-link(8) has it: "" for a network card
    master: str = ""  # the bridge or bond that has it as a port
    managed: bool = False  # dockless created it
    up: bool = True
    nic: str = ""  # wireless, or the driver of the network card


class VxlanDevice(t.NamedTuple):
    """A VXLAN device of the host that dockless does not manage, such as those of Docker Swarm and flannel.

    vni 0 is a device that receives every VNI of its port ("external" in ip-link(8)).
    """

    name: str
    vni: int
    port: int


class DockerFirewall(t.NamedTuple):
    """Docker's firewall. programs: iptables and ip6tables, as far as the chain DOCKER-USER exists there."""

    programs: tuple[str, ...] = ("iptables", "ip6tables")
    bridges: tuple[str, ...] = ()
    name: str = "docker"


class FirewalldFirewall(t.NamedTuple):
    """firewalld. A daemon that does not run has settings in files only."""

    running: bool = True
    name: str = "firewalld"


class UfwFirewall(t.NamedTuple):
    """ufw. foreign_routes: the rules for forwarded traffic that dockless did not add."""

    foreign_routes: tuple[str, ...] = ()
    name: str = "ufw"


class Transit(t.NamedTuple):
    """Packets between links that dockless does not manage, as the role prerequisites recorded it.

    closed     IP versions whose forwarding was off before the role turned it on
    exempt     (IP version, link): packets that arrive there were forwarded in spite of that
    is_known   False if the record cannot be read
    """

    closed: tuple[int, ...] = ()
    exempt: tuple[tuple[int, str], ...] = ()
    is_known: bool = True


NO_TRANSIT = Transit()
Firewall = t.Union[DockerFirewall, FirewalldFirewall, UfwFirewall]


class Facts(t.NamedTuple):
    """Facts of a host. The defaults describe an ordinary host, for tests."""

    routes: tuple[IPNetwork, ...] = ()  # destinations of routes that dockless does not manage, without default routes
    addresses: tuple[IPAddress, ...] = ()  # on links that dockless does not manage
    next_hops: tuple[IPAddress, ...] = ()  # of routes that dockless does not manage
    session_peers: tuple[IPAddress, ...] = ()  # from where this run is controlled: the clients of its SSH session
    mtu: int = 1500  # of the uplink, in bytes
    uplink: str = ""  # the interface of the default route
    underlay: tuple[UnderlayAddress, ...] = ()  # global addresses on links that dockless does not manage, IPv4 first
    forwarding4: bool = True
    forwarding6: bool = True
    transit: Transit = NO_TRANSIT
    ipv6: bool = True  # the kernel has it enabled
    listeners: tuple[Listener, ...] = ()
    port_range: tuple[int, int] = (32768, 60999)  # net.ipv4.ip_local_port_range
    reserved_ports: frozenset[int] = frozenset()  # net.ipv4.ip_local_reserved_ports
    nameservers: tuple[str, ...] = ()  # of the host, loopback ones included
    resolv_conf: str = ""  # the path of the file that lists them, "" if dnsmasq cannot follow that file
    resolv_conf_exists: bool = True  # /etc/resolv.conf is a file
    resolv_conf_fault: str = "lists no name server"  # what is wrong with it, if there are no name servers
    search: tuple[str, ...] = ()
    nsswitch: str = ""  # the text of nsswitch.conf(5), "" if the file is missing
    attached: tuple[tuple[str, int, str], ...] = ()  # (sandbox, inode and path of its namespace)
    tunnel_keys: tuple[tuple[str, str], ...] = ()  # (slot, public key) of this host's private keys
    dnsmasq: str = "/usr/sbin/dnsmasq"  # its path, "" if it is not installed
    dnsmasq_version: tuple[int, int] = (2, 90)  # (0, 0) if no sandbox needs the forwarder, or it is unknown
    dnsmasq_account: tuple[str, ...] = ()  # its user and group, if the package created them
    systemd: bool = False  # PID 1 is systemd, whose units supervise the resolvers
    firewalls: tuple[Firewall, ...] = ()  # foreign firewalls of this host that coexist names
    parents: tuple[Parent, ...] = ()  # existing interfaces that networks declare as parent
    vxlan_devices: tuple[VxlanDevice, ...] = ()  # those that dockless does not manage, where a network is an overlay
    missing_kinds: frozenset[str] = frozenset()  # of links that networks need and the kernel lacks

    def parent(self, name: str) -> Parent | None:
        """Return the host's interface of that name, None if there is none."""
        return next((parent for parent in self.parents if parent.name == name), None)
