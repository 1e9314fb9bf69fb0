# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Parser of dockless_defaults."""

from __future__ import annotations

import typing as t

from ..errors import refuse
from ..model import addresses
from ..model.host import Defaults, HostNames, IPNetwork
from ..names import FIREWALLS
from . import values
from .dns import DNS
from .network import MTU
from .ports import host_ip
from .readers import boolean, choice, integer, is_list, list_of, read, text, wrong_type

_POOL = {"base": values.network, "size": integer(1, 126)}


def _pools(value: t.Any, path: str) -> tuple[tuple[IPNetwork, int], ...]:
    if not is_list(value):
        wrong_type(value, path, "a list")
    return tuple(_pool(item, f"{path}[{index}]") for index, item in enumerate(value))


def _pool(value: t.Any, path: str) -> tuple[IPNetwork, int]:
    said = read(value, path, _POOL)
    for key in _POOL:
        if key not in said:
            refuse(path, f"the pool has no {key}", "Give base and size, like {base: 172.30.0.0/16, size: 24}.")
    base, size = said["base"], said["size"]
    if not base.prefixlen <= size <= base.max_prefixlen - 2:
        refuse(
            path + ".size",
            f"subnets of /{size} cannot be cut from {base}",
            f"Give a size from /{base.prefixlen} to /{base.max_prefixlen - 2}.",
        )
    return base, size


_HOST_NAMES = {"through": choice("dnsmasq"), "networks": list_of(text)}


def _host_names(value: t.Any, path: str) -> HostNames:
    return HostNames(**read(value, path, _HOST_NAMES))


_DEFAULTS = {
    "host_names": _host_names,
    "bip": values.with_prefix,
    "fixed_cidr": values.network,
    "default_gateway": values.address,
    "default_address_pools": _pools,
    "icc": boolean,
    "ip": host_ip,
    "ip_masq": boolean,
    "mtu": MTU,
    "ipv6": boolean,
    "allow_direct_routing": boolean,
    "ip_forward_no_drop": boolean,
    "coexist": list_of(choice(*FIREWALLS)),
    **DNS,
}


def parse_defaults(mapping: t.Mapping[str, t.Any] | None) -> Defaults:
    """Return a host's defaults; None and {} are Docker's own.

    bip (address of the default bridge with prefix length), fixed_cidr (its
    range for sandboxes), default_gateway, default_address_pools (list of base
    and size), dns, dns_search, dns_opt, icc, ip (publish address), ip_masq,
    host_names (through, networks), mtu in bytes, ipv6, allow_direct_routing, ip_forward_no_drop, coexist
    (docker, firewalld, ufw).
    """
    defaults = Defaults(**read(mapping if mapping is not None else {}, "defaults", _DEFAULTS))
    if defaults.bip is not None:
        _check_bip(defaults)
    elif (
        defaults.fixed_cidr is not None
        and defaults.default_gateway is not None
        and defaults.default_gateway.version != defaults.fixed_cidr.version
    ):
        refuse(
            "defaults.default_gateway",
            f"{defaults.default_gateway} is of another family than fixed_cidr",
            "Give one of the same family.",
        )
    return defaults


def _check_bip(defaults: Defaults) -> None:
    address, length = t.cast(t.Any, defaults.bip)
    subnet = addresses.network_of(address, length)
    if length > address.max_prefixlen - 2 or address in (subnet.network_address, subnet.broadcast_address):
        refuse(
            "defaults.bip",
            f"{address}/{length} is not the address of one host in a subnet",
            "Write it like 172.17.0.1/16.",
        )
    if defaults.fixed_cidr is not None and not addresses.is_within(defaults.fixed_cidr, subnet):
        refuse(
            "defaults.fixed_cidr",
            f"{defaults.fixed_cidr} is not within {subnet}, the subnet of bip",
            "Give a part of that subnet.",
        )
    if defaults.default_gateway is not None and defaults.default_gateway not in subnet:
        refuse(
            "defaults.default_gateway",
            f"{defaults.default_gateway} is not within {subnet}, the subnet of bip",
            "Give an address of that subnet.",
        )
