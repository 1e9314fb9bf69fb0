# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Subnets from the address pools, gateways, and addresses of endpoints.

Declared addresses are allocated first, then recorded ones, then the lowest free ones.
"""

from __future__ import annotations

import ipaddress
import typing as t

from .. import names
from ..errors import DocklessError
from ..model import addresses
from ..model.addresses import IPAddress, IPNetwork
from ..model.host import Defaults
from ..model.network import Network, Subnet
from ..model.sandbox import Endpoint

Owner = tuple[str, str]  # (project, sandbox)
Pool = tuple[IPNetwork, int]  # (base, prefix length of the subnets that are cut from it)

# Docker's default pools: 172.17 to 172.31 as /16, then 192.168.0.0/16 as /20.
POOLS: tuple[Pool, ...] = (
    *((ipaddress.ip_network(f"172.{second}.0.0/16"), 16) for second in range(17, 32)),
    (ipaddress.ip_network("192.168.0.0/16"), 20),
)
IPV6_PREFIX_LENGTH = 64
_GLOBAL_ID_BITS = 56  # the global and subnet ID of a unique local prefix (RFC 4193, 3.1), after the byte fd
_ULA_ATTEMPTS = 256
_LINK_LOCAL_PREFIX_LENGTHS = {4: 16, 6: 64}


class Span(t.NamedTuple):
    """A range of addresses as numbers, both ends included."""

    version: int
    low: int
    high: int


def free_subnet(
    version: int, prefix_length: int | None, taken: t.Sequence[IPNetwork], defaults: Defaults, network: Network
) -> IPNetwork:
    """Return a subnet that overlaps none of taken. Raises DocklessError when the pools are exhausted."""
    pools = [pool for pool in defaults.default_address_pools if pool[0].version == version]
    if version == 6 and not pools:
        return _unique_local_subnet(network, prefix_length or IPV6_PREFIX_LENGTH, taken)
    pools = pools or list(POOLS)
    found = None
    if network.project and all(subnet.version == 6 for subnet in defaults.bridge_subnets.values()):
        found = _first_free(pools, prefix_length, [*taken, _default_bridge_subnet(pools)])
    found = found or _first_free(pools, prefix_length, taken)
    if found is None:
        raise DocklessError(
            f"network {network.name} cannot get an IPv{version} subnet, because the address pools are exhausted",
            "Set ipam.config[0].subnet, or enlarge default_address_pools.",
            f"{network.path}.ipam",
        )
    return found


def subnet_gateway(network: Network, subnet: Subnet) -> IPAddress | None:
    """Return the gateway that a subnet has or will get: the declared one, or the first address that is not auxiliary.

    None where the subnet has no gateway.
    """
    if subnet.gateway is not None:
        return subnet.gateway
    return first_gateway(subnet) if network.reserves_gateway(subnet.version) else None


def first_gateway(subnet: Subnet) -> IPAddress | None:
    """Return the first address that is not auxiliary, None where all are."""
    auxiliary = {int(address) for _name, address in subnet.aux_addresses}
    return next(_free_addresses(subnet.network, usable(subnet.network), auxiliary), None)


def usable(network: IPNetwork) -> Span:
    """Return the host addresses of a subnet; /31 and /32, /127 and /128 have no reserved ends (RFC 3021, RFC 6164)."""
    low, high = int(network.network_address), int(network.broadcast_address)
    if network.max_prefixlen - network.prefixlen >= 2:
        low += 1
        high -= 1 if network.version == 4 else 0
    return Span(network.version, low, high)


def is_usable(network: IPNetwork, address: IPAddress) -> bool:
    """Return whether an address of the subnet is a host address."""
    span = usable(network)
    return span.low <= int(address) <= span.high


def dynamic(network: IPNetwork, ip_range: IPNetwork | None) -> Span:
    """Return the addresses that are allocated automatically: those of ip_range, or of the whole subnet without one."""
    whole = usable(network)
    if ip_range is None:
        return whole
    low, high = int(ip_range.network_address), int(ip_range.broadcast_address)
    return Span(whole.version, max(whole.low, low), min(whole.high, high))


class FamilyAllocator:
    """Allocates the addresses of one IP version on one network: first fix, then keep, then next_free.

    subnets are of one version. taken are addresses that are in use already. from_top reverses the search for free
    addresses: services get theirs from the last one down.
    """

    def __init__(self, subnets: t.Sequence[Subnet], taken: t.Iterable[int], from_top: bool = False) -> None:
        self._networks = [subnet.network for subnet in subnets]
        self._usable = [usable(network) for network in self._networks]
        self._taken = set(taken)
        self._free = (
            address
            for subnet in subnets
            for address in _free_addresses(
                subnet.network, dynamic(subnet.network, subnet.ip_range), self._taken, from_top
            )
        )

    def fix(self, address: IPAddress) -> None:
        """Take a declared address."""
        self._taken.add(int(address))

    def keep(self, recorded: t.Iterable[str]) -> IPAddress | None:
        """Take the first recorded address or CIDR that is still usable and free. Return None if there is none."""
        is_ipv6 = self._networks[0].version == 6
        for text in recorded:
            if (":" in text) != is_ipv6:  # seen in the text, because parsing is most of the work for many endpoints
                continue
            address = addresses.address_in(text)
            if self._is_available(int(address)):
                self._taken.add(int(address))
                return address
        return None

    def next_free(self) -> IPAddress | None:
        """Take the next free address. Return None if the subnets are exhausted."""
        address = next(self._free, None)
        if address is not None:
            self._taken.add(int(address))
        return address

    def exclude(self, numbers: t.Iterable[int]) -> None:
        """Keep next_free from these addresses."""
        self._taken.update(numbers)

    def cidr(self, address: IPAddress) -> str:
        """Return the address with the prefix length of its subnet."""
        subnet = next((network for network in self._networks if address in network), self._networks[0])
        return f"{address}/{subnet.prefixlen}"

    def _is_available(self, number: int) -> bool:
        return number not in self._taken and any(span.low <= number <= span.high for span in self._usable)


def reserved(network: Network, version: int) -> set[int]:
    """Return the addresses of a family that endpoints cannot get: gateways, auxiliary, of services, of other hosts."""
    found: list[IPAddress] = []
    for subnet in network.subnets:
        found += [address for _name, address in subnet.aux_addresses]
        if subnet.gateway is not None:
            found.append(subnet.gateway)
    for service in network.services:
        found += service.vips
    for peer in network.peers:
        for sandbox in peer.sandboxes:
            found += sandbox.addresses
    return {int(address) for address in found if address.version == version}


def assign(
    network: Network,
    endpoints: t.Sequence[Endpoint],
    recorded: t.Mapping[Owner, t.Sequence[str]],
    taken_elsewhere: t.AbstractSet[tuple[int, int]] = frozenset(),
) -> list[Endpoint]:
    """Return the endpoints of a network with their addresses.

    recorded are the addresses or CIDRs that (project, sandbox) had before; taken_elsewhere are addresses as
    (version, number) that are in use on other networks. Raises DocklessError when a subnet is exhausted.
    """
    found: dict[Owner, tuple[str, ...]] = {}
    for version in (4, 6):
        subnets = [subnet for subnet in network.subnets if subnet.version == version]
        if not subnets:
            continue
        taken = {number for family, number in taken_elsewhere if family == version}
        allocator = FamilyAllocator(subnets, taken | reserved(network, version))
        for owner, address in _choose(network, subnets, endpoints, recorded, allocator).items():
            found[owner] = (*found.get(owner, ()), allocator.cidr(address))
    return [
        endpoint._replace(addresses=(*found.get(_owner(endpoint), ()), *_link_local(endpoint)))
        for endpoint in endpoints
    ]


def exhausted(network: Network, subnets: t.Sequence[Subnet], owner: str, path: str) -> DocklessError:
    """Return the error that no address is left for an owner, such as "sandbox web"."""
    ranges = ", ".join(str(subnet.ip_range or subnet.network) for subnet in subnets)
    return DocklessError(
        f"network {network.name} has no free address left in {ranges} for {owner}",
        "Add a subnet, widen ip_range, or remove sandboxes.",
        path,
    )


def _default_bridge_subnet(pools: t.Sequence[Pool]) -> IPNetwork:
    """Return the first block of the pools. It is the default bridge's, as with dockerd, unless no other is left."""
    base, prefix_length = pools[0]
    return type(base)((int(base.network_address), max(prefix_length, base.prefixlen)))


