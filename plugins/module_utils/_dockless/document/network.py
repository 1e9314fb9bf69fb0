# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Parses one network: the options of the Compose specification, and those that dockless adds."""

from __future__ import annotations

import typing as t

from ..errors import refuse
from ..model.network import GATEWAY_ISOLATED, GATEWAY_NAT, HostDefault, Network, SubnetRequest
from . import values
from .bridge_driver_opts import (
    parse_bridge_driver_opts,
    read_gateway_mode,
    read_host_interfaces,
    source_address_of,
)
from .dns import DNS_OPTIONS, parse_records, read_forward
from .ipam import Ipam, parse_ipam
from .macvlan import IPVLAN_OPTIONS, MACVLAN_OPTIONS, build_macvlan
from .overlay import OVERLAY_OPTIONS, build_overlay
from .ports import host_ip
from .readers import Reader, boolean, choice, either, is_mapping, pairs, read, scalar, shown, text
from .services import parse_services

RESERVED_NETWORKS = frozenset(("bridge", "host", "none"))  # Docker's predefined networks


def _driver(value: t.Any, path: str) -> str:
    driver = text(value, path)
    if driver not in _OPTIONS_OF_DRIVER:
        refuse(path, f"the driver {shown(driver)} is not supported", f"Use {either(list(_OPTIONS_OF_DRIVER))}.")
    return driver


def _external(value: t.Any, path: str) -> bool | str:
    """Return whether the network is external, or its name from Compose's older form {name: NAME}."""
    if not is_mapping(value):
        return boolean(value, path)
    name: str = read(value, path, {"name": text}).get("name", "")
    return name or True


_OPTIONS: dict[str, Reader] = {
    "driver": _driver,  # bridge (default), overlay, macvlan or ipvlan
    "driver_opts": parse_bridge_driver_opts,  # Docker's com.docker.network.* names of the options below
    "external": _external,  # true: the network belongs to another project
    "name": scalar,  # of an external network: NETWORK, PROJECT/NETWORK or PROJECT_NETWORK; default: the key
    # of an own network: a further name for external entries of other projects; nothing on the host is called by it
    "ipam": parse_ipam,  # driver and subnets
    "enable_ipv4": boolean,  # default true
    "enable_ipv6": boolean,  # default: true with an IPv6 subnet, otherwise the host's default
    "internal": boolean,  # true: egress and ingress are false, unless they are set
    "egress": boolean,  # whether sandboxes may open connections to the outside
    "ingress": boolean,  # whether published ports make sandboxes reachable from the outside
    "isolate": choice("strict", "open"),  # open: reachable from other networks that are open; default strict
    "icc": boolean,  # whether sandboxes may talk to each other; default: the host's default
    "masquerade": boolean,  # whether outgoing packets get an address of the host as their source
    "gateway_mode_ipv4": read_gateway_mode,  # nat (default), nat-unprotected, routed, isolated
    "gateway_mode_ipv6": read_gateway_mode,
    "trusted_host_interfaces": read_host_interfaces,  # through these, published ports accept direct routing
    "host_ipv4": source_address_of(4),  # source address of outgoing packets; default: of the egress interface
    "host_ipv6": source_address_of(6),
    "port_security": boolean,  # true (default): a sandbox may send with its own MAC and IP addresses only
    "mtu": values.mtu,  # bytes
    "bridge_name": values.interface,  # default: derived from the names of project and network
    "default_publish_address": host_ip,  # for published ports without host_ip
    "dns_enabled": boolean,  # false: sandboxes do not resolve each other's names
    **DNS_OPTIONS,
    "forward": read_forward,  # where queries for other names go: host (default), servers or none
    "records": parse_records,  # further DNS records: list of name, type, value
    "services": parse_services,  # names that stand for several sandboxes
    "attachable": boolean,  # accepted, no effect
    "labels": pairs,  # dictionary, or list of KEY=VALUE
}
_OPTIONS_OF_DRIVER: dict[str, dict[str, Reader]] = {
    "bridge": _OPTIONS,
    "overlay": {**_OPTIONS, **OVERLAY_OPTIONS},
    "macvlan": {**_OPTIONS, **MACVLAN_OPTIONS},
    "ipvlan": {**_OPTIONS, **IPVLAN_OPTIONS},
}


