# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""What a sandbox's dnsmasq is told (dnsmasq(8)), and where its files are.

Everything below a joined network's name, its dotted aliases and the reverse zones of
its subnets is ours alone: a query for it never leaves the host. Without that, the
AAAA query for a name with only an IPv4 address goes upstream, and musl's resolver
takes an upstream's refusal for a failure of both.
"""

from __future__ import annotations

import functools
import ipaddress
import typing as t

from .. import names
from ..errors import DocklessError
from ..model import gateways
from ..model.dns_names import is_dns_name
from ..model.facts import Facts
from ..model.host import Defaults, DnsRecord, IPNetwork, Network, Sandbox
from ..model.topology import Topology, has_names, netns_of, networks_of_sandbox, own_addresses
from ..names import DNS_DIRECTORY, RESOLVER_ADDRESS, RESOLVER_PORT

DIGEST_NAME = "config.dockless.invalid"  # a TXT record that tells which configuration is running
PID_DIRECTORY = DNS_DIRECTORY + "/pids"
_LINE_LIMIT = 1000  # dnsmasq reads a line of its configuration into 1025 bytes
_CHARACTER_STRING = 255  # RFC 1035 3.3


def config_path(netns: str) -> str:
    """Return where the resolver's configuration is."""
    return f"{DNS_DIRECTORY}/resolvers/{netns}.conf"


def pid_path(netns: str) -> str:
    """Return where the resolver writes its process id."""
    return f"{PID_DIRECTORY}/{netns}.pid"


def network_directory(key: tuple[str, str]) -> str:
    """Return the directory of a network's records.

    The project's dots are doubled: a.b/c and a/b.c are two networks.
    """
    project, network = key
    return f"{DNS_DIRECTORY}/networks/{project.replace('.', '..')}.{network}"


def record_path(key: tuple[str, str], owner: str, sandbox: str) -> str:
    """Return the file that has a sandbox's names on a network, together with those of its owner's others that fall into the same of 64 parts.

    The owner is a project, or @ and another host. Each resolver on the network reads a changed file whole: with 2,000 names in one, each of 200
    spent 4.4 ms on a single new name, with 5,000 each of 500 more than 20 ms, and in parts 0.5 and 1.4 ms. A file for each sandbox would cost
    more where many change at once.
    """
    part = int(names.text_digest(sandbox), 16) % 64
    return f"{network_directory(key)}/{owner}@{part:02d}"


def private_directory(netns: str) -> str:
    """Return the directory of the records that only this sandbox sees."""
    return f"{DNS_DIRECTORY}/links/{netns}"


def upstream_path(netns: str) -> str:
    """Return the file that names a sandbox's own servers, in a directory of its own: whatever changes there, its resolver reads it again."""
    return f"{DNS_DIRECTORY}/upstreams/{netns}/resolv.conf"


def has_private(sandbox: Sandbox) -> bool:
    """Return whether the sandbox has records that only it sees."""
    return any(e.links for e in sandbox.endpoints) or any(r.kind in ("A", "AAAA") for r in sandbox.records)


class Upstreams(t.NamedTuple):
    """The servers that unknown names go to; none means that they go nowhere. followed is the host's file that names them, if that is where they are from."""

    addresses: tuple[str, ...] = ()
    followed: str = ""

    @property
    def are_listed(self) -> bool:
        """Return whether a file of ours is to name them; none can name the forwarder, for its port."""
        return bool(self.addresses) and not self.followed and not any("#" in address for address in self.addresses)


