# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""DNS of a project: record files, resolvers with their configuration, and files in /etc/netns.

The record files of a network are in one directory, which the resolvers of all its sandboxes watch. So a resolver has
the names of its sandbox's networks and no others, and a new name is a single file that is renamed into place.
"""

from __future__ import annotations

import ipaddress
import typing as t

from .. import names
from ..dns import dnsmasq_config, etc_files, systemd_units, upstreams
from ..dns.systemd_units import SANDBOX_UNIT
from ..dns.upstreams import Upstreams
from ..errors import DocklessError
from ..model.dns_names import is_dns_name
from ..model.facts import Facts
from ..model.host import Defaults, Project
from ..model.network import DnsRecord, Network, is_default_bridge
from ..model.sandbox import MODE_CONTAINER, MODE_NETWORKS, MODE_NONE, Endpoint, Sandbox
from ..model.services import address_lines
from ..model.topology import Topology, effective_netns
from ..names import NETNS_ETC_DIRECTORY
from ..state.objects import File, NftTable, Object, Resolver
from .services import Services


def dns_objects(project: Project, topology: Topology, facts: Facts, defaults: Defaults) -> list[Object]:
    """Return the Files, Resolvers and NftTables of one project of a resolved host.

    A resolver's configuration also depends on other projects: on their names with dots in shared networks. Raises
    DocklessError for a record or an option that cannot be served.
    """
    services = Services(topology)
    objects: list[Object] = list(_record_files(project, topology, services))
    for sandbox in project.sandboxes:
        if sandbox.mode in (MODE_NETWORKS, MODE_NONE):
            objects += _sandbox_objects(sandbox, topology, services, facts, defaults)
    objects += _shared_files(project, objects)
    if facts.systemd and any(isinstance(found, Resolver) for found in objects):
        objects.append(File(SANDBOX_UNIT, systemd_units.sandbox_unit(facts)))
    return objects


def endpoint_records(sandbox: Sandbox, endpoint: Endpoint, services: Services) -> list[str]:
    """Return an endpoint's lines in hosts(5) format. A reverse query gets the first name.

    Raises DocklessError for an alias that is not a domain name.
    """
    for alias in endpoint.aliases:
        if not is_dns_name(alias):
            raise DocklessError(
                f"alias {alias!r} of sandbox {sandbox.name} is not a domain name",
                "Use letters, digits, dashes and dots.",
                endpoint.path and endpoint.path + ".aliases",
            )
    network = endpoint.network[1]
    own = (sandbox.name, sandbox.hostname, *endpoint.aliases, names.short_id(sandbox.project, sandbox.name))
    plain = services.names(endpoint.network, sandbox.project, sandbox.name, own)
    hostnames = (f"{sandbox.name}.{network}", *plain, *(f"{name}.{network}" for name in plain if name))
    text = " ".join(name for name in dict.fromkeys(hostnames) if is_dns_name(name))
    return [f"{address} {text}" for address in endpoint.named_addresses] if text else []


def address_records(records: t.Sequence[DnsRecord]) -> list[str]:
    """Return declared A and AAAA records as lines in hosts(5) format. Raises DocklessError."""
    lines = []
    for record in records:
        if record.kind not in ("A", "AAAA"):
            continue
        try:
            address = ipaddress.ip_address(record.value)
        except ValueError:
            address = None
        if address is None or address.version != (4 if record.kind == "A" else 6) or not is_dns_name(record.name):
            raise DocklessError(
                f"the {record.kind} record of {record.name!r} cannot be served",
                f"Use a domain name and an IPv{4 if record.kind == 'A' else 6} address.",
            )
        lines.append(f"{address} {record.name}")
    return lines


def _shared_files(project: Project, objects: t.Sequence[Object]) -> list[Object]:
    """Return the files of sandboxes that share a partner's namespace: copies of the partner's files, as in Docker."""
    sandboxes = {sandbox.name: sandbox for sandbox in project.sandboxes}
    found: list[Object] = []
    for sandbox in project.sandboxes:
        if sandbox.mode == MODE_CONTAINER and sandbox.partner in sandboxes:
            source = f"{NETNS_ETC_DIRECTORY}/{effective_netns(sandboxes, sandbox)}/"
            target = etc_files.directory(sandbox) + "/"
            found += [
                obj._replace(path=target + obj.path[len(source) :])
                for obj in objects
                if isinstance(obj, File) and obj.path.startswith(source)
            ]
    return found


def _record_files(project: Project, topology: Topology, services: Services) -> t.Iterator[File]:
    """Yield the record files of a project, and those of the peers of its networks."""
    lines: dict[str, list[str]] = {}
    for sandbox in project.sandboxes:
        for endpoint in sandbox.endpoints:
            if topology.networks[endpoint.network].has_names:
                path = dnsmasq_config.record_path(endpoint.network, project.name, sandbox.name)
                lines.setdefault(path, []).extend(endpoint_records(sandbox, endpoint, services))
    for network in project.networks:
        if not network.external and network.has_names:
            records = address_records(network.records) + address_lines(network)
            if records:
                lines[f"{dnsmasq_config.network_directory(network.key)}/{project.name}"] = records
            yield from _peer_files(network, services)
    for path, records in lines.items():
        yield File(path, f"# dockless: project {project.name}\n" + "".join(line + "\n" for line in records))


def _peer_files(network: Network, services: Services) -> t.Iterator[File]:
    """Yield the record files of sandboxes on other hosts. Their owner begins with @, as no project's name does."""
    for peer in network.peers:
        lines: dict[str, list[str]] = {}
        for remote in peer.sandboxes:
            sandbox = Sandbox(remote.project or network.project, remote.name, hostname=remote.hostname)
            endpoint = Endpoint(
                remote.project,
                remote.name,
                network.key,
                aliases=remote.aliases,
                addresses=tuple(map(str, remote.addresses)),
            )
            path = dnsmasq_config.record_path(network.key, "@" + peer.name, remote.name)
            lines.setdefault(path, []).extend(endpoint_records(sandbox, endpoint, services))
        for path, records in lines.items():
            if records:
                yield File(path, f"# dockless: host {peer.name}\n" + "".join(line + "\n" for line in records))