def parse_network(project: str, name: t.Any, spec: t.Any, path: str) -> Network:
    """Return the network that spec declares.

    spec is a dictionary of _OPTIONS and of the driver's own options; None is a bridge network with all defaults. An
    option may be written under its Docker name in driver_opts as well. Raises DocklessError for a value that is wrong
    by itself and for options that contradict each other.
    """
    name = _network_name(name, path)
    options = read(spec if spec is not None else {}, path, _options_of_driver(spec))
    if options.get("external"):
        return _external_network(project, name, options, path)
    second_name = _network_name(options["name"], path + ".name") if "name" in options else ""
    _merge_driver_opts(options, path)
    network = _common_network(project, name, options, path)
    network = _with_driver(network, options)._replace(second_name=second_name)
    _check_gateway_modes(network)
    _check_dns(network)
    _check_subnet_sizes(network)
    return network


def _options_of_driver(spec: t.Any) -> dict[str, Reader]:
    driver = spec.get("driver") if is_mapping(spec) else None
    return _OPTIONS_OF_DRIVER.get(driver, _OPTIONS) if isinstance(driver, str) else _OPTIONS


def _network_name(value: t.Any, path: str) -> str:
    name = values.name(value, path, "network name")
    if name in RESERVED_NETWORKS:
        refuse(
            path,
            f"the name {name} is reserved for the predefined network",
            "Choose another name. A sandbox joins the predefined network with network_mode.",
        )
    return name


def _external_network(project: str, name: str, options: dict[str, t.Any], path: str) -> Network:
    settings = sorted(options.keys() - {"external", "name"})
    if settings:
        refuse(
            f"{path}.{settings[0]}",
            "an external network is configured in its own project",
            f"Remove {', '.join(settings)} here, and set it there.",
        )
    external = options["external"]
    owner = options.get("name") or (name if external is True else external)
    parts = owner.split("/")
    if len(parts) > 2:
        refuse(path + ".name", f"{shown(owner)} is not a valid network reference", "Use PROJECT/NETWORK.")
    for part in parts:
        values.name(part, path + ".name", "network name")
    return Network(project, name, external=owner, path=path)


def _merge_driver_opts(options: dict[str, t.Any], path: str) -> None:
    """Move the options in driver_opts to the others. Raises DocklessError for one that is set twice differently."""
    for key, value in options.pop("driver_opts", {}).items():
        own = options.setdefault(key, value)
        if own != value:
            refuse(
                path + ".driver_opts",
                f"{key} is set twice with different values: here and in the network's option {key}",
                "Remove one of the two.",
            )


def _common_network(project: str, name: str, options: dict[str, t.Any], path: str) -> Network:
    """Return the network as far as the options do not depend on the driver."""
    get = options.get
    ipam: Ipam = get("ipam", Ipam())
    enable_ipv4, enable_ipv6 = _families(options, ipam, path)
    is_closed = get("internal", False)
    egress = get("egress", not is_closed)
    ingress = get("ingress", not is_closed)
    return Network(
        project,
        name,
        subnet_requests=ipam.subnet_requests,
        left_open=_left_open(options, enable_ipv6),
        enable_ipv4=enable_ipv4,
        enable_ipv6=bool(enable_ipv6),
        internal=not egress and not ingress,
        egress=egress,
        ingress=ingress,
        isolate=get("isolate", "strict"),
        icc=get("icc", True),
        masquerade=get("masquerade", True),
        inhibit_ipv4=get("inhibit_ipv4", False),
        gateway_mode_ipv4=get("gateway_mode_ipv4", GATEWAY_NAT),
        gateway_mode_ipv6=get("gateway_mode_ipv6", GATEWAY_NAT),
        trusted=get("trusted_host_interfaces", ()),
        host_ipv4=get("host_ipv4"),
        host_ipv6=get("host_ipv6"),
        port_security=get("port_security", True),
        mtu=get("mtu", 0),
        bridge_name=get("bridge_name", ""),
        publish_address=get("default_publish_address"),
        dns_enabled=get("dns_enabled", True) and ipam.addresses,
        dns=get("dns", ()),
        dns_search=get("dns_search", ()),
        dns_opt=get("dns_opt", ()),
        forward=get("forward", "host"),
        records=get("records", ()),
        services=get("services", ()),
        iface_prefix=get("iface_prefix", "eth"),
        labels=get("labels", ()),
        path=path,
    )


