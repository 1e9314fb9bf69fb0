# SPDX-License-Identifier: GPL-3.0-or-later
"""Print as JSON which programs and which kernel features are missing on this host.

Usage: preflight.py [FEATURE ...], each FEATURE a key of OPTIONAL or "encryption".

Each feature is tried: an object is created in an unnamed network namespace, which ends with this process.
/proc/config.gz would not show modules that are configured, but not installed or blacklisted. The script needs Python
only, and nft for the features of the firewall.
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
NLMSG_ERROR = 2
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
        "table inet t { counter n { } ; "
        'chain c { type filter hook forward priority filter ; counter name "n" drop ; } ; }\n',
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
# name: (feature, kernel symbol, IFLA_INFO_DATA, whether it needs a parent link)
OPTIONAL: dict[str, tuple[str, str, bytes, bool]] = {
    "vxlan": ("VXLAN links", "CONFIG_VXLAN", struct.pack("=HHI", 8, 1, 1), False),
    "macvlan": ("MACVLAN links", "CONFIG_MACVLAN", b"", True),
    "ipvlan": ("IPVLAN links", "CONFIG_IPVLAN", b"", True),
    "wireguard": ("WireGuard links", "CONFIG_WIREGUARD", b"", False),
    "ipv6": ("IPv6", "CONFIG_IPV6, and no ipv6.disable=1 on the kernel's command line", b"", False),
    "numgen": ("balancing in nftables", "CONFIG_NFT_NUMGEN", b"", False),
}
ENCRYPTION = "encryption"  # WireGuard in the kernel or by wireguard-go


class MissingFeature(t.NamedTuple):
    """A feature that is missing: its name, the kernel symbol, and the kernel's error."""

    feature: str
    symbol: str
    reason: str


def attribute(kind: int, payload: bytes) -> bytes:
    """Return one netlink attribute, padded (rtnetlink(7))."""
    length = 4 + len(payload)
    return struct.pack("=HH", length, kind) + payload + b"\0" * (-length % 4)


def create_link(kind: str, name: str, data: bytes = b"", parent: str = "") -> None:
    """Create one link in this namespace. Raises OSError with the kernel's errno."""
    info = attribute(INFO_KIND, kind.encode() + b"\0") + (attribute(INFO_DATA, data) if data else b"")
    body = struct.pack("=BxHiII", socket.AF_UNSPEC, 0, 0, 0, 0) + attribute(IFLA_IFNAME, name.encode() + b"\0")
    if parent:
        body += attribute(IFLA_LINK, struct.pack("=I", socket.if_nametoindex(parent)))
    body += attribute(IFLA_LINKINFO, info)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as netlink:
        netlink.send(struct.pack("=IHHII", 16 + len(body), RTM_NEWLINK, REQUEST_CREATE_ACK, 1, 0) + body)
        number = -struct.unpack_from("=i", netlink.recv(65536), 16)[0]
    if number:
        raise OSError(number, os.strerror(number))


def error_name(number: int) -> str:
    """Return the symbol of an errno, such as EPERM."""
    return errno.errorcode.get(number, str(number))


def try_link(
    kind: str, name: str, feature: str, symbol: str, data: bytes = b"", parent: str = ""
) -> list[MissingFeature]:
    """Return the feature as missing if the kernel refuses a link of this kind."""
    try:
        create_link(kind, name, data, parent)
    except OSError as error:
        return [MissingFeature(feature, symbol, f"creating one fails with {error_name(error.errno)}")]
    return []


def nft(text: str) -> str:
    """Load a ruleset into this namespace, in place of the one before. Return nft's first line of errors, or ""."""
    delete_previous = "table inet t { }\ndelete table inet t\n"
    done = subprocess.run(["nft", "-f", "-"], input=delete_previous + text, text=True, capture_output=True, check=False)
    if done.returncode == 0:
        return ""
    lines = done.stderr.strip().splitlines()
    return lines[0] if lines else f"nft fails with exit status {done.returncode}"


def missing_nft_features() -> list[MissingFeature]:
    """Return all features of the firewall that nft or the kernel does not have."""
    missing = []
    for feature, symbol, text in NFT_FEATURES:
        error = nft(text)
        if "syntax error" in error:
            missing.append(MissingFeature(feature, "a newer nft", error))
        elif error:
            missing.append(MissingFeature(feature, symbol, error))
    return missing


