# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Resolves a declared host: dockless chooses every value that is left open. Leases are reused if they still fit."""

from __future__ import annotations

import ipaddress
import typing as t

from .. import names
from ..model import addresses, topology
from ..model.addresses import IPNetwork
from ..model.facts import Facts
from ..model.host import Defaults, Host, Project
from ..model.network import DEFAULT_BRIDGE, Network, Networks, SubnetRequest, is_default_bridge
from ..model.sandbox import Endpoint, Sandbox
from ..names import DEFAULT_BRIDGE_LINK
from . import host_ports, ipam, macvlan, overlay, service_addresses
from .leases import NO_LEASES, Leases, ProjectLeases, endpoint_lease
from .mac_addresses import free_mac
from .macvlan import SharedAddressPool
from .replace import replace_sandboxes

EndpointKey = tuple[str, str, tuple[str, str]]  # (project, sandbox, network's key)


def resolve_host(host: Host, leases: ProjectLeases, facts: Facts) -> Host:
    """Return the host with subnets, gateways, addresses, MACs, interface names and ports.

    External networks must have been resolved, and relations checked (validate). Raises DocklessError
    when pools, subnets or port ranges are exhausted.
    """
    host = _with_default_bridge(host)
    host = _with_subnets(host, leases, facts)
    host = service_addresses.with_service_addresses(host, leases)
    host = macvlan.with_host_addresses(host, leases)
    networks = topology.networks_by_key(host)
    host = _with_endpoints(host, networks, leases)
    return host_ports.resolve_ports(host, networks, leases, facts)


def _with_default_bridge(host: Host) -> Host:
    """Add the host's one default bridge network when a sandbox is on it. It belongs to project ""."""
    if not any(is_default_bridge(endpoint.network) for endpoint in host.endpoints()):
        return host
    bridge = Network(
        "",
        DEFAULT_BRIDGE,
        subnet_requests=_default_bridge_subnets(host.defaults),
        bridge_name=DEFAULT_BRIDGE_LINK,
        dns_enabled=False,
        path="dockless_defaults",
    )
    return host._replace(projects=(*host.projects, Project("", networks=(bridge,))))


def _default_bridge_subnets(defaults: Defaults) -> tuple[SubnetRequest, ...]:
    """Return the subnets that bip and fixed_cidr describe; of a family without, one is chosen from the pools."""
    return tuple(_default_bridge_subnet(network, defaults) for network in defaults.bridge_subnets.values())


def _default_bridge_subnet(network: IPNetwork, defaults: Defaults) -> SubnetRequest:
    gateways = [defaults.default_gateway, defaults.bip[0] if defaults.bip is not None else None]
    gateway = next((address for address in gateways if address is not None and address in network), None)
    is_in_range = defaults.fixed_cidr is not None and defaults.fixed_cidr.version == network.version
    ip_range = defaults.fixed_cidr if is_in_range and defaults.fixed_cidr != network else None
    return SubnetRequest(network, version=network.version, gateway=gateway, ip_range=ip_range)


def _with_subnets(host: Host, leases: ProjectLeases, facts: Facts) -> Host:
    """Return the host with defaults and subnets in every network, its projects in order of name.

    Declared subnets come first, then recorded ones of all projects, then new ones, which avoid the host's routes too.
    """
    projects = {
        project.name: project._replace(
            networks=tuple(_with_defaults(network, host.defaults, facts) for network in project.networks)
        )
        for project in sorted(host.projects, key=lambda project: project.name)
    }
    networks = [network for project in projects.values() for network in project.networks]
    taken = [subnet.network for network in networks for subnet in network.fixed_subnets]
    recorded = {name: _recorded_subnets(p, leases.get(name, NO_LEASES), taken) for name, p in projects.items()}
    taken += host.defaults.bridge_subnets.values()
    taken += facts.routes
    # An address of the host need not be in a subnet of its own: a /32 on lo has no route in the main table.
    reserved = (*facts.addresses, *facts.next_hops, *facts.session_peers)
    taken += [ipaddress.ip_network(address) for address in reserved]
    for name, project in projects.items():
        projects[name] = project._replace(
            networks=tuple(
                _with_chosen_subnets(network, recorded[name].get(network.name, []), taken, host.defaults)
                for network in project.networks
            )
        )
    return host._replace(projects=tuple(projects.values()))


def _with_defaults(network: Network, defaults: Defaults, facts: Facts) -> Network:
    """Return the network with the host's defaults for the options that its declaration leaves open."""
    left_open = network.left_open
    has_ipv6_subnet = any(request.version == 6 for request in network.subnet_requests)
    network = network._replace(
        enable_ipv6=defaults.ipv6 or has_ipv6_subnet if "enable_ipv6" in left_open else network.enable_ipv6,
        icc=defaults.icc if "icc" in left_open else network.icc,
        masquerade=defaults.ip_masq if "masquerade" in left_open else network.masquerade,
        mtu=_default_mtu(network, defaults, facts) if "mtu" in left_open else network.mtu,
        left_open=frozenset(),
        bridge_name=network.bridge_name or names.bridge_link(network.project, network.name),
    )
    if not network.passes_host:
        return macvlan.resolve_network(network)
    if network.spans_hosts:
        return overlay.resolve_network(network, facts)
    return network


def _default_mtu(network: Network, defaults: Defaults, facts: Facts) -> int:
    if not network.passes_host:
        return macvlan.default_mtu(network, facts)
    if network.spans_hosts:
        return overlay.default_mtu(network, network.overlay_options, facts)
    return defaults.mtu or facts.mtu


