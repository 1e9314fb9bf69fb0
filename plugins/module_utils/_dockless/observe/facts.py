# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Reads the facts of a host, once, before anything is decided. The caller passes those that come from netlink."""

from __future__ import annotations

import grp
import ipaddress
import os
import pwd
import stat
import typing as t

from ..linux import files, programs, session, sockets
from ..model.addresses import IPAddress, IPNetwork
from ..model.facts import Facts, UnderlayAddress
from .transit import read_transit

_SYSCTL = "/proc/sys/net/"
_RESOLV_CONF = "/etc/resolv.conf"
_NSSWITCH_CONF = "/etc/nsswitch.conf"
# The servers of systemd-resolved, if /etc/resolv.conf lists only its local stub.
_RESOLVED_CONF = "/run/systemd/resolve/resolv.conf"
_DEFAULT_PORT_RANGE = "32768 60999"  # the kernel's


class ResolvConf(t.NamedTuple):
    """The settings of a resolv.conf(5).

    path is the file that lists the name servers, "" if dnsmasq cannot follow it. fault says why there are none.
    """

    nameservers: tuple[str, ...] = ()
    search: tuple[str, ...] = ()
    path: str = ""
    fault: str = ""


def read_facts(
    *,
    routes: tuple[IPNetwork, ...] = (),
    addresses: tuple[IPAddress, ...] = (),
    mtu: int = 1500,
    uplink: str = "",
    underlay: tuple[UnderlayAddress, ...] = (),
    next_hops: tuple[IPAddress, ...] = (),
    attached: tuple[tuple[str, int, str], ...] = (),
) -> Facts:
    """Return the facts of the host whose namespaces the calling thread is in. The arguments come from netlink."""
    resolv_conf = _host_resolv_conf()
    dnsmasq = programs.find_program("dnsmasq")
    return Facts(
        routes=routes,
        addresses=addresses,
        mtu=mtu,
        uplink=uplink,
        underlay=underlay,
        next_hops=next_hops,
        session_peers=session.peers(),
        attached=attached,
        forwarding4=_sysctl("ipv4/ip_forward") == "1",
        forwarding6=_sysctl("ipv6/conf/all/forwarding") == "1",
        transit=read_transit(),
        ipv6=os.path.exists("/proc/thread-self/net/if_inet6"),
        listeners=sockets.listeners(),
        port_range=_port_range(_sysctl("ipv4/ip_local_port_range")),
        reserved_ports=_ports(_sysctl("ipv4/ip_local_reserved_ports")),
        nameservers=resolv_conf.nameservers,
        search=resolv_conf.search,
        resolv_conf=resolv_conf.path,
        resolv_conf_exists=os.path.isfile(_RESOLV_CONF),
        resolv_conf_fault=resolv_conf.fault,
        nsswitch=_text(_NSSWITCH_CONF),
        dnsmasq=dnsmasq,
        dnsmasq_version=_version(dnsmasq) if _are_loopback(resolv_conf.nameservers) else (0, 0),
        dnsmasq_account=_account("dnsmasq"),
        systemd=os.path.isdir("/run/systemd/system"),  # sd_booted(3)
    )


def _account(user: str) -> tuple[str, ...]:
    """Return the names of a user and its group, empty if there is no such user."""
    try:
        entry = pwd.getpwnam(user)
        return user, grp.getgrgid(entry.pw_gid).gr_name
    except KeyError:
        return ()


def _host_resolv_conf() -> ResolvConf:
    """Return the host's resolver settings. If its only servers are a local stub, return those of systemd-resolved."""
    own = _parse_resolv_conf(_text(_RESOLV_CONF))
    if _are_loopback(own.nameservers):
        resolved = _parse_resolv_conf(_text(_RESOLVED_CONF))
        if resolved.nameservers:
            search = own.search or resolved.search
            return ResolvConf(resolved.nameservers, search, _followed(_RESOLVED_CONF))
    fault = "" if own.nameservers else _fault(_RESOLV_CONF)
    return own._replace(path=_followed(_RESOLV_CONF), fault=fault)


def _followed(path: str) -> str:
    """Return the path if dnsmasq can follow the file, else "".

    dnsmasq does not start with a symbolic link into a directory that does not exist: one whose systemd-resolved was
    switched off. A file that does not exist in an existing directory is followed: a DHCP client may write it later.
    dnsmasq reads it as its own user, so everyone must be able to read it.
    """
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return path if _everyone_enters(os.path.dirname(os.path.realpath(path))) else ""
    except OSError:  # links in a circle, or a part of the path that is a file
        return ""
    is_readable = stat.S_ISREG(status.st_mode) and bool(status.st_mode & stat.S_IROTH)
    return path if is_readable and _everyone_enters(os.path.dirname(os.path.realpath(path))) else ""


def _everyone_enters(directory: str) -> bool:
    """Return whether a directory exists, and any user can enter it and those above it."""
    while True:
        try:
            status = os.stat(directory)
        except OSError:
            return False
        if not stat.S_ISDIR(status.st_mode) or not status.st_mode & stat.S_IXOTH:
            return False
        if directory == "/":
            return True
        directory = os.path.dirname(directory)


def _fault(path: str) -> str:
    """Return what is wrong with a resolv.conf(5) that gave no name server."""
    try:
        with open(path, "rb"):
            return "lists no name server"
    except FileNotFoundError:
        if os.path.islink(path):
            return f"is a symbolic link to {os.readlink(path)}, which does not exist"
        return "does not exist"
    except OSError as error:
        return f"cannot be read ({error.strerror})"


def _parse_resolv_conf(text: str) -> ResolvConf:
    """Return the settings in a resolv.conf(5): its last search or domain line, and servers that are addresses."""
    servers: list[str] = []
    search: tuple[str, ...] = ()
    for line in text.splitlines():
        words = line.split()
        if len(words) < 2 or line[0] in "#;":
            continue
        if words[0] == "nameserver" and _is_address(words[1]) and words[1] not in servers:
            servers.append(words[1])
        elif words[0] == "search":
            search = tuple(words[1:])
        elif words[0] == "domain":
            search = (words[1],)
    return ResolvConf(tuple(servers), search)


def _is_address(text: str) -> bool:
    """Return whether the text is an IP address. One with a scope (fe80::1%eth0) is, as in resolv.conf(5)."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _are_loopback(servers: t.Sequence[str]) -> bool:
    """Return whether a host has servers, and all of them on loopback addresses."""
    return bool(servers) and all(ipaddress.ip_address(server).is_loopback for server in servers)


def _version(dnsmasq: str) -> tuple[int, int]:
    from ..resolvers import supervisor  # most hosts need no forwarder

    return supervisor.version(dnsmasq)


def _port_range(text: str) -> tuple[int, int]:
    low, high = (text or _DEFAULT_PORT_RANGE).split()
    return int(low), int(high)


def _ports(text: str) -> frozenset[int]:
    """Return the ports of a list like "8080,9000-9010"."""
    ports: set[int] = set()
    for part in text.split(","):
        if part.strip():
            first, _dash, last = part.partition("-")
            ports.update(range(int(first), int(last or first) + 1))
    return frozenset(ports)


def _sysctl(name: str) -> str:
    return _text(_SYSCTL + name).strip()


def _text(path: str) -> str:
    """Return the text of a file, "" if it cannot be read."""
    try:
        return files.read_host_file(path).decode("utf-8", "replace")
    except OSError:
        return ""
