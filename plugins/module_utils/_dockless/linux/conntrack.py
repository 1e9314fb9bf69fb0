# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""The kernel's table of connections (linux/netfilter/nfnetlink_conntrack.h): read, and single ones cut."""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import socket
import struct
import typing as t

from ..errors import KernelError
from ..firewall import stale_connections
from ..firewall.stale_connections import SCTP, TCP, UDP, Flow
from ..model.host import IPAddress
from . import netlink
from .netlink import ADDRESSES, NETLINK_NETFILTER, RTM_GETADDR, Attributes, Socket

_GET, _DELETE = 1 << 8 | 1, 1 << 8 | 2  # NFNL_SUBSYS_CTNETLINK
_TUPLE_ORIG, _TUPLE_REPLY, _STATUS = 1, 2, 3  # CTA_*
_TUPLE_IP, _TUPLE_PROTO = 1, 2
_NESTED = 0x8000
_DST_NAT = 1 << 5  # IPS_DST_NAT
_REQUEST, _ACK = 0x1, 0x4
_GONE = frozenset((errno.ENOENT,))


class _Tracked(t.NamedTuple):
    flow: Flow
    family: int
    original: bytes  # the tuple that it is known by, as the kernel told it


def follow(before: str, after: str) -> int:
    """Cut what a change of our host's table, from one nft text to another, leaves without ground; return how many.

    Raises KernelError where the kernel refuses; a connection that ended meanwhile is none.
    """
    changed = stale_connections.rule_change(before, after)
    if changed is None:
        return 0
    with Socket(NETLINK_NETFILTER) as door:
        by_flow = {each.flow: each for each in _tracked(door)}
        doomed = list(stale_connections.stale(by_flow, changed, _local() if by_flow else ()))
        refusals = [r for r in door.flight([_deletion(by_flow[flow]) for flow in doomed]) if r.errno not in _GONE]
    if refusals:
        raise KernelError(
            f"a connection to a port that is no longer published cannot be cut: {refusals[0].text or refusals[0].errno}",
            refusals[0].errno,
            "Is nf_conntrack_netlink there?",
        )
    return len(doomed)


def forget(target: IPAddress, port: int) -> None:
    """Have UDP senders of this thread's namespace that are translated to this address and port translated anew, where the kernel can do that."""
    with contextlib.suppress(OSError), Socket(NETLINK_NETFILTER) as door:
        door.flight(
            [
                _deletion(each)
                for each in _tracked(door)
                if each.flow.translated
                and each.flow.protocol == UDP
                and (each.flow.target, each.flow.target_port) == (target, port)
            ]
        )


def _tracked(door: Socket) -> list[_Tracked]:
    found = []
    for family in (socket.AF_INET, socket.AF_INET6):
        for _fixed, attributes in door.dump(_GET, struct.pack("=BBH", family, 0, 0)):
            original, reply = netlink.nested(attributes[_TUPLE_ORIG]), netlink.nested(attributes[_TUPLE_REPLY])
            protocol, source, source_port, address, port = _tuple(original)
            _same, target, target_port, _back, _port = _tuple(reply)
            if protocol in (TCP, UDP, SCTP):
                translated = bool(struct.unpack(">I", attributes[_STATUS])[0] & _DST_NAT)
                flow = Flow(protocol, source, source_port, address, port, target, target_port, translated)
                found.append(_Tracked(flow, family, attributes[_TUPLE_ORIG]))
    return found


def _tuple(attributes: Attributes) -> tuple[int, IPAddress, int, IPAddress, int]:
    """Return protocol, source and its port, destination and its port."""
    ends, transport = netlink.nested(attributes[_TUPLE_IP]), netlink.nested(attributes[_TUPLE_PROTO])
    source, target = (ends[1], ends[2]) if 1 in ends else (ends[3], ends[4])
    first, second = (struct.unpack(">H", transport[key])[0] if key in transport else 0 for key in (2, 3))
    return transport[1][0], ipaddress.ip_address(source), first, ipaddress.ip_address(target), second


def _deletion(tracked: _Tracked) -> bytearray:
    body = struct.pack("=BBH", tracked.family, 0, 0)
    body += struct.pack("=HH", 4 + len(tracked.original), _TUPLE_ORIG | _NESTED) + tracked.original
    return bytearray(struct.pack("=IHHII", 16 + len(body), _DELETE, _REQUEST | _ACK, 0, 0) + body)


def _local() -> set[IPAddress]:
    with Socket() as door:
        rows = door.dump(RTM_GETADDR, ADDRESSES)
    return {
        ipaddress.ip_address(attributes.get(2, attributes.get(1))) for _fixed, attributes in rows if 1 in attributes
    }
