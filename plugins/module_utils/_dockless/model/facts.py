# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""What a host is like before anything is decided: read once, by gather.py, and passed on as a value."""

from __future__ import annotations

import typing as t

from .host import IPAddress, IPNetwork


class Listener(t.NamedTuple):
    """A socket that listens on the host. address is "0.0.0.0", "::" or one address; owner names its process."""

    protocol: str
    address: str
    port: int
    owner: str = ""


class UnderlayAddress(t.NamedTuple):
    """An address of the host's own links, which a tunnel may end at, with its link's name and MTU in bytes."""

    address: IPAddress
    link: str
    mtu: int


class Parent(t.NamedTuple):
    """An interface of the host that networks sit on. master has it as its port; nic is wireless, or a network card's driver."""

    name: str
    mtu: int = 1500
    kind: str = ""
    master: str = ""
    ours: bool = False
    up: bool = True
    nic: str = ""


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


Firewall = t.Union[DockerFirewall, FirewalldFirewall, UfwFirewall]


class Facts(t.NamedTuple):
    """Host facts. Defaults are those of an ordinary host, for tests."""

    routes: tuple[IPNetwork, ...] = ()  # destinations of routes that are not ours, defaults left out
    addresses: tuple[IPAddress, ...] = ()  # on links that are not ours
    mtu: int = 1500  # of the default route's device, in bytes
    uplink: str = ""  # that device
    underlay: tuple[UnderlayAddress, ...] = ()  # global addresses on links that are not ours, IPv4 first
    forwarding4: bool = True
    forwarding6: bool = True
    forwarding4_is_ours: bool = False  # it was off before the role prerequisites turned it on
    forwarding6_is_ours: bool = False
    ipv6: bool = True  # the kernel has it
    listeners: tuple[Listener, ...] = ()
    port_range: tuple[int, int] = (32768, 60999)  # net.ipv4.ip_local_port_range
    reserved_ports: frozenset[int] = frozenset()  # net.ipv4.ip_local_reserved_ports
    nameservers: tuple[str, ...] = ()  # of the host, loopback ones included
    resolv_conf: str = ""  # the file that names them
    search: tuple[str, ...] = ()
    nsswitch: str = ""  # the text of nsswitch.conf(5), "" if there is none
    attached: tuple[tuple[str, int, str], ...] = ()  # (sandbox, inode and path of the namespace it attaches to)
    tunnel_keys: tuple[tuple[str, str], ...] = ()  # (slot, public key) of this host's private keys
    dnsmasq: str = "/usr/sbin/dnsmasq"  # its path, "" if it is not installed
    dnsmasq_account: tuple[str, ...] = ()  # the user and group made for it, if they were
    systemd: bool = False  # PID 1 is systemd, so units supervise the resolvers
    firewalls: tuple[Firewall, ...] = ()  # foreign firewalls of this host that coexist names
    parents: tuple[Parent, ...] = ()  # those that are there of the interfaces that networks name
    missing_kinds: frozenset[str] = frozenset()  # kinds of link that networks need and the kernel does not have

    def parent(self, name: str) -> Parent | None:
        """Return the host's interface of that name, None if there is none."""
        return next((found for found in self.parents if found.name == name), None)
