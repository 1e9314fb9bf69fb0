# SPDX-License-Identifier: GPL-3.0-or-later
"""Say as JSON which programs and which kernel features this host lacks.

Usage: preflight.py [FEATURE ...], each FEATURE one of OPTIONAL's keys.

The kernel is asked by doing: every object is made in a nameless network
namespace that ends with the process that asked. Asking /proc/config.gz instead
would miss modules that are configured but not installed, and those that are
blacklisted. Needs nothing but Python and, for the firewall's part, nft.
"""

from __future__ import annotations

import ctypes
import errno
import importlib.util
import json
import os
import platform
import shutil
import socket
import struct
import subprocess
import sys
import typing as t

CLONE_NEWNET = 0x40000000
RTM_NEWLINK = 16
REQUEST_CREATE_ACK = 0x1 | 0x4 | 0x400
NETLINK_NETFILTER, GET_CONNECTIONS, REQUEST_DUMP = 12, 1 << 8 | 1, 0x1 | 0x300
IFLA_IFNAME, IFLA_LINK, IFLA_LINKINFO = 3, 5, 18
INFO_KIND, INFO_DATA = 1, 2
PROGRAMS = ("nft", "dnsmasq", "ip")
SYSTEM_PATH = "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin"

CHAIN = "table inet t {{ chain c {{ type {} ; {} ; }} ; }}\n"
NAT_MAP = (
    "table inet t {\n"
    " map m { type inet_proto . inet_service : ipv4_addr . inet_service ; }\n"
    " map v { type ifname : verdict ; }\n"
    " set s { type ipv4_addr ; flags interval ; }\n"
    " chain c { type nat hook prerouting priority dstnat ; dnat ip to meta l4proto . th dport map @m ; }\n"
    "}\n"
)
RANGES = (
    "table inet t {\n"
    " map r { type ipv4_addr . inet_proto . inet_service : ipv4_addr ; flags interval ;\n"
    "  elements = { 192.0.2.1 . tcp . 7000-7999 : 198.51.100.2 } ; }\n"
    " chain c { type nat hook prerouting priority dstnat ; dnat ip to ip daddr . meta l4proto . th dport map @r ; }\n"
    "}\n"
)
PORTS = (
    "table bridge t {\n"
    " set a { typeof iifname . @th,64,128 ; }\n"
    " chain c {\n"
    "  type filter hook prerouting priority dstnat ;\n"
    "  iifgroup 1 ether saddr 02:00:00:00:00:01 drop\n"
    "  arp operation { request, reply } arp saddr ip 192.0.2.1 accept\n"
    "  icmpv6 type nd-neighbor-advert iifname . @th,64,128 != @a drop\n"
    "  icmpv6 type nd-neighbor-solicit exthdr frag exists drop\n"
    " }\n"
    "}\n"
)
NFT_FEATURES = (
    ("nftables with the inet family", "CONFIG_NF_TABLES, CONFIG_NF_TABLES_INET", "table inet t { }\n"),
    (
        "connection tracking in nftables",
        "CONFIG_NF_CONNTRACK, CONFIG_NFT_CT",
        CHAIN.format("filter hook forward priority filter", "ct state established accept"),
    ),
    (
        "NAT in nftables",
        "CONFIG_NF_NAT, CONFIG_NFT_NAT",
        CHAIN.format("nat hook prerouting priority dstnat", "tcp dport 1 dnat ip to 192.0.2.1:1"),
    ),
    (
        "masquerading in nftables",
        "CONFIG_NFT_MASQ",
        CHAIN.format("nat hook postrouting priority srcnat", "oifgroup 1 masquerade"),
    ),
    ("maps in nftables", "CONFIG_NF_TABLES with concatenated maps, Linux 5.6 or newer", NAT_MAP),
    (
        "route lookups in nftables",
        "CONFIG_NFT_FIB, CONFIG_NFT_FIB_INET, CONFIG_NFT_FIB_IPV4, CONFIG_NFT_FIB_IPV6",
        CHAIN.format("nat hook prerouting priority dstnat", "fib daddr type local accept"),
    ),
    (
        "ranges in the maps of nftables",
        "CONFIG_NF_TABLES with intervals in concatenated keys, Linux 5.6 or newer",
        RANGES,
    ),
    (
        "named counters in nftables",
        "CONFIG_NFT_COUNTER, CONFIG_NFT_OBJREF",
        'table inet t { counter n { } ; chain c { type filter hook forward priority filter ; counter name "n" drop ; } ; }\n',
    ),
    ("nftables with the bridge family", "CONFIG_NF_TABLES_BRIDGE", PORTS),
    (
        "rejecting in nftables",
        "CONFIG_NFT_REJECT, CONFIG_NFT_REJECT_INET",
        CHAIN.format("filter hook input priority filter", "reject"),
    ),
)
NUMGEN = CHAIN.format(
    "nat hook output priority -100", "tcp dport 1 dnat ip to numgen inc mod 2 map { 0 : 192.0.2.1, 1 : 192.0.2.2 }"
)
# name: (what it is, the kernel's symbol, IFLA_INFO_DATA, whether it sits on a parent)
OPTIONAL: dict[str, tuple[str, str, bytes, bool]] = {
    "vxlan": ("VXLAN links", "CONFIG_VXLAN", struct.pack("=HHI", 8, 1, 1), False),
    "macvlan": ("MACVLAN links", "CONFIG_MACVLAN", b"", True),
    "ipvlan": ("IPVLAN links", "CONFIG_IPVLAN", b"", True),
    "wireguard": ("WireGuard links", "CONFIG_WIREGUARD", b"", False),
    "ipv6": ("IPv6", "CONFIG_IPV6, and no ipv6.disable=1 on the kernel's command line", b"", False),
    "numgen": ("balancing in nftables", "CONFIG_NFT_NUMGEN", b"", False),
}
ENCRYPTION = "encryption"  # WireGuard, by the kernel or by a program