def servers(sandbox: Sandbox, topology: Topology, facts: Facts, defaults: Defaults) -> Upstreams:
    """Return where a sandbox's resolver sends what it does not know.

    A network that is internal, without egress or forwards nowhere gives the sandbox no way out; its
    other networks may. A server on an internal network itself is asked. A loopback server of the host is reached by way of the host's forwarder. Where
    every server of the host can be reached from a sandbox, the resolver reads the host's file by itself.
    """
    willing = [n for n in networks_of_sandbox(sandbox, topology) if (sandbox.forward or n.forward) != "none"]
    outward = [n for n in willing if gateways.leads_out(n)]
    if not outward:
        return Upstreams(_inside(sandbox, willing))
    given = sandbox.dns or tuple(a for n in outward for a in n.dns) or defaults.dns
    own = own_addresses(sandbox)
    if given or all((sandbox.forward or n.forward) == "servers" for n in outward):
        return Upstreams(
            tuple(server for server in dict.fromkeys(map(str, given)) if server not in own)
        )  # one that serves its networks asks elsewhere
    if needs_forwarder(facts):
        return Upstreams(_by_forwarder(outward))
    found = host_servers(facts)
    return Upstreams(tuple(found), facts.resolv_conf if len(found) == len(facts.nameservers) else "")


def _inside(sandbox: Sandbox, networks: t.Sequence[Network]) -> tuple[str, ...]:
    """Return the servers of a sandbox without a way out that are on its own networks: what is asked of them stays there."""
    given = sandbox.dns or tuple(a for n in networks for a in n.dns)
    own = own_addresses(sandbox)
    subnets = [s.network for n in networks if n.passes_host for s in n.subnets]
    return tuple(
        text
        for text, address in ((str(a), a) for a in dict.fromkeys(given))
        if text not in own and any(address in s for s in subnets)
    )


def needs_forwarder(facts: Facts) -> bool:
    """Return whether all of the host's servers are on its loopback addresses, where no sandbox reaches them."""
    return bool(facts.nameservers) and not host_servers(facts)


def _by_forwarder(outward: t.Sequence[Network]) -> tuple[str, ...]:
    """Return where the forwarder listens for a sandbox: the gateway of its first network that leads out and has one."""
    for network in outward:
        for version in (4, 6):
            gateway = gateways.gateway_of(network, version) if network.passes_host else None
            if gateway is not None:
                return (f"{gateway}#{RESOLVER_PORT}",)
    return ()


def host_servers(facts: Facts) -> list[str]:
    """Return the host's own servers that a sandbox can reach as well."""
    found = []
    for text in facts.nameservers:
        try:
            address = ipaddress.ip_address(text)
        except ValueError:  # a zone ("fe80::1%eth0") names a link of the host that no sandbox has
            continue
        if not address.is_loopback and "%" not in text:
            found.append(str(address))
    return list(dict.fromkeys(found))


def configuration(sandbox: Sandbox, topology: Topology, upstream: Upstreams, facts: Facts) -> tuple[str, str]:
    """Return the text of the configuration, and its digest, which the resolver answers with."""
    netns = netns_of(sandbox)
    networks = [network for network in networks_of_sandbox(sandbox, topology) if has_names(network)]
    watched = upstream_path(netns) if upstream.are_listed else upstream.followed
    lines = _fixed(netns, watched) + account(facts)
    if has_private(
        sandbox
    ):  # first, because dnsmasq reads the last one first and a reverse query gets what was read first
        lines.append(f"hostsdir={private_directory(netns)}")
    lines += [f"hostsdir={network_directory(network.key)}" for network in networks]
    lines += [f"local=/{zone}/" for zone in (*_own_zones(sandbox, networks, topology), *topology.host_zones)]
    for record in (*(r for n in networks for r in n.records), *sandbox.records):
        lines += directives(record)
    if not watched:
        lines += [f"server={address}" for address in upstream.addresses] or ["local=/#/"]
    return with_digest(f"# dockless: sandbox {sandbox.project}/{sandbox.name}\n", lines)


def with_digest(header: str, lines: t.Iterable[str]) -> tuple[str, str]:
    """Return the text of a configuration, and its digest, which the resolver answers with."""
    text = header + "".join(line + "\n" for line in dict.fromkeys(lines))
    digest = names.text_digest(text)
    return f"{text}txt-record={DIGEST_NAME},{digest}\n", digest


def account(facts: Facts) -> list[str]:
    """Return what dnsmasq is told to drop root for; without it, that is nobody, whom others use as well."""
    return [f"{keyword}={name}" for keyword, name in zip(("user", "group"), facts.dnsmasq_account)]