def _first_free(pools: t.Iterable[Pool], prefix_length: int | None, taken: t.Sequence[IPNetwork]) -> IPNetwork | None:
    for base, pool_prefix_length in pools:
        length = prefix_length or pool_prefix_length
        found = _first_gap(base, length, taken) if length >= base.prefixlen else None
        if found is not None:
            return found
    return None


def _first_gap(base: IPNetwork, prefix_length: int, taken: t.Sequence[IPNetwork]) -> IPNetwork | None:
    """Return the first free subnet of a pool.

    The search skips a taken network as a whole, because trying each candidate inside it may take 65,536 steps.
    """
    step = 1 << (base.max_prefixlen - prefix_length)
    start, end = int(base.network_address), int(base.broadcast_address)
    while start + step - 1 <= end:
        candidate = type(base)((start, prefix_length))
        clash = addresses.overlaps(candidate, taken)
        if clash is None:
            return candidate
        after_clash = int(clash.broadcast_address) + 1
        aligned = -(-after_clash // step) * step  # rounded up to a multiple of step
        start = max(start + step, aligned)
    return None


def _unique_local_subnet(network: Network, prefix_length: int, taken: t.Sequence[IPNetwork]) -> IPNetwork:
    """Return the network's own prefix of fd00::/8 (RFC 4193), derived from its name: every run finds the same one."""
    seed = int.from_bytes(names.ula_seed(network.project, network.name), "big")
    host_bits = 128 - prefix_length
    for attempt in range(_ULA_ATTEMPTS):
        identifier = (seed + attempt) & ((1 << _GLOBAL_ID_BITS) - 1)
        address = (0xFD << _GLOBAL_ID_BITS | identifier) << 64
        found = ipaddress.IPv6Network((address >> host_bits << host_bits, prefix_length))
        if addresses.overlaps(found, taken) is None:
            return found
    raise DocklessError(
        f"network {network.name} cannot get an IPv6 prefix, because all candidates overlap other subnets or routes",
        "Set ipam.config[0].subnet.",
        network.path,
    )


def _free_addresses(
    network: IPNetwork, span: Span, taken: t.AbstractSet[int], from_top: bool = False
) -> t.Iterator[IPAddress]:
    make_address = type(network.network_address)
    numbers = range(span.low, span.high + 1)
    for number in reversed(numbers) if from_top else numbers:
        if number not in taken:
            yield make_address(number)


def _choose(
    network: Network,
    subnets: t.Sequence[Subnet],
    endpoints: t.Sequence[Endpoint],
    recorded: t.Mapping[Owner, t.Sequence[str]],
    allocator: FamilyAllocator,
) -> dict[Owner, IPAddress]:
    """Return an address of the allocator's family for each endpoint."""
    chosen: dict[Owner, IPAddress] = {}
    for endpoint in endpoints:
        declared = endpoint.ipv4_address if subnets[0].version == 4 else endpoint.ipv6_address
        if declared is not None:
            allocator.fix(declared)
            chosen[_owner(endpoint)] = declared
    without_declared = [endpoint for endpoint in endpoints if _owner(endpoint) not in chosen]
    for endpoint in without_declared:
        held = allocator.keep(recorded.get(_owner(endpoint), ()))
        if held is not None:
            chosen[_owner(endpoint)] = held
    without_recorded = [endpoint for endpoint in without_declared if _owner(endpoint) not in chosen]
    for endpoint in without_recorded:
        free = allocator.next_free()
        if free is None:
            raise exhausted(network, subnets, f"sandbox {endpoint.sandbox}", endpoint.path)
        chosen[_owner(endpoint)] = free
    return chosen


def _owner(endpoint: Endpoint) -> Owner:
    return endpoint.project, endpoint.sandbox


def _link_local(endpoint: Endpoint) -> list[str]:
    return [f"{address}/{_LINK_LOCAL_PREFIX_LENGTHS[address.version]}" for address in endpoint.link_local_ips]
