# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Names of sandboxes for programs of the host itself, where dockless_defaults.host_names asks for it.

One dnsmasq on a loopback address answers NAME.NETWORK of the chosen networks and forwards nothing. A file in the directory of the
host's own dnsmasq sends it the questions below those networks' names, and no others. Sandboxes ask the host's resolver too, as an
upstream: so each sandbox's own resolver, and the forwarder, keep those questions to themselves.

There is no such file for systemd-resolved before version 258: a server in resolved.conf(5) is asked for every other name as well.
"""
from __future__ import annotations

import typing as t

from ..dns import dnsmasq_config, systemd_units
from ..model.facts import Facts
from ..model.host import Host
from ..model.topology import Topology
from ..names import HOST_NAMES, HOST_NAMES_ADDRESS, RESOLVER_PORT
from ..state.objects import File, Object

DROP_IN = "/etc/dnsmasq.d/dockless.conf"
SERVICE = "dnsmasq.service"  # reads that at its start only


def realize(host: Host, topology: Topology, facts: Facts) -> t.Iterator[Object]:
    """Yield the host's server of names, and the file that leads its resolver there."""
    wish = host.defaults.host_names
    if wish is None or not topology.known_to_host:
        return
    networks = [topology.networks[key] for key in topology.known_to_host]
    lines = [f"port={RESOLVER_PORT}", f"listen-address={HOST_NAMES_ADDRESS}", "bind-interfaces", "no-hosts", "no-resolv", "no-poll",
             "local=/#/", "local-ttl=0", "cache-size=0", f"pid-file={dnsmasq_config.pid_path(HOST_NAMES)}", *dnsmasq_config.account(facts)]
    lines += [f"hostsdir={dnsmasq_config.network_directory(network.key)}" for network in networks]
    lines += [line for network in networks for record in network.records for line in dnsmasq_config.directives(record)]
    yield from systemd_units.host_resolver(HOST_NAMES, "# dockless: names for the host\n", lines, facts)
    if wish.through:
        asked = (f"server=/{zone}/{HOST_NAMES_ADDRESS}#{RESOLVER_PORT}\n" for zone in topology.host_zones)
        yield File(DROP_IN, "# dockless: names of sandboxes for this host\n" + "".join(asked))