class Lack(t.NamedTuple):
    """One thing that is missing: what it is, the kernel's symbol, and how the kernel refused."""

    feature: str
    symbol: str
    reason: str


def attribute(kind: int, payload: bytes) -> bytes:
    """Return one netlink attribute, padded (rtnetlink(7))."""
    length = 4 + len(payload)
    return struct.pack("=HH", length, kind) + payload + b"\0" * (-length % 4)


def make_link(kind: str, name: str, data: bytes = b"", parent: str = "") -> None:
    """Make one link in this namespace. Raises OSError with the kernel's errno."""
    info = attribute(INFO_KIND, kind.encode() + b"\0") + (attribute(INFO_DATA, data) if data else b"")
    body = struct.pack("=BxHiII", socket.AF_UNSPEC, 0, 0, 0, 0) + attribute(IFLA_IFNAME, name.encode() + b"\0")
    if parent:
        body += attribute(IFLA_LINK, struct.pack("=I", socket.if_nametoindex(parent)))
    body += attribute(IFLA_LINKINFO, info)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as door:
        door.send(struct.pack("=IHHII", 16 + len(body), RTM_NEWLINK, REQUEST_CREATE_ACK, 1, 0) + body)
        refused = -struct.unpack_from("=i", door.recv(65536), 16)[0]
    if refused:
        raise OSError(refused, os.strerror(refused))


def link_lack(kind: str, name: str, feature: str, symbol: str, data: bytes = b"", parent: str = "") -> list[Lack]:
    """Return what the kernel says against a link of this kind, as a list of none or one."""
    try:
        make_link(kind, name, data, parent)
    except OSError as refusal:
        return [Lack(feature, symbol, f"making one fails with {errno.errorcode.get(refusal.errno, refusal.errno)}")]
    return []


def nft(text: str) -> str:
    """Load a ruleset into this namespace; return nft's complaint, or nothing."""
    fresh = "table inet t { }\ndelete table inet t\n"  # what the last probe left here
    done = subprocess.run(["nft", "-f", "-"], input=fresh + text, text=True, capture_output=True, check=False)
    return "" if done.returncode == 0 else (done.stderr.strip().splitlines() or ["nft failed without a word"])[0]


def nft_lacks() -> list[Lack]:
    """Return what the firewall's part of the kernel lacks, all of it."""
    lacks = []
    for feature, symbol, text in NFT_FEATURES:
        complaint = nft(text)
        if "syntax error" in complaint:
            lacks.append(Lack(feature, "a newer nft", complaint))
        elif complaint:
            lacks.append(Lack(feature, symbol, complaint))
    return lacks


