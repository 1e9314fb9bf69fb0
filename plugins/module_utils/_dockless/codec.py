# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Kernel objects -> rtnetlink messages. The only file that imports pyroute2, which is the encoder.

A host without it still imports this file, and hears of it before anything is changed (require).

Encoding a pair of links by pyroute2 takes 0.17 ms, a quarter of what the kernel
needs to make it. So a shape is encoded once and what differs from one endpoint
to the next is put in its place (Template).
"""
from __future__ import annotations

import functools
import ipaddress
import socket
import struct
import sys
import typing as t

from . import names
from .errors import DocklessError

_missing: t.Optional[ImportError] = None
try:
    from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
    from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg
    from pyroute2.netlink.rtnl.rtmsg import rtmsg
except ImportError as error:
    _missing = error
    ifaddrmsg = ifinfmsg = rtmsg = None

# linux/rtnetlink.h, linux/netlink.h
RTM_NEWLINK, RTM_DELLINK, RTM_SETLINK = 16, 17, 19
RTM_NEWADDR, RTM_DELADDR, RTM_NEWROUTE, RTM_DELROUTE = 20, 21, 24, 25
_REQUEST, _ACK, _REPLACE, _EXCL, _CREATE = 0x1, 0x4, 0x100, 0x200, 0x400
_IFF_UP = 0x1
_IFA_F_NODAD = 0x02  # linux/if_addr.h
_ADDR_GEN_NONE = 1  # linux/if_link.h: no link-local address by itself
_SCOPE_LINK = 253

# A veth makes a queue for each CPU and uses one; cutting them back waits for an RCU grace period, 0.3 ms an end.
_ONE_QUEUE = (("IFLA_NUM_TX_QUEUES", 1), ("IFLA_NUM_RX_QUEUES", 1))

Attributes = t.List[t.Tuple[str, t.Any]]


def require() -> None:
    """Raise DocklessError, caused by the ImportError, where pyroute2 is missing."""
    if _missing is not None:
        raise DocklessError(f"{sys.executable} cannot import pyroute2, which encodes messages to the kernel: {_missing}",
                            "Install the distribution's python3-pyroute2, or apply the role prerequisites.") from _missing


class Template:
    """A message encoded once per shape.

    Slots are text (a name), mac, ip or u32; an empty value leaves its attribute
    out, which makes another shape. A value may stand in several places.
    """

    def __init__(self, build: t.Callable[..., bytes], *slots: str) -> None:
        self._build = build
        self._slots = slots
        self._shapes: t.Dict[t.Tuple[int, ...], t.Tuple[bytes, t.Tuple[t.Tuple[int, ...], ...]]] = {}

    def fill(self, *values: t.Any) -> bytearray:
        """Return the message with the values in place."""
        wire = [_WIRE[slot](value) for slot, value in zip(self._slots, values)]
        shape = tuple(map(len, wire))
        if shape not in self._shapes:
            self._shapes[shape] = self._encode(shape)
        model, offsets = self._shapes[shape]
        message = bytearray(model)
        for places, part in zip(offsets, wire):
            for place in places:
                message[place:place + len(part)] = part
        return message

    def _encode(self, shape: t.Tuple[int, ...]) -> t.Tuple[bytes, t.Tuple[t.Tuple[int, ...], ...]]:
        marks = [_MARK[slot](number, length) if length else None
                 for number, (slot, length) in enumerate(zip(self._slots, shape), 1)]
        model = self._build(*marks)
        parts = [_WIRE[slot](mark) for slot, mark in zip(self._slots, marks)]
        return model, tuple(_places(model, part) for part in parts)


def _places(model: bytes, part: bytes) -> t.Tuple[int, ...]:
    found = []
    place = model.find(part) if part else -1
    while place >= 0:
        found.append(place)
        place = model.find(part, place + len(part))
    if part and not found:
        raise AssertionError("a slot of a netlink message is not to be found")
    return tuple(found)


def _mac_bytes(mac: t.Optional[str]) -> bytes:
    return bytes.fromhex(mac.replace(":", "")) if mac else b""


def _mac_mark(number: int, length: int) -> str:
    return f"a5:5a:c3:3c:96:{number:02x}"


def _ip_mark(number: int, length: int) -> str:
    return socket.inet_ntop(socket.AF_INET if length == 4 else socket.AF_INET6, bytes(range(201, 201 + length)))


def _ip_bytes(text: t.Optional[str]) -> bytes:
    if not text:
        return b""
    return socket.inet_pton(socket.AF_INET6 if ":" in text else socket.AF_INET, text)


def _text_mark(number: int, length: int) -> str:
    return (chr(96 + number) * length)[:length - 1]


_WIRE: t.Dict[str, t.Callable[[t.Any], bytes]] = {
    "text": lambda value: value.encode() + b"\0" if value else b"",
    "mac": _mac_bytes,
    "ip": _ip_bytes,
    "u32": lambda value: b"" if value is None else struct.pack("=I", value),
}
_MARK: t.Dict[str, t.Callable[[int, int], t.Any]] = {
    "text": _text_mark, "mac": _mac_mark, "ip": _ip_mark, "u32": lambda number, length: 0x7EC3A500 + number}


def _encode(cls: t.Any, kind: int, flags: int, fields: t.Mapping[str, t.Any], attributes: Attributes) -> bytes:
    message = cls()
    for name, value in fields.items():
        message[name] = value
    message["attrs"] = [(name, value) for name, value in attributes if value is not None and value != ""]
    message["header"]["type"] = kind
    message["header"]["flags"] = _REQUEST | _ACK | flags
    message.encode()
    return bytes(message.data)


def _endpoint(name: str, mac: t.Any, mtu: int, master: int, peer: str, peer_mac: t.Any, peer_mtu: int, fd: int) -> bytes:
    inner = [("IFLA_IFNAME", peer), ("IFLA_ADDRESS", peer_mac), ("IFLA_MTU", peer_mtu),
             ("IFLA_GROUP", names.LINK_GROUP), *_ONE_QUEUE, ("IFLA_NET_NS_FD", fd)]
    return _encode(ifinfmsg, RTM_NEWLINK, _CREATE | _EXCL, {}, [
        ("IFLA_IFNAME", name), ("IFLA_ADDRESS", mac), ("IFLA_MTU", mtu), ("IFLA_GROUP", names.LINK_GROUP),
        ("IFLA_MASTER", master), *_ONE_QUEUE,
        ("IFLA_LINKINFO", {"attrs": [("IFLA_INFO_KIND", "veth"), ("IFLA_INFO_DATA", {"attrs": [
            ("VETH_INFO_PEER", {"attrs": [pair for pair in inner if pair[1]]})]})]})])


endpoint_pair = Template(_endpoint, "text", "mac", "u32", "u32", "text", "mac", "u32", "u32")


def _port(hairpin: bool, isolated: bool, ipv6: bool, name: str) -> bytes:
    no_address = {"attrs": [("AF_INET6", {"attrs": [("IFLA_INET6_ADDR_GEN_MODE", _ADDR_GEN_NONE)]})]}
    return _encode(ifinfmsg, RTM_NEWLINK, 0, {}, [
        ("IFLA_IFNAME", name),
        ("IFLA_LINKINFO", {"attrs": [("IFLA_INFO_SLAVE_KIND", "bridge"), ("IFLA_INFO_SLAVE_DATA", {"attrs": [
            ("IFLA_BRPORT_MODE", int(hairpin)), ("IFLA_BRPORT_ISOLATED", int(isolated))]})]}),
        ("IFLA_AF_SPEC", no_address if ipv6 else None)])


def port(name: str, hairpin: bool, isolated: bool, ipv6: bool) -> bytearray:
    """Return the change of a bridge port's flags (bridge(8)); it gets no IPv6 address of its own.

    Not part of the making message, where the kernel ignores the one and refuses the other.
    """
    key = hairpin, isolated, ipv6
    if key not in _ports:
        _ports[key] = Template(functools.partial(_port, *key), "text")
    return _ports[key].fill(name)


def _named_up(name: str) -> bytes:
    return _encode(ifinfmsg, RTM_SETLINK, 0, {"flags": _IFF_UP, "change": _IFF_UP}, [("IFLA_IFNAME", name)])


named_up = Template(_named_up, "text")


def plain_pair(name: str, mac: str, mtu: int, fd: int, peer: str, peer_mac: str, peer_mtu: int, peer_fd: int) -> bytes:
    """Return the making of a pair whose ends are in the namespaces of two descriptors, both down."""
    inner = [("IFLA_IFNAME", peer), ("IFLA_ADDRESS", peer_mac), ("IFLA_MTU", peer_mtu),
             ("IFLA_GROUP", names.PAIR_GROUP), ("IFLA_NET_NS_FD", peer_fd)]
    return _encode(ifinfmsg, RTM_NEWLINK, _CREATE | _EXCL, {}, [
        ("IFLA_IFNAME", name), ("IFLA_ADDRESS", mac), ("IFLA_MTU", mtu), ("IFLA_GROUP", names.PAIR_GROUP),
        ("IFLA_NET_NS_FD", fd),
        ("IFLA_LINKINFO", {"attrs": [("IFLA_INFO_KIND", "veth"), ("IFLA_INFO_DATA", {"attrs": [
            ("VETH_INFO_PEER", {"attrs": [pair for pair in inner if pair[1]]})]})]})])


def bridge(name: str, mac: str, mtu: int) -> bytes:
    """Return the making of a bridge, down, without spanning tree (IEEE 802.1D) and multicast snooping."""
    return _encode(ifinfmsg, RTM_NEWLINK, _CREATE | _EXCL, {}, [
        ("IFLA_IFNAME", name), ("IFLA_ADDRESS", mac), ("IFLA_MTU", mtu), ("IFLA_GROUP", names.LINK_GROUP),
        ("IFLA_LINKINFO", {"attrs": [("IFLA_INFO_KIND", "bridge"), ("IFLA_INFO_DATA", {"attrs": [
            ("IFLA_BR_STP_STATE", 0), ("IFLA_BR_MCAST_SNOOPING", 0)]})]})])


def change_link(index: int, up: t.Optional[bool] = None, mtu: t.Optional[int] = None, master: t.Optional[int] = None,
                mac: str = "", alias: str = "", group: t.Optional[int] = None) -> bytes:
    """Return a change of a link; None and "" leave a setting as it is, master 0 releases it."""
    fields = {"index": index} if up is None else {"index": index, "flags": int(up), "change": _IFF_UP}
    return _encode(ifinfmsg, RTM_SETLINK, 0, fields, [
        ("IFLA_MTU", mtu), ("IFLA_MASTER", master), ("IFLA_ADDRESS", mac), ("IFLA_IFALIAS", alias), ("IFLA_GROUP", group)])


def _up(index: int) -> bytes:
    return change_link(index, up=True)


link_up = Template(_up, "u32")


def _mark_loopback(alias: str) -> bytes:
    return change_link(1, up=True, alias=alias, group=names.LINK_GROUP)


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


def delete_group(group: int) -> bytes:
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
    fields = {"family": socket.AF_INET6 if six else socket.AF_INET, "prefixlen": length, "index": index,
              "flags": _IFA_F_NODAD if six else 0, "scope": _SCOPE_LINK if on_link else 0}
    return _encode(ifaddrmsg, kind, _CREATE | _EXCL if kind == RTM_NEWADDR else 0, fields,
                   [("IFA_ADDRESS", text), ("IFA_LOCAL", None if six else text)])


def route(kind: int, index: int, destination: str, via: str, metric: int) -> bytearray:
    """Return a route's RTM_NEWROUTE (which replaces one of the same key) or RTM_DELROUTE."""
    key = kind, destination, metric
    if key not in _routes:
        _routes[key] = Template(functools.partial(_route, *key), "u32", "ip")
    return _routes[key].fill(index, via)


def _route(kind: int, destination: str, metric: int, index: int, via: t.Optional[str]) -> bytes:
    network = ipaddress.ip_network(destination)
    six = network.version == 6
    fields = {"family": socket.AF_INET6 if six else socket.AF_INET, "dst_len": network.prefixlen, "table": 254,
              "proto": names.ROUTE_PROTOCOL, "type": 1, "scope": 0 if via or six else _SCOPE_LINK}
    return _encode(rtmsg, kind, _CREATE | _REPLACE if kind == RTM_NEWROUTE else 0, fields, [
        ("RTA_DST", str(network.network_address) if network.prefixlen else None), ("RTA_OIF", index),
        ("RTA_GATEWAY", via), ("RTA_PRIORITY", metric or None)])


_ports: t.Dict[t.Tuple[bool, bool, bool], Template] = {}
_addresses: t.Dict[t.Tuple[int, int, bool, bool], Template] = {}
_routes: t.Dict[t.Tuple[int, str, int], Template] = {}
