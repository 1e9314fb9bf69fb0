# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""The way of sandboxes to a name server on a loopback address of the host: one dnsmasq on the gateways that they ask.

It is there only where the host's servers are all on loopback addresses. It reads the host's resolv.conf by itself, so a
change of that needs no run. On a port of its own it takes nobody's, and the firewall closes it to all but networks with egress.
"""

from __future__ import annotations

import ipaddress
import typing as t

from ..dns import dnsmasq_config, systemd_units
from ..dns.dnsmasq_config import config_path, with_digest
from ..dns.systemd_units import _DESCRIPTIONS, DROP_IN, HOST_UNITS
from ..model.facts import Facts
from ..model.host import MODE_NETWORKS, Host, IPAddress
from ..model.topology import Topology, has_names, networks_of_sandbox
from ..names import FORWARDER, HOST_NAMES, HOST_NAMES_ADDRESS, RESOLVER_ADDRESS, RESOLVER_PORT
from ..state.objects import HOST, File, Object, Resolver
from ..state.plan import Plan

_PORT = f"#{RESOLVER_PORT}"


def forwarder_addresses(host: Host, topology: Topology, facts: Facts) -> list[IPAddress]:
    """Return the addresses that sandboxes of a resolved host ask the forwarder at, sorted; none means that there is none to have."""
    if not dnsmasq_config.needs_forwarder(facts):
        return []
    asked: set[str] = set()
    for sandbox in (s for p in host.projects for s in p.sandboxes if s.mode == MODE_NETWORKS):
        if any(map(has_names, networks_of_sandbox(sandbox, topology))):
            asked.update(
                server
                for server in dnsmasq_config.servers(sandbox, topology, facts, host.defaults).addresses
                if server.endswith(_PORT)
            )
    return sorted(
        (ipaddress.ip_address(server[: -len(_PORT)]) for server in asked),
        key=lambda address: (address.version, int(address)),
    )


def forwarder_objects(addresses: t.Sequence[IPAddress], facts: Facts, kept: t.Sequence[str] = ()) -> t.Iterator[Object]:
    """Yield the forwarder that listens on some of the host's addresses. Questions below the domains kept are not for sandboxes to ask."""
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
        *(f"local=/{zone}/" for zone in kept),
    ]
    yield from host_resolver(FORWARDER, "# dockless: forwarder\n", lines, facts)


def host_names_objects(host: Host, topology: Topology, facts: Facts) -> t.Iterator[Object]:
    """Yield the host's server of names, and the file that leads its resolver there."""
    wish = host.defaults.host_names
    if wish is None or not topology.known_to_host:
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
    lines += [line for network in networks for record in network.records for line in dnsmasq_config.directives(record)]
    yield from host_resolver(HOST_NAMES, "# dockless: names for the host\n", lines, facts)
    if wish.through:
        asked = (f"server=/{zone}/{HOST_NAMES_ADDRESS}#{RESOLVER_PORT}\n" for zone in topology.host_zones)
        yield File(DROP_IN, "# dockless: names of sandboxes for this host\n" + "".join(asked))


def host_resolver(name: str, header: str, lines: t.Iterable[str], facts: Facts) -> t.Iterator[Object]:
    """Yield a resolver of the host's own: its configuration, itself, and the unit that supervises it where systemd does."""
    text, digest = with_digest(header, lines)
    path = config_path(name)
    yield File(path, text)
    yield Resolver(name, HOST, path, digest)
    if facts.systemd:
        yield File(HOST_UNITS[name], systemd_units._unit(facts, _DESCRIPTIONS[name], "", "", name))


def manual_steps(work: Plan, facts: Facts) -> tuple[str, ...]:
    """Return a sentence for each thing that a person has to do after a plan, because nothing supervises services here."""
    touches_host_dnsmasq = any(step.key == ("file", DROP_IN) for step in work.steps)
    if facts.systemd or not touches_host_dnsmasq:
        return ()
    return (f"This host is not run by systemd. Restart its own dnsmasq, which reads {DROP_IN} only when it starts.",)
