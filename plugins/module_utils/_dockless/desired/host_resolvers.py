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
from ..model.facts import Facts
from ..model.host import MODE_NETWORKS, Host
from ..model.spans import IPAddress
from ..model.topology import Topology, has_names, joined
from ..names import FORWARDER, RESOLVER_ADDRESS, RESOLVER_PORT
from ..state.objects import Object

PORT = f"#{RESOLVER_PORT}"


def gateways(host: Host, topology: Topology, facts: Facts) -> t.List[IPAddress]:
    """Return the addresses that sandboxes of a resolved host ask the forwarder at, sorted; none means that there is none to have."""
    if not dnsmasq_config.needs_forwarder(facts):
        return []
    asked: t.Set[str] = set()
    for sandbox in (s for p in host.projects for s in p.sandboxes if s.mode == MODE_NETWORKS):
        if any(map(has_names, joined(sandbox, topology))):
            asked.update(server for server in dnsmasq_config.servers(sandbox, topology, facts, host.defaults).addresses if server.endswith(PORT))
    return sorted((ipaddress.ip_address(server[:-len(PORT)]) for server in asked), key=lambda address: (address.version, int(address)))


def realize(addresses: t.Sequence[IPAddress], facts: Facts, kept: t.Sequence[str] = ()) -> t.Iterator[Object]:
    """Yield the forwarder that listens on some of the host's addresses. Questions below the domains kept are not for sandboxes to ask."""
    if not addresses:
        return
    lines = [f"port={RESOLVER_PORT}", *(f"listen-address={address}" for address in (RESOLVER_ADDRESS, *addresses)),
             "bind-interfaces", "no-hosts", f"resolv-file={facts.resolv_conf}", "domain-needed", "cache-size=0",
             "dns-forward-max=1024", f"pid-file={dnsmasq_config.pid_path(FORWARDER)}", *dnsmasq_config.account(facts),
             *(f"local=/{zone}/" for zone in kept)]
    yield from systemd_units.host_resolver(FORWARDER, "# dockless: forwarder\n", lines, facts)
