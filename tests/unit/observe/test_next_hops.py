# SPDX-License-Identifier: GPL-3.0-or-later
"""The next hops of routes and of nexthop objects, from the kernel's messages."""

from __future__ import annotations

import socket
import struct
from ipaddress import ip_address

from _dockless.observe.next_hops import hops_of, next_hop_objects

V4, V6 = socket.AF_INET, socket.AF_INET6
OIF, GATEWAY, MULTIPATH, VIA, NH_ID = 4, 5, 9, 18, 30


def packed(address):
    return ip_address(address).packed


def nexthop(number, family=V4, gateway=None, index=2):
    """Return the row of one nexthop object."""
    attributes = {1: struct.pack("=I", number), 5: struct.pack("=I", index)}
    if gateway:
        attributes[6] = packed(gateway)
    return struct.pack("=BBBBI", family, 0, 0, 0, 0), attributes


def group(number, *members):
    """Return the row of one group of nexthop objects."""
    grouped = b"".join(struct.pack("=IBBH", member, 0, 0, 0) for member in members)
    return struct.pack("=BBBBI", 0, 0, 0, 0, 0), {1: struct.pack("=I", number), 2: grouped}


OBJECTS = next_hop_objects(
    [
        group(9, 7, 8, 3),
        nexthop(7, gateway="192.0.2.3"),
        nexthop(8, V6, "fd00::3", index=5),
        nexthop(4, index=6),
        (struct.pack("=BBBBI", V4, 0, 0, 0, 0), {1: struct.pack("=I", 3), 4: b""}),  # a blackhole
    ]
)


def test_a_route_that_names_an_object_alone():
    """As with nexthop_compat_mode 0. The gateway of an IPv4 route may be an IPv6 address."""
    hops = {number: hops_of(V4, {NH_ID: struct.pack("=I", number)}, OBJECTS) for number in (4, 7, 8, 9)}
    first, second = (2, ip_address("192.0.2.3")), (5, ip_address("fd00::3"))
    assert hops == {4: ((6, None),), 7: (first,), 8: (second,), 9: (first, second)}


def test_an_object_that_went_meanwhile_leaves_what_the_route_says():
    attributes = {NH_ID: struct.pack("=I", 99), OIF: struct.pack("=I", 2), GATEWAY: packed("192.0.2.9")}
    assert hops_of(V4, attributes, OBJECTS) == ((2, ip_address("192.0.2.9")),)


def test_a_route_with_next_hops_of_its_own():
    via = struct.pack("=H", V6) + packed("fd00::9")
    assert hops_of(V4, {OIF: struct.pack("=I", 2), VIA: via}, {}) == ((2, ip_address("fd00::9")),)
    assert hops_of(V6, {OIF: struct.pack("=I", 2)}, {}) == ((2, None),)
    gateway = struct.pack("=HH", 8, GATEWAY) + packed("192.0.2.3")
    two = struct.pack("=HBBi", 16, 0, 0, 2) + gateway + struct.pack("=HBBi", 8, 0, 0, 5)
    assert hops_of(V4, {MULTIPATH: two}, {}) == ((2, ip_address("192.0.2.3")), (5, None))
