# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Host as declared -> Host with every blank filled in, and the leases to remember it by."""

from __future__ import annotations

import ipaddress
import typing as t

from .. import names
from ..model import addresses, gateways, topology
from ..model.facts import Facts
from ..model.host import DEFAULT_BRIDGE, Defaults, Endpoint, Host, IPNetwork, Network, Project, Sandbox, Subnet
from ..model.macvlan import shares_mac
from ..model.topology import Networks
from ..names import DEFAULT_BRIDGE_LINK
from . import host_ports, ipam, macvlan, overlay, service_addresses
from .leases import NO_LEASES, Leases, ProjectLeases, endpoint_lease
from .macvlan import SharedAddressPool


def resolve_host(host: Host, leases: ProjectLeases, facts: Facts) -> Host:
    """Return the host with subnets, gateways, addresses, MACs, interface names and ports.

    Raises DocklessError where something is exhausted. Externals must have been
    resolved; relations must have been checked.
    """
    host = _with_default_bridge(host)
    host = _with_subnets(host, leases, facts)
    host = service_addresses.with_service_addresses(host, leases)
    host = macvlan.with_host_addresses(host, leases)
    networks = topology.networks_of(host)
    host = _with_endpoints(host, networks, leases)
    return host_ports.resolve_ports(host, networks, leases, facts)


def _with_default_bridge(host: Host) -> Host:
    """Add the host's one default bridge network when a sandbox is on it."""
    key = ("", DEFAULT_BRIDGE)
    if not any(e.network == key for p in host.projects for s in p.sandboxes for e in s.endpoints):
        return host
    defaults = host.defaults
    subnets: list[Subnet] = []
    if defaults.bip:
        address, length = defaults.bip
        network = ipaddress.ip_network(f"{address}/{length}", strict=False)
        subnets.append(
            Subnet(
                network,
                version=network.version,
                gateway=defaults.default_gateway or address,
                ip_range=defaults.fixed_cidr,
            )
        )
    bridge = Network(
        "",
        DEFAULT_BRIDGE,
        subnets=tuple(subnets),
        bridge_name=DEFAULT_BRIDGE_LINK,
        dns_enabled=False,
        path="dockless_defaults",
    )
    return host._replace(projects=(*host.projects, Project("", networks=(bridge,))))


def _with_subnets(host: Host, leases: ProjectLeases, facts: Facts) -> Host:
    projects = {
        p.name: p._replace(networks=tuple(_with_defaults(n, host.defaults, facts) for n in p.networks))
        for p in sorted(host.projects, key=lambda p: p.name)
    }
    taken: list[IPNetwork] = [s.network for p in projects.values() for n in p.networks for s in n.subnets if s.network]
    kept = {p.name: _kept_subnets(p, leases.get(p.name, NO_LEASES), taken) for p in projects.values()}
    taken += facts.routes
    for project in projects.values():
        filled = tuple(_fill(n, kept[project.name].get(n.name, []), taken, host.defaults) for n in project.networks)
        projects[project.name] = project._replace(networks=filled)
    return host._replace(projects=tuple(projects.values()))


def _with_defaults(network: Network, defaults: Defaults, facts: Facts) -> Network:
    def said(value: t.Any, default: t.Any) -> t.Any:
        return default if value is None else value

    network = network._replace(
        enable_ipv6=said(network.enable_ipv6, defaults.ipv6 or any(s.version == 6 for s in network.subnets)),
        icc=said(network.icc, defaults.icc),
        masquerade=said(network.masquerade, defaults.ip_masq),
        bridge_name=network.bridge_name or names.bridge_link(network.project, network.name),
    )
    if network.macvlan is not None:
        return macvlan.resolve_network(network, facts)
    return (
        overlay.resolve_network(network, facts)
        if network.overlay
        else network._replace(mtu=network.mtu or defaults.mtu or facts.mtu)
    )


def _kept_subnets(project: Project, leases: Leases, taken: list[IPNetwork]) -> dict[str, list[IPNetwork]]:
    """Return what automatic subnets were before, unless somebody now asks for an overlapping one by name."""
    found: dict[str, list[IPNetwork]] = {}
    for network in project.networks:
        for text in leases.networks.get(network.name, ()):
            kept = ipaddress.ip_network(text)
            asked = any(s.network and s.version == kept.version for s in network.subnets)
            if not asked and addresses.overlaps(kept, taken) is None:
                found.setdefault(network.name, []).append(kept)
                taken.append(kept)
    return found


