# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Constants, paths and derived names.

Names are computed from (project, network, sandbox), so that no state is needed to find an object.
"""

from __future__ import annotations

import hashlib
import ipaddress
import itertools
import re

# ---- marks in the kernel -----------------------------------------------------

LINK_GROUP = 25707  # link group of every link of a network or sandbox; firewall rules match on it
PENDING_DELETE_GROUP = 25708  # of links that one message deletes together
PAIR_GROUP = 25709  # of plain veth pairs, which the firewall leaves alone
TUNNEL_GROUP = 25710  # of WireGuard links, which are no sandbox's side for the firewall
ROUTE_PROTOCOL = 213  # of routes and neighbours; unassigned in iproute2's rt_protos
LAST_METRIC = 0xFFFFFFF0  # of kill-switch routes: every other route goes before
TABLE = "dockless"  # the nft table, of family inet and bridge
TRANSIT_TABLE = "dockless-transit"  # table inet that keeps the host from forwarding for others
LABEL_PREFIX = "dockless "  # of an interface alias: "dockless shop/frontend"

# ---- other constants ---------------------------------------------------------

FIREWALLS = ("docker", "firewalld", "ufw")  # other firewalls that coexist may name
DEFAULT_BRIDGE_LINK = "dockless0"
INTERFACE_LIMIT = 15  # IFNAMSIZ - 1
ALIAS_LIMIT = 255  # IFALIASZ - 1
TUNNEL_SLOTS = ("a", "b")  # a host's WireGuard links: one, and a second during a key rotation
RESOLVER_ADDRESS = "127.0.0.11"
RESOLVER_PORT = 10053  # not 53, which applications may use; the sandbox's nft table translates it
FORWARDER = "@host"  # the host's resolver that sandboxes ask; no sandbox can have this name
HOST_NAMES = "@names"  # the resolver that the host asks for names of sandboxes
HOST_NAMES_ADDRESS = "127.0.0.12"

# ---- paths -------------------------------------------------------------------

NETNS_DIRECTORY = "/run/netns"
RUN_DIRECTORY = "/run/dockless"
ETC_DIRECTORY = "/etc/dockless"
NETNS_ETC_DIRECTORY = "/etc/netns"
DNS_DIRECTORY = RUN_DIRECTORY + "/dns"
HANDOVERS = DNS_DIRECTORY + "/standins"  # configurations of resolvers that answer while another one restarts
FORMER_SETTINGS = "/var/lib/dockless/prerequisites.json"  # settings before the role prerequisites changed them
TRANSIT_FILE = "/etc/nftables.d/dockless-transit.nft"  # where the role prerequisites keeps that table for the boot

# ---- names -------------------------------------------------------------------

NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,62}\Z")
INTERFACE = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_-]{0,14}\Z")
RESERVED_INTERFACES = frozenset(("all", "default", "lo"))  # below /proc/sys, the first two mean several links


def short_id(project: str, sandbox: str) -> str:
    """Return a sandbox's id: twelve hex digits like a container's short id, and the same each time it is created.

    One of decimal digits alone is skipped, as in Docker: inet_aton(3) accepts such a name as an address.
    """
    tries = (_digest("sandbox", project, sandbox, str(number))[:12] for number in itertools.count())
    return next(found for found in tries if not found.isdigit())


def bridge_link(project: str, network: str) -> str:
    """Return the name of a network's bridge: br- and twelve hex digits, as Docker forms it."""
    return "br-" + _digest("bridge", project, network)[:12]


def bridge_mac(project: str, network: str) -> str:
    """Return the MAC address of a network's bridge. Without one of its own it would change with the bridge's ports."""
    return _mac(_digest("bridge", project, network))


def vxlan_link(project: str, network: str) -> str:
    """Return the name of an overlay's vxlan device on a host."""
    return "vx-" + _digest("vxlan", project, network)[:12]


def router_mac(vni: int, vtep: str) -> str:
    """Return the MAC address of a host's vxlan device, which each other host can compute."""
    return _mac(_digest("router", str(vni), vtep))


def tunnel_link(slot: str, vtep: str) -> str:
    """Return the name of a host's WireGuard link.

    It contains the VTEP because wireguard-go keeps its sockets in one directory for all namespaces.
    """
    return "wg-" + _digest("tunnel", slot, vtep)[:12]


def tunnel_label(slot: str) -> str:
    """Return the alias that marks a WireGuard link, with its slot."""
    return f"{LABEL_PREFIX}tunnel {slot}"


def veth_link(project: str, network: tuple[str, str], sandbox: str) -> str:
    """Return the name of an endpoint's host end. NetworkManager does not touch links named veth*."""
    return "veth" + _digest("endpoint", project, *network, sandbox)[:11]


def shim_link(project: str, network: str) -> str:
    """Return the name of the host's own link on a macvlan or ipvlan network."""
    return "mv-" + _digest("shim", project, network)[:12]


def temporary_link_name(netns: str, name: str) -> str:
    """Return the name of a sandbox's link while it is created.

    Kernels up to 6.1 at least refuse the final name if an interface of the host has it.
    """
    return "mv-" + _digest("unborn", netns, name)[:12]


def shim_mac(project: str, network: str) -> str:
    """Return the MAC address of the host's own link on a macvlan network."""
    return _mac(_digest("shim", project, network))


def endpoint_mac(project: str, network: tuple[str, str], sandbox: str, salt: int = 0) -> str:
    """Return a sandbox's MAC address on a network: neighbours' caches stay valid when it is rebuilt."""
    return _mac(_digest("endpoint", project, *network, sandbox, *([str(salt)] if salt else [])))


def host_end_mac(project: str, network: tuple[str, str], sandbox: str) -> str:
    """Return the MAC address of an endpoint's host end. udev's MACAddressPolicy would change one that is not set."""
    return _mac(_digest("port", project, *network, sandbox))


def link_local(mac: str) -> str:
    """Return the IPv6 link-local address that the kernel derives from a MAC address (RFC 4291, appendix A)."""
    part = bytes.fromhex(mac.replace(":", ""))
    return str(
        ipaddress.IPv6Address(b"\xfe\x80" + bytes(6) + bytes([part[0] ^ 2]) + part[1:3] + b"\xff\xfe" + part[3:])
    )


def ula_seed(project: str, network: str) -> bytes:
    """Return the seven bytes after fd of a network's own IPv6 prefix (RFC 4193)."""
    return hashlib.sha256(f"ula\0{project}\0{network}".encode()).digest()[:7]


def label(project: str, name: str) -> str:
    """Return the interface alias that marks an object of a project."""
    return f"{LABEL_PREFIX}{project}/{name}" if project else LABEL_PREFIX + name


def pair_label(netns: str, name: str) -> str:
    """Return the alias of both ends of a plain pair: the namespace and name of the first one."""
    return f"{LABEL_PREFIX}pair {netns or '-'}/{name}"


def text_digest(text: str) -> str:
    """Return a digest of a text, 16 hex digits."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _mac(digest: str) -> str:
    return "02:" + ":".join(digest[i : i + 2] for i in range(20, 30, 2))


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
