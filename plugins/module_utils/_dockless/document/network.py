# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""One network, as Compose declares it."""

from __future__ import annotations

import typing as t

from ..errors import refuse
from ..model.addresses import LINK_LOCAL
from ..model.host import GATEWAY_ISOLATED, GATEWAY_NAT, GATEWAY_ROUTED, GATEWAY_UNPROTECTED, IPAddress, Network, Subnet
from . import values
from .dns import DNS, FORWARD, parse_records
from .ipam import Ipam, parse_ipam
from .macvlan import IPVLAN, MACVLAN, macvlan_of
from .overlay import OVERLAY, overlay_of
from .ports import host_ip
from .readers import Reader, boolean, choice, integer, is_mapping, list_of, pairs, read, scalar, shown, text
from .services import parse_services

RESERVED_NETWORKS = frozenset(("bridge", "host", "none"))
MTU = integer(68, 65535)
_DOCKER = "com.docker.network."


def _driver(value: t.Any, path: str) -> str:
    value = text(value, path)
    if value not in ("bridge", *_KEYS_OF):
        refuse(path, f"{shown(value)} is not a driver", "Use driver: " + " or ".join(("bridge", *_KEYS_OF)) + ".")
    return value


_GATEWAY_MODE = choice(GATEWAY_NAT, GATEWAY_UNPROTECTED, GATEWAY_ROUTED, GATEWAY_ISOLATED)
_INTERFACES = list_of(values.interface_of_host)


def _interfaces(value: t.Any, path: str) -> tuple[str, ...]:
    """Return interfaces of the host, as a list or, as Docker writes them, with colons between them."""
    return _INTERFACES(value.split(":") if isinstance(value, str) else value, path)


def _leaving(version: int) -> Reader:
    """Return a reader of addresses of one family that packets may leave this host with."""
    reader = values.address_of(version)

    def read_one(value: t.Any, path: str) -> IPAddress:
        found: IPAddress = reader(value, path)
        if found.is_loopback or found.is_multicast or found.is_unspecified or found in LINK_LOCAL:
            refuse(
                path,
                f"packets cannot leave with the address {found}: no answer would find its way back",
                "Give an address of this host that others reach.",
            )
        return found

    return read_one


def _prefix(value: t.Any, path: str) -> str:
    value = values.interface(value, path)
    if len(value) > 11 or value[-1].isdigit():
        refuse(
            path,
            f"{shown(value)} cannot begin the names of interfaces",
            "Use at most 11 characters, the last one no digit.",
        )
    return value


def _external(value: t.Any, path: str) -> t.Any:
    return read(value, path, {"name": text}).get("name", True) if isinstance(value, t.Mapping) else boolean(value, path)


_DRIVER_OPTS: dict[str, tuple[str, t.Callable[[t.Any, str], t.Any]]] = {
    "bridge.name": ("bridge_name", values.interface),
    "bridge.enable_ip_masquerade": ("masquerade", boolean),
    "bridge.enable_icc": ("icc", boolean),
    "bridge.inhibit_ipv4": ("inhibit_ipv4", boolean),
    "bridge.host_binding_ipv4": ("default_publish_address", host_ip),
    "bridge.gateway_mode_ipv4": ("gateway_mode_ipv4", _GATEWAY_MODE),
    "bridge.gateway_mode_ipv6": ("gateway_mode_ipv6", _GATEWAY_MODE),
    "bridge.trusted_host_interfaces": ("trusted_host_interfaces", _interfaces),
    "host_ipv4": ("host_ipv4", _leaving(4)),
    "host_ipv6": ("host_ipv6", _leaving(6)),
    "driver.mtu": ("mtu", MTU),
    "container_iface_prefix": ("iface_prefix", _prefix),
    "enable_ipv4": ("enable_ipv4", boolean),
    "enable_ipv6": ("enable_ipv6", boolean),
}
_NOT_SERVED = frozenset(
    (
        "bridge.firewalld_zone",
        "bridge.default_bridge",
        "advertise_addr_nmsgs",
        "advertise_addr_ms",
        "driver.overlay.vxlanid_list",
        "internal",
        "windowsshim.dnsservers",
    )
)


def _driver_opts(value: t.Any, path: str) -> dict[str, t.Any]:
    """Return Docker's driver options in our own words."""
    said = {}
    for key, item in pairs(value, path):
        short = key[len(_DOCKER) :] if key.startswith(_DOCKER) else ""
        if short in _NOT_SERVED:
            refuse(f"{path}.{key}", f"Docker's option {key} is not served here", "Remove it.")
        if short not in _DRIVER_OPTS:
            known = ", ".join(_DOCKER + one for one in sorted(_DRIVER_OPTS))
            refuse(path, f"{shown(key)} is not a driver option", f"Known options: {known}.")
        own, reader = _DRIVER_OPTS[short]
        said[own] = reader(item, f"{path}.{key}")
    return said