def _recorded_subnets(project: Project, leases: Leases, taken: list[IPNetwork]) -> dict[str, list[IPNetwork]]:
    """Return recorded automatic subnets by network, and add them to taken.

    One that overlaps a declared subnet is not reused, nor one of a family that the network now declares a subnet of.
    """
    reusable: dict[str, list[IPNetwork]] = {}
    for network in project.networks:
        declared_versions = {subnet.version for subnet in network.fixed_subnets}
        for text in leases.networks.get(network.name, ()):
            subnet = ipaddress.ip_network(text)
            if subnet.version not in declared_versions and addresses.overlaps(subnet, taken) is None:
                reusable.setdefault(network.name, []).append(subnet)
                taken.append(subnet)
    return reusable


def _with_chosen_subnets(
    network: Network, recorded: t.Sequence[IPNetwork], taken: list[IPNetwork], defaults: Defaults
) -> Network:
    """Return the network with a subnet and its gateway for each enabled family. New subnets are added to taken."""
    subnets = []
    unused = list(recorded)
    for version, is_enabled in ((4, network.enable_ipv4), (6, network.enable_ipv6)):
        if not is_enabled:
            continue
        declared = [request for request in network.subnet_requests if request.version == version]
        for request in declared or [SubnetRequest(version=version)]:
            chosen = request.network or _choose_network(request, network, unused, taken, defaults)
            subnet = request.with_network(chosen)
            subnets.append(subnet._replace(gateway=ipam.subnet_gateway(network, subnet)))
    return network._replace(subnet_requests=(), subnets=tuple(subnets))


def _choose_network(
    request: SubnetRequest,
    network: Network,
    unused: list[IPNetwork],
    taken: list[IPNetwork],
    defaults: Defaults,
) -> IPNetwork:
    """Return the network of an automatic subnet: a recorded one of its size, otherwise a free one.

    A recorded one is removed from unused, so that it serves one subnet only; a free one is added to taken.
    """
    for recorded in unused:
        if recorded.version == request.version and request.prefix_length in (None, recorded.prefixlen):
            unused.remove(recorded)
            return recorded
    chosen = ipam.free_subnet(request.version, request.prefix_length, taken, defaults, network)
    taken.append(chosen)
    return chosen


def _with_endpoints(host: Host, networks: Networks, leases: ProjectLeases) -> Host:
    """Return the host with addresses, MACs and interface names of all endpoints."""
    resolved = _addressed_endpoints(host, networks, leases)

    def with_interfaces(sandbox: Sandbox) -> Sandbox:
        endpoints = [resolved[endpoint.key] for endpoint in sandbox.endpoints]
        return sandbox._replace(endpoints=tuple(_with_interface_names(endpoints, networks, leases)))

    return replace_sandboxes(host, lambda sandbox: with_interfaces(sandbox) if sandbox.endpoints else sandbox)


def _addressed_endpoints(host: Host, networks: Networks, leases: ProjectLeases) -> dict[EndpointKey, Endpoint]:
    """Return every endpoint with its addresses and MAC."""
    resolved: dict[EndpointKey, Endpoint] = {}
    pool = SharedAddressPool(host, leases)
    without_ipv6 = {(sandbox.project, sandbox.name) for sandbox in host.sandboxes() if sandbox.disables_ipv6}
    for key, endpoints in topology.endpoints_by_network(host).items():
        recorded = {(e.project, e.sandbox): endpoint_lease(leases, e).addresses for e in endpoints}
        addressed = ipam.assign(networks[key], endpoints, recorded, pool.used_by_others(key))
        for endpoint in _with_macs(networks[key], addressed):
            pool.add(key, macvlan.address_numbers(endpoint))
            if (endpoint.project, endpoint.sandbox) in without_ipv6:
                ipv4 = tuple(cidr for cidr in endpoint.addresses if ":" not in cidr)
                endpoint = endpoint._replace(addresses=ipv4)
            resolved[endpoint.key] = endpoint
    return resolved


def _with_macs(network: Network, endpoints: t.Sequence[Endpoint]) -> t.Sequence[Endpoint]:
    """Return the endpoints with MACs, where the driver gives a sandbox one of its own."""
    if network.shares_parent_mac:
        return endpoints
    taken = {endpoint.mac_address for endpoint in endpoints if endpoint.mac_address}
    found = []
    for endpoint in endpoints:
        if not endpoint.mac_address:
            mac, _salt = free_mac(endpoint.project, network.key, endpoint.sandbox, taken)
            taken.add(mac)
            endpoint = endpoint._replace(mac_address=mac)
        found.append(endpoint)
    return found


def _with_interface_names(
    endpoints: t.Sequence[Endpoint], networks: Networks, leases: ProjectLeases
) -> t.Iterator[Endpoint]:
    """Yield a sandbox's endpoints with interface names.

    Declared names come first, then recorded ones, then the lowest free numbers in the order of declaration.
    """
    used = {endpoint.interface_name for endpoint in endpoints if endpoint.interface_name}
    recorded: dict[EndpointKey, str] = {}
    for endpoint in endpoints:
        name = endpoint_lease(leases, endpoint).interface
        is_usable = name and name not in used and name.startswith(networks[endpoint.network].iface_prefix)
        if not endpoint.interface_name and is_usable:
            recorded[endpoint.key] = name
            used.add(name)
    for endpoint in endpoints:
        name = endpoint.interface_name or recorded.get(endpoint.key) or ""
        if not name:
            name = _lowest_free_name(networks[endpoint.network].iface_prefix, used)
            used.add(name)
        yield endpoint._replace(interface_name=name)


def _lowest_free_name(prefix: str, used: t.Collection[str]) -> str:
    candidates = (f"{prefix}{number}" for number in range(len(used) + 1))
    return next(name for name in candidates if name not in used)