def try_connections() -> list[MissingFeature]:
    """Return the feature as missing if the kernel cannot list its tracked connections (IPCTNL_MSG_CT_GET)."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER) as netlink:
        netlink.send(struct.pack("=IHHIIBBH", 20, GET_CONNECTIONS, REQUEST_DUMP, 1, 0, socket.AF_INET, 0, 0))
        answer = netlink.recv(65536)
    is_error = struct.unpack_from("=H", answer, 4)[0] == NLMSG_ERROR
    number = -struct.unpack_from("=i", answer, 16)[0] if is_error else 0
    if not number:
        return []
    return [
        MissingFeature("connections by netlink", "CONFIG_NF_CT_NETLINK", f"listing fails with {error_name(number)}")
    ]


def missing_optional_features(required: t.Sequence[str]) -> list[MissingFeature]:
    """Return the optional features that are required and missing."""
    missing: list[MissingFeature] = []
    for name in required:
        feature, symbol, data, on_parent = OPTIONAL[name]
        if name == "ipv6":
            if not os.path.exists("/proc/sys/net/ipv6"):
                missing.append(MissingFeature(feature, symbol, "/proc/sys/net/ipv6 does not exist"))
        elif name == "numgen":
            error = nft(NUMGEN) if shutil.which("nft") else ""
            if error:
                missing.append(MissingFeature(feature, symbol, error))
        else:
            missing += try_link(name, "x-" + name, feature, symbol, data, "probe0" if on_parent else "")
    return missing


def missing_features(required: t.Sequence[str]) -> list[MissingFeature]:
    """Return the kernel features that are missing. Call it once only: this process stays in the unnamed namespace."""
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET):
        number = ctypes.get_errno()
        reason = f"unshare fails with {error_name(number)}"
        if number == errno.EPERM:
            return [
                MissingFeature("permission to create network namespaces", "CAP_SYS_ADMIN", reason + ": run as root")
            ]
        return [MissingFeature("network namespaces", "CONFIG_NET_NS", reason)]
    missing = try_link("veth", "probe0", "veth pairs", "CONFIG_VETH")
    missing += try_link("bridge", "probe1", "bridges", "CONFIG_BRIDGE")
    if not os.access("/proc/sys/net/ipv4/ip_forward", os.W_OK):
        missing.append(
            MissingFeature("a writable /proc/sys/net", "no symbol: it depends on the mounts", "it is mounted read-only")
        )
    if shutil.which("nft"):
        missing += missing_nft_features() + try_connections()
    return missing + missing_optional_features(required)


def missing_programs(encryption: bool) -> list[str]:
    """Return the programs and Python libraries that are missing."""
    programs = (*PROGRAMS, "wg") if encryption else PROGRAMS
    missing = [name for name in programs if not shutil.which(name)]
    if importlib.util.find_spec("pyroute2") is None:
        missing.append("pyroute2")
    return missing


def main(required: t.Sequence[str]) -> dict[str, t.Any]:
    """Return everything that is missing."""
    known = {*OPTIONAL, ENCRYPTION}
    unknown = sorted(set(required) - known)
    if unknown:
        raise SystemExit(
            f"preflight: unknown feature {', '.join(unknown)}. Known features: {', '.join(sorted(known))}."
        )
    encryption = ENCRYPTION in required
    programs = missing_programs(encryption)
    features = missing_features([name for name in required if name != ENCRYPTION])
    # wireguard-go stands in for a kernel without WireGuard.
    if encryption and not shutil.which("wireguard-go") and try_link("wireguard", "x-encryption", "", ""):
        programs.append("wireguard-go")
    return {
        "kernel": platform.release(),
        "python": sys.executable,
        "programs": programs,
        "features": [missing._asdict() for missing in features],
        "sentences": [f"{missing.feature} ({missing.symbol}): {missing.reason}" for missing in features],
    }


if __name__ == "__main__":
    # The PATH of a login that is not root's often lacks these directories.
    os.environ["PATH"] = os.environ.get("PATH", "") + ":" + SYSTEM_PATH
    os.environ["LC_ALL"] = "C"
    json.dump(main(sys.argv[1:]), sys.stdout)