def _sandbox_objects(
    sandbox: Sandbox, topology: Topology, services: Services, facts: Facts, defaults: Defaults
) -> list[Object]:
    networks = topology.networks_of(sandbox)
    resolved = upstreams.has_resolver(sandbox, topology)
    table = services.table(sandbox, resolved)
    tables: list[Object] = [NftTable(sandbox.netns_name, table)] if table else []
    if not resolved and not _wants_files(sandbox, networks):
        return tables
    directory = etc_files.directory(sandbox)
    objects: list[Object] = [
        File(directory + "/hosts", etc_files.hosts(sandbox, topology)),
        File(directory + "/hostname", (sandbox.hostname or sandbox.name) + "\n"),
    ]
    nsswitch_conf = etc_files.nsswitch_conf(sandbox, facts)
    if nsswitch_conf:
        objects.append(File(directory + "/nsswitch.conf", nsswitch_conf))
    if not resolved:
        resolv_conf = etc_files.resolv_conf(sandbox, topology, facts, defaults)
        return [*objects, File(directory + "/resolv.conf", resolv_conf), *tables]
    upstream = upstreams.servers(sandbox, topology, facts, defaults)
    resolv_conf = etc_files.own_resolv_conf(sandbox, topology, facts, defaults, upstream)
    resolver = _resolver_objects(sandbox, topology, upstream, facts)
    return [*objects, File(directory + "/resolv.conf", resolv_conf), *tables, *resolver]


def _wants_files(sandbox: Sandbox, networks: t.Sequence[Network]) -> bool:
    """Return whether a sandbox without a resolver needs files in /etc/netns."""
    return (
        sandbox.mode == MODE_NONE
        or any(is_default_bridge(network.key) for network in networks)
        or any(endpoint.links for endpoint in sandbox.endpoints)
        or bool(
            sandbox.dns
            or sandbox.dns_search
            or sandbox.dns_opt
            or sandbox.extra_hosts
            or sandbox.hostname
            or sandbox.domainname
        )
    )


def _resolver_objects(sandbox: Sandbox, topology: Topology, upstream: Upstreams, facts: Facts) -> list[Object]:
    netns = sandbox.netns_name
    text, digest = dnsmasq_config.configuration(sandbox, topology, upstream, facts)
    path = dnsmasq_config.config_path(netns)
    objects: list[Object] = [File(path, text, dnsmasq_config.CONFIG_MODE), Resolver(netns, netns, path, digest)]
    if upstream.are_listed:
        servers = "".join(f"nameserver {address}\n" for address in upstream.addresses)
        objects.append(File(dnsmasq_config.upstream_path(netns), etc_files.header(sandbox) + servers))
    if dnsmasq_config.has_private(sandbox):
        lines = [*_private_links(sandbox, topology), *address_records(sandbox.records)]
        content = etc_files.header(sandbox) + "".join(line + "\n" for line in lines)
        objects.append(File(dnsmasq_config.private_directory(netns) + "/private", content))
    return objects


def _private_links(sandbox: Sandbox, topology: Topology) -> t.Iterator[str]:
    for endpoint in sandbox.endpoints:
        if not topology.networks[endpoint.network].has_names:
            continue
        for link in endpoint.links:
            target = topology.link_target(link, endpoint)
            if target and is_dns_name(link.alias):
                for address in target[1].named_addresses:
                    yield f"{address} {link.alias} {link.alias}.{endpoint.network[1]}"
