# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Kernel objects -> rtnetlink messages. The only file that imports pyroute2, which is the encoder.

A host without it still imports this file, and hears of it before anything is changed (require).
What is sent in thousands is encoded once per shape (template.Template).
"""

from __future__ import annotations

import functools
import ipaddress
import socket
import struct
import sys
import typing as t

from ..errors import DocklessError
from ..names import LAST_METRIC, LINK_GROUP, PAIR_GROUP, ROUTE_PROTOCOL, TUNNEL_GROUP
from .message_template import Template

_missing: ImportError | None = None
try:
    from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
    from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg
    from pyroute2.netlink.rtnl.ndmsg import ndmsg
    from pyroute2.netlink.rtnl.rtmsg import rtmsg
except ImportError as error:
    _missing = error
    ifaddrmsg = ifinfmsg = ndmsg = rtmsg = None

# linux/rtnetlink.h, linux/netlink.h
RTM_NEWLINK, RTM_DELLINK, RTM_SETLINK = 16, 17, 19
RTM_NEWADDR, RTM_DELADDR, RTM_NEWROUTE, RTM_DELROUTE = 20, 21, 24, 25
RTM_NEWNEIGH, RTM_DELNEIGH = 28, 29
_REQUEST, _ACK, _REPLACE, _EXCL, _CREATE = 0x1, 0x4, 0x100, 0x200, 0x400
_IFF_UP = 0x1
_IFA_F_NODAD = 0x02  # linux/if_addr.h
_ADDR_GEN_NONE = 1  # linux/if_link.h: no link-local address by itself
_SCOPE_LINK = 253
_RTNH_F_ONLINK = 0x4
_NTF_SELF, _NTF_MASTER = 0x02, 0x04  # linux/neighbour.h
_NUD_REACHABLE, _NUD_NOARP, _NUD_PERMANENT = 0x02, 0x40, 0x80
_AF_BRIDGE = 7

# A veth makes a queue for each CPU and uses one; cutting them back waits for an RCU grace period, 0.3 ms an end.
_ONE_QUEUE = (("IFLA_NUM_TX_QUEUES", 1), ("IFLA_NUM_RX_QUEUES", 1))

Attributes = list[tuple[str, t.Any]]


def require() -> None:
    """Raise DocklessError, caused by the ImportError, where pyroute2 is missing."""
    if _missing is not None:
        raise DocklessError(
            f"{sys.executable} cannot import pyroute2, which encodes messages to the kernel: {_missing}",
            "Install the distribution's python3-pyroute2, or apply the role prerequisites.",
        ) from _missing


def _encode(cls: t.Any, kind: int, flags: int, fields: t.Mapping[str, t.Any], attributes: Attributes) -> bytes:
    message = cls()
    for name, value in fields.items():
        message[name] = value
    message["attrs"] = [(name, value) for name, value in attributes if value is not None and value != ""]
    message["header"]["type"] = kind
    message["header"]["flags"] = _REQUEST | _ACK | flags
    message.encode()
    return bytes(message.data)


def _endpoint(
    name: str, mac: t.Any, mtu: int, master: int, peer: str, peer_mac: t.Any, peer_mtu: int, fd: int
) -> bytes:
    inner = [
        ("IFLA_IFNAME", peer),
        ("IFLA_ADDRESS", peer_mac),
        ("IFLA_MTU", peer_mtu),
        ("IFLA_GROUP", LINK_GROUP),
        *_ONE_QUEUE,
        ("IFLA_NET_NS_FD", fd),
    ]
    return _encode(
        ifinfmsg,
        RTM_NEWLINK,
        _CREATE | _EXCL,
        {},
        [
            ("IFLA_IFNAME", name),
            ("IFLA_ADDRESS", mac),
            ("IFLA_MTU", mtu),
            ("IFLA_GROUP", LINK_GROUP),
            ("IFLA_MASTER", master),
            *_ONE_QUEUE,
            (
                "IFLA_LINKINFO",
                {
                    "attrs": [
                        ("IFLA_INFO_KIND", "veth"),
                        (
                            "IFLA_INFO_DATA",
                            {"attrs": [("VETH_INFO_PEER", {"attrs": [pair for pair in inner if pair[1]]})]},
                        ),
                    ]
                },
            ),
        ],
    )


endpoint_pair = Template(_endpoint, "text", "mac", "u32", "u32", "text", "mac", "u32", "u32")


def _port(hairpin: bool, isolated: bool, learning: bool, ipv6: bool, name: str) -> bytes:
    no_address = {"attrs": [("AF_INET6", {"attrs": [("IFLA_INET6_ADDR_GEN_MODE", _ADDR_GEN_NONE)]})]}
    return _encode(
        ifinfmsg,
        RTM_NEWLINK,
        0,
        {},
        [
            ("IFLA_IFNAME", name),
            (
                "IFLA_LINKINFO",
                {
                    "attrs": [
                        ("IFLA_INFO_SLAVE_KIND", "bridge"),
                        (
                            "IFLA_INFO_SLAVE_DATA",
                            {
                                "attrs": [
                                    ("IFLA_BRPORT_MODE", int(hairpin)),
                                    ("IFLA_BRPORT_ISOLATED", int(isolated)),
                                    ("IFLA_BRPORT_LEARNING", int(learning)),
                                ]
                            },
                        ),
                    ]
                },
            ),
            ("IFLA_AF_SPEC", no_address if ipv6 else None),
        ],
    )


def port(name: str, hairpin: bool, isolated: bool, learning: bool, ipv6: bool) -> bytearray:
    """Return the change of a bridge port's flags (bridge(8)); it gets no IPv6 address of its own.

    Not part of the making message, where the kernel ignores the one and refuses the other.
    """
    key = hairpin, isolated, learning, ipv6
    if key not in _ports:
        _ports[key] = Template(functools.partial(_port, *key), "text")
    return _ports[key].fill(name)


def _named_up(name: str) -> bytes:
    return _encode(ifinfmsg, RTM_SETLINK, 0, {"flags": _IFF_UP, "change": _IFF_UP}, [("IFLA_IFNAME", name)])


named_up = Template(_named_up, "text")


def plain_pair(name: str, mac: str, mtu: int, fd: int, peer: str, peer_mac: str, peer_mtu: int, peer_fd: int) -> bytes:
    """Return the making of a pair whose ends are in the namespaces of two descriptors, both down."""
    inner = [
        ("IFLA_IFNAME", peer),
        ("IFLA_ADDRESS", peer_mac),
        ("IFLA_MTU", peer_mtu),
        ("IFLA_GROUP", PAIR_GROUP),
        ("IFLA_NET_NS_FD", peer_fd),
    ]
    return _encode(
        ifinfmsg,
        RTM_NEWLINK,
        _CREATE | _EXCL,
        {},
        [
            ("IFLA_IFNAME", name),
            ("IFLA_ADDRESS", mac),
            ("IFLA_MTU", mtu),
            ("IFLA_GROUP", PAIR_GROUP),
            ("IFLA_NET_NS_FD", fd),
            (
                "IFLA_LINKINFO",
                {
                    "attrs": [
                        ("IFLA_INFO_KIND", "veth"),
                        (
                            "IFLA_INFO_DATA",
                            {"attrs": [("VETH_INFO_PEER", {"attrs": [pair for pair in inner if pair[1]]})]},
                        ),
                    ]
                },
            ),
        ],
    )


def bridge(name: str, mac: str, mtu: int) -> bytes:
    """Return the making of a bridge, down, without spanning tree (IEEE 802.1D) and multicast snooping."""
    return _encode(
        ifinfmsg,
        RTM_NEWLINK,
        _CREATE | _EXCL,
        {},
        [
            ("IFLA_IFNAME", name),
            ("IFLA_ADDRESS", mac),
            ("IFLA_MTU", mtu),
            ("IFLA_GROUP", LINK_GROUP),
            (
                "IFLA_LINKINFO",
                {
                    "attrs": [
                        ("IFLA_INFO_KIND", "bridge"),
                        ("IFLA_INFO_DATA", {"attrs": [("IFLA_BR_STP_STATE", 0), ("IFLA_BR_MCAST_SNOOPING", 0)]}),
                    ]
                },
            ),
        ],
    )


_DATA: dict[str, dict[str, str]] = {
    "vxlan": {
        "id": "IFLA_VXLAN_ID",
        "learning": "IFLA_VXLAN_LEARNING",
        "local": "IFLA_VXLAN_LOCAL",
        "local6": "IFLA_VXLAN_LOCAL6",
        "port": "IFLA_VXLAN_PORT",
    },
    "vlan": {"id": "IFLA_VLAN_ID"},
    "macvlan": {"mode": "IFLA_MACVLAN_MODE"},
    "ipvlan": {"mode": "IFLA_IPVLAN_MODE"},
}


def link(
    kind: str,
    name: str,
    mac: str,
    mtu: int,
    data: t.Iterable[tuple[str, t.Any]],
    master: int = 0,
    parent: int = 0,
    fd: int = 0,
) -> bytes:
    """Return the making of a link of any kind, down. parent and master are interface numbers, fd is of the namespace it goes to; 0 is none."""
    inner = [(_DATA[kind][key], value) for key, value in data]
    return _encode(
        ifinfmsg,
        RTM_NEWLINK,
        _CREATE | _EXCL,
        {},
        [
            ("IFLA_IFNAME", name),
            ("IFLA_ADDRESS", mac),
            ("IFLA_MTU", mtu or None),
            ("IFLA_GROUP", LINK_GROUP),
            ("IFLA_MASTER", master or None),
            ("IFLA_LINK", parent or None),
            ("IFLA_NET_NS_FD", fd or None),
            (
                "IFLA_LINKINFO",
                {"attrs": [("IFLA_INFO_KIND", kind), *([("IFLA_INFO_DATA", {"attrs": inner})] if inner else [])]},
            ),
        ],
    )


def tunnel(name: str, mtu: int) -> bytes:
    """Return the making of a WireGuard link, down."""
    return _encode(
        ifinfmsg,
        RTM_NEWLINK,
        _CREATE | _EXCL,
        {},
        [
            ("IFLA_IFNAME", name),
            ("IFLA_MTU", mtu),
            ("IFLA_GROUP", TUNNEL_GROUP),
            ("IFLA_LINKINFO", {"attrs": [("IFLA_INFO_KIND", "wireguard")]}),
        ],
    )


def barrier(kind: int, destination: str) -> bytes:
    """Return the RTM_NEWROUTE (which replaces) or RTM_DELROUTE of an unreachable route that every other one goes before."""
    network = ipaddress.ip_network(destination)
    fields = {
        "family": socket.AF_INET6 if network.version == 6 else socket.AF_INET,
        "dst_len": network.prefixlen,
        "table": 254,
        "proto": ROUTE_PROTOCOL,
        "type": 7,
    }
    return _encode(
        rtmsg,
        kind,
        _CREATE | _REPLACE if kind == RTM_NEWROUTE else 0,
        fields,
        [("RTA_DST", str(network.network_address)), ("RTA_PRIORITY", LAST_METRIC)],
    )


def change_data(index: int, kind: str, data: t.Iterable[tuple[str, t.Any]]) -> bytes:
    """Return a change of what is special to a link's kind."""
    return _encode(
        ifinfmsg,
        RTM_NEWLINK,
        0,
        {"index": index},
        [
            (
                "IFLA_LINKINFO",
                {
                    "attrs": [
                        ("IFLA_INFO_KIND", kind),
                        ("IFLA_INFO_DATA", {"attrs": [(_DATA[kind][key], value) for key, value in data]}),
                    ]
                },
            )
        ],
    )