_KEYS = {
    "driver": _driver,
    "driver_opts": _driver_opts,
    "external": _external,
    "name": scalar,
    "ipam": parse_ipam,
    "enable_ipv4": boolean,
    "enable_ipv6": boolean,
    "internal": boolean,
    "egress": boolean,
    "ingress": boolean,
    "trusted_host_interfaces": _interfaces,
    "host_ipv4": _leaving(4),
    "host_ipv6": _leaving(6),
    "port_security": boolean,
    "isolate": choice("strict", "open"),
    "icc": boolean,
    "masquerade": boolean,
    "gateway_mode_ipv4": _GATEWAY_MODE,
    "gateway_mode_ipv6": _GATEWAY_MODE,
    "mtu": MTU,
    "bridge_name": values.interface,
    "default_publish_address": host_ip,
    "dns_enabled": boolean,
    "forward": FORWARD,
    "records": parse_records,
    "services": parse_services,
    "attachable": boolean,
    "labels": pairs,
    **DNS,
}
_KEYS_OF: dict[str, dict[str, t.Any]] = {  # of drivers with options of their own
    "overlay": {**_KEYS, **OVERLAY},
    "macvlan": {**_KEYS, **MACVLAN},
    "ipvlan": {**_KEYS, **IPVLAN},
}


def parse_network(project: str, name: t.Any, spec: t.Any, path: str) -> Network:
    """Return the network that spec declares; None is a plain one.

    ======================= =====================================================================
    driver                  bridge, overlay, macvlan, ipvlan (the last three have options of their own)
    external, name          true, and the name, when the network is another project's
    ipam                    driver (default, none), config: list of subnet, ip_range, gateway, aux_addresses
    enable_ipv4/ipv6        which families it has (an IPv6 subnet turns that family on)
    internal                no way out and no published ports: neither of the next two, which may be said one by one
    egress, ingress         whether its sandboxes may connect to what is outside, and be connected to from there
    isolate                 strict, or open: no wall to other open networks
    icc                     whether its sandboxes may talk to each other
    masquerade              whether what leaves takes the host's address
    gateway_mode_ipv4/ipv6  nat, nat-unprotected, routed, isolated
    trusted_host_interfaces those by which published ports are reached at the sandboxes' own addresses
    host_ipv4, host_ipv6    the host's address that leaving packets carry
    port_security           whether a sandbox sends with its own MAC and addresses only
    mtu, bridge_name        of the bridge, in bytes; the name of its interface
    default_publish_address host address of published ports that name none
    dns_enabled             whether names are served
    dns, dns_search, dns_opt servers, search domains and options of its sandboxes
    forward                 where unknown names go: host, servers, none
    records                 list of name, type, value
    services                dictionary of names over several sandboxes: vip, ports, sandboxes, sticky, mode
    attachable, labels      accepted, no effect; dictionary, or list of key=value
    driver_opts             Docker's com.docker.network.* names of the above
    ======================= =====================================================================
    """
    name = _network_name(name, path)
    driver = spec.get("driver") if is_mapping(spec) else None
    said = read(
        spec if spec is not None else {}, path, _KEYS_OF.get(driver, _KEYS) if isinstance(driver, str) else _KEYS
    )
    if said.get("external"):
        return _external_network(project, name, said, path)
    if said.get("name", name) != name:
        refuse(
            path + ".name",
            f"the network {name} cannot have a second name",
            "Use that name as its key, or set external: true if it is another project's.",
        )
    for key, value in said.pop("driver_opts", {}).items():
        if said.setdefault(key, value) != value:
            refuse(path + ".driver_opts", f"it says another {key} than the option {key} does", "Say it once.")
    return _own_network(project, name, said, path)


def _network_name(name: t.Any, path: str) -> str:
    name = values.name(name, path, "network's name")
    if name in RESERVED_NETWORKS:
        refuse(
            path,
            f"the name {name} is reserved for the predefined network",
            "Choose another name; a sandbox joins the predefined one with network_mode.",
        )
    return name


def _external_network(project: str, name: str, said: dict[str, t.Any], path: str) -> Network:
    more = sorted(set(said) - {"external", "name"})
    if more:
        refuse(
            f"{path}.{more[0]}",
            "an external network is set up by its own project",
            f"Remove {', '.join(more)} here, and set it there.",
        )
    owner = said.get("name") or (said["external"] if said["external"] is not True else name)
    parts = owner.split("/")
    if len(parts) > 2:
        refuse(path + ".name", f"{shown(owner)} is not the name of a network", "Write PROJECT/NETWORK.")
    for part in parts:
        values.name(part, path + ".name", "network's name")
    return Network(project, name, external=owner, path=path)


