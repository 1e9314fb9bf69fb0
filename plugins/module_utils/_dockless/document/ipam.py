# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Parses a network's option ipam: its subnets and which addresses of them are assigned."""

from __future__ import annotations

import typing as t

from ..errors import refuse
from ..model.addresses import IPAddress, IPNetwork
from ..model.network import SubnetRequest
from . import values
from .readers import is_list, is_mapping, pairs, read, shown, text, wrong_type

# Loopback, multicast, reserved and unspecified addresses: no interface can have one.
_UNUSABLE_NETWORKS = tuple(
    values.network(cidr, "")
    for cidr in ("127.0.0.0/8", "224.0.0.0/4", "240.0.0.0/4", "0.0.0.0/8", "ff00::/8", "::1/128")
)
_LARGEST_AUTOMATIC = 8  # prefix length


class Ipam(t.NamedTuple):
    """A network's subnets. addresses is False for the driver none: its interfaces have no addresses."""

    subnet_requests: tuple[SubnetRequest, ...] = ()
    addresses: bool = True


def _driver(value: t.Any, path: str) -> str:
    driver = text(value, path)
    if driver == "null":  # Docker's name of the driver none
        return "none"
    if driver not in ("default", "none"):
        refuse(path, f"the ipam driver {shown(driver)} is not supported", "Use default or none.")
    return driver


def _aux_addresses(value: t.Any, path: str) -> tuple[tuple[str, IPAddress], ...]:
    return tuple((host, values.address(address, f"{path}.{host}")) for host, address in pairs(value, path))


def _gateway(value: t.Any, path: str) -> IPAddress:
    if is_list(value):
        refuse(path, "a subnet cannot have two gateways", "Use one address.")
    return values.address(value, path)


def _subnets(value: t.Any, path: str) -> tuple[SubnetRequest, ...]:
    if not is_list(value):
        wrong_type(value, path, "a list")
    return tuple(_subnet(item, f"{path}[{index}]") for index, item in enumerate(value))


_SUBNET_OPTIONS = {
    "subnet": values.network,  # CIDR; the address 0.0.0.0 or :: lets dockless choose one of that prefix length
    "ip_range": values.network,  # CIDR within the subnet: dockless assigns addresses of this range only
    "gateway": _gateway,  # address of the bridge; by default the first address of the subnet
    "aux_addresses": _aux_addresses,  # {NAME: ADDRESS}: addresses that dockless never assigns
}
_IPAM_OPTIONS = {
    "driver": _driver,  # default, or none (null): no addresses
    "config": _subnets,  # list of subnets
    "options": pairs,  # accepted, no effect: Docker's default driver has none
}


def parse_ipam(value: t.Any, path: str) -> Ipam:
    """Return the subnets of Compose's ipam: a dictionary with driver and config, or the list that config has.

    An entry of config is a dictionary of _SUBNET_OPTIONS, or the subnet alone as text. A subnet such as 0.0.0.0/24 or
    ::/64 requests an automatic one of that size. Raises DocklessError for subnets that no host can use.
    """
    options = read({"config": value} if is_list(value) else value, path, _IPAM_OPTIONS)
    subnets: tuple[SubnetRequest, ...] = options.get("config", ())
    if options.get("driver") != "none":
        return Ipam(subnets)
    if subnets:
        refuse(
            path + ".config",
            "a network with ipam driver none cannot have subnets",
            "Remove config, or use driver: default.",
        )
    return Ipam((), False)


def _subnet(value: t.Any, path: str) -> SubnetRequest:
    options = read(value if is_mapping(value) else {"subnet": value}, path, _SUBNET_OPTIONS)
    network: IPNetwork | None = options.get("subnet")
    if network is None or _is_automatic(network):
        _refuse_addresses(options, path)
        return SubnetRequest() if network is None else _automatic_subnet(network, path + ".subnet")
    _refuse_unusable(network, path + ".subnet")
    return SubnetRequest(
        network,
        network.prefixlen,
        network.version,
        gateway=options.get("gateway"),
        ip_range=options.get("ip_range"),
        aux_addresses=options.get("aux_addresses", ()),
    )


def _is_automatic(network: IPNetwork) -> bool:
    return int(network.network_address) == 0 and network.prefixlen > 0


def _refuse_addresses(options: t.Mapping[str, t.Any], path: str) -> None:
    for key in ("ip_range", "gateway", "aux_addresses"):
        if key in options:
            refuse(
                f"{path}.{key}",
                f"{key} requires a subnet with a fixed address",
                "Set subnet as well, for example to 172.20.0.0/16.",
            )


def _automatic_subnet(size: IPNetwork, path: str) -> SubnetRequest:
    smallest = size.max_prefixlen - 2  # leaves room for a gateway and a sandbox
    if not _LARGEST_AUTOMATIC <= size.prefixlen <= smallest:
        refuse(
            path,
            f"dockless cannot choose a subnet of size /{size.prefixlen}",
            f"Use a prefix length from /{_LARGEST_AUTOMATIC} to /{smallest}.",
        )
    return SubnetRequest(None, size.prefixlen, size.version)


def _refuse_unusable(network: IPNetwork, path: str) -> None:
    if network.prefixlen == 0:
        refuse(path, f"{network} contains all addresses", "Use a smaller subnet, such as 172.20.0.0/16.")
    for unusable in _UNUSABLE_NETWORKS:
        if unusable.version == network.version and unusable.overlaps(network):
            refuse(
                path,
                f"{network} overlaps {unusable}, whose addresses hosts cannot use",
                "Use a private range, such as 172.20.0.0/16 or fd00:20::/64.",
            )
