# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""A sandbox's resolv.conf, hosts, hostname and nsswitch.conf, which ip-netns(8) lays over those of /etc."""

from __future__ import annotations

import re
import typing as t

from ..errors import DocklessError
from ..model.dns_names import is_dns_name
from ..model.facts import Facts
from ..model.gateways import gateways
from ..model.host import Defaults, Network, Sandbox
from ..model.topology import (
    Topology,
    addresses,
    host_name,
    is_default_bridge,
    linked,
    netns_of,
    networks_of_sandbox,
)
from ..names import NETNS_ETC_DIRECTORY, RESOLVER_ADDRESS
from . import dnsmasq_config
from .dnsmasq_config import Upstreams

HOST_GATEWAY = "host-gateway"
_SOURCES_INSIDE = (
    "files",
    "dns",
    "myhostname",
)  # of nsswitch.conf(5): they look at files, ask 127.0.0.11, or read the namespace's own addresses
_LOCAL4 = "127.0.0.1\tlocalhost\n"
_LOCAL6 = (
    "::1\tlocalhost ip6-localhost ip6-loopback\n"
    "fe00::\tip6-localnet\nff00::\tip6-mcastprefix\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n"
)


def directory(sandbox: Sandbox) -> str:
    """Return where the sandbox's files are."""
    return f"{NETNS_ETC_DIRECTORY}/{netns_of(sandbox)}"


def header(sandbox: Sandbox) -> str:
    """Return the comment line that marks a file as ours."""
    return f"# dockless: sandbox {sandbox.project}/{sandbox.name}\n"


def hosts(sandbox: Sandbox, topology: Topology) -> str:
    """Return hosts(5): localhost, extra hosts, links of the default bridge, and the sandbox itself."""
    own = [address for endpoint in sandbox.endpoints for address in addresses(endpoint)]
    text = header(sandbox) + _LOCAL4 + (_LOCAL6 if any(":" in address for address in own) else "")
    for name, address in sandbox.extra_hosts:
        text += "".join(f"{found}\t{name}\n" for found in _extra(sandbox, address, topology))
    text += "".join(_bridge_links(sandbox, topology))
    called = " ".join(own_names(sandbox))
    return text + "".join(f"{address}\t{called}\n" for address in own if called)


def own_names(sandbox: Sandbox) -> list[str]:
    """Return what the sandbox is called, the full name first, as gethostbyaddr(3) wants it."""
    name = host_name(sandbox)
    full = [f"{name}.{sandbox.domainname}"] if sandbox.domainname else []
    return [text for text in dict.fromkeys((*full, name, sandbox.name)) if is_dns_name(text)]


def resolv_conf(sandbox: Sandbox, topology: Topology, facts: Facts, defaults: Defaults) -> str:
    """Return resolv.conf(5) of a sandbox without a resolver of its own: servers it asks directly."""
    networks = networks_of_sandbox(sandbox, topology)
    given = sandbox.dns or tuple(a for n in networks for a in n.dns) or defaults.dns
    found = list(dict.fromkeys(map(str, given))) or dnsmasq_config.host_servers(facts)
    warning = "" if found else "# No server: those of the host cannot be reached from here. Set dns.\n"
    servers = "".join(f"nameserver {address}\n" for address in found)
    options = sandbox.dns_opt or _of_networks(networks, "dns_opt") or defaults.dns_opt
    return header(sandbox) + warning + servers + _search(sandbox, networks, facts, defaults) + _line("options", options)


def own_resolv_conf(sandbox: Sandbox, topology: Topology, facts: Facts, defaults: Defaults, upstream: Upstreams) -> str:
    """Return resolv.conf(5) of a sandbox that has a resolver, with the servers behind it as a comment."""
    networks = networks_of_sandbox(sandbox, topology)
    options = sandbox.dns_opt or _of_networks(networks, "dns_opt") or defaults.dns_opt
    if not any(option.startswith("ndots:") for option in options):
        options = ("ndots:0", *options)
    behind = f"the servers of the host's {upstream.followed}" if upstream.followed else " ".join(upstream.addresses)
    behind = f"# forwards to: {behind}\n" if behind else "# forwards nothing\n"
    return (
        header(sandbox)
        + behind
        + f"nameserver {RESOLVER_ADDRESS}\n"
        + _search(sandbox, networks, facts, defaults)
        + _line("options", options)
    )


def nsswitch_conf(sandbox: Sandbox, facts: Facts) -> str:
    """Return nsswitch.conf(5) of a sandbox: the host's, without sources of names that a sandbox does not have; "" if it has none of them.

    nss-resolve(8), nss-mymachines(8), mdns and their like ask a daemon of the host over a Unix socket, which no network namespace
    keeps apart: the host's resolver would answer for the sandbox's, and say that its names don't exist.
    """
    lines = facts.nsswitch.splitlines()
    kept = [_sources(line) if line.split("#")[0].strip().startswith("hosts:") else line for line in lines]
    return header(sandbox) + "".join(line + "\n" for line in kept) if kept != lines else ""


def _sources(line: str) -> str:
    """Return a line of nsswitch.conf(5) with the sources that work inside, DNS among them; [actions] go with the source before them."""
    words = re.findall(r"\[[^]]*\]|[^\s\[\]]+", line.split("#")[0].partition(":")[2])
    kept: list[str] = []
    inside = False
    for word in words:
        inside = inside if word.startswith("[") else word in _SOURCES_INSIDE
        kept += [word] if inside else []
    return line if kept == words and "dns" in kept else "hosts: " + " ".join(kept if "dns" in kept else [*kept, "dns"])


def _search(sandbox: Sandbox, networks: t.Sequence[Network], facts: Facts, defaults: Defaults) -> str:
    search = sandbox.dns_search or _of_networks(networks, "dns_search") or defaults.dns_search or facts.search
    return _line("search", [domain for domain in search if domain != "."])  # "." alone asks for none


def _of_networks(networks: t.Sequence[Network], field: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(value for network in networks for value in getattr(network, field)))


def _line(keyword: str, values: t.Sequence[str]) -> str:
    if any(not value.isprintable() or " " in value for value in values):
        raise DocklessError(f"{keyword} of resolv.conf holds a blank or a control character", "Give one word an item.")
    return f"{keyword} {' '.join(values)}\n" if values else ""


def _extra(sandbox: Sandbox, address: str, topology: Topology) -> list[str]:
    if address != HOST_GATEWAY:
        return [address]
    found = gateways(sandbox, topology)
    if not found:
        raise DocklessError(
            f"sandbox {sandbox.name} has no way out to its host, so host-gateway means no address",
            "Join a network that is not internal, or give an address.",
            f"{sandbox.path or sandbox.name}.extra_hosts",
        )
    return found


def _bridge_links(sandbox: Sandbox, topology: Topology) -> t.Iterator[str]:
    for endpoint in sandbox.endpoints:
        if not is_default_bridge(endpoint.network):
            continue
        for link in endpoint.links:
            target = linked(link, endpoint, topology)
            for address in addresses(target[1]) if target else ():
                called = [n for n in dict.fromkeys((link.alias, *own_names(target[0]))) if is_dns_name(n)]
                yield f"{address}\t{' '.join(called)}\n"