def _fixed(netns: str, watched: str) -> list[str]:
    # local=// is domain-needed for every type of query, not only for addresses.
    return [
        f"port={RESOLVER_PORT}",
        f"listen-address={RESOLVER_ADDRESS}",
        "bind-interfaces",
        "no-hosts",
        *([f"resolv-file={watched}"] if watched else ["no-resolv", "no-poll"]),
        "domain-needed",
        "local=//",
        "local-ttl=0",
        "cache-size=0",
        "dns-forward-max=1024",
        f"pid-file={pid_path(netns)}",
    ]


def _own_zones(sandbox: Sandbox, networks: t.Sequence[Network], topology: Topology) -> t.Iterator[str]:
    for network in networks:
        if is_dns_name(network.name):
            yield network.name
        for subnet in network.subnets:
            yield from reverse_zones(subnet.network)
        yield from topology.dotted.get(network.key, ())
    links = (link.alias for endpoint in sandbox.endpoints for link in endpoint.links)
    records = (r.name for owner in (*networks, sandbox) for r in owner.records if r.kind != "PTR")
    for name in (*links, *records):
        if "." in name and is_dns_name(name):
            yield name


@functools.lru_cache(maxsize=4096)
def reverse_zones(network: IPNetwork) -> list[str]:
    """Return the zones under in-addr.arpa or ip6.arpa that are exactly the subnet's (RFC 1035 3.5, RFC 3596 2.5)."""
    step = 8 if network.version == 4 else 4
    whole = max(step, -(-network.prefixlen // step) * step)
    labels = (network.max_prefixlen - whole) // step
    return [part.network_address.reverse_pointer.split(".", labels)[-1] for part in network.subnets(new_prefix=whole)]


def directives(record: DnsRecord) -> list[str]:
    """Return a record as configuration; A and AAAA stand in a hosts file instead."""
    if record.kind in ("A", "AAAA"):
        return []
    try:
        line = _DIRECTIVES[record.kind](record)
    except (KeyError, ValueError):
        line = ""
    if not line or len(line.encode()) > _LINE_LIMIT:
        raise DocklessError(
            f"the {record.kind} record of {record.name!r} cannot be served",
            "Give a domain name and a value in the form of its kind, of at most 800 printable characters.",
        )
    return [line]


def _domain(text: str) -> str:
    name = text[:-1] if text.endswith(".") else text
    if not is_dns_name(name):
        raise ValueError(text)
    return name


def _cname(record: DnsRecord) -> str:
    return f"cname={_domain(record.name)},{_domain(record.value)}"


def _srv(record: DnsRecord) -> str:
    """RFC 2782: the value is "priority weight port target"."""
    priority, weight, port, target = record.value.split()
    numbers = [int(number) for number in (port, priority, weight)]
    if not all(0 <= number <= 65535 for number in numbers):
        raise ValueError(record.value)
    return f"srv-host={_domain(record.name)},{_domain(target)},{numbers[0]},{numbers[1]},{numbers[2]}"


def _txt(record: DnsRecord) -> str:
    if not record.value.isprintable():
        raise ValueError(record.value)
    size = _CHARACTER_STRING if record.value.isascii() else _CHARACTER_STRING // 4  # UTF-8: four bytes at most
    pieces = [record.value[i : i + size] for i in range(0, len(record.value), size)] or [""]
    quoted = ('"' + piece.replace("\\", "\\\\").replace('"', '\\"') + '"' for piece in pieces)
    return f"txt-record={_domain(record.name)},{','.join(quoted)}"


def _ptr(record: DnsRecord) -> str:
    try:
        name = ipaddress.ip_address(record.name).reverse_pointer
    except ValueError:
        name = _domain(record.name)
    return f"ptr-record={name},{_domain(record.value)}"


_DIRECTIVES: dict[str, t.Callable[[DnsRecord], str]] = {"CNAME": _cname, "SRV": _srv, "TXT": _txt, "PTR": _ptr}
