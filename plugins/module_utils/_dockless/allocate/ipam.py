# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Subnets and addresses: what is fixed first, then what was given before, then the lowest free."""

from __future__ import annotations

import ipaddress
import typing as t

from .. import names
from ..errors import DocklessError
from ..model import addresses
from ..model.host import Defaults, Endpoint, IPNetwork, Network, Subnet

# What Docker hands out: 172.17 to 172.31 as /16, then 192.168.0.0/16 as /20.
POOLS: tuple[tuple[IPNetwork, int], ...] = tuple(
    (ipaddress.ip_network(f"172.{n}.0.0/16"), 16) for n in range(17, 32)
) + ((ipaddress.ip_network("192.168.0.0/16"), 20),)
IPV6_PREFIX_LENGTH = 64


class Span(t.NamedTuple):
    """A subnet as numbers: addresses first..last may be given out."""

    version: int
    low: int
    high: int


def free_subnet(
    version: int, prefix_length: int | None, taken: t.Sequence[IPNetwork], defaults: Defaults, network: Network
) -> IPNetwork:
    """Return a subnet that nobody uses. Raises DocklessError when the pools are exhausted."""
    if version == 6 and not any(base.version == 6 for base, size in defaults.default_address_pools):
        return _ula(network, prefix_length or IPV6_PREFIX_LENGTH, taken)
    pools = [pool for pool in defaults.default_address_pools or POOLS if pool[0].version == version] or list(POOLS)
    for kept in ([_of_default_bridge(pools)] if network.project and not defaults.bip else [], []):
        for base, size in pools:
            found = (
                _first_gap(base, prefix_length or size, [*taken, *kept])
                if (prefix_length or size) >= base.prefixlen
                else None
            )
            if found:
                return found
    raise DocklessError(
        f"no free IPv{version} subnet is left in the address pools for network {network.name}",
        "Give it a subnet, or enlarge default_address_pools.",
        f"{network.path}.ipam",
    )


def _of_default_bridge(pools: t.Sequence[tuple[IPNetwork, int]]) -> IPNetwork:
    """Return the first block of the pools: the default bridge's, as with dockerd, and others' only when no other is left."""
    base, size = pools[0]
    return type(base)((int(base.network_address), max(size, base.prefixlen)))  # type: ignore[call-arg]


