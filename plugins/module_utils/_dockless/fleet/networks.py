# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""VNIs, subnets and slices of overlay networks: what is given, else what was given before, else the lowest that is free."""

from __future__ import annotations

import ipaddress
import typing as t

from ..allocate import ipam
from ..document.defaults import parse_defaults
from ..errors import DocklessError, refuse
from ..model.addresses import overlaps
from ..model.host import Defaults, IPAddress, IPNetwork, Network, Subnet
from .model import FleetHost, FleetOverlay, Key, PriorNetwork

FIRST_VNI = 256  # below are those that people give, as with swarm
_POOL = Defaults(default_address_pools=((ipaddress.ip_network("10.0.0.0/8"), 16),))
_SLICE, _SLICE6 = 24, 80
Subnets = dict[Key, tuple[Subnet, ...]]


def assign_vnis(networks: t.Mapping[Key, FleetOverlay], kept: t.Mapping[Key, PriorNetwork]) -> dict[Key, int]:
    """Return each network's VNI. Raises DocklessError where two networks ask for one."""
    found: dict[Key, int] = {}
    owner: dict[int, Key] = {}
    for key, overlay in networks.items():
        if overlay.vni:
            if owner.setdefault(overlay.vni, key) != key:
                other = networks[owner[overlay.vni]]
                refuse(
                    f"host {overlay.host}, networks.{key[1]}.vni",
                    f"the VNI {overlay.vni} is that of network {'/'.join(other.key)} (host {other.host}) too",
                    "Give each network its own.",
                )
            found[key] = overlay.vni
    for key in sorted(kept):
        vni = kept[key].vni
        if key not in found and vni and owner.setdefault(vni, key) == key and key in networks:
            found[key] = vni
    free = FIRST_VNI
    for key in sorted(set(networks) - set(found)):
        while free in owner:
            free += 1
        owner[free] = key
        found[key] = free
    return found


def assign_subnets(
    networks: t.Mapping[Key, FleetOverlay], kept: t.Mapping[Key, PriorNetwork], hosts: t.Mapping[str, FleetHost]
) -> Subnets:
    """Return each network's subnets. Raises DocklessError when the pools are exhausted."""
    given = [subnet.network for overlay in networks.values() for subnet in overlay.subnets if subnet.network]
    before: dict[Key, list[IPNetwork]] = {}
    taken: list[IPNetwork] = list(given)
    for key, old in sorted(kept.items()):
        for text in old.subnets:
            subnet = ipaddress.ip_network(text)
            if subnet not in given and overlaps(subnet, taken) is None:
                before.setdefault(key, []).append(subnet)
                taken.append(subnet)
    taken += _used(hosts)
    return {
        key: _subnets(overlay, before.get(key, []), kept.get(key, PriorNetwork()).reserved, taken, hosts)
        for key, overlay in sorted(networks.items())
    }


def _used(hosts: t.Mapping[str, FleetHost]) -> list[IPNetwork]:
    """Return what hosts use already: by route, or for a network of their own."""
    texts = {text for host in hosts.values() if host.memory for text in host.memory.taken}
    return sorted((ipaddress.ip_network(text) for text in texts), key=lambda n: (n.version, n))  # type: ignore[arg-type]


def _subnets(
    overlay: FleetOverlay,
    before: t.Sequence[IPNetwork],
    reserved: t.Sequence[str],
    taken: list[IPNetwork],
    hosts: t.Mapping[str, FleetHost],
) -> tuple[Subnet, ...]:
    host = hosts.get(overlay.host)
    defaults = parse_defaults(host.defaults) if host else Defaults()
    said6 = overlay.enable_ipv6 if overlay.enable_ipv6 is not None else defaults.ipv6
    if not overlay.host:  # nobody declares it in this run: it is as it was
        return tuple(_as_before(subnet, [ipaddress.ip_address(text) for text in reserved]) for subnet in before)
    if not defaults.default_address_pools:
        defaults = defaults._replace(
            default_address_pools=_POOL.default_address_pools, bip=(ipaddress.ip_address("172.17.0.1"), 16)
        )
    found = []
    for version, enabled in ((4, overlay.enable_ipv4), (6, bool(said6))):
        if enabled:
            declared = [s for s in overlay.subnets if s.version == version] or [Subnet(version=version)]
            found += [_chosen(overlay, subnet, before, taken, defaults) for subnet in declared]
    return tuple(found)


def _as_before(subnet: IPNetwork, reserved: t.Sequence[IPAddress]) -> Subnet:
    inside = [address for address in reserved if address in subnet]
    found = Subnet(
        subnet, subnet.prefixlen, subnet.version, aux_addresses=tuple(("", address) for address in inside[1:])
    )
    return found._replace(gateway=inside[0] if inside else ipam.first_gateway(found))