def port_settings(name: str, settings: t.Iterable[tuple[str, int]]) -> bytes:
    """Return a change of a bridge port's settings, called as by bridge(8), with underscores."""
    return _encode(
        ifinfmsg,
        RTM_NEWLINK,
        0,
        {},
        [
            ("IFLA_IFNAME", name),
            (
                "IFLA_LINKINFO",
                {
                    "attrs": [
                        ("IFLA_INFO_SLAVE_KIND", "bridge"),
                        (
                            "IFLA_INFO_SLAVE_DATA",
                            {"attrs": [("IFLA_BRPORT_" + key.upper(), value) for key, value in settings]},
                        ),
                    ]
                },
            ),
        ],
    )


def change_link(
    index: int,
    up: bool | None = None,
    mtu: int | None = None,
    master: int | None = None,
    mac: str = "",
    alias: str = "",
    group: int | None = None,
    name: str = "",
) -> bytes:
    """Return a change of a link; None and "" leave a setting as it is, master 0 releases it."""
    fields = {"index": index} if up is None else {"index": index, "flags": int(up), "change": _IFF_UP}
    return _encode(
        ifinfmsg,
        RTM_SETLINK,
        0,
        fields,
        [
            ("IFLA_MTU", mtu),
            ("IFLA_MASTER", master),
            ("IFLA_ADDRESS", mac),
            ("IFLA_IFALIAS", alias),
            ("IFLA_GROUP", group),
            ("IFLA_IFNAME", name),
        ],
    )


