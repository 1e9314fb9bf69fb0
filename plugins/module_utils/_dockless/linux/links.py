# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Links: messages that create, change and delete them, and rows of a link dump.

Sources: rtnetlink(7), linux/if_link.h.

Messages that are sent in thousands are encoded once for each shape (message_template.Template).
"""

from __future__ import annotations

import functools
import struct
import typing as t

from ..names import LINK_GROUP, PAIR_GROUP, TUNNEL_GROUP
from . import link_kinds, netlink
from .message_template import Template
from .rtnetlink import CREATE, EXCL, RTM_DELLINK, RTM_NEWLINK, RTM_SETLINK, encode, nested

if t.TYPE_CHECKING:
    from ..state.keys import Conf
    from ..state.objects import Data

IFF_UP, IFF_NOARP = 0x1, 0x80
# A veth makes a queue for each CPU and uses one; cutting them back waits for an RCU grace period, 0.3 ms an end.
_ONE_QUEUE = (("IFLA_NUM_TX_QUEUES", 1), ("IFLA_NUM_RX_QUEUES", 1))
_NO_ATTRIBUTES: netlink.Attributes = {}
# Places in the kernel's arrays of per-interface settings: linux/ip.h counts from 1, linux/ipv6.h from 0.
_CONF4 = {
    "forwarding": 0,
    "accept_redirects": 3,
    "send_redirects": 5,
    "rp_filter": 7,
    "arp_announce": 17,
    "arp_ignore": 18,
    "arp_notify": 21,
    "route_localnet": 25,
}
_CONF6 = {"forwarding": 0, "accept_ra": 3, "autoconf": 5, "disable_ipv6": 26, "accept_dad": 27}
ADDRESS_MODE = "ipv6/addr_gen_mode"  # 1: no automatic link-local address
EVERY_SETTING: Conf = tuple(
    sorted([(f"ipv4/{name}", 0) for name in _CONF4] + [(f"ipv6/{name}", 0) for name in _CONF6] + [(ADDRESS_MODE, 0)])
)


class LinkRow(t.NamedTuple):
    """One interface as the kernel shows it.

    peer is the index of the other end of a pair, or of the parent; peer_is_elsewhere: it is in another namespace.
    master is an index too. af_spec holds the settings of each address family (IFLA_AF_SPEC), still encoded.
    """

    ifindex: int
    flags: int
    name: str
    mac: str
    mtu: int
    peer: int
    master: int
    group: int
    alias: str
    kind: str
    isolated: bool
    hairpin: bool
    learning: bool
    data: Data
    port: Conf
    af_spec: bytes
    peer_is_elsewhere: bool = False

    @property
    def arp(self) -> bool:
        """Whether the link uses ARP (netdevice(7), IFF_NOARP)."""
        return not self.flags & IFF_NOARP

    def conf(self, wanted: Conf) -> Conf:
        """Return the present values of the settings that wanted names; -1 where the kernel has none."""
        if not wanted:
            return ()
        families = netlink.nested(self.af_spec)
        return tuple((key, _setting(families, key)) for key, value in wanted)

    def settings(self) -> Conf:
        """Return all settings that dockless ever writes, to restore a link that nothing declares any more."""
        found = self.conf(EVERY_SETTING)
        return tuple((key, value) for key, value in found if value >= 0)

    def lasting(self) -> tuple[object, ...]:
        """Return the fields that stay equal unless someone changes them, unlike carriers, counters and timers."""
        families = netlink.nested(self.af_spec)
        settings = [netlink.nested(families.get(family, b"")).get(kind) for family, kind in ((2, 1), (10, 2))]
        return (self.ifindex, self.flags & (IFF_UP | IFF_NOARP), *self[2:-2], self.peer_is_elsewhere, settings)


# ---- veth pairs --------------------------------------------------------------


def _link_info(kind: str, data: t.Sequence[tuple[str, object]] = ()) -> tuple[str, object]:
    info_data = [("IFLA_INFO_DATA", nested(*data))] if data else []
    return "IFLA_LINKINFO", nested(("IFLA_INFO_KIND", kind), *info_data)


def _veth_info(peer: t.Sequence[tuple[str, object]]) -> tuple[str, object]:
    return _link_info("veth", [("VETH_INFO_PEER", nested(*(pair for pair in peer if pair[1])))])


def _encode_endpoint_pair(
    name: str, mac: str | None, mtu: int, master: int, peer: str, peer_mac: str | None, peer_mtu: int, peer_fd: int
) -> bytes:
    peer_attributes = [
        ("IFLA_IFNAME", peer),
        ("IFLA_ADDRESS", peer_mac),
        ("IFLA_MTU", peer_mtu),
        ("IFLA_GROUP", LINK_GROUP),
        *_ONE_QUEUE,
        ("IFLA_NET_NS_FD", peer_fd),
    ]
    attributes = [
        ("IFLA_IFNAME", name),
        ("IFLA_ADDRESS", mac),
        ("IFLA_MTU", mtu),
        ("IFLA_GROUP", LINK_GROUP),
        ("IFLA_MASTER", master),
        *_ONE_QUEUE,
        _veth_info(peer_attributes),
    ]
    return encode("ifinfmsg", RTM_NEWLINK, CREATE | EXCL, {}, attributes)


# Creates an endpoint's pair: name, MAC, MTU and master's index of the host end; name, MAC, MTU and namespace
# descriptor of the peer.
endpoint_pair = Template(_encode_endpoint_pair, "text", "mac", "u32", "u32", "text", "mac", "u32", "u32")


def plain_pair(name: str, mac: str, mtu: int, fd: int, peer: str, peer_mac: str, peer_mtu: int, peer_fd: int) -> bytes:
    """Return the message that creates a pair outside any network, down, each end in the namespace of a descriptor."""
    peer_attributes = [
        ("IFLA_IFNAME", peer),
        ("IFLA_ADDRESS", peer_mac),
        ("IFLA_MTU", peer_mtu),
        ("IFLA_GROUP", PAIR_GROUP),
        ("IFLA_NET_NS_FD", peer_fd),
    ]
    attributes = [
        ("IFLA_IFNAME", name),
        ("IFLA_ADDRESS", mac),
        ("IFLA_MTU", mtu),
        ("IFLA_GROUP", PAIR_GROUP),
        ("IFLA_NET_NS_FD", fd),
        _veth_info(peer_attributes),
    ]
    return encode("ifinfmsg", RTM_NEWLINK, CREATE | EXCL, {}, attributes)


# ---- other links -------------------------------------------------------------


def bridge(name: str, mac: str, mtu: int) -> bytes:
    """Return the message that creates a bridge, down, without spanning tree (IEEE 802.1D) and multicast snooping."""
    attributes = [
        ("IFLA_IFNAME", name),
        ("IFLA_ADDRESS", mac),
        ("IFLA_MTU", mtu),
        ("IFLA_GROUP", LINK_GROUP),
        _link_info("bridge", [("IFLA_BR_STP_STATE", 0), ("IFLA_BR_MCAST_SNOOPING", 0)]),
    ]
    return encode("ifinfmsg", RTM_NEWLINK, CREATE | EXCL, {}, attributes)


def create(
    kind: str, name: str, mac: str, mtu: int, settings: Data, master: int = 0, parent: int = 0, netns_fd: int = 0
) -> bytes:
    """Return the message that creates a link of any kind, down.

    master and parent are interface indexes. netns_fd is a descriptor of the namespace in which the link is created.
    0 is none.
    """
    attributes = [
        ("IFLA_IFNAME", name),
        ("IFLA_ADDRESS", mac),
        ("IFLA_MTU", mtu or None),
        ("IFLA_GROUP", LINK_GROUP),
        ("IFLA_MASTER", master or None),
        ("IFLA_LINK", parent or None),
        ("IFLA_NET_NS_FD", netns_fd or None),
        _link_info(kind, link_kinds.encode_settings(kind, settings)),
    ]
    return encode("ifinfmsg", RTM_NEWLINK, CREATE | EXCL, {}, attributes)


def wireguard(name: str, mtu: int) -> bytes:
    """Return the message that creates a WireGuard link, down."""
    attributes = [
        ("IFLA_IFNAME", name),
        ("IFLA_MTU", mtu),
        ("IFLA_GROUP", TUNNEL_GROUP),
        _link_info("wireguard"),
    ]
    return encode("ifinfmsg", RTM_NEWLINK, CREATE | EXCL, {}, attributes)


def change_settings(index: int, kind: str, settings: Data) -> bytes:
    """Return the message that changes the settings of a link's own kind."""
    info = _link_info(kind, link_kinds.encode_settings(kind, settings))
    return encode("ifinfmsg", RTM_NEWLINK, 0, {"index": index}, [info])


