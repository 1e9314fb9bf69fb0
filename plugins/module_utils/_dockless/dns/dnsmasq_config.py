# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""The configuration of a sandbox's dnsmasq (dnsmasq(8)), and the paths of its files.

Queries below the name of one of the host's networks, for dotted aliases and in the reverse zones of the subnets are
answered locally only. Without that, the AAAA query for a name with only an IPv4 address would go upstream, and musl's
resolver takes an upstream's refusal for a failure of both queries. Names below a dotted alias are queried upstream.
"""

from __future__ import annotations

import functools
import ipaddress
import math
import typing as t

from .. import names
from ..errors import DocklessError
from ..model.addresses import IPNetwork
from ..model.dns_names import is_dns_name
from ..model.facts import Facts
from ..model.network import DnsRecord, Network
from ..model.sandbox import Sandbox
from ..model.topology import TASKS, Topology, has_zone
from ..names import DNS_DIRECTORY, RESOLVER_ADDRESS, RESOLVER_PORT
from .cnames import possible_records
from .upstreams import Upstreams

DIGEST_NAME = "config.dockless.invalid"  # its TXT record is the digest of the configuration that is running
ZONES_PATH = DNS_DIRECTORY + "/zones"  # the zones of all networks of this host, which resolvers read again on SIGHUP
PID_DIRECTORY = DNS_DIRECTORY + "/pids"
# A configuration has the values of TXT records. dnsmasq reads it as root, before it changes its user.
CONFIG_MODE = 0o600
_LINE_LIMIT = 1000  # dnsmasq reads a line of its configuration into 1025 bytes
_CHARACTER_STRING = 255  # RFC 1035 3.3


def config_path(netns: str) -> str:
    """Return the path of a resolver's configuration."""
    return f"{DNS_DIRECTORY}/resolvers/{netns}.conf"


def pid_path(netns: str) -> str:
    """Return the path of a resolver's PID file."""
    return f"{PID_DIRECTORY}/{netns}.pid"


def network_directory(key: tuple[str, str]) -> str:
    """Return the directory of a network's record files.

    The dots of the project's name are doubled, because a.b/c and a/b.c are two networks.
    """
    project, network = key
    return f"{DNS_DIRECTORY}/networks/{project.replace('.', '..')}.{network}"


def record_path(key: tuple[str, str], owner: str, sandbox: str) -> str:
    """Return the path of the record file with a sandbox's names on a network.

    owner: a project, or @ and the name of another host. An owner's names on a network are divided among 64 files by the
    digest of the sandbox's name. Each resolver on the network reads a changed file as a whole. For a single new name it
    took 4.4 ms in each of 200 resolvers with 2,000 names in one file, and more than 20 ms in each of 500 with 5,000;
    with divided files, 0.5 and 1.4 ms. A file for each sandbox would cost more where many sandboxes change at once.
    """
    part = int(names.text_digest(sandbox), 16) % 64
    return f"{network_directory(key)}/{owner}@{part:02d}"


def private_directory(netns: str) -> str:
    """Return the directory of the records that only this sandbox resolves."""
    return f"{DNS_DIRECTORY}/links/{netns}"


def upstream_path(netns: str) -> str:
    """Return the path of the file with a sandbox's own upstream servers.

    It has a directory of its own, because dnsmasq reads it again after any change in the directory.
    """
    return f"{DNS_DIRECTORY}/upstreams/{netns}/resolv.conf"


def has_private(sandbox: Sandbox) -> bool:
    """Return whether the sandbox has records that only it resolves."""
    return any(e.links for e in sandbox.endpoints) or any(r.kind in ("A", "AAAA") for r in sandbox.records)


def configuration(sandbox: Sandbox, topology: Topology, upstream: Upstreams, facts: Facts) -> tuple[str, str]:
    """Return the text of the configuration, and its digest, with which the resolver answers."""
    netns = sandbox.netns_name
    networks = [network for network in topology.networks_of(sandbox) if network.has_names]
    followed_file = upstream_path(netns) if upstream.are_listed else upstream.followed
    lines = _fixed_lines(netns, followed_file) + account(facts)
    # First: dnsmasq reads the last directory first, and a reverse query gets the name that was read first.
    if has_private(sandbox):
        lines.append(f"hostsdir={private_directory(netns)}")
    lines += [f"hostsdir={network_directory(network.key)}" for network in networks]
    lines.append(f"servers-file={ZONES_PATH}")
    forwards = bool(upstream.addresses or upstream.followed)
    lines += _local_lines(sandbox, networks, topology, forwards)
    records = (*sandbox.records, *(record for network in networks for record in network.records))
    lines += record_lines(records)
    if not followed_file:
        lines += [f"server={address}" for address in upstream.addresses]
        if not upstream.addresses and not upstream.are_missing:
            lines.append("local=/#/")
    return with_digest(f"# dockless: sandbox {sandbox.project}/{sandbox.name}\n", lines)