def _up(index: int) -> bytes:
    return change_link(index, up=True)


link_up = Template(_up, "u32")


def _mark_loopback(alias: str) -> bytes:
    return change_link(1, up=True, alias=alias, group=LINK_GROUP)


def mark_loopback(alias: str) -> bytearray:
    """Return the change that brings lo up and marks its namespace as ours. lo is always link 1."""
    return _marked.fill(alias)


def label_loopback(alias: str) -> bytearray:
    """Return the change that labels a namespace that others made and brings its lo up; "" takes our label off, no more."""
    up = {"flags": _IFF_UP, "change": _IFF_UP} if alias else {}
    return bytearray(_encode(ifinfmsg, RTM_SETLINK, 0, {"index": 1, **up}, [("IFLA_IFALIAS", alias or "\0")]))


_marked = Template(_mark_loopback, "text")


def delete_link(index: int) -> bytes:
    """Return the removal of a link; of a pair, the other end goes with it."""
    return _encode(ifinfmsg, RTM_DELLINK, 0, {"index": index}, [])


def delete_link_group(group: int) -> bytes:
    """Return the removal of every link of a group by one message: 30 times faster than one by one."""
    return _encode(ifinfmsg, RTM_DELLINK, 0, {}, [("IFLA_GROUP", group)])


