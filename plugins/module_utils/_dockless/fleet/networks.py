# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Allocates VNIs, subnets and the hosts' slices of overlay networks: as declared, as before, or the lowest free one."""

from __future__ import annotations

import ipaddress
import itertools
import typing as t

from ..allocate import ipam
from ..document.defaults import parse_defaults
from ..errors import DocklessError, refuse
from ..model.addresses import IPAddress, IPNetwork, is_within, overlaps
from ..model.host import Defaults
from ..model.network import Network, Subnet, SubnetRequest
from .model import FleetHost, FleetOverlay, Key, PriorNetwork
from .previous_state import NewAssignmentGuard

FIRST_VNI = 256  # lower ones are for declarations, as in Docker Swarm
_DEFAULT_POOLS = ((ipaddress.ip_network("10.0.0.0/8"), 16),)
_DEFAULT_BIP = (ipaddress.ip_address("172.17.0.1"), 16)
Prior = t.Mapping[Key, PriorNetwork]


def assign_vnis(networks: t.Mapping[Key, FleetOverlay], prior: Prior) -> dict[Key, int]:
    """Return each network's VNI. Raises DocklessError if two networks declare the same one."""
    found, owners = _declared_vnis(networks)
    for key in sorted(prior):
        vni = prior[key].vni
        if not vni or key in found:
            continue
        # A network that is not declared in this run, but is on a host, keeps its VNI as well.
        is_owner = owners.setdefault(vni, key) == key
        if is_owner and key in networks:
            found[key] = vni
    free = (vni for vni in itertools.count(FIRST_VNI) if vni not in owners)
    for key in sorted(set(networks) - set(found)):
        found[key] = next(free)
    return found


def assign_subnets(
    networks: t.Mapping[Key, FleetOverlay], prior: Prior, hosts: t.Mapping[str, FleetHost]
) -> dict[Key, tuple[Subnet, ...]]:
    """Return each network's subnets, with gateways. Raises DocklessError if the address pools are exhausted."""
    requests = [request for overlay in networks.values() for request in overlay.subnet_requests]
    taken: list[IPNetwork] = [request.network for request in requests if request.network is not None]
    before: dict[Key, list[IPNetwork]] = {}
    for key, network in sorted(prior.items()):
        for text in network.subnets:
            subnet = ipaddress.ip_network(text)
            if overlaps(subnet, taken) is None:
                before.setdefault(key, []).append(subnet)
                taken.append(subnet)
    taken += _used_subnets(hosts)
    found = {}
    for key, overlay in sorted(networks.items()):
        if overlay.host:
            found[key] = _subnets(overlay, before.get(key, []), taken, hosts[overlay.host])
        else:  # no host declares the network in this run, so it stays as it is
            reserved = [ipaddress.ip_address(text) for text in prior.get(key, PriorNetwork()).reserved]
            found[key] = tuple(_as_before(subnet, reserved) for subnet in before.get(key, []))
    return found


def assign_slices(
    overlay: FleetOverlay,
    subnets: t.Sequence[Subnet],
    prior: t.Mapping[str, t.Sequence[str]],
    members: t.Mapping[str, t.Sequence[IPAddress]],
    guard: NewAssignmentGuard,
) -> dict[str, tuple[Subnet, ...]]:
    """Return the slices of each member: its own part of the first subnet of each family, with a gateway.

    prior are slices of before, by host; those of hosts that are not members stay taken. members are hosts with their
    fixed addresses: a host without a slice gets the one around its first fixed address. Raises DocklessError if a
    subnet has no slice left, and by the guard if a host would get the lowest free slice.
    """
    found: dict[str, list[Subnet]] = {name: [] for name in members}
    for version in (4, 6):
        whole = next((subnet for subnet in subnets if subnet.version == version), None)
        if whole is None:
            continue
        allocator = _SliceAllocator(overlay, whole.network)
        allocator.keep(prior)
        allocator.pin(members)
        for name in sorted(members):
            found[name].append(_slice_subnet(whole, allocator.slice_of(name, guard)))
    return {name: tuple(parts) for name, parts in found.items()}


def _declared_vnis(networks: t.Mapping[Key, FleetOverlay]) -> tuple[dict[Key, int], dict[int, Key]]:
    """Return the declared VNIs by network, and the networks by VNI."""
    owners: dict[int, Key] = {}
    for key, overlay in networks.items():
        if not overlay.vni:
            continue
        first = networks[owners.setdefault(overlay.vni, key)]
        if first.key != key:
            refuse(
                f"{overlay.path}.vni",
                f"network {first.title} (host {first.host}) has the VNI {overlay.vni} too",
                "Set a different VNI for each network.",
            )
    return {key: vni for vni, key in owners.items()}, owners


def _used_subnets(hosts: t.Mapping[str, FleetHost]) -> list[IPNetwork]:
    """Return the subnets that hosts use for routes and for networks of their own."""
    texts = {text for host in hosts.values() if host.report for text in host.report.used_subnets}
    return sorted((ipaddress.ip_network(text) for text in texts), key=lambda network: (network.version, network))