def with_digest(header: str, lines: t.Iterable[str]) -> tuple[str, str]:
    """Return a configuration without duplicate lines, and its digest, with which the resolver answers."""
    text = header + "".join(line + "\n" for line in dict.fromkeys(lines))
    digest = names.text_digest(text)
    return f"{text}txt-record={DIGEST_NAME},{digest}\n", digest


def server_sources(followed_file: str) -> list[str]:
    """Return the options for the file that lists a resolver's servers, "" if its configuration lists them."""
    return [f"resolv-file={followed_file}"] if followed_file else ["no-resolv", "no-poll"]


def account(facts: Facts) -> list[str]:
    """Return the options for the user and group that dnsmasq changes to.

    By default it changes to nobody, which other programs use as well.
    """
    return [f"{keyword}={name}" for keyword, name in zip(("user", "group"), facts.dnsmasq_account)]


@functools.lru_cache(maxsize=4096)
def reverse_zones(network: IPNetwork) -> list[str]:
    """Return the zones below in-addr.arpa or ip6.arpa that are exactly the subnet (RFC 1035 3.5, RFC 3596 2.5).

    A zone ends at a byte of IPv4 or half a byte of IPv6, so 10.0.0.0/23 is two zones.
    """
    step = 8 if network.version == 4 else 4
    prefix_length = max(step, math.ceil(network.prefixlen / step) * step)
    host_labels = (network.max_prefixlen - prefix_length) // step
    parts = network.subnets(new_prefix=prefix_length)
    return [part.network_address.reverse_pointer.split(".", host_labels)[-1] for part in parts]


def record_lines(records: t.Iterable[DnsRecord]) -> list[str]:
    """Return the records of a resolver as configuration. Of contradicting CNAME records, the first is used."""
    return [line for record in possible_records(records) for line in _directives(record)]


def _directives(record: DnsRecord) -> list[str]:
    """Return a record as configuration. A and AAAA records are in record files instead. Raises DocklessError."""
    if record.kind in ("A", "AAAA"):
        return []
    try:
        line = _DIRECTIVES[record.kind](record)
    except (KeyError, ValueError):
        line = ""
    if not line or len(line.encode()) > _LINE_LIMIT:
        raise DocklessError(
            f"the {record.kind} record of {record.name!r} cannot be served",
            "Use a domain name, and a value of at most 800 printable characters in the format of its kind.",
        )
    return [line]


def _fixed_lines(netns: str, followed_file: str) -> list[str]:
    return [
        f"port={RESOLVER_PORT}",
        f"listen-address={RESOLVER_ADDRESS}",
        "bind-interfaces",
        "no-hosts",
        *server_sources(followed_file),
        "domain-needed",
        "local=//",  # as domain-needed, but for every type of query
        "local-ttl=0",
        "cache-size=0",
        "dns-forward-max=1024",
        f"pid-file={pid_path(netns)}",
    ]


def _local_lines(
    sandbox: Sandbox, networks: t.Sequence[Network], topology: Topology, forwards: bool
) -> t.Iterator[str]:
    """Yield lines for the domains, and the single names, that are never queried upstream."""
    zones = list(_local_zones(networks, topology))
    yield from (f"local=/{zone}/" for zone in zones)
    for name in _local_names(sandbox, networks, topology):
        if name in zones or name.endswith(tuple(f".{zone}" for zone in zones)):
            continue
        yield f"local=/{name}/"
        if forwards:
            yield f"server=/*.{name}/#"


def _local_zones(networks: t.Sequence[Network], topology: Topology) -> t.Iterator[str]:
    for network in networks:
        if has_zone(network):
            yield network.name
        for subnet in network.subnets:
            yield from reverse_zones(subnet.network)
        if TASKS in topology.dotted.get(network.key, ()):
            yield TASKS


def _local_names(sandbox: Sandbox, networks: t.Sequence[Network], topology: Topology) -> t.Iterator[str]:
    """Yield names with a dot that have addresses. A TXT, SRV or PTR record takes no other record of its name."""
    for network in networks:
        yield from topology.dotted.get(network.key, ())
    links = (link.alias for endpoint in sandbox.endpoints for link in endpoint.links)
    records = [record for network in networks for record in network.records] + list(sandbox.records)
    for name in (*links, *(record.name for record in records if record.kind in ("A", "AAAA", "CNAME"))):
        if "." in name and is_dns_name(name):
            yield name


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