def address(kind: int, index: int, cidr: str) -> bytearray:
    """Return an address's RTM_NEWADDR or RTM_DELADDR. IPv6 ones are usable at once: no duplicate detection."""
    text, slash, length = cidr.partition("/")
    key = kind, int(length), ":" in text, text.startswith(("fe80:", "169.254."))
    if key not in _addresses:
        _addresses[key] = Template(functools.partial(_address, *key), "u32", "ip")
    return _addresses[key].fill(index, text)


def _address(kind: int, length: int, six: bool, on_link: bool, index: int, text: str) -> bytes:
    fields = {
        "family": socket.AF_INET6 if six else socket.AF_INET,
        "prefixlen": length,
        "index": index,
        "flags": _IFA_F_NODAD if six else 0,
        "scope": _SCOPE_LINK if on_link else 0,
    }
    return _encode(
        ifaddrmsg,
        kind,
        _CREATE | _EXCL if kind == RTM_NEWADDR else 0,
        fields,
        [("IFA_ADDRESS", text), ("IFA_LOCAL", None if six else text)],
    )


def forwarding(kind: int, index: int, mac: str, vtep: str, flags: int) -> bytearray:
    """Return an RTM_NEWNEIGH (which replaces) or RTM_DELNEIGH of a static forwarding entry; flags are MASTER, SELF or both."""
    key = kind, len(vtep) and ":" in vtep, flags
    if key not in _forwarding:
        _forwarding[key] = Template(functools.partial(_forward, kind, flags), "u32", "mac", "ip")
    return _forwarding[key].fill(index, mac, vtep)