def _first_gap(base: IPNetwork, size: int, taken: t.Sequence[IPNetwork]) -> IPNetwork | None:
    """Walk the pool, leaping over what is taken rather than trying each candidate inside it."""
    step = 1 << (base.max_prefixlen - size)
    start, end = int(base.network_address), int(base.broadcast_address)
    while start + step - 1 <= end:
        candidate = type(base)((start, size))
        clash = addresses.overlaps(candidate, taken)
        if clash is None:
            return candidate
        start = max(start + step, -(-(int(clash.broadcast_address) + 1) // step) * step)
    return None


def _ula(network: Network, prefix_length: int, taken: t.Sequence[IPNetwork]) -> IPNetwork:
    """Return the network's own prefix of fd00::/8, the same on every run (RFC 4193)."""
    seed = int.from_bytes(names.ula_seed(network.project, network.name), "big")
    for attempt in range(256):
        high = (0xFD << 56 | (seed + attempt) & (1 << 56) - 1) << 64
        found = ipaddress.IPv6Network((high >> (128 - prefix_length) << (128 - prefix_length), prefix_length))
        if addresses.overlaps(found, taken) is None:
            return found
    raise DocklessError(f"no free IPv6 prefix was found for network {network.name}", "Give it a subnet.", network.path)


def first_gateway(subnet: Subnet) -> t.Any:
    """Return the lowest address that is not reserved as an auxiliary one, None where all are or the subnet is not chosen yet."""
    if subnet.network is None:
        return None
    used = {int(address) for name, address in subnet.aux_addresses}
    span = usable(subnet.network)
    for number in range(span.low, min(span.high, span.low + len(used)) + 1):
        if number not in used:
            return type(subnet.network.network_address)(number)
    return None


def usable(network: IPNetwork) -> Span:
    """Return what may be given to hosts; /31 and /32, /127 and /128 have no reserved ends (RFC 3021, RFC 6164)."""
    low, high = int(network.network_address), int(network.broadcast_address)
    if network.max_prefixlen - network.prefixlen >= 2:
        low += 1
        high -= 1 if network.version == 4 else 0
    return Span(network.version, low, high)


def dynamic(network: IPNetwork, ip_range: IPNetwork | None) -> Span:
    """Return what may be given without being asked for: the range, else the whole subnet."""
    whole = usable(network)
    if ip_range is None:
        return whole
    return Span(
        whole.version, max(whole.low, int(ip_range.network_address)), min(whole.high, int(ip_range.broadcast_address))
    )


def assign(
    network: Network,
    endpoints: t.Sequence[Endpoint],
    leases: t.Mapping[tuple[str, str], t.Sequence[str]],
    others: t.AbstractSet[tuple[int, int]] = frozenset(),
) -> list[Endpoint]:
    """Return the endpoints with their addresses, in order of (project, sandbox).

    leases are the CIDRs that (project, sandbox) had before; others are (version, number) of addresses that are
    given elsewhere. Raises DocklessError when a subnet is exhausted.
    """
    found: dict[tuple[str, str], list[str]] = {(e.project, e.sandbox): [] for e in endpoints}
    for version in (4, 6):
        subnets = [s for s in network.subnets if s.version == version and s.network is not None]
        if subnets:
            _assign_family(
                network, subnets, endpoints, leases, found, {number for family, number in others if family == version}
            )
    return [
        e._replace(
            addresses=tuple(found[e.project, e.sandbox])
            + tuple(f"{a}/{16 if a.version == 4 else 64}" for a in e.link_local_ips)
        )
        for e in endpoints
    ]


def _assign_family(
    network: Network,
    subnets: t.Sequence[Subnet],
    endpoints: t.Sequence[Endpoint],
    leases: t.Mapping[tuple[str, str], t.Sequence[str]],
    found: dict[tuple[str, str], list[str]],
    others: t.AbstractSet[int],
) -> None:
    version = subnets[0].version
    taken = {int(a) for s in subnets for name, a in s.aux_addresses} | others
    taken |= {int(s.gateway) for s in subnets if s.gateway is not None}
    taken |= {int(vip) for service in network.services for vip in service.vips if vip.version == version}
    taken |= {
        int(a) for peer in network.peers for there in peer.sandboxes for a in there.addresses if a.version == version
    }
    waiting = []
    for endpoint in endpoints:
        fixed = endpoint.ipv4_address if version == 4 else endpoint.ipv6_address
        if fixed is None:
            waiting.append(endpoint)
        else:
            taken.add(int(fixed))
            found[endpoint.project, endpoint.sandbox].append(f"{fixed}/{_prefix(subnets, int(fixed))}")
    spans = [usable(s.network) for s in subnets if s.network is not None]
    fresh = []
    for endpoint in waiting:
        kept = _kept(leases.get((endpoint.project, endpoint.sandbox), ()), version, spans, taken)
        if kept is None:
            fresh.append(endpoint)
        else:
            taken.add(int(kept))
            found[endpoint.project, endpoint.sandbox].append(f"{kept}/{_prefix(subnets, int(kept))}")
    source = _free_numbers([dynamic(s.network, s.ip_range) for s in subnets if s.network is not None], taken)
    make = ipaddress.IPv4Address if version == 4 else ipaddress.IPv6Address
    for endpoint in fresh:
        number = next(source, None)
        if number is None:
            raise exhausted(network, subnets, f"sandbox {endpoint.sandbox}", endpoint.path)
        found[endpoint.project, endpoint.sandbox].append(f"{make(number)}/{_prefix(subnets, number)}")


def _kept(cidrs: t.Sequence[str], version: int, spans: t.Sequence[Span], taken: t.AbstractSet[int]) -> t.Any:
    """Return the address that was given before, if it still fits and is still free."""
    for cidr in cidrs:
        if (":" in cidr) == (version == 6):
            address = addresses.address_in(cidr)
            number = int(address)
            if number not in taken and any(s.low <= number <= s.high for s in spans):
                return address
    return None


def kept_address(before: t.Sequence[str], subnet: Subnet, taken: t.AbstractSet[int]) -> t.Any:
    """Return the address that something had before, if it is still of the subnet and free, else None."""
    return None if subnet.network is None else _kept(before, subnet.version, [usable(subnet.network)], taken)


def _prefix(subnets: t.Sequence[Subnet], number: int) -> int:
    for subnet in subnets:
        network = subnet.network
        if network is not None and int(network.network_address) <= number <= int(network.broadcast_address):
            return network.prefixlen
    return subnets[0].network.prefixlen if subnets[0].network else 0


def _free_numbers(spans: t.Sequence[Span], taken: t.AbstractSet[int]) -> t.Iterator[int]:
    for span in spans:
        for number in range(span.low, span.high + 1):
            if number not in taken:
                yield number


def exhausted(network: Network, subnets: t.Sequence[Subnet], whom: str, path: str) -> DocklessError:
    """Return the error that no address is left."""
    ranges = ", ".join(str(s.ip_range or s.network) for s in subnets)
    return DocklessError(
        f"network {network.name} has no free address left in {ranges} for {whom}",
        "Add a subnet, widen ip_range, or remove sandboxes.",
        path,
    )
