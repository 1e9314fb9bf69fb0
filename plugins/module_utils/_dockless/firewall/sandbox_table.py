# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""The nft table inside a sandbox: its name server's port, and the services that it uses (nft(8)).

A service's virtual address belongs to no interface. It is translated where a connection
begins, in the sandbox of the client, so nothing has to answer for it on the network and
the other end sees the client's own address. One map leads from address, protocol and port
to a chain, and a chain is one rule, whatever the number of sandboxes behind it. Connections
that there are stay with theirs: only the first packet of each meets these rules.
"""

from __future__ import annotations

import functools
import hashlib
import math
import typing as t

from ..model.host import Service
from ..names import RESOLVER_ADDRESS, RESOLVER_PORT, TABLE

Target = tuple[str, t.Sequence[str], int]  # sandbox, its addresses, weight
Balanced = tuple[tuple[str, str], t.Sequence[tuple[Service, t.Sequence[Target]]]]  # a network's key, its services
_Slots = t.Sequence[tuple[int, int, str]]  # first and last number that lead to an address
LARGEST_OFFSET = 8
_PROTOCOLS = "meta l4proto { tcp, udp, sctp }"
_ECHO = {4: "icmp type echo-request", 6: "icmpv6 type echo-request"}
_REJECT = {4: "icmp port-unreachable", 6: "icmpv6 port-unreachable"}
_FAMILY = {4: "ip", 6: "ip6"}


class _Data:
    """What one family's sets and maps hold."""

    def __init__(self, version: int) -> None:
        self.version = version
        self.virtual: list[str] = []
        self.ports: list[str] = []
        self.whole: list[str] = []
        self.echo: list[str] = []
        self.chains: dict[str, str] = {}


def start_offset(project: str, sandbox: str) -> int:
    """Return which of a service's sandboxes a client begins with: were it the first for all, it would get every
    client's first connection.
    """
    return hashlib.sha256(f"{project}\0{sandbox}".encode()).digest()[0] % LARGEST_OFFSET


def sandbox_table(networks: t.Iterable[Balanced], begin: int, resolved: bool) -> str:
    """Return the table of a sandbox on these networks, "" if there is nothing to put into it.

    begin is the client's turn(); resolved says whether it has a name server of its own.
    """
    data = [_Data(4), _Data(6)]
    for key, services in networks:
        for service, targets in services:
            for family in data:
                _add(family, key, service, targets, begin)
    data = [family for family in data if family.virtual]
    parts = [names_chain(-100, RESOLVER_PORT)] if resolved else []
    if data:
        parts += [_sets(family) for family in data]
        parts.append(
            _chain("services", "nat hook output priority -100", [line for family in data for line in _lookups(family)])
        )
        parts += [_chain(name, "", [rule]) for family in data for name, rule in family.chains.items()]
        parts.append(
            _chain(
                "unserved", "filter hook output priority filter", [line for family in data for line in _rejects(family)]
            )
        )
    return f"table inet {TABLE} {{\n{''.join(parts)}}}\n".replace("    ", "\t") if parts else ""


def names_chain(priority: int, port: int) -> str:
    """Return the chain that leads questions for names to a port of the name server's; of several chains the lowest
    priority decides.
    """
    lines = [
        f"ip daddr {RESOLVER_ADDRESS} {protocol} dport 53 dnat ip to {RESOLVER_ADDRESS}:{port}"
        for protocol in ("udp", "tcp")
    ]
    return _chain("names", f"nat hook output priority {priority}", lines)


def _add(data: _Data, key: tuple[str, str], service: Service, targets: t.Sequence[Target], begin: int) -> None:
    for vip in service.vips:
        if vip.version != data.version:
            continue
        data.virtual.append(str(vip))
        slots = _slots(service, _reachable(targets, data.version), begin)
        if not slots:
            continue
        if not service.ports:
            data.whole.append(f"{vip} : goto {_leads_to(data, key, service, slots, 0)}")
            continue
        data.echo.append(f"{vip} : {slots[0][2]}")
        for port in service.ports:
            chain = _leads_to(data, key, service, slots, port.target if port.target != port.port else 0)
            data.ports.append(f"{vip} . {port.protocol} . {port.port} : goto {chain}")