def connections_lack() -> list[Lack]:
    """Return what the kernel says against a question about its connections (IPCTNL_MSG_CT_GET), as a list of none or one."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER) as door:
        door.send(struct.pack("=IHHIIBBH", 20, GET_CONNECTIONS, REQUEST_DUMP, 1, 0, socket.AF_INET, 0, 0))
        answer = door.recv(65536)
    refused = -struct.unpack_from("=i", answer, 16)[0] if struct.unpack_from("=H", answer, 4)[0] == 2 else 0
    if not refused:
        return []
    return [
        Lack(
            "connections by netlink",
            "CONFIG_NF_CT_NETLINK",
            f"asking fails with {errno.errorcode.get(refused, refused)}",
        )
    ]


def optional_lacks(wanted: t.Sequence[str]) -> list[Lack]:
    """Return which of the asked-for extras are missing."""
    lacks: list[Lack] = []
    for name in wanted:
        feature, symbol, data, on_parent = OPTIONAL[name]
        if name == "ipv6":
            lacks += (
                [] if os.path.exists("/proc/sys/net/ipv6") else [Lack(feature, symbol, "/proc/sys/net/ipv6 is absent")]
            )
        elif name == "numgen":
            complaint = nft(NUMGEN) if shutil.which("nft") else ""
            lacks += [Lack(feature, symbol, complaint)] if complaint else []
        else:
            lacks += link_lack(name, "x-" + name, feature, symbol, data, "probe0" if on_parent else "")
    return lacks


def kernel_lacks(wanted: t.Sequence[str]) -> list[Lack]:
    """Return what the kernel lacks; to be called once, as this process stays in the scratch namespace."""
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET):
        number = ctypes.get_errno()
        if number == errno.EPERM:
            return [
                Lack("the right to make network namespaces", "CAP_SYS_ADMIN", "unshare fails with EPERM: run as root")
            ]
        return [
            Lack(
                "network namespaces", "CONFIG_NET_NS", "unshare fails with " + errno.errorcode.get(number, str(number))
            )
        ]
    lacks = link_lack("veth", "probe0", "veth pairs", "CONFIG_VETH")
    lacks += link_lack("bridge", "probe1", "bridges", "CONFIG_BRIDGE")
    if not os.access("/proc/sys/net/ipv4/ip_forward", os.W_OK):
        lacks.append(Lack("a writable /proc/sys/net", "no symbol: a matter of mounts", "it is read-only here"))
    if shutil.which("nft"):
        lacks += nft_lacks() + connections_lack()
    return lacks + optional_lacks(wanted)


def main(wanted: t.Sequence[str]) -> dict[str, t.Any]:
    """Return all that is missing."""
    unknown = sorted(set(wanted) - {*OPTIONAL, ENCRYPTION})
    if unknown:
        raise SystemExit(
            f"preflight: unknown feature {', '.join(unknown)}; known are {', '.join(sorted((*OPTIONAL, ENCRYPTION)))}"
        )
    programs = [name for name in PROGRAMS + (("wg",) if ENCRYPTION in wanted else ()) if not shutil.which(name)]
    if importlib.util.find_spec("pyroute2") is None:
        programs.append("pyroute2")
    lacks = kernel_lacks([name for name in wanted if name != ENCRYPTION])
    # A kernel without WireGuard has a program do it.
    if ENCRYPTION in wanted and not shutil.which("wireguard-go") and link_lack("wireguard", "x-encryption", "", ""):
        programs.append("wireguard-go")
    return {
        "kernel": platform.release(),
        "python": sys.executable,
        "programs": programs,
        "features": [lack._asdict() for lack in lacks],
        "sentences": [f"{lack.feature} ({lack.symbol}): {lack.reason}" for lack in lacks],
    }


if __name__ == "__main__":
    # A login without root's PATH still has these programs.
    os.environ["PATH"] = os.environ.get("PATH", "") + ":" + SYSTEM_PATH
    os.environ["LC_ALL"] = "C"
    json.dump(main(sys.argv[1:]), sys.stdout)
