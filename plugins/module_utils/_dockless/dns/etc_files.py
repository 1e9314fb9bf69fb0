# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""A sandbox's resolv.conf, hosts and nsswitch.conf, which ip-netns(8) mounts over those of /etc."""

from __future__ import annotations

import re
import typing as t

from ..errors import DocklessError
from ..model.dns_names import is_dns_name
from ..model.facts import Facts
from ..model.gateways import host_gateways
from ..model.host import Defaults
from ..model.network import Network, is_default_bridge
from ..model.sandbox import Sandbox
from ..model.topology import Topology
from ..names import NETNS_ETC_DIRECTORY, RESOLVER_ADDRESS
from . import upstreams
from .upstreams import Upstreams

HOST_GATEWAY = "host-gateway"
# Sources of nsswitch.conf(5) that work in a sandbox: they read files, query 127.0.0.11, or read the namespace's
# addresses.
_SOURCES_INSIDE = ("files", "dns", "myhostname")
_LOCAL4 = "127.0.0.1\tlocalhost\n"
_LOCAL6 = (
    "::1\tlocalhost ip6-localhost ip6-loopback\n"
    "fe00::\tip6-localnet\nff00::\tip6-mcastprefix\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n"
)


def directory(sandbox: Sandbox) -> str:
    """Return the directory of the sandbox's files."""
    return f"{NETNS_ETC_DIRECTORY}/{sandbox.netns_name}"


def header(sandbox: Sandbox) -> str:
    """Return the comment line that marks a file as dockless's."""
    return f"# dockless: sandbox {sandbox.project}/{sandbox.name}\n"


def hosts(sandbox: Sandbox, topology: Topology) -> str:
    """Return hosts(5): localhost, extra_hosts, links on the default bridge, and the sandbox itself."""
    own = [address for endpoint in sandbox.endpoints for address in endpoint.named_addresses]
    has_ipv6 = any(":" in address for address in own)
    text = header(sandbox) + _LOCAL4 + (_LOCAL6 if has_ipv6 else "")
    for name, address in sandbox.extra_hosts:
        text += "".join(f"{found}\t{name}\n" for found in _extra_host_addresses(sandbox, address, topology))
    text += "".join(_lines_for_bridge_links(sandbox, topology))
    hostnames = " ".join(own_names(sandbox))
    return text + "".join(f"{address}\t{hostnames}\n" for address in own if hostnames)


def own_names(sandbox: Sandbox) -> list[str]:
    """Return the sandbox's names, the fully qualified one first, as gethostbyaddr(3) expects it."""
    name = sandbox.effective_hostname
    full = [f"{name}.{sandbox.domainname}"] if sandbox.domainname else []
    return [text for text in dict.fromkeys((*full, name, sandbox.name)) if is_dns_name(text)]


def resolv_conf(sandbox: Sandbox, topology: Topology, facts: Facts, defaults: Defaults) -> str:
    """Return resolv.conf(5) of a sandbox without a resolver, with the servers that it queries directly."""
    networks = topology.networks_of(sandbox)
    named = sandbox.dns or tuple(address for network in networks for address in network.dns) or defaults.dns
    found = list(dict.fromkeys(map(str, named))) or list(upstreams.host_servers(facts.nameservers))
    warning = "" if found else "# No server: those of the host cannot be reached from here. Set dns.\n"
    servers = "".join(f"nameserver {address}\n" for address in found)
    options = sandbox.dns_opt or _of_networks(networks, "dns_opt") or defaults.dns_opt
    return header(sandbox) + warning + servers + _search(sandbox, networks, facts, defaults) + _line("options", options)


def own_resolv_conf(sandbox: Sandbox, topology: Topology, facts: Facts, defaults: Defaults, upstream: Upstreams) -> str:
    """Return resolv.conf(5) of a sandbox with a resolver, with that one's upstream servers as a comment."""
    networks = topology.networks_of(sandbox)
    options = sandbox.dns_opt or _of_networks(networks, "dns_opt") or defaults.dns_opt
    if not any(option.startswith("ndots:") for option in options):
        options = ("ndots:0", *options)
    servers = f"the servers of the host's {upstream.followed}" if upstream.followed else " ".join(upstream.addresses)
    return (
        header(sandbox)
        + (f"# forwards to: {servers}\n" if servers else "# forwards nothing\n")
        + f"nameserver {RESOLVER_ADDRESS}\n"
        + _search(sandbox, networks, facts, defaults)
        + _line("options", options)
    )


def nsswitch_conf(sandbox: Sandbox, facts: Facts) -> str:
    """Return nsswitch.conf(5) of a sandbox, "" if it would be equal to the host's.

    It is the host's without the sources that do not work in a sandbox.     nss-resolve(8), nss-mymachines(8), mdns and
    the like query a daemon of the host over a Unix socket, which a network namespace does not isolate: the host's
    resolver would answer that the sandbox's names do not exist.
    """
    lines = facts.nsswitch.splitlines()
    changed = [_hosts_line(line) if line.split("#")[0].strip().startswith("hosts:") else line for line in lines]
    return header(sandbox) + "".join(line + "\n" for line in changed) if changed != lines else ""


def _hosts_line(line: str) -> str:
    """Return the line hosts: of nsswitch.conf(5) with only the sources that work in a sandbox, and dns in any case."""
    words = re.findall(r"\[[^]]*\]|[^\s\[\]]+", line.split("#")[0].partition(":")[2])
    working: list[str] = []
    works = False
    for word in words:
        if not word.startswith("["):  # an [action] belongs to the source before it
            works = word in _SOURCES_INSIDE
        if works:
            working.append(word)
    if "dns" not in working:
        return "hosts: " + " ".join([*working, "dns"])
    return line if working == words else "hosts: " + " ".join(working)


def _search(sandbox: Sandbox, networks: t.Sequence[Network], facts: Facts, defaults: Defaults) -> str:
    search = sandbox.dns_search or _of_networks(networks, "dns_search") or defaults.dns_search or facts.search
    return _line("search", [domain for domain in search if domain != "."])  # "." alone means none


def _of_networks(networks: t.Sequence[Network], field: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(value for network in networks for value in getattr(network, field)))


def _line(keyword: str, values: t.Sequence[str]) -> str:
    if any(not value.isprintable() or " " in value for value in values):
        raise DocklessError(
            f"the {keyword} line of resolv.conf would hold a value with a space or control character",
            "Use one word for each item.",
        )
    return f"{keyword} {' '.join(values)}\n" if values else ""


def _extra_host_addresses(sandbox: Sandbox, address: str, topology: Topology) -> list[str]:
    if address != HOST_GATEWAY:
        return [address]
    found = host_gateways(sandbox, topology)
    if not found:
        raise DocklessError(
            f"host-gateway has no address in sandbox {sandbox.name}, because none of its networks reaches the host",
            "Add it to a network that is not internal, or use an address.",
            f"{sandbox.path or sandbox.name}.extra_hosts",
        )
    return found


def _lines_for_bridge_links(sandbox: Sandbox, topology: Topology) -> t.Iterator[str]:
    for endpoint in sandbox.endpoints:
        if not is_default_bridge(endpoint.network):
            continue
        for link in endpoint.links:
            target = topology.link_target(link, endpoint)
            if target is None:
                continue
            other, other_endpoint = target
            hostnames = " ".join(n for n in dict.fromkeys((link.alias, *own_names(other))) if is_dns_name(n))
            for address in other_endpoint.named_addresses:
                yield f"{address}\t{hostnames}\n"
