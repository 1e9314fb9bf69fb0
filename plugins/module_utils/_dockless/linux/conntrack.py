# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Reads the kernel's table of connections and deletes single entries (linux/netfilter/nfnetlink_conntrack.h)."""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
import struct
import typing as t

from ..errors import KernelError
from ..firewall import stale_connections
from ..firewall.nft_text import Elements
from ..firewall.stale_connections import ICMP, ICMPV6, SCTP, TCP, UDP, Flow
from ..model.addresses import IPAddress
from . import netlink
from .netlink import ADDRESSES, NETLINK_NETFILTER, RTM_GETADDR, Attributes, Socket

_GET, _DELETE = 1 << 8 | 1, 1 << 8 | 2  # NFNL_SUBSYS_CTNETLINK; IPCTNL_MSG_CT_*
_TUPLE_ORIG, _TUPLE_REPLY, _STATUS = 1, 2, 3  # CTA_*
_TUPLE_IP, _TUPLE_PROTO = 1, 2
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_NESTED = 0x8000  # NLA_F_NESTED
_DST_NAT = 1 << 5  # IPS_DST_NAT
_REQUEST, _ACK = 0x1, 0x4


class _Tracked(t.NamedTuple):
    flow: Flow
    family: int
    original: bytes  # the tuple that identifies it, as the kernel encodes it


def follow(before: Elements, after: Elements) -> int:
    """Delete the connections that a change of the host's firewall makes stale, and return how many.

    A connection that ends in the meantime is no error. Raises KernelError.
    """
    change = stale_connections.rule_change(before, after)
    if change is None:
        return 0
    with Socket(NETLINK_NETFILTER) as sock:
        by_flow = {each.flow: each for each in _connections(sock)}
        stale = list(stale_connections.stale(by_flow, change, _local_addresses() if by_flow else ()))
        refusals = sock.flight([_deletion(by_flow[flow]) for flow in stale])
    failures = [refusal for refusal in refusals if refusal.errno != errno.ENOENT]
    if failures:
        reason = failures[0].text or os.strerror(failures[0].errno)
        raise KernelError(
            f"a connection to a port that is no longer published cannot be deleted: {reason}",
            failures[0].errno,
            "Load the kernel module nf_conntrack_netlink.",
        )
    return len(stale)


def _connections(sock: Socket) -> list[_Tracked]:
    found = []
    for family in (socket.AF_INET, socket.AF_INET6):
        for _fixed, attributes in sock.dump(_GET, struct.pack("=BBH", family, 0, 0)):
            original, reply = netlink.nested(attributes[_TUPLE_ORIG]), netlink.nested(attributes[_TUPLE_REPLY])
            protocol, source, source_port, address, port = _tuple(original)
            _protocol, target, target_port, _destination, _destination_port = _tuple(reply)
            if protocol in (TCP, UDP, SCTP, ICMP, ICMPV6):
                translated = bool(struct.unpack(">I", attributes[_STATUS])[0] & _DST_NAT)
                flow = Flow(protocol, source, source_port, address, port, target, target_port, translated)
                found.append(_Tracked(flow, family, attributes[_TUPLE_ORIG]))
    return found


def _tuple(attributes: Attributes) -> tuple[int, IPAddress, int, IPAddress, int]:
    """Return protocol, source address and port, destination address and port."""
    ends, transport = netlink.nested(attributes[_TUPLE_IP]), netlink.nested(attributes[_TUPLE_PROTO])
    source, target = (ends[1], ends[2]) if 1 in ends else (ends[3], ends[4])
    first, second = (struct.unpack(">H", transport[key])[0] if key in transport else 0 for key in (2, 3))
    return transport[1][0], ipaddress.ip_address(source), first, ipaddress.ip_address(target), second


def _deletion(tracked: _Tracked) -> bytearray:
    body = struct.pack("=BBH", tracked.family, 0, 0)
    body += struct.pack("=HH", 4 + len(tracked.original), _TUPLE_ORIG | _NESTED) + tracked.original
    return bytearray(struct.pack("=IHHII", 16 + len(body), _DELETE, _REQUEST | _ACK, 0, 0) + body)


def _local_addresses() -> set[IPAddress]:
    """Return the addresses of this thread's namespace."""
    found = set()
    with Socket() as sock:
        for _fixed, attributes in sock.dump(RTM_GETADDR, ADDRESSES):
            # IPv4 has both: on a point-to-point link IFA_ADDRESS is the other end's.
            packed = attributes.get(_IFA_LOCAL) or attributes.get(_IFA_ADDRESS)
            if packed:
                found.add(ipaddress.ip_address(packed))
    return found