def _chosen(
    overlay: FleetOverlay, subnet: Subnet, before: t.Sequence[IPNetwork], taken: list[IPNetwork], defaults: Defaults
) -> Subnet:
    if subnet.network is None:
        fitting = [b for b in before if b.version == subnet.version and subnet.prefix_length in (None, b.prefixlen)]
        path = f"host {overlay.host}, networks.{overlay.key[1]}"
        chosen = (
            fitting[0]
            if fitting
            else ipam.free_subnet(
                subnet.version, subnet.prefix_length, taken, defaults, Network(*overlay.key, path=path)
            )
        )
        taken.append(chosen)
        subnet = subnet._replace(network=chosen)
    return subnet if subnet.gateway else subnet._replace(gateway=ipam.first_gateway(subnet))


def assign_slices(
    overlay: FleetOverlay,
    subnets: t.Sequence[Subnet],
    kept: PriorNetwork,
    members: t.Mapping[str, t.Sequence[IPAddress]],
    refuse_new: t.Callable[[str], None],
) -> dict[str, tuple[Subnet, ...]]:
    """Return the slice of each member: its own part of each family's first subnet, with a gateway.

    members are the hosts with their fixed addresses: a host that has no slice yet
    gets that of its first one. kept.slices are honoured, those of hosts that are
    no members now as well. refuse_new is called with a host's name before it
    gets the lowest free slice, and may raise. Raises DocklessError when a subnet has none left.
    """
    firsts = [next(s for s in subnets if s.version == version) for version in sorted({s.version for s in subnets})]
    found: dict[str, list[Subnet]] = {name: [] for name in members}
    for whole in firsts:
        if whole.network is None:
            continue
        length = _slice_length(overlay, whole.network)
        before = _before(kept, whole.network, length)
        taken = set(before.values())
        for name, start in _pinned(members, whole.network, length):
            if name not in before and start not in taken:
                before[name] = start
                taken.add(start)
        starts = _free_slices(whole.network, length, taken)
        for name in sorted(found):
            start = before.get(name)
            if start is None:
                refuse_new(name)
                start = next(starts, None)
            if start is None:
                raise DocklessError(
                    f"network {'/'.join(overlay.key)} has no slice of /{length} left in {whole.network} for host {name}",
                    "Give it a larger subnet, or a longer slice_prefix.",
                    f"host {overlay.host}, networks.{overlay.key[1]}",
                )
            part = type(whole.network)((start, length))  # type: ignore[call-arg]
            aux = tuple((what, a) for what, a in whole.aux_addresses if a in part)
            subnet = Subnet(part, length, part.version, aux_addresses=aux)
            found[name].append(subnet._replace(gateway=ipam.first_gateway(subnet)))
    return {name: tuple(parts) for name, parts in found.items()}


def _slice_length(overlay: FleetOverlay, whole: IPNetwork) -> int:
    said = overlay.slice_prefix if whole.version == 4 else overlay.slice_prefix_ipv6
    default = (
        max(_SLICE, min(whole.prefixlen + 4, 29))
        if whole.version == 4
        else max(_SLICE6, min(whole.prefixlen + 16, 120))
    )
    length = said or default
    option = "slice_prefix" if whole.version == 4 else "slice_prefix_ipv6"
    if not whole.prefixlen < length <= whole.max_prefixlen - 2:
        refuse(
            f"host {overlay.host}, networks.{overlay.key[1]}.{option}",
            f"slices of /{length} cannot be cut from {whole}",
            f"Give a length from /{whole.prefixlen + 1} to /{whole.max_prefixlen - 2}, or a larger subnet.",
        )
    return length


def _before(kept: PriorNetwork, whole: IPNetwork, length: int) -> dict[str, int]:
    """Return where each host's slice began, of those that still fit; of two hosts with one slice the first keeps it."""
    found: dict[str, int] = {}
    taken: set[int] = set()
    for name, parts in sorted(kept.slices.items()):
        for text in parts:
            part = ipaddress.ip_network(text)
            if part.version == whole.version and part.prefixlen == length and part.subnet_of(whole):  # type: ignore[arg-type]
                start = int(part.network_address)
                if start not in taken and name not in found:
                    taken.add(start)
                    found[name] = start
    return found


def _pinned(
    members: t.Mapping[str, t.Sequence[IPAddress]], whole: IPNetwork, length: int
) -> t.Iterator[tuple[str, int]]:
    for name, addresses in sorted(members.items()):
        inside = sorted(int(a) for a in addresses if a in whole)
        if inside:
            yield name, inside[0] >> (whole.max_prefixlen - length) << (whole.max_prefixlen - length)


def _free_slices(whole: IPNetwork, length: int, taken: t.AbstractSet[int]) -> t.Iterator[int]:
    step = 1 << (whole.max_prefixlen - length)
    start = int(whole.network_address)
    while start <= int(whole.broadcast_address):
        if start not in taken:
            yield start
        start += step
