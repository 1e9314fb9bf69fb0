# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Every name and number that is derived, so that no state is needed to find what is ours."""

from __future__ import annotations

import hashlib
import ipaddress
import itertools
import re

LINK_GROUP = 25707  # ours, on every link we make; the firewall matches on it too
PAIR_GROUP = 25709  # plain veth pairs: ours, but none of the firewall's business
TUNNEL_GROUP = 25710  # encrypted ways to other hosts: ours, and no sandbox's side for the firewall
PENDING_DELETE_GROUP = 25708  # links that are about to go, deleted by one message
ROUTE_PROTOCOL = 213  # unassigned in iproute2's rt_protos
LAST_METRIC = 0xFFFFFFF0  # of routes that are there for when no other is
TABLE = "dockless"  # inet family, in the host and in each sandbox that has names
FIREWALLS = ("docker", "firewalld", "ufw")  # of others, which coexist may name
LABEL_PREFIX = "dockless "  # of an interface alias: "dockless shop/frontend"
DEFAULT_BRIDGE_LINK = "dockless0"
INTERFACE_LIMIT = 15  # IFNAMSIZ - 1
ALIAS_LIMIT = 255  # IFALIASZ - 1
NETNS_DIRECTORY = "/run/netns"
TUNNEL_SLOTS = ("a", "b")  # a host's tunnels: one, and while keys are renewed another beside it
RUN_DIRECTORY = "/run/dockless"
ETC_DIRECTORY = "/etc/dockless"
FORMER_SETTINGS = "/var/lib/dockless/prerequisites.json"  # what the role prerequisites found before it changed it
NETNS_ETC_DIRECTORY = "/etc/netns"
DNS_DIRECTORY = RUN_DIRECTORY + "/dns"
HANDOVERS = DNS_DIRECTORY + "/standins"  # configurations of resolvers that answer in others' places for a moment
RESOLVER_ADDRESS = "127.0.0.11"
RESOLVER_PORT = 10053  # applications may own port 53: it is translated inside the sandbox
FORWARDER = "@host"  # what the host's own resolvers are called; no sandbox can be: the one that sandboxes ask
HOST_NAMES = "@names"  # and the one that the host asks
HOST_NAMES_ADDRESS = "127.0.0.12"

NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,62}\Z")
INTERFACE = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_-]{0,14}\Z")
RESERVED_INTERFACES = frozenset(("all", "default", "lo"))  # they mean more than one link under /proc/sys


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def short_id(project: str, sandbox: str) -> str:
    """Return a sandbox's id: twelve hex digits as a container's short id has, but the same whenever it is made again.

    One of decimal digits alone is passed over, as Docker does it: inet_aton(3) may take such a name for an address.
    """
    tries = (_digest("sandbox", project, sandbox, str(number))[:12] for number in itertools.count())
    return next(found for found in tries if not found.isdigit())


def bridge_link(project: str, network: str) -> str:
    """Return the bridge's interface name, as Docker shapes it: br- and twelve hex digits."""
    return "br-" + _digest("bridge", project, network)[:12]


def bridge_mac(project: str, network: str) -> str:
    """Return the bridge's fixed MAC: without one it follows its lowest port's and traffic stalls."""
    return _mac(_digest("bridge", project, network))


def vxlan_link(project: str, network: str) -> str:
    """Return the name of an overlay's vxlan device on a host."""
    return "vx-" + _digest("vxlan", project, network)[:12]


def router_mac(vni: int, vtep: str) -> str:
    """Return the MAC of a host's vxlan device: each host can compute every other's."""
    return _mac(_digest("router", str(vni), vtep))


def tunnel_link(slot: str, vtep: str) -> str:
    """Return the name of a host's WireGuard link; wireguard-go's sockets have one directory for all namespaces."""
    return "wg-" + _digest("tunnel", slot, vtep)[:12]


def tunnel_label(slot: str) -> str:
    """Return the alias that marks a WireGuard link as ours, and says which it is."""
    return f"{LABEL_PREFIX}tunnel {slot}"


def veth_link(project: str, network: tuple[str, str], sandbox: str) -> str:
    """Return the host end's name. NetworkManager leaves links named veth* alone."""
    return "veth" + _digest("endpoint", project, *network, sandbox)[:11]


def shim_link(project: str, network: str) -> str:
    """Return the name of the host's own link on a macvlan or ipvlan network."""
    return "mv-" + _digest("shim", project, network)[:12]


def temporary_link_name(netns: str, name: str) -> str:
    """Return what a sandbox's link is called while it is made: older kernels (6.1) want its name to be free on the host as well."""
    return "mv-" + _digest("unborn", netns, name)[:12]


def shim_mac(project: str, network: str) -> str:
    """Return that link's MAC."""
    return _mac(_digest("shim", project, network))


def endpoint_mac(project: str, network: tuple[str, str], sandbox: str, salt: int = 0) -> str:
    """Return a sandbox's MAC on a network; neighbours' caches stay right when it is rebuilt."""
    return _mac(_digest("endpoint", project, *network, sandbox, *([str(salt)] if salt else [])))


def host_end_mac(project: str, network: tuple[str, str], sandbox: str) -> str:
    """Return the host end's MAC, set at creation because udev's MACAddressPolicy rewrites unset ones."""
    return _mac(_digest("port", project, *network, sandbox))


def link_local(mac: str) -> str:
    """Return the IPv6 link-local address that the kernel makes of a MAC (RFC 4291, appendix A)."""
    part = bytes.fromhex(mac.replace(":", ""))
    return str(
        ipaddress.IPv6Address(b"\xfe\x80" + bytes(6) + bytes([part[0] ^ 2]) + part[1:3] + b"\xff\xfe" + part[3:])
    )


def ula_seed(project: str, network: str) -> bytes:
    """Return the seven bytes after fd of a network's own IPv6 prefix (RFC 4193)."""
    return hashlib.sha256(f"ula\0{project}\0{network}".encode()).digest()[:7]


def label(project: str, name: str) -> str:
    """Return the text of an interface alias that marks an object as ours."""
    return f"{LABEL_PREFIX}{project}/{name}" if project else LABEL_PREFIX + name


def pair_label(netns: str, name: str) -> str:
    """Return the alias of both ends of a plain pair: which end is the first, and where."""
    return f"{LABEL_PREFIX}pair {netns or '-'}/{name}"


def text_digest(text: str) -> str:
    """Return a short name for a text."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _mac(digest: str) -> str:
    return "02:" + ":".join(digest[i : i + 2] for i in range(20, 30, 2))
