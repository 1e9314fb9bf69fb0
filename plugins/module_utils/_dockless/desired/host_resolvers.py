# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""The two resolvers of a host, each a dnsmasq: a forwarder for sandboxes, and a server of their names for the host.

The forwarder exists only if a sandbox reaches none of the host's name servers: they have loopback addresses, or the
sandbox has no route in their family. It listens on the gateways of such sandboxes. It reads the host's resolv.conf
itself, so a change of that file needs no run. It has a port of its own, so that it conflicts with no other server. The
firewall admits the sandboxes that use it, each within limits (firewall.forwarder_rules).
"""

from __future__ import annotations

import ipaddress
import typing as t

from ..dns import dnsmasq_config, systemd_units, upstreams
from ..dns.dnsmasq_config import config_path, with_digest
from ..dns.systemd_units import DROP_IN, HOST_UNITS
from ..firewall.host_table import ForwarderClient
from ..model.facts import Facts
from ..model.host import Defaults, Host
from ..model.sandbox import MODE_NETWORKS, Sandbox
from ..model.topology import Topology
from ..names import FORWARDER, HOST_NAMES, HOST_NAMES_ADDRESS, RESOLVER_ADDRESS, RESOLVER_PORT
from ..state.objects import HOST, File, Object, Resolver
from ..state.plan import Plan

_PORT = f"#{RESOLVER_PORT}"
_TCP_OPTION_SINCE = (2, 90)  # before, dnsmasq has a fixed number of 20 TCP connections


def forwarder_clients(host: Host, topology: Topology, facts: Facts) -> list[ForwarderClient]:
    """Return the sandboxes that query the forwarder. Without any, the host needs no forwarder.

    A sandbox queries it from one address only, so the limit of that address is the limit of the sandbox.
    """
    return list(filter(None, (_client(sandbox, topology, facts, host.defaults) for sandbox in host.sandboxes())))


def forwarder_objects(
    clients: t.Sequence[ForwarderClient], facts: Facts, host_zones: t.Sequence[str] = ()
) -> t.Iterator[Object]:
    """Yield the forwarder, which listens on the addresses of the host that its clients query.

    host_zones: domains that only the host resolves. Queries of sandboxes for them are not forwarded.
    """
    if not clients:
        return
    addresses = sorted({client.forwarder for client in clients}, key=lambda each: (each.version, int(each)))
    lines = [
        f"port={RESOLVER_PORT}",
        *(f"listen-address={address}" for address in (RESOLVER_ADDRESS, *addresses)),
        "bind-interfaces",
        "no-hosts",
        *dnsmasq_config.server_sources(facts.resolv_conf),
        *([] if facts.resolv_conf else [f"server={server}" for server in facts.nameservers]),
        "domain-needed",
        "cache-size=0",
        # More than several sandboxes can take: firewall.forwarder_rules.
        "dns-forward-max=8192",
        *(["max-tcp-connections=256"] if facts.dnsmasq_version >= _TCP_OPTION_SINCE else []),
        f"pid-file={dnsmasq_config.pid_path(FORWARDER)}",
        *dnsmasq_config.account(facts),
        *(f"local=/{zone}/" for zone in host_zones),
    ]
    yield from host_resolver(FORWARDER, "# dockless: forwarder\n", lines, facts)


def zones_file(topology: Topology) -> File:
    """Return the file with the zones of all networks of the host, which the resolvers of sandboxes read.

    A sandbox does not resolve names of networks that it is not on, and it asks nobody else about them: the query would
    tell other servers which networks the host has, and they might have an answer.
    """
    lines = [f"server=/{zone}/\n" for zone in topology.zones]
    return File(dnsmasq_config.ZONES_PATH, "# dockless: networks of this host\n" + "".join(lines))


def _client(sandbox: Sandbox, topology: Topology, facts: Facts, defaults: Defaults) -> ForwarderClient | None:
    """Return a sandbox as a client of the forwarder, None if its resolver has other servers or it has no resolver."""
    has_resolver = upstreams.has_resolver(sandbox, topology)
    if sandbox.mode != MODE_NETWORKS or not has_resolver:
        return None
    servers = upstreams.servers(sandbox, topology, facts, defaults).addresses
    forwarders = [ipaddress.ip_address(each[: -len(_PORT)]) for each in servers if each.endswith(_PORT)]
    for endpoint in sandbox.endpoints:
        network = topology.networks[endpoint.network]
        for forwarder in forwarders:
            if network.passes_host and forwarder == network.gateway(forwarder.version):
                return ForwarderClient(endpoint.address(forwarder.version), network.bridge_name, forwarder)
    return None


def host_names_objects(host: Host, topology: Topology, facts: Facts) -> t.Iterator[Object]:
    """Yield the server of sandboxes' names for the host, and the drop-in file by which the host queries it."""
    option = host.defaults.host_names
    if option is None or not topology.known_to_host:
        return
    networks = [topology.networks[key] for key in topology.known_to_host]
    lines = [
        f"port={RESOLVER_PORT}",
        f"listen-address={HOST_NAMES_ADDRESS}",
        "bind-interfaces",
        "no-hosts",
        "no-resolv",
        "no-poll",
        "local=/#/",
        "local-ttl=0",
        "cache-size=0",
        f"pid-file={dnsmasq_config.pid_path(HOST_NAMES)}",
        *dnsmasq_config.account(facts),
    ]
    lines += [f"hostsdir={dnsmasq_config.network_directory(network.key)}" for network in networks]
    lines += dnsmasq_config.record_lines(record for network in networks for record in network.records)
    yield from host_resolver(HOST_NAMES, "# dockless: names for the host\n", lines, facts)
    if option.through:
        lines = [f"server=/{zone}/{HOST_NAMES_ADDRESS}#{RESOLVER_PORT}\n" for zone in topology.host_zones]
        yield File(DROP_IN, "# dockless: names of sandboxes for this host\n" + "".join(lines))


def host_resolver(name: str, header: str, lines: t.Iterable[str], facts: Facts) -> t.Iterator[Object]:
    """Yield the configuration of one of the host's resolvers, the resolver, and with systemd its unit."""
    text, digest = with_digest(header, lines)
    path = config_path(name)
    yield File(path, text, dnsmasq_config.CONFIG_MODE)
    yield Resolver(name, HOST, path, digest)
    if facts.systemd:
        yield File(HOST_UNITS[name], systemd_units.host_unit(facts, name))


def manual_steps(work: Plan, facts: Facts) -> tuple[str, ...]:
    """Return a sentence for each step that the user must do after a plan, because systemd does not run here."""
    touches_host_dnsmasq = any(step.key == ("file", DROP_IN) for step in work.steps)
    if facts.systemd or not touches_host_dnsmasq:
        return ()
    return (f"This host is not run by systemd. Restart its own dnsmasq, which reads {DROP_IN} only when it starts.",)
