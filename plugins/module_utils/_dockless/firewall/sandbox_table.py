# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""The nft table inside a sandbox: it redirects DNS queries to the sandbox's resolver and balances services (nft(8)).

A service's virtual address (VIP) belongs to no interface. It is translated in the client's sandbox, where the
connection begins. So no host has to answer for it on the network, and the other end sees the client's own address.

One map translates VIP, protocol and port to a chain, and that chain is a single rule, whatever the number of sandboxes
behind the service. Existing connections stay with their sandbox, because only the first packet of a connection meets
these rules.
"""

from __future__ import annotations

import functools
import hashlib
import math
import typing as t

from ..model.network import Service
from ..names import RESOLVER_ADDRESS, RESOLVER_PORT, TABLE

Target = tuple[str, t.Sequence[str], int]  # sandbox, its addresses, weight
Balanced = tuple[tuple[str, str], t.Sequence[tuple[Service, t.Sequence[Target]]]]  # a network's key, its services
LARGEST_OFFSET = 8
_Slots = t.Sequence[tuple[int, int, str]]  # first and last number, and the address to which they lead
_PROTOCOLS = "meta l4proto { tcp, udp, sctp }"
_ECHO = {4: "icmp type echo-request", 6: "icmpv6 type echo-request"}
_REJECT = {4: "icmp port-unreachable", 6: "icmpv6 port-unreachable"}
_FAMILY = {4: "ip", 6: "ip6"}


class _Backend(t.NamedTuple):
    """A sandbox behind a service, in one IP version. weights of a service have no common divisor."""

    sandbox: str
    address: str
    weight: int


class _FamilyData:
    """Elements of the sets and maps of one IP version, and its chains."""

    def __init__(self, version: int) -> None:
        self.version = version
        self.virtual: list[str] = []  # every VIP
        self.ports: list[str] = []  # VIP . protocol . port : chain
        self.whole: list[str] = []  # VIP : chain, of services without ports
        self.echo: list[str] = []  # VIP : address that answers pings
        self.chains: dict[str, str] = {}  # name -> its only rule


def start_offset(project: str, sandbox: str) -> int:
    """Return which of a service's sandboxes a client begins with, as a number below LARGEST_OFFSET.

    If all clients began with the same one, it would get the first connection of each.
    """
    return hashlib.sha256(f"{project}\0{sandbox}".encode()).digest()[0] % LARGEST_OFFSET


def sandbox_table(networks: t.Iterable[Balanced], offset: int, resolved: bool) -> str:
    """Return the table of a sandbox on these networks, "" if it would be empty.

    offset: the client's start_offset(). resolved: the sandbox has a resolver.
    """
    families = [_FamilyData(4), _FamilyData(6)]
    for key, services in networks:
        for service, targets in services:
            for family in families:
                _add_service(family, key, service, targets, offset)
    used = [family for family in families if family.virtual]
    parts = [names_chain()] if resolved else []
    if used:
        lookups = [rule for family in used for rule in _lookup_rules(family)]
        rejects = [rule for family in used for rule in _reject_rules(family)]
        parts += [_set_texts(family) for family in used]
        parts.append(_chain("services", "nat hook output priority -100", lookups))
        parts += [_chain(name, "", [rule]) for family in used for name, rule in family.chains.items()]
        parts.append(_chain("unserved", "filter hook output priority filter", rejects))
    return f"table inet {TABLE} {{\n{''.join(parts)}}}\n".replace("    ", "\t") if parts else ""


def names_chain() -> str:
    """Return the chain that redirects DNS queries to the resolver."""
    return _chain("names", "nat hook output priority -100", [_to_resolver(each) for each in ("udp", "tcp")])


def detour_chains(port: int, takes_queries: bool) -> str:
    """Return chains that redirect DNS queries to a second resolver, on this port, while it takes queries.

    The second resolver's UDP packets are tracked in a zone of their own. A client's socket can then ask both resolvers
    in turn and gets the answers of both: its packets belong to one connection in each zone, and each connection keeps
    its translation. In a single zone, the entry of a socket would have to be deleted for the redirection to change,
    and the answer to a query in flight would arrive from an address that the client did not ask.
    A TCP connection stays with the resolver that it was opened to, so it needs no zone.

    Answers are translated for as long as the chains exist, and so are queries which are already in the zone.
    """
    udp_query = f"ip daddr {RESOLVER_ADDRESS} udp dport 53"
    zones = [f"{udp_query} ct zone set {port}"] if takes_queries else []
    zones.append(f"ip saddr {RESOLVER_ADDRESS} udp sport {port} ct zone set {port}")
    redirections = [f"ct zone {port} {_to_resolver('udp', port)}"]
    redirections += [_to_resolver("tcp", port)] if takes_queries else []
    # Before connection tracking (-200), and before the chain names.
    return _chain("zones", "filter hook output priority -300", zones) + _chain(
        "names", "nat hook output priority -101", redirections
    )


def _to_resolver(protocol: str, port: int = RESOLVER_PORT) -> str:
    return f"ip daddr {RESOLVER_ADDRESS} {protocol} dport 53 dnat ip to {RESOLVER_ADDRESS}:{port}"


# ---- services ----------------------------------------------------------------


def _add_service(
    data: _FamilyData, key: tuple[str, str], service: Service, targets: t.Sequence[Target], offset: int
) -> None:
    """Add a service's VIP of this IP version. One without a reachable sandbox stays in virtual only, to be rejected."""
    for vip in service.vips:
        if vip.version != data.version:
            continue
        data.virtual.append(str(vip))
        slots = _slots(service, _backends(targets, data.version), offset)
        if not slots:
            continue
        if not service.ports:
            data.whole.append(f"{vip} : goto {_translating_chain(data, key, service, slots, 0)}")
            continue
        data.echo.append(f"{vip} : {slots[0][2]}")
        for port in service.ports:
            target_port = port.target if port.target != port.port else 0
            chain = _translating_chain(data, key, service, slots, target_port)
            data.ports.append(f"{vip} . {port.protocol} . {port.port} : goto {chain}")


