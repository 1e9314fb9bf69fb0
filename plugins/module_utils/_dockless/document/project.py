# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""From the document that people write to the model. Pure: nothing of the host is looked at."""
from __future__ import annotations

import typing as t

from ..model.host import Defaults, HostNames, Network, Project, Sandbox
from ..model.spans import IPNetwork
from ..names import FIREWALLS
from . import values
from .dns import DNS
from .endpoint import DEFAULT_NETWORK
from .network import MTU, parse_network
from .ports import host_ip
from .readers import anything, boolean, choice, integer, is_list, is_mapping, list_of, read, refuse, text, wrong_type
from .sandbox import parse_sandbox
from .veth_pair import parse_veth

_KEYS = {"networks": anything, "sandboxes": anything, "veth_pairs": anything}
_Parser = t.Callable[[str, t.Any, t.Any, str], t.Any]


def parse_project(name: str, declaration: t.Mapping[str, t.Any]) -> Project:
    """Return the project that a declaration of networks, sandboxes and veth_pairs describes.

    Raises DocklessError with the option's path for anything that cannot be
    meant. What can only be judged beside other objects is left to checks.
    """
    name = values.name(name, "project", "project's name")
    if is_mapping(declaration) and "services" in declaration:
        refuse("services", "'services' is not an option here", "Call them sandboxes.")
    said = read(declaration, "", _KEYS)
    networks: t.Tuple[Network, ...] = _each(name, said, "networks", parse_network)
    parsed = _each(name, said, "sandboxes", parse_sandbox)
    sandboxes = tuple(one.sandbox for one in parsed)
    return Project(
        name, networks + _implied(name, networks, sandboxes), sandboxes, _each(name, said, "veth_pairs", parse_veth),
        tuple(warning for one in parsed for warning in one.warnings))


def _each(project: str, said: t.Dict[str, t.Any], kind: str, parser: _Parser) -> t.Tuple[t.Any, ...]:
    value = said.get(kind, {})
    if not is_mapping(value):
        wrong_type(value, kind, f"a dictionary of {kind} by name")
    return tuple([parser(project, name, spec, f"{kind}.{name}") for name, spec in value.items()])


def _implied(project: str, networks: t.Sequence[Network], sandboxes: t.Sequence[Sandbox]) -> t.Tuple[Network, ...]:
    """Return the default network if a sandbox joins it and nobody declared it."""
    if any(network.name == DEFAULT_NETWORK for network in networks):
        return ()
    key = (project, DEFAULT_NETWORK)
    if any(endpoint.network == key for sandbox in sandboxes for endpoint in sandbox.endpoints):
        return (Network(project, DEFAULT_NETWORK, path=f"networks.{DEFAULT_NETWORK}"),)
    return ()


_POOL = {"base": values.network, "size": integer(1, 126)}


def _pools(value: t.Any, path: str) -> t.Tuple[t.Tuple[IPNetwork, int], ...]:
    if not is_list(value):
        wrong_type(value, path, "a list")
    return tuple(_pool(item, f"{path}[{index}]") for index, item in enumerate(value))


def _pool(value: t.Any, path: str) -> t.Tuple[IPNetwork, int]:
    said = read(value, path, _POOL)
    for key in _POOL:
        if key not in said:
            refuse(path, f"the pool has no {key}", "Give base and size, like {base: 172.30.0.0/16, size: 24}.")
    base, size = said["base"], said["size"]
    if not base.prefixlen <= size <= base.max_prefixlen - 2:
        refuse(path + ".size", f"subnets of /{size} cannot be cut from {base}",
               f"Give a size from /{base.prefixlen} to /{base.max_prefixlen - 2}.")
    return base, size


_HOST_NAMES = {"through": choice("dnsmasq"), "networks": list_of(text)}


def _host_names(value: t.Any, path: str) -> HostNames:
    return HostNames(**read(value, path, _HOST_NAMES))


_DEFAULTS = {"host_names": _host_names, "bip": values.with_prefix, "fixed_cidr": values.network, "default_gateway": values.address,
             "default_address_pools": _pools, "icc": boolean, "ip": host_ip, "ip_masq": boolean, "mtu": MTU,
             "ipv6": boolean, "allow_direct_routing": boolean, "ip_forward_no_drop": boolean,
             "coexist": list_of(choice(*FIREWALLS)), **DNS}


def parse_defaults(mapping: t.Optional[t.Mapping[str, t.Any]]) -> Defaults:
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
    elif defaults.fixed_cidr is not None and defaults.default_gateway is not None \
            and defaults.default_gateway.version != defaults.fixed_cidr.version:
        refuse("defaults.default_gateway", f"{defaults.default_gateway} is of another family than fixed_cidr", "Give one of the same family.")
    return defaults


def _check_bip(defaults: Defaults) -> None:
    address, length = t.cast(t.Any, defaults.bip)
    subnet = values.network_of(address, length)
    if length > address.max_prefixlen - 2 or address in (subnet.network_address, subnet.broadcast_address):
        refuse("defaults.bip", f"{address}/{length} is not the address of one host in a subnet", "Write it like 172.17.0.1/16.")
    if defaults.fixed_cidr is not None and not values.is_within(defaults.fixed_cidr, subnet):
        refuse("defaults.fixed_cidr", f"{defaults.fixed_cidr} is not within {subnet}, the subnet of bip", "Give a part of that subnet.")
    if defaults.default_gateway is not None and defaults.default_gateway not in subnet:
        refuse("defaults.default_gateway", f"{defaults.default_gateway} is not within {subnet}, the subnet of bip", "Give an address of that subnet.")
