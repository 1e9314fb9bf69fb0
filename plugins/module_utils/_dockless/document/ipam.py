# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""A network's subnets, as the ipam option of Compose declares them."""

from __future__ import annotations

import typing as t

from ..errors import refuse
from ..model.host import IPAddress, IPNetwork, Subnet
from . import values
from .readers import is_list, is_mapping, pairs, read, shown, text, wrong_type

_NO_SUBNETS = tuple(
    map(values.network, ("127.0.0.0/8", "224.0.0.0/4", "240.0.0.0/4", "0.0.0.0/8", "ff00::/8", "::1/128"), [""] * 6)
)


class Ipam(t.NamedTuple):
    """Subnets of a network; addresses False means driver none: no addresses at all."""

    subnets: tuple[Subnet, ...] = ()
    addresses: bool = True


def _driver(value: t.Any, path: str) -> str:
    value = text(value, path)
    if value == "null":
        return "none"
    if value not in ("default", "none"):
        refuse(path, f"{shown(value)} is not a driver of addresses", "Choose default or none.")
    return value


def _aux(value: t.Any, path: str) -> tuple[tuple[str, IPAddress], ...]:
    return tuple((key, values.address(item, f"{path}.{key}")) for key, item in pairs(value, path))


def _gateway(value: t.Any, path: str) -> IPAddress:
    if is_list(value):
        refuse(path, "a subnet cannot have two gateways", "Give one address.")
    return values.address(value, path)


_SUBNET = {"subnet": values.network, "ip_range": values.network, "gateway": _gateway, "aux_addresses": _aux}


def _subnets(value: t.Any, path: str) -> tuple[Subnet, ...]:
    if not is_list(value):
        wrong_type(value, path, "a list")
    return tuple(_subnet(item, f"{path}[{index}]") for index, item in enumerate(value))


_IPAM = {"driver": _driver, "config": _subnets}


def parse_ipam(value: t.Any, path: str) -> Ipam:
    """Return the subnets. A subnet of 0.0.0.0/24 or ::/64 asks for any free one of that size."""
    said = read({"config": value} if is_list(value) else value, path, _IPAM)
    subnets: tuple[Subnet, ...] = said.get("config", ())
    if said.get("driver") == "none":
        if subnets:
            refuse(
                path + ".config",
                "a network with ipam driver none has no subnets",
                "Remove config, or use driver: default.",
            )
        return Ipam((), False)
    return Ipam(subnets)


def _subnet(value: t.Any, path: str) -> Subnet:
    said = read({"subnet": value} if not is_mapping(value) else value, path, _SUBNET)
    found: IPNetwork | None = said.get("subnet")
    free = found is None or (int(found.network_address) == 0 and found.prefixlen > 0)
    if free:
        for key in ("ip_range", "gateway", "aux_addresses"):
            if key in said:
                refuse(
                    f"{path}.{key}",
                    f"{key} needs a subnet with fixed addresses",
                    "Give subnet as well, like 172.20.0.0/16.",
                )
    if found is None:
        return Subnet()
    if free:
        if not 8 <= found.prefixlen <= found.max_prefixlen - 2:
            refuse(
                path + ".subnet",
                f"no free subnet of size /{found.prefixlen} can be chosen",
                f"Ask for a size from /8 to /{found.max_prefixlen - 2}.",
            )
        return Subnet(None, found.prefixlen, found.version)
    _refuse_special(found, path + ".subnet")
    return Subnet(
        found, found.prefixlen, found.version, said.get("gateway"), said.get("ip_range"), said.get("aux_addresses", ())
    )


def _refuse_special(found: IPNetwork, path: str) -> None:
    if found.prefixlen == 0:
        refuse(path, f"{found} is every address there is", "Give a subnet, like 172.20.0.0/16.")
    for special in _NO_SUBNETS:
        if special.version == found.version and special.overlaps(found):
            refuse(
                path,
                f"{found} overlaps {special}, whose addresses hosts cannot use",
                "Give a private range, like 172.20.0.0/16 or fd00:20::/64.",
            )
