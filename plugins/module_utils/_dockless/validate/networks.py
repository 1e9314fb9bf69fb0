# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Networks beside each other: subnets, gateways, reserved addresses, bridge names."""

from __future__ import annotations

import typing as t

from ..document.network import refuse_no_family
from ..errors import refuse
from ..model import addresses, gateways
from ..model.host import Defaults, IPAddress, IPNetwork, Network, Subnet
from ..names import DEFAULT_BRIDGE_LINK


class _Extent(t.NamedTuple):
    """A subnet as numbers, sortable by where it begins."""

    version: int
    first: int
    last: int
    subnet: IPNetwork
    owner: str
    path: str
    shared: bool = False  # of a macvlan or ipvlan network, which may overlap each other


def check_networks(networks: t.Iterable[Network], defaults: Defaults) -> None:
    """Raise DocklessError for subnets that overlap, what lies outside of them, and bridge names that collide."""
    extents = []
    bridges = {DEFAULT_BRIDGE_LINK: "the host's default bridge"}
    for network in networks:
        owner = f"network {network.project}/{network.name}"
        if not network.enable_ipv4 and network.enable_ipv6 is None and not defaults.ipv6:
            refuse_no_family(network.path)
        for index, subnet in enumerate(network.subnets):
            if subnet.network is not None:
                path = f"{network.path}.ipam.config[{index}]"
                _check_subnet(network, subnet, path)
                extents.append(
                    _extent(subnet.network, owner, path + ".subnet")._replace(shared=network.macvlan is not None)
                )
        if network.macvlan is not None and len(network.subnets) > 1:
            _check_overlaps([one._replace(shared=False) for one in extents if one.owner == owner])
        if network.bridge_name:
            other = bridges.setdefault(network.bridge_name, owner)
            if other != owner:
                refuse(
                    network.path + ".bridge_name",
                    f"the bridge name {network.bridge_name} of {owner} is taken by {other}",
                    "Choose another name.",
                )
    if defaults.bip is not None:
        extents.append(_extent(addresses.network_of(*defaults.bip), "the host's default bridge", "defaults.bip"))
    _check_overlaps(extents)


def _extent(subnet: IPNetwork, owner: str, path: str) -> _Extent:
    return _Extent(subnet.version, int(subnet.network_address), int(subnet.broadcast_address), subnet, owner, path)


def _check_overlaps(extents: list[_Extent]) -> None:
    """Compare each subnet with the one before it that reaches furthest, shared or not: nothing else can overlap it first."""
    reaching: dict[bool, _Extent] = {}
    for extent in sorted(extents, key=lambda one: one[:3]):
        for furthest in reaching.values():
            if extent.shared and furthest.shared or extent.version != furthest.version or extent.first > furthest.last:
                continue
            later, earlier = (
                (extent, furthest) if extents.index(extent) > extents.index(furthest) else (furthest, extent)
            )
            refuse(
                later.path,
                f"{later.subnet} of {later.owner} overlaps {earlier.subnet} of {earlier.owner} ({earlier.path})",
                "Choose another subnet.",
            )
        other = reaching.get(extent.shared)
        if other is None or extent.version != other.version or extent.last > other.last:
            reaching[extent.shared] = extent


def is_host_address(subnet: IPNetwork, address: IPAddress) -> bool:
    """Return whether an address of the subnet may be a host's: the ends of an IPv4 subnet and the first of IPv6 are not."""
    if subnet.num_addresses <= 2:  # RFC 3021, RFC 6164
        return True
    return address != subnet.network_address and (subnet.version == 6 or address != subnet.broadcast_address)


def _check_subnet(network: Network, subnet: Subnet, path: str) -> None:
    found = t.cast(IPNetwork, subnet.network)
    if subnet.ip_range is not None and not addresses.is_within(subnet.ip_range, found):
        refuse(path + ".ip_range", f"{subnet.ip_range} is not within the subnet {found}", "Give a part of the subnet.")
    if subnet.gateway is not None:
        _check_address(found, subnet.gateway, path + ".gateway")
    taken = {subnet.gateway: "the gateway"}
    for name, address in subnet.aux_addresses:
        where = f"{path}.aux_addresses.{name}"
        _check_address(found, address, where)
        if address in taken:
            refuse(where, f"{address} is {taken[address]} already", "Choose another address.")
        taken[address] = f"the auxiliary address {name}"


def _check_address(subnet: IPNetwork, address: IPAddress, path: str) -> None:
    if address not in subnet:
        refuse(path, f"{address} is not within the subnet {subnet}", "Give an address of the subnet.")
    if not is_host_address(subnet, address):
        refuse(path, f"{address} is the network or broadcast address of {subnet}", "Give an address between the two.")


def gateway_of(network: Network, subnet: Subnet) -> IPAddress | None:
    """Return the gateway that the subnet has or, where it can be known, will get: the first address that is free."""
    if subnet.gateway is not None or subnet.network is None:
        return subnet.gateway
    if not gateways.keeps_gateway(network, subnet.version):
        return None
    reserved = {address for name, address in subnet.aux_addresses}
    first = subnet.network.network_address + (1 if subnet.network.num_addresses > 2 else 0)
    while first in reserved:
        first += 1
    return first