def _fill(network: Network, kept: t.Sequence[IPNetwork], taken: list[IPNetwork], defaults: Defaults) -> Network:
    subnets = []
    for version, enabled in ((4, network.enable_ipv4), (6, bool(network.enable_ipv6))):
        if enabled:
            declared = [s for s in network.subnets if s.version == version] or [Subnet(version=version)]
            subnets += [_filled(network, s, kept, taken, defaults) for s in declared]
    return network._replace(subnets=tuple(subnets))


def _filled(
    network: Network, subnet: Subnet, kept: t.Sequence[IPNetwork], taken: list[IPNetwork], defaults: Defaults
) -> Subnet:
    if subnet.network is None:
        before = [k for k in kept if k.version == subnet.version and subnet.prefix_length in (None, k.prefixlen)]
        chosen = (
            before[0] if before else ipam.free_subnet(subnet.version, subnet.prefix_length, taken, defaults, network)
        )
        taken.append(chosen)
        subnet = subnet._replace(network=chosen)
    return (
        subnet
        if subnet.gateway or not gateways.keeps_gateway(network, subnet.version)
        else subnet._replace(gateway=ipam.first_gateway(subnet))
    )


def _with_endpoints(host: Host, networks: Networks, leases: ProjectLeases) -> Host:
    addressed: dict[t.Any, Endpoint] = {}
    book = SharedAddressPool(host, leases)
    without6 = {(s.project, s.name) for p in host.projects for s in p.sandboxes if topology.turns_ipv6_off(s)}
    for key, endpoints in topology.endpoints_by_network(host).items():
        before = {(e.project, e.sandbox): endpoint_lease(leases, e).addresses for e in endpoints}
        for endpoint in _with_macs(networks[key], ipam.assign(networks[key], endpoints, before, book.others(key))):
            book.put(key, macvlan.address_numbers(endpoint))
            if (endpoint.project, endpoint.sandbox) in without6:
                endpoint = endpoint._replace(addresses=tuple(a for a in endpoint.addresses if ":" not in a))
            addressed[endpoint.key] = endpoint
    return host._replace(
        projects=tuple(
            p._replace(
                sandboxes=tuple(
                    _with_interfaces(s, addressed, networks, leases) if s.endpoints else s for s in p.sandboxes
                )
            )
            for p in host.projects
        )
    )


def _with_macs(network: Network, endpoints: t.Sequence[Endpoint]) -> t.Iterator[Endpoint]:
    seen = {e.mac_address for e in endpoints if e.mac_address}
    for endpoint in endpoints:
        salt, mac = 0, endpoint.mac_address
        if shares_mac(network):
            yield endpoint
            continue
        while not mac:  # two of 2**40 may meet; the salt is as repeatable as the rest
            candidate = names.endpoint_mac(endpoint.project, network.key, endpoint.sandbox, salt)
            mac, salt = ("", salt + 1) if candidate in seen else (candidate, salt)
        seen.add(mac)
        yield endpoint._replace(mac_address=mac)


def _with_interfaces(
    sandbox: Sandbox, addressed: t.Mapping[t.Any, Endpoint], networks: Networks, leases: ProjectLeases
) -> Sandbox:
    """Name interfaces: as asked, as before, else the lowest free number in the order of declaration."""
    endpoints = [addressed[e.key] for e in sandbox.endpoints]
    used = {e.interface_name for e in endpoints if e.interface_name}
    for i, endpoint in enumerate(endpoints):
        before = endpoint_lease(leases, endpoint).interface
        if (
            not endpoint.interface_name
            and before
            and before not in used
            and before.startswith(networks[endpoint.network].iface_prefix)
        ):
            endpoints[i] = endpoint._replace(interface_name=before)
            used.add(before)
    for i, endpoint in enumerate(endpoints):
        if not endpoint.interface_name:
            prefix = networks[endpoint.network].iface_prefix
            name = next(f"{prefix}{n}" for n in range(len(used) + 1) if f"{prefix}{n}" not in used)
            endpoints[i] = endpoint._replace(interface_name=name)
            used.add(name)
    return sandbox._replace(endpoints=tuple(endpoints))