def _reachable(targets: t.Sequence[Target], version: int) -> list[tuple[str, str, int]]:
    """Return the sandboxes that have an address of a family: name, address, weight by the smallest whole numbers."""
    found = [
        (name, address, weight)
        for name, addresses, weight in targets
        for address in [next((one for one in addresses if (":" in one) == (version == 6)), "")]
        if address
    ]
    common = functools.reduce(math.gcd, (weight for name, address, weight in found), 0) or 1
    return [(name, address, weight // common) for name, address, weight in found]


def _slots(service: Service, targets: t.Sequence[tuple[str, str, int]], begin: int) -> _Slots:
    """Return which numbers lead to which address."""
    if len(targets) < 2:
        return [(0, 0, address) for name, address, weight in targets]
    if service.sticky:
        return _runs(_claimed(tuple(targets)))
    first = begin * len(targets) // LARGEST_OFFSET
    found, number = [], 0
    for name, address, weight in (*targets[first:], *targets[:first]):
        found.append((number, number + weight - 1, address))
        number += weight
    return found


def _claimed(targets: tuple[tuple[str, str, int], ...]) -> list[str]:
    """Return the address of each slot. A slot is its highest bidder's, so when one leaves, only its own slots move."""
    size = 128 if len(targets) <= 16 else 2048
    best, owners = [math.inf] * size, [""] * size
    for name, address, weight in targets:
        bids = hashlib.shake_256(name.encode()).digest(4 * size)
        for slot in range(size):
            number = int.from_bytes(bids[4 * slot : 4 * slot + 4], "big")
            bid = (
                -math.log((number + 1) / 4294967297) / weight
            )  # exponential: the least of them is had in proportion to the weights
            if bid < best[slot]:
                best[slot], owners[slot] = bid, address
    return owners


def _runs(owners: t.Sequence[str]) -> _Slots:
    found: list[tuple[int, int, str]] = []
    for slot, address in enumerate(owners):
        if found and found[-1][2] == address:
            found[-1] = found[-1][0], slot, address
        else:
            found.append((slot, slot, address))
    return found


def _leads_to(data: _Data, key: tuple[str, str], service: Service, slots: _Slots, port: int) -> str:
    """Return the name of the chain that translates to a port (0: leaves it), adding it if it is not there."""
    family = _FAMILY[data.version]
    seed = hashlib.sha256("\0".join((*key, service.name, family, str(port))).encode()).hexdigest()
    name = f"to_{service.name[:40]}_{seed[:12]}"
    if name not in data.chains:
        data.chains[name] = (
            (f"{_PROTOCOLS} " if port else "")
            + f"dnat {family} to "
            + _destination(data.version, service, slots, port, key)
        )
    return name


def _destination(version: int, service: Service, slots: _Slots, port: int, key: tuple[str, str]) -> str:
    if len(slots) == 1:
        address = slots[0][2]
        return (f"[{address}]:{port}" if version == 6 else f"{address}:{port}") if port else address
    size = slots[-1][1] + 1
    if service.sticky:  # a seed of our own: the kernel's would be another after every change
        seed = int(hashlib.sha256("\0".join((*key, service.name)).encode()).hexdigest()[:8], 16) | 1
        number = f"jhash {_FAMILY[version]} saddr mod {size} seed 0x{seed:x}"
    else:
        number = f"numgen inc mod {size}"
    suffix = f" . {port}" if port else ""
    return (
        f"{number} map {{ "
        + ", ".join(f"{_range(low, high)} : {address}{suffix}" for low, high, address in slots)
        + " }"
    )


def _range(low: int, high: int) -> str:
    return str(low) if low == high else f"{low}-{high}"


def _sets(data: _Data) -> str:
    version, kind = data.version, f"ipv{data.version}_addr"
    return "".join(
        (
            _set(f"set virtual{version}", kind, data.virtual),
            _set(f"map ports{version}", f"{kind} . inet_proto . inet_service : verdict", data.ports),
            _set(f"map whole{version}", f"{kind} : verdict", data.whole),
            _set(f"map echo{version}", f"{kind} : {kind}", data.echo),
        )
    )


def _set(name: str, kind: str, elements: t.Sequence[str]) -> str:
    held = "        elements = { " + ",\n            ".join(elements) + " }\n" if elements else ""
    return f"    {name} {{\n        type {kind}\n{held}    }}\n"


def _lookups(data: _Data) -> list[str]:
    family, version = _FAMILY[data.version], data.version
    return [
        f"{family} daddr . meta l4proto . th dport vmap @ports{version}",
        f"{family} daddr vmap @whole{version}",
        f"{_ECHO[version]} dnat {family} to {family} daddr map @echo{version}",
    ]


def _rejects(data: _Data) -> list[str]:
    """What is still addressed to a virtual address has nobody behind it: say so at once, where the kernel would look
    for a neighbour.
    """
    match = f"{_FAMILY[data.version]} daddr @virtual{data.version}"
    return [f"{match} meta l4proto tcp reject with tcp reset", f"{match} reject with {_REJECT[data.version]}"]


def _chain(name: str, hook: str, rules: t.Sequence[str]) -> str:
    head = f"        type {hook}; policy accept;\n" if hook else ""
    return f"    chain {name} {{\n{head}" + "".join(f"        {rule}\n" for rule in rules) + "    }\n"