def change(
    index: int,
    up: bool | None = None,
    mtu: int | None = None,
    master: int | None = None,
    mac: str = "",
    alias: str = "",
    group: int | None = None,
    name: str = "",
    arp: bool | None = None,
) -> bytes:
    """Return the message that changes a link. None and "" leave a setting as it is; master 0 releases the link."""
    flags = mask = 0
    if up is not None:
        flags, mask = (IFF_UP if up else 0), IFF_UP
    if arp is not None:
        flags, mask = flags | _arp_flag(arp), mask | IFF_NOARP
    fields = {"index": index}
    if mask:
        fields.update(flags=flags, change=mask)
    attributes = [
        ("IFLA_MTU", mtu),
        ("IFLA_MASTER", master),
        ("IFLA_ADDRESS", mac),
        ("IFLA_IFALIAS", alias),
        ("IFLA_GROUP", group),
        ("IFLA_IFNAME", name),
    ]
    return encode("ifinfmsg", RTM_SETLINK, 0, fields, attributes)


def _arp_flag(arp: bool) -> int:
    return 0 if arp else IFF_NOARP


def _encode_up(index: int) -> bytes:
    return change(index, up=True)


def _encode_named_up(name: str) -> bytes:
    return encode("ifinfmsg", RTM_SETLINK, 0, {"flags": IFF_UP, "change": IFF_UP}, [("IFLA_IFNAME", name)])