def _subnets(
    overlay: FleetOverlay, before: t.Sequence[IPNetwork], taken: list[IPNetwork], host: FleetHost
) -> tuple[Subnet, ...]:
    """Return the subnets of a network by its declaration on this host. Appends those that it chooses to taken."""
    defaults = parse_defaults(host.defaults)
    enable_ipv6 = defaults.ipv6 if overlay.enable_ipv6 is None else overlay.enable_ipv6
    if not defaults.default_address_pools:
        defaults = defaults._replace(default_address_pools=_DEFAULT_POOLS, bip=_DEFAULT_BIP)
    found = []
    for version, enabled in ((4, overlay.enable_ipv4), (6, enable_ipv6)):
        if enabled:
            declared = [request for request in overlay.subnet_requests if request.version == version]
            requests = declared or [SubnetRequest(version=version)]
            found += [_subnet(overlay, request, before, taken, defaults) for request in requests]
    return tuple(found)


def _as_before(network: IPNetwork, reserved: t.Sequence[IPAddress]) -> Subnet:
    """Return a recorded subnet. Its first reserved address is the gateway, the others are auxiliary addresses."""
    inside = [address for address in reserved if address in network]
    auxiliary = tuple(("", address) for address in inside[1:])
    subnet = Subnet(network, network.version, aux_addresses=auxiliary)
    return subnet._replace(gateway=inside[0] if inside else ipam.first_gateway(subnet))


def _subnet(
    overlay: FleetOverlay,
    request: SubnetRequest,
    before: t.Sequence[IPNetwork],
    taken: list[IPNetwork],
    defaults: Defaults,
) -> Subnet:
    """Return the requested subnet, with a gateway. Appends a network that it chooses to taken."""
    chosen = request.network
    if chosen is None:
        chosen = _first_matching(request, before)
        if chosen is None:
            network = Network(*overlay.key, path=overlay.path)
            chosen = ipam.free_subnet(request.version, request.prefix_length, taken, defaults, network)
        taken.append(chosen)
    subnet = request.with_network(chosen)
    return subnet if subnet.gateway else subnet._replace(gateway=ipam.first_gateway(subnet))


def _first_matching(request: SubnetRequest, before: t.Sequence[IPNetwork]) -> IPNetwork | None:
    for network in before:
        same_length = request.prefix_length in (None, network.prefixlen)
        if network.version == request.version and same_length:
            return network
    return None


def _slice_subnet(whole: Subnet, part: IPNetwork) -> Subnet:
    auxiliary = tuple((name, address) for name, address in whole.aux_addresses if address in part)
    subnet = Subnet(part, part.version, aux_addresses=auxiliary)
    return subnet._replace(gateway=ipam.first_gateway(subnet))


class _SliceAllocator:
    """Divides one subnet into slices of one length. A slice is known by its first address, as a number."""

    def __init__(self, overlay: FleetOverlay, whole: IPNetwork) -> None:
        self._overlay = overlay
        self._whole = whole
        self._length = _slice_length(overlay, whole)
        self._size = 1 << (whole.max_prefixlen - self._length)
        self._starts: dict[str, int] = {}
        self._taken: set[int] = set()
        self._free = self._free_starts()

    def _free_starts(self) -> t.Iterator[int]:
        first, last = int(self._whole.network_address), int(self._whole.broadcast_address)
        return (start for start in range(first, last + 1, self._size) if start not in self._taken)

    def _assign(self, name: str, start: int) -> None:
        """Assign the slice to the host, unless one of them is assigned already."""
        if name not in self._starts and start not in self._taken:
            self._starts[name] = start
            self._taken.add(start)

    def keep(self, prior: t.Mapping[str, t.Sequence[str]]) -> None:
        """Assign to each host its first prior slice that still fits. Of two hosts with the same one, one keeps it."""
        for name, parts in sorted(prior.items()):
            for text in parts:
                part = ipaddress.ip_network(text)
                if part.prefixlen == self._length and is_within(part, self._whole):
                    self._assign(name, int(part.network_address))

    def pin(self, members: t.Mapping[str, t.Sequence[IPAddress]]) -> None:
        """Assign to each host without a slice the one around its lowest fixed address, if that is free."""
        for name, addresses in sorted(members.items()):
            inside = [int(address) for address in addresses if address in self._whole]
            if inside:
                self._assign(name, min(inside) // self._size * self._size)

    def _next_free(self, name: str) -> int:
        start = next(self._free, None)
        if start is None:
            raise DocklessError(
                f"network {self._overlay.title} has no slice of /{self._length} left in {self._whole} for host {name}",
                "Declare a larger subnet, or a longer slice_prefix.",
                self._overlay.path,
            )
        return start

    def slice_of(self, name: str, guard: NewAssignmentGuard) -> IPNetwork:
        """Return the host's slice, the lowest free one if it has none yet. Raises DocklessError if none is left."""
        start = self._starts.get(name)
        if start is None:
            guard.check("slice", f"host {name}")
            start = self._next_free(name)
            self._assign(name, start)
        return type(self._whole)((start, self._length))


def _slice_length(overlay: FleetOverlay, whole: IPNetwork) -> int:
    """Return the prefix length of slices: as declared, or 24 and 80, longer if the subnet is not much larger."""
    if whole.version == 4:
        option, declared = "slice_prefix", overlay.slice_prefix
        default = max(24, min(whole.prefixlen + 4, 29))
    else:
        option, declared = "slice_prefix_ipv6", overlay.slice_prefix_ipv6
        default = max(80, min(whole.prefixlen + 16, 120))
    length = declared or default
    longest = whole.max_prefixlen - 2
    if not whole.prefixlen < length <= longest:
        refuse(
            f"{overlay.path}.{option}",
            f"slices of /{length} cannot be cut from {whole}",
            f"Set a length from {whole.prefixlen + 1} to {longest}, or declare a larger subnet.",
        )
    return length