def _backends(targets: t.Sequence[Target], version: int) -> list[_Backend]:
    """Return the sandboxes that have an address of this IP version."""
    found = []
    for sandbox, addresses, weight in targets:
        address = next((each for each in addresses if (":" in each) == (version == 6)), "")
        if address:
            found.append(_Backend(sandbox, address, weight))
    divisor = functools.reduce(math.gcd, (backend.weight for backend in found), 0) or 1
    return [backend._replace(weight=backend.weight // divisor) for backend in found]


def _slots(service: Service, backends: t.Sequence[_Backend], offset: int) -> _Slots:
    """Return which numbers of the rule's generator or hash lead to which address."""
    if len(backends) < 2:
        return [(0, 0, backend.address) for backend in backends]
    if service.sticky:
        return _runs(_slot_owners(backends))
    first = offset * len(backends) // LARGEST_OFFSET
    found, number = [], 0
    for backend in (*backends[first:], *backends[:first]):
        found.append((number, number + backend.weight - 1, backend.address))
        number += backend.weight
    return found


def _slot_owners(backends: t.Sequence[_Backend]) -> list[str]:
    """Return the address of each slot, by weighted rendezvous hashing: when a backend leaves, only its own slots move.

    Each backend has a pseudo-random, exponentially distributed bid for each slot, divided by its weight. The lowest bid
    wins, which happens in proportion to the weights.
    """
    size = 128 if len(backends) <= 16 else 2048
    lowest, owners = [math.inf] * size, [""] * size
    for backend in backends:
        hashes = hashlib.shake_256(backend.sandbox.encode()).digest(4 * size)
        for slot in range(size):
            number = int.from_bytes(hashes[4 * slot : 4 * slot + 4], "big")
            bid = -math.log((number + 1) / 4294967297) / backend.weight
            if bid < lowest[slot]:
                lowest[slot], owners[slot] = bid, backend.address
    return owners


def _runs(owners: t.Sequence[str]) -> _Slots:
    """Return runs of slots with the same owner."""
    found: list[tuple[int, int, str]] = []
    for slot, address in enumerate(owners):
        if found and found[-1][2] == address:
            found[-1] = found[-1][0], slot, address
        else:
            found.append((slot, slot, address))
    return found


def _translating_chain(
    data: _FamilyData, key: tuple[str, str], service: Service, slots: _Slots, target_port: int
) -> str:
    """Add the chain that translates to target_port (0: the same port), unless it exists, and return its name."""
    family = _FAMILY[data.version]
    digest = hashlib.sha256("\0".join((*key, service.name, family, str(target_port))).encode()).hexdigest()
    name = f"to_{service.name[:40]}_{digest[:12]}"
    if name not in data.chains:
        match = f"{_PROTOCOLS} " if target_port else ""  # nft wants a protocol with ports before it translates a port
        destination = _destination(data.version, service, slots, target_port, key)
        data.chains[name] = f"{match}dnat {family} to {destination}"
    return name


def _destination(version: int, service: Service, slots: _Slots, target_port: int, key: tuple[str, str]) -> str:
    if len(slots) == 1:
        address = slots[0][2]
        if not target_port:
            return address
        return f"[{address}]:{target_port}" if version == 6 else f"{address}:{target_port}"
    size = slots[-1][1] + 1
    if service.sticky:  # a fixed seed: the kernel would choose another one with every change
        seed = int(hashlib.sha256("\0".join((*key, service.name)).encode()).hexdigest()[:8], 16) | 1
        number = f"jhash {_FAMILY[version]} saddr mod {size} seed 0x{seed:x}"
    else:
        number = f"numgen inc mod {size}"
    suffix = f" . {target_port}" if target_port else ""
    elements = ", ".join(f"{_range(first, last)} : {address}{suffix}" for first, last, address in slots)
    return f"{number} map {{ {elements} }}"


def _range(first: int, last: int) -> str:
    return str(first) if first == last else f"{first}-{last}"


# ---- nft text ----------------------------------------------------------------


def _set_texts(data: _FamilyData) -> str:
    version, address = data.version, f"ipv{data.version}_addr"
    return "".join(
        (
            _set_text(f"set virtual{version}", address, data.virtual),
            _set_text(f"map ports{version}", f"{address} . inet_proto . inet_service : verdict", data.ports),
            _set_text(f"map whole{version}", f"{address} : verdict", data.whole),
            _set_text(f"map echo{version}", f"{address} : {address}", data.echo),
        )
    )


def _set_text(name: str, element_type: str, elements: t.Sequence[str]) -> str:
    listed = "        elements = { " + ",\n            ".join(elements) + " }\n" if elements else ""
    return f"    {name} {{\n        type {element_type}\n{listed}    }}\n"


def _lookup_rules(data: _FamilyData) -> list[str]:
    family, version = _FAMILY[data.version], data.version
    return [
        f"{family} daddr . meta l4proto . th dport vmap @ports{version}",
        f"{family} daddr vmap @whole{version}",
        f"{_ECHO[version]} dnat {family} to {family} daddr map @echo{version}",
    ]


def _reject_rules(data: _FamilyData) -> list[str]:
    """Return rules that reject packets which are still addressed to a VIP, because no sandbox serves them.

    Without these rules the kernel would look for a neighbour with that address.
    """
    match = f"{_FAMILY[data.version]} daddr @virtual{data.version}"
    return [f"{match} meta l4proto tcp reject with tcp reset", f"{match} reject with {_REJECT[data.version]}"]


def _chain(name: str, hook: str, rules: t.Sequence[str]) -> str:
    head = f"        type {hook}; policy accept;\n" if hook else ""
    body = "".join(f"        {rule}\n" for rule in rules)
    return f"    chain {name} {{\n{head}{body}    }}\n"
