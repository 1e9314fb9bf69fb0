# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Parses dockless_defaults: the defaults of a host's networks, and its default bridge network."""

from __future__ import annotations

import typing as t

from ..errors import refuse
from ..model import addresses
from ..model.addresses import IPAddress, IPNetwork
from ..model.host import Defaults, HostNames
from ..names import FIREWALLS
from . import values
from .dns import DNS_OPTIONS
from .ports import host_ip
from .readers import boolean, choice, integer, list_of, read, text

_POOL_OPTIONS = {
    "base": values.network,  # CIDR
    "size": integer(1, 126),  # prefix length of the subnets
}
_HOST_NAMES_OPTIONS = {
    "through": choice("dnsmasq"),  # the host's own resolver, which dockless configures to ask the sandboxes' names
    "networks": list_of(text),  # PROJECT/NETWORK; default: all
}


def _pool(value: t.Any, path: str) -> tuple[IPNetwork, int]:
    """Return (base, prefix length)."""
    options = read(value, path, _POOL_OPTIONS)
    for key in _POOL_OPTIONS:
        if key not in options:
            refuse(path, f"the pool has no {key}", "Set base and size, as in {base: 172.30.0.0/16, size: 24}.")
    base, size = options["base"], options["size"]
    smallest = base.max_prefixlen - 2
    if not base.prefixlen <= size <= smallest:
        refuse(
            path + ".size",
            f"{base} cannot be divided into subnets of size /{size}",
            f"Use a prefix length from /{base.prefixlen} to /{smallest}.",
        )
    return base, size


def _host_names(value: t.Any, path: str) -> HostNames:
    return HostNames(**read(value, path, _HOST_NAMES_OPTIONS))


# Up to ip_forward_no_drop these are the flags of dockerd, with underscores.
_OPTIONS = {
    "bip": values.with_prefix,  # address and prefix length of the default bridge
    "fixed_cidr": values.network,  # range of bip's subnet for sandboxes; in a family without bip the whole subnet
    "default_gateway": values.address,  # of sandboxes on the default bridge
    "default_address_pools": list_of(_pool),  # automatic subnets: list of base and size
    **DNS_OPTIONS,
    "icc": boolean,  # whether sandboxes on a network may talk to each other; default true
    "ip": host_ip,  # address on which ports are published; default: all
    "ip_masq": boolean,  # whether outgoing packets get an address of the host; default true
    "mtu": values.mtu,  # bytes
    "ipv6": boolean,  # whether networks have IPv6; default false
    "allow_direct_routing": boolean,  # whether sandboxes' own addresses are reachable from outside; default false
    "ip_forward_no_drop": boolean,  # true: forwarded packets of others pass; default false
    "host_names": _host_names,  # the host resolves sandboxes' names
    "coexist": list_of(choice(*FIREWALLS)),  # firewalls that dockless adds allow rules to
}


def parse_defaults(value: t.Mapping[str, t.Any] | None) -> Defaults:
    """Return a host's defaults from a dictionary of _OPTIONS; None is an empty one: Docker's own defaults.

    Raises DocklessError for addresses that do not fit the default bridge's subnet.
    """
    defaults = Defaults(**read(value if value is not None else {}, "defaults", _OPTIONS))
    if defaults.bip is not None:
        _check_bip(*defaults.bip)
    if "fixed_cidr" in defaults.bridge_subnets:
        _check_size(defaults.bridge_subnets["fixed_cidr"])
    elif defaults.fixed_cidr is not None:
        _check_range(defaults.fixed_cidr, defaults.bridge_subnets["bip"])
    if defaults.default_gateway is not None and defaults.bridge_subnets:
        _check_gateway(defaults.default_gateway, defaults.bridge_subnets)
    return defaults


def _check_bip(address: IPAddress, length: int) -> None:
    subnet = addresses.network_of(address, length)
    is_host_address = address not in (subnet.network_address, subnet.broadcast_address)
    if not is_host_address or length > address.max_prefixlen - 2:
        refuse(
            "defaults.bip",
            f"{address}/{length} is not the address of a host in a subnet",
            "Use one such as 172.17.0.1/16.",
        )


def _check_size(subnet: IPNetwork) -> None:
    if subnet.prefixlen > subnet.max_prefixlen - 2:
        refuse("defaults.fixed_cidr", f"{subnet} is too small for a gateway and a sandbox", "Use a larger subnet.")


def _check_range(fixed_cidr: IPNetwork, subnet: IPNetwork) -> None:
    if not addresses.is_within(fixed_cidr, subnet):
        refuse(
            "defaults.fixed_cidr",
            f"{fixed_cidr} is not within {subnet}, the subnet of bip",
            "Use a range of that subnet.",
        )


def _check_gateway(gateway: IPAddress, subnets: t.Mapping[str, IPNetwork]) -> None:
    if any(gateway in subnet for subnet in subnets.values()):
        return
    option, subnet = next(iter(subnets.items()))
    refuse(
        "defaults.default_gateway",
        f"{gateway} is not within {subnet}, the subnet of {option}",
        "Use an address of that subnet.",
    )