def _own_network(project: str, name: str, said: dict[str, t.Any], path: str) -> Network:
    ipam: Ipam = said.get("ipam", Ipam())
    ipv4, ipv6 = _families(said, ipam.subnets, path)
    if not ipam.addresses:
        if ipv6:
            refuse(path + ".enable_ipv6", "a network with ipam driver none has no addresses", "Remove it.")
        ipv4, ipv6, said["dns_enabled"] = False, False, False
    network = Network(
        project,
        name,
        subnets=ipam.subnets,
        enable_ipv4=ipv4,
        enable_ipv6=ipv6,
        **_ways(said),
        isolate=said.get("isolate", "strict"),
        icc=said.get("icc"),
        masquerade=said.get("masquerade"),
        inhibit_ipv4=said.get("inhibit_ipv4", False),
        mtu=said.get("mtu"),
        bridge_name=said.get("bridge_name", ""),
        publish_address=said.get("default_publish_address"),
        dns_enabled=said.get("dns_enabled", True),
        dns=said.get("dns", ()),
        dns_search=said.get("dns_search", ()),
        dns_opt=said.get("dns_opt", ()),
        forward=said.get("forward", "host"),
        records=said.get("records", ()),
        iface_prefix=said.get("iface_prefix", "eth"),
        labels=said.get("labels", ()),
        path=path,
        services=said.get("services", ()),
        **_gateway(said),
    )
    if said.get("driver") == "overlay":
        network = network._replace(driver="overlay", overlay=overlay_of(said, path), peers=said.get("peers", ()))
    elif said.get("driver") in ("macvlan", "ipvlan"):
        found = macvlan_of(said, path)
        network = network._replace(driver=said["driver"], macvlan=found, internal=network.internal or not found.parent)
    _refuse_contradictions(network)
    return network


def _ways(said: dict[str, t.Any]) -> dict[str, bool]:
    """Return which ways lead out of the network and into it; internal is neither, unless one is opened by its own name."""
    closed = said.get("internal", False)
    egress, ingress = said.get("egress", not closed), said.get("ingress", not closed)
    return {"egress": egress, "ingress": ingress, "internal": not egress and not ingress}


def _gateway(said: dict[str, t.Any]) -> dict[str, t.Any]:
    keys = {
        "gateway_mode_ipv4": GATEWAY_NAT,
        "gateway_mode_ipv6": GATEWAY_NAT,
        "host_ipv4": None,
        "host_ipv6": None,
        "port_security": True,
    }
    return {
        "trusted": said.get("trusted_host_interfaces", ()),
        **{key: said.get(key, default) for key, default in keys.items()},
    }


def refuse_no_family(path: str) -> t.NoReturn:
    """Raise DocklessError for a network without either family."""
    refuse(
        path + ".enable_ipv4",
        "the network has neither IPv4 nor IPv6",
        "Enable one, or set ipam.driver: none for a network without addresses.",
    )


def _families(said: dict[str, t.Any], subnets: t.Sequence[Subnet], path: str) -> tuple[bool, bool | None]:
    ipv4: bool = said.get("enable_ipv4", True)
    ipv6: bool | None = said.get("enable_ipv6")
    versions = {subnet.version for subnet in subnets}
    if 6 in versions and ipv6 is None:
        ipv6 = True
    if not ipv4 and ipv6 is False:
        refuse_no_family(path)
    for version, enabled in ((4, ipv4), (6, ipv6)):
        if version in versions and not enabled:
            refuse(
                f"{path}.enable_ipv{version}",
                f"the network has an IPv{version} subnet, but IPv{version} is off",
                "Enable it or remove the subnet.",
            )
    return ipv4, ipv6


def _refuse_contradictions(network: Network) -> None:
    path = network.path
    for key, mode in (
        ("gateway_mode_ipv4", network.gateway_mode_ipv4),
        ("gateway_mode_ipv6", network.gateway_mode_ipv6),
    ):
        if mode == GATEWAY_ISOLATED and not network.internal:
            refuse(
                f"{path}.{key}",
                "a network without a gateway on this host leads nowhere, and this one is not internal",
                "Set internal: true, and neither egress nor ingress, or choose another gateway mode.",
            )
        if mode != GATEWAY_NAT and network.overlay is not None:
            refuse(
                f"{path}.{key}",
                f"an overlay cannot have the gateway mode {mode}: each host is a gateway of the same subnet",
                "Use nat, or mode: routed for a slice of the subnet on each host.",
            )
    if not network.dns_enabled:
        for key, value in (("dns", network.dns), ("records", network.records)):
            if value:
                refuse(
                    f"{path}.{key}",
                    "the network serves no names (dns_enabled is false)",
                    f"Remove {key} or set dns_enabled: true.",
                )
    for index, subnet in enumerate(network.subnets):
        tiny = subnet.network is not None and subnet.network.num_addresses <= 2
        single = tiny and subnet.network.num_addresses == 1
        if single or (
            tiny
            and subnet.version == 4
            and network.macvlan is None
            and not (network.internal and _has_no_gateway(network))
        ):
            refuse(
                f"{path}.ipam.config[{index}].subnet",
                f"{subnet.network} has no room for a gateway and a sandbox",
                "Give a larger subnet."
                if single
                else "Give a larger subnet, or make the network internal with inhibit_ipv4.",
            )


def _has_no_gateway(network: Network) -> bool:
    return network.inhibit_ipv4 or network.gateway_mode_ipv4 == GATEWAY_ISOLATED