up = Template(_encode_up, "u32")  # by index
named_up = Template(_encode_named_up, "text")  # by name


def delete(index: int) -> bytes:
    """Return the message that deletes a link; the other end of a pair goes with it."""
    return encode("ifinfmsg", RTM_DELLINK, 0, {"index": index}, [])


def delete_group(group: int) -> bytes:
    """Return the message that deletes every link of a group: 30 times faster than one by one."""
    return encode("ifinfmsg", RTM_DELLINK, 0, {}, [("IFLA_GROUP", group)])


# ---- bridge ports ------------------------------------------------------------


def _port_info(settings: t.Iterable[tuple[str, int]]) -> tuple[str, object]:
    data = nested(*(("IFLA_BRPORT_" + name, value) for name, value in settings))
    return "IFLA_LINKINFO", nested(("IFLA_INFO_SLAVE_KIND", "bridge"), ("IFLA_INFO_SLAVE_DATA", data))


def _encode_port_flags(hairpin: bool, isolated: bool, learning: bool, arp: bool, name: str) -> bytes:
    flags = (("MODE", int(hairpin)), ("ISOLATED", int(isolated)), ("LEARNING", int(learning)))
    attributes = [("IFLA_IFNAME", name), _port_info(flags)]
    return encode("ifinfmsg", RTM_NEWLINK, 0, {"flags": _arp_flag(arp), "change": IFF_NOARP}, attributes)


@functools.cache
def _port_flags_template(hairpin: bool, isolated: bool, learning: bool, arp: bool) -> Template:
    return Template(functools.partial(_encode_port_flags, hairpin, isolated, learning, arp), "text")


def port_flags(name: str, hairpin: bool, isolated: bool, learning: bool, arp: bool) -> bytearray:
    """Return the message that sets a bridge port's flags (bridge(8)), and whether the link itself uses ARP.

    These cannot be part of the message that creates the link: the kernel ignores the port's flags there.
    """
    return _port_flags_template(hairpin, isolated, learning, arp).fill(name)


def port_settings(name: str, settings: Conf) -> bytes:
    """Return the message that changes a bridge port's settings, by the names of bridge(8) with underscores."""
    upper = [(key.upper(), value) for key, value in settings]
    return encode("ifinfmsg", RTM_NEWLINK, 0, {}, [("IFLA_IFNAME", name), _port_info(upper)])


# ---- lo, which has the mark of its namespace ---------------------------------


def _encode_mark_loopback(alias: str) -> bytes:
    return change(1, up=True, alias=alias, group=LINK_GROUP)


_mark_loopback = Template(_encode_mark_loopback, "text")


def mark_loopback(alias: str) -> bytearray:
    """Return the message that brings lo up and marks its namespace as created by dockless. lo always has index 1."""
    return _mark_loopback.fill(alias)


def label_loopback(alias: str) -> bytearray:
    """Return the message that labels an attached namespace and brings its lo up; "" only removes the label."""
    fields = {"index": 1}
    if alias:
        fields.update(flags=IFF_UP, change=IFF_UP)
    return bytearray(encode("ifinfmsg", RTM_SETLINK, 0, fields, [("IFLA_IFALIAS", alias or "\0")]))


# ---- reading -----------------------------------------------------------------


def decode(fixed: bytes, attributes: netlink.Attributes) -> LinkRow:
    """Return a row of a link dump. The numbers are IFLA_*, IFLA_INFO_* and IFLA_BRPORT_* of linux/if_link.h."""
    index, flags = struct.unpack_from("=iI", fixed, 4)
    info = netlink.nested(attributes[18]) if 18 in attributes else _NO_ATTRIBUTES
    kind = netlink.text(info.get(1))
    data = link_kinds.decode_settings(kind, netlink.nested(info[2])) if kind != "veth" and 2 in info else ()
    is_port = 5 in info and info.get(4) == b"bridge\0"
    port = netlink.nested(info[5]) if is_port else _NO_ATTRIBUTES
    number = netlink.number
    return LinkRow(
        index,
        flags,
        netlink.text(attributes.get(3)),
        attributes.get(1, b"").hex(":"),
        number(attributes.get(4)),
        number(attributes.get(5)),
        number(attributes.get(10)),
        number(attributes.get(27)),
        netlink.text(attributes.get(20)),
        kind,
        port.get(33) == b"\1",
        port.get(4) == b"\1",
        port.get(8) != b"\0",
        data,
        link_kinds.decode_port(port) if kind == "vxlan" else (),
        attributes.get(26, b""),
        37 in attributes,
    )


def _setting(families: netlink.Attributes, key: str) -> int:
    family, _slash, name = key.partition("/")
    number, places, inner = (2, _CONF4, 1) if family == "ipv4" else (10, _CONF6, 2)
    attributes = netlink.nested(families.get(number, b""))
    if key == ADDRESS_MODE:
        return netlink.number(attributes.get(8), -1)
    values = attributes.get(inner)
    if values is None or len(values) < 4 * places[name] + 4:
        return -1
    return int(struct.unpack_from("=i", values, 4 * places[name])[0])