def _forward(kind: int, flags: int, index: int, mac: str, vtep: str | None) -> bytes:
    # Neither ages: a bridge asks for no ARP, a vxlan device for reachable as well. A permanent one would be the bridge's own.
    fields = {"family": _AF_BRIDGE, "ifindex": index, "state": _NUD_NOARP | _NUD_REACHABLE, "flags": flags}
    return _encode(
        ndmsg, kind, _CREATE | _REPLACE if kind == RTM_NEWNEIGH else 0, fields, [("NDA_LLADDR", mac), ("NDA_DST", vtep)]
    )


MASTER, SELF = _NTF_MASTER, _NTF_SELF


def neighbour(kind: int, index: int, text: str, mac: str) -> bytearray:
    """Return an RTM_NEWNEIGH (which replaces) or RTM_DELNEIGH of a permanent neighbour, marked with our protocol."""
    key = kind, ":" in text
    if key not in _neighbours:
        _neighbours[key] = Template(functools.partial(_neighbour, *key), "u32", "ip", "mac")
    return _neighbours[key].fill(index, text, mac)


def _neighbour(kind: int, six: bool, index: int, text: str, mac: str) -> bytes:
    fields = {"family": socket.AF_INET6 if six else socket.AF_INET, "ifindex": index, "state": _NUD_PERMANENT}
    message = _encode(
        ndmsg, kind, _CREATE | _REPLACE if kind == RTM_NEWNEIGH else 0, fields, [("NDA_DST", text), ("NDA_LLADDR", mac)]
    )
    # pyroute2 0.7.2 does not know NDA_PROTOCOL (12), and leaves out what it does not know.
    return struct.pack("=I", len(message) + 8) + message[4:] + struct.pack("=HHB3x", 5, 12, ROUTE_PROTOCOL)


def route(kind: int, index: int, destination: str, via: str, metric: int, onlink: bool = False) -> bytearray:
    """Return a route's RTM_NEWROUTE (which replaces one of the same key) or RTM_DELROUTE."""
    key = kind, destination, metric, onlink
    if key not in _routes:
        _routes[key] = Template(functools.partial(_route, *key), "u32", "ip")
    return _routes[key].fill(index, via)


def _route(kind: int, destination: str, metric: int, onlink: bool, index: int, via: str | None) -> bytes:
    network = ipaddress.ip_network(destination)
    six = network.version == 6
    fields = {
        "family": socket.AF_INET6 if six else socket.AF_INET,
        "dst_len": network.prefixlen,
        "table": 254,
        "proto": ROUTE_PROTOCOL,
        "type": 1,
        "scope": 0 if via or six else _SCOPE_LINK,
        "flags": _RTNH_F_ONLINK if onlink else 0,
    }
    return _encode(
        rtmsg,
        kind,
        _CREATE | _REPLACE if kind == RTM_NEWROUTE else 0,
        fields,
        [
            ("RTA_DST", str(network.network_address) if network.prefixlen else None),
            ("RTA_OIF", index),
            ("RTA_GATEWAY", via),
            ("RTA_PRIORITY", metric or None),
        ],
    )


_ports: dict[tuple[bool, bool, bool, bool], Template] = {}
_addresses: dict[tuple[int, int, bool, bool], Template] = {}
_routes: dict[tuple[int, str, int, bool], Template] = {}
_forwarding: dict[tuple[t.Any, ...], Template] = {}
_neighbours: dict[tuple[int, bool], Template] = {}