def _with_driver(network: Network, options: dict[str, t.Any]) -> Network:
    driver = options.get("driver", "bridge")
    if driver == "overlay":
        overlay = build_overlay(options, network.path)
        return network._replace(driver=driver, overlay=overlay, peers=options.get("peers", ()))
    if driver in ("macvlan", "ipvlan"):
        macvlan = build_macvlan(options, network.path)
        has_no_parent = not macvlan.parent
        return network._replace(driver=driver, macvlan=macvlan, internal=network.internal or has_no_parent)
    return network


def refuse_no_family(path: str) -> t.NoReturn:
    """Raise DocklessError for a network without either family. path is the network's."""
    refuse(
        path + ".enable_ipv4",
        "both IPv4 and IPv6 are disabled",
        "Enable one of them, or set ipam.driver: none for a network without addresses.",
    )


def _families(options: dict[str, t.Any], ipam: Ipam, path: str) -> tuple[bool, bool | None]:
    """Return whether the network has IPv4 and IPv6 addresses; None is the host's default."""
    versions = {request.version for request in ipam.subnet_requests}
    ipv4: bool = options.get("enable_ipv4", True)
    ipv6: bool | None = options.get("enable_ipv6", True if 6 in versions else None)
    if not ipv4 and ipv6 is False:
        refuse_no_family(path)
    for version, is_enabled in ((4, ipv4), (6, ipv6)):
        if version in versions and not is_enabled:
            refuse(
                f"{path}.enable_ipv{version}",
                f"the network has an IPv{version} subnet, but IPv{version} is disabled",
                f"Set enable_ipv{version}: true, or remove the subnet.",
            )
    if ipam.addresses:
        return ipv4, ipv6
    if ipv6:
        refuse(
            path + ".enable_ipv6",
            "a network with ipam driver none cannot have IPv6 addresses",
            "Remove enable_ipv6, or use ipam.driver: default.",
        )
    return False, False


def _left_open(options: t.Mapping[str, t.Any], enable_ipv6: bool | None) -> frozenset[HostDefault]:
    """Return the options that the declaration leaves to the host's defaults."""
    declared: dict[HostDefault, bool | int | None] = {
        "enable_ipv6": enable_ipv6,
        "icc": options.get("icc"),
        "masquerade": options.get("masquerade"),
        "mtu": options.get("mtu"),
    }
    return frozenset(option for option, value in declared.items() if value is None)


def _check_gateway_modes(network: Network) -> None:
    for option, mode in (
        ("gateway_mode_ipv4", network.gateway_mode_ipv4),
        ("gateway_mode_ipv6", network.gateway_mode_ipv6),
    ):
        if mode == GATEWAY_ISOLATED and not network.internal:
            refuse(
                f"{network.path}.{option}",
                "the gateway mode isolated requires an internal network, because this host is not its gateway",
                "Set internal: true and remove egress and ingress, or use another gateway mode.",
            )
        if mode != GATEWAY_NAT and network.spans_hosts:
            refuse(
                f"{network.path}.{option}",
                f"the gateway mode {mode} is not available for overlay networks, because every host is a gateway of "
                "the same subnet",
                "Use nat, or mode: routed for a slice of the subnet on each host.",
            )


def _check_dns(network: Network) -> None:
    if network.dns_enabled:
        return
    for option, value in (("dns", network.dns), ("records", network.records)):
        if value:
            refuse(
                f"{network.path}.{option}",
                f"{option} cannot be combined with dns_enabled: false, because the network then resolves no names",
                f"Remove {option}, or set dns_enabled: true.",
            )


def _check_subnet_sizes(network: Network) -> None:
    for index, request in enumerate(network.subnet_requests):
        if request.network is None or request.network.num_addresses > 2:
            continue
        has_one_address = request.network.num_addresses == 1
        if has_one_address or _needs_gateway(network, request):
            refuse(
                f"{network.path}.ipam.config[{index}].subnet",
                f"{request.network} is too small for a gateway and a sandbox",
                "Use a larger subnet."
                if has_one_address
                else "Use a larger subnet, or make the network internal and set inhibit_ipv4.",
            )


def _needs_gateway(network: Network, request: SubnetRequest) -> bool:
    """Return whether the host has an address in the subnet beside the sandboxes'."""
    if request.version == 6 or not network.passes_host:
        return False
    has_no_gateway = network.inhibit_ipv4 or network.gateway_mode_ipv4 == GATEWAY_ISOLATED
    return not (network.internal and has_no_gateway)
