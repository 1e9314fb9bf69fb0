# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Types of IP addresses and networks, and arithmetic on them."""

from __future__ import annotations

import functools
import ipaddress
import typing as t

IPAddress = t.Union[ipaddress.IPv4Address, ipaddress.IPv6Address]
IPNetwork = t.Union[ipaddress.IPv4Network, ipaddress.IPv6Network]

MAPPED = ipaddress.IPv6Network("::ffff:0:0/96")  # IPv4-mapped IPv6 addresses (RFC 4291, 2.5.5.2)
LINK_LOCAL = ipaddress.IPv6Network("fe80::/10")


def overlaps(network: IPNetwork, others: t.Iterable[IPNetwork]) -> IPNetwork | None:
    """Return the first of others that shares an address with network."""
    for other in others:
        if other.version == network.version and network.overlaps(other):
            return other
    return None


def address_in(cidr: str) -> IPAddress:
    """Return the address of a CIDR, or of an address without prefix length. Raises ValueError."""
    return ipaddress.ip_address(cidr.partition("/")[0])


@functools.lru_cache(maxsize=4096)
def parse_address(value: str) -> IPAddress | None:
    """Return the address in a text, None if it is not one. An IPv6 scope (fe80::1%eth0) is not accepted."""
    try:
        return None if "%" in value else ipaddress.ip_address(value)
    except ValueError:
        return None


def is_address(value: str) -> bool:
    """Return whether the text is an IP address."""
    return parse_address(value) is not None


def network_of(address: IPAddress, prefix_length: int) -> IPNetwork:
    """Return the network that an address of this prefix length lies in."""
    return ipaddress.ip_network(f"{address}/{prefix_length}", strict=False)


def is_within(part: IPNetwork, whole: IPNetwork) -> bool:
    """Return whether part lies in whole. Networks of two families never do."""
    return part.version == whole.version and part.subnet_of(whole)  # type: ignore[arg-type]  # one family, see above


def shared_addresses(subnet: IPNetwork) -> tuple[IPAddress, ...]:
    """Return the addresses of a subnet at which every host on the link listens, or every router.

    IPv4: the broadcast address, and the first one, which Linux before 5.14 treats as such. IPv6: the subnet-router
    anycast address (RFC 4291, 2.6.1).
    """
    if subnet.prefixlen >= subnet.max_prefixlen - 1:  # a link of two hosts has none (RFC 3021, RFC 6164)
        return ()
    if subnet.version == 6:
        return (subnet.network_address,)
    return (subnet.network_address, subnet.broadcast_address)
