# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Subnets, gateways, reserved addresses and bridge names of networks, each by itself and beside each other."""

from __future__ import annotations

import typing as t

from ..allocate import ipam
from ..document.network import refuse_no_family
from ..errors import refuse
from ..model import addresses
from ..model.addresses import IPAddress, IPNetwork
from ..model.host import Defaults
from ..model.network import Network, SubnetRequest
from ..names import DEFAULT_BRIDGE_LINK


class _Extent(t.NamedTuple):
    """A subnet as numbers, sortable by where it begins. order is that of declaration."""

    version: int
    first: int
    last: int
    order: int
    subnet: IPNetwork
    owner: str
    path: str
    shared: bool = False  # subnets of macvlan and ipvlan networks may overlap each other


def check_networks(networks: t.Iterable[Network], defaults: Defaults) -> None:
    """Raise DocklessError for invalid or overlapping subnets, and for bridge names that collide."""
    extents: list[_Extent] = []
    bridges = {DEFAULT_BRIDGE_LINK: "the host's default bridge"}
    for network in networks:
        owner = f"network {network.project}/{network.name}"
        is_ipv6_off_by_default = "enable_ipv6" in network.left_open and not defaults.ipv6
        if not network.enable_ipv4 and is_ipv6_off_by_default:
            refuse_no_family(network.path)
        own = _extents(network, owner, len(extents))
        if not network.passes_host:  # its own subnets cannot overlap: an address would be on two of them
            _check_overlaps([extent._replace(shared=False) for extent in own])
        extents += own
        if network.bridge_name:
            other = bridges.setdefault(network.bridge_name, owner)
            if other != owner:
                refuse(
                    network.path + ".bridge_name",
                    f"bridge name {network.bridge_name} of {owner} is taken by {other}",
                    "Choose another name.",
                )
    for option, subnet in defaults.bridge_subnets.items():
        extents.append(_extent(subnet, len(extents), "the host's default bridge", "defaults." + option))
    _check_overlaps(extents)


def _extents(network: Network, owner: str, order: int) -> list[_Extent]:
    """Return the declared subnets of a network. Raises DocklessError for addresses that do not belong to one."""
    found: list[_Extent] = []
    for index, request in enumerate(network.subnet_requests):
        if request.network is None:
            continue
        path = f"{network.path}.ipam.config[{index}]"
        _check_subnet(request, request.network, path)
        extent = _extent(request.network, order + len(found), owner, path + ".subnet")
        found.append(extent._replace(shared=not network.passes_host))
    return found


def _extent(subnet: IPNetwork, order: int, owner: str, path: str) -> _Extent:
    first, last = int(subnet.network_address), int(subnet.broadcast_address)
    return _Extent(subnet.version, first, last, order, subnet, owner, path)


def _check_overlaps(extents: t.Iterable[_Extent]) -> None:
    """Raise DocklessError for the first two subnets that overlap.

    In the order of their first addresses, a subnet overlaps an earlier one only if it overlaps the one that reaches
    furthest. Shared subnets and the others each have such a one.
    """
    furthest: dict[bool, _Extent] = {}
    for extent in sorted(extents):
        for earlier in furthest.values():
            may_overlap = extent.shared and earlier.shared
            if not may_overlap and extent.version == earlier.version and extent.first <= earlier.last:
                _refuse_overlap(extent, earlier)
        other = furthest.get(extent.shared)
        if other is None or extent.version != other.version or extent.last > other.last:
            furthest[extent.shared] = extent


def _refuse_overlap(one: _Extent, other: _Extent) -> t.NoReturn:
    first, second = sorted((one, other), key=lambda extent: extent.order)
    refuse(
        second.path,
        f"{second.subnet} of {second.owner} overlaps {first.subnet} of {first.owner} ({first.path})",
        "Choose another subnet.",
    )


def _check_subnet(request: SubnetRequest, network: IPNetwork, path: str) -> None:
    if request.ip_range is not None and not addresses.is_within(request.ip_range, network):
        refuse(
            path + ".ip_range", f"{request.ip_range} is not within the subnet {network}", "Choose a part of the subnet."
        )
    if request.gateway is not None:
        _check_address(network, request.gateway, path + ".gateway")
    taken = {request.gateway: "the gateway"}
    for name, address in request.aux_addresses:
        option = f"{path}.aux_addresses.{name}"
        _check_address(network, address, option)
        if address in taken:
            refuse(option, f"{address} is {taken[address]} already", "Choose another address.")
        taken[address] = f"the auxiliary address {name}"


def _check_address(subnet: IPNetwork, address: IPAddress, path: str) -> None:
    if address not in subnet:
        refuse(path, f"{address} is not within the subnet {subnet}", "Choose an address of the subnet.")
    if not ipam.is_usable(subnet, address):
        refuse(path, f"{address} is the network or broadcast address of {subnet}", "Choose an address between the two.")
