# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""The two resolvers of a host, each a dnsmasq: a forwarder for sandboxes, and a server of their names for the host.

The forwarder exists only if all name servers of the host have loopback addresses, where no sandbox reaches them. It
listens on the gateways of networks with egress. It reads the host's resolv.conf itself, so a change of that file needs
no run. It has a port of its own, so that it conflicts with no other server, and the firewall admits networks with
egress only.
"""

from __future__ import annotations

import ipaddress
import typing as t

from ..dns import dnsmasq_config, systemd_units
from ..dns.dnsmasq_config import config_path, with_digest
from ..dns.systemd_units import DROP_IN, HOST_UNITS
from ..model.addresses import IPAddress
from ..model.facts import Facts
from ..model.host import Host
from ..model.sandbox import MODE_NETWORKS
from ..model.topology import Topology
from ..names import FORWARDER, HOST_NAMES, HOST_NAMES_ADDRESS, RESOLVER_ADDRESS, RESOLVER_PORT
from ..state.objects import HOST, File, Object, Resolver
from ..state.plan import Plan

_PORT = f"#{RESOLVER_PORT}"


def forwarder_addresses(host: Host, topology: Topology, facts: Facts) -> list[IPAddress]:
    """Return the addresses at which sandboxes query the forwarder, sorted. Without any, the host needs no forwarder."""
    if not dnsmasq_config.needs_forwarder(facts):
        return []
    found: set[IPAddress] = set()
    for sandbox in host.sandboxes():
        has_names = any(network.has_names for network in topology.networks_of(sandbox))
        if sandbox.mode != MODE_NETWORKS or not has_names:
            continue
        for server in dnsmasq_config.servers(sandbox, topology, facts, host.defaults).addresses:
            if server.endswith(_PORT):
                found.add(ipaddress.ip_address(server[: -len(_PORT)]))
    return sorted(found, key=lambda address: (address.version, int(address)))


def forwarder_objects(
    addresses: t.Sequence[IPAddress], facts: Facts, host_zones: t.Sequence[str] = ()
) -> t.Iterator[Object]:
    """Yield the forwarder, which listens on these addresses of the host.

    host_zones: domains that only the host resolves. Queries of sandboxes for them are not forwarded.
    """
    if not addresses:
        return
    lines = [
        f"port={RESOLVER_PORT}",
        *(f"listen-address={address}" for address in (RESOLVER_ADDRESS, *addresses)),
        "bind-interfaces",
        "no-hosts",
        f"resolv-file={facts.resolv_conf}",
        "domain-needed",
        "cache-size=0",
        "dns-forward-max=1024",
        f"pid-file={dnsmasq_config.pid_path(FORWARDER)}",
        *dnsmasq_config.account(facts),
        *(f"local=/{zone}/" for zone in host_zones),
    ]
    yield from host_resolver(FORWARDER, "# dockless: forwarder\n", lines, facts)


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
    for network in networks:
        for record in network.records:
            lines += dnsmasq_config.directives(record)
    yield from host_resolver(HOST_NAMES, "# dockless: names for the host\n", lines, facts)
    if option.through:
        lines = [f"server=/{zone}/{HOST_NAMES_ADDRESS}#{RESOLVER_PORT}\n" for zone in topology.host_zones]
        yield File(DROP_IN, "# dockless: names of sandboxes for this host\n" + "".join(lines))


def host_resolver(name: str, header: str, lines: t.Iterable[str], facts: Facts) -> t.Iterator[Object]:
    """Yield the configuration of one of the host's resolvers, the resolver, and with systemd its unit."""
    text, digest = with_digest(header, lines)
    path = config_path(name)
    yield File(path, text)
    yield Resolver(name, HOST, path, digest)
    if facts.systemd:
        yield File(HOST_UNITS[name], systemd_units.host_unit(facts, name))


def manual_steps(work: Plan, facts: Facts) -> tuple[str, ...]:
    """Return a sentence for each step that the user must do after a plan, because systemd does not run here."""
    touches_host_dnsmasq = any(step.key == ("file", DROP_IN) for step in work.steps)
    if facts.systemd or not touches_host_dnsmasq:
        return ()
    return (f"This host is not run by systemd. Restart its own dnsmasq, which reads {DROP_IN} only when it starts.",)
