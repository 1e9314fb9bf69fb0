# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Which connections a change of published ports leaves without ground, to the exact tuple.

Translation is decided once for a connection and remembered: without this a client that keeps its source port talks to
where the port led before, or to nothing, for as long as it goes on.
"""

from __future__ import annotations

import ipaddress
import re
import typing as t

from ..model.host import IPAddress, IPNetwork

TCP, UDP, SCTP = 6, 17, 132
_PROTOCOLS = {"tcp": TCP, "udp": UDP, "sctp": SCTP}
_BLOCK = re.compile(r"^\t(?:set|map) (\w+) \{\n(.*?)^\t\}", re.MULTILINE | re.DOTALL)
_ELEMENTS = re.compile(r"elements = \{(.*)\}", re.DOTALL)


class Flow(t.NamedTuple):
    """A connection that the kernel tracks: who asked for what, and who answers. translated: by destination."""

    protocol: int
    source: IPAddress
    source_port: int
    address: IPAddress
    port: int
    target: IPAddress
    target_port: int
    translated: bool


class Rule(t.NamedTuple):
    """A published port, or a range of them (then target_port is 0: the same number). network is the addresses of the host that it is on."""

    version: int
    protocol: int
    network: IPNetwork | None
    first: int
    last: int
    target: IPAddress
    target_port: int


class AllowedSource(t.NamedTuple):
    """A published port, at the host or at a sandbox's own address, and one of those to whom it is open."""

    network: IPNetwork
    protocol: int
    first: int
    last: int
    source: IPNetwork | None = None


Rules = dict[tuple[int, int], list[Rule]]  # by protocol and port; ranges stand under port 0
AllowedSources = dict[tuple[int, int], list[AllowedSource]]
Elements = dict[str, set[str]]  # of sets and maps, by name
Subnets = frozenset[IPNetwork]


class Change(t.NamedTuple):
    """What is published no more, what is published since, and to whom."""

    gone: Rules
    added: Rules
    doors: AllowedSources  # at the host, that are not open to everybody
    guests: AllowedSources  # and who may come
    closed: AllowedSources  # at sandboxes' own addresses
    targets: AllowedSources  # what is open there since
    kept_in: Subnets  # subnets that nothing leaves any more
    kept_out: Subnets  # subnets that nothing gets into any more
    parted: t.Sequence[
        tuple[Subnets, Subnets]
    ]  # a network's subnets that has a wall since, and those of the networks that had none either
    unprotected: Subnets  # subnets that have all their ports open to who gets there


def rule_change(before: str, after: str) -> Change | None:
    """Return how two of the host's tables, as nft text, differ in what they publish and let out; None where they do not.

    What both hold is left out as text: of ten thousand ports a run changes a few.
    """
    old, new = _elements(before), _elements(after)
    lost, found = _less(old, new), _less(new, old)
    gone, added = _rules(lost) - _rules(found), _rules(found) - _rules(lost)
    closed = _allowed_sources(lost, "targets") - _allowed_sources(found, "targets")
    narrowed = _allowed_sources(lost, "allowed") - _allowed_sources(found, "allowed") or _allowed_sources(
        found, "restricted"
    ) - _allowed_sources(lost, "restricted")
    kept_in, kept_out = (_subnets(old, lost.get(way, set())) for way in ("egress", "ingress"))
    parted = _parted(old, lost.get("isolate_open", set()))
    if not (gone or added or closed or narrowed or kept_in or kept_out or parted):
        return None
    doors, guests = (_by_port(_allowed_sources(new, kind)) if narrowed else {} for kind in ("restricted", "allowed"))
    targets = _by_port(_allowed_sources(new, "targets")) if closed or parted else {}
    return Change(
        _by_port(gone),
        _by_port(added),
        doors,
        guests,
        _by_port(closed),
        targets,
        kept_in,
        kept_out,
        parted,
        _unprotected(new),
    )


def stale(flows: t.Iterable[Flow], changed: Change, local: t.Container[IPAddress]) -> t.Iterator[Flow]:
    """Yield the flows that the new table would not let come about as they are.

    They are those out of a network that has lost its egress, or into one that has lost its ingress; those between two networks that have
    a wall between them since; those that a rule sent on which is gone, those of clients that may no longer come, by the host's port or at
    the sandbox's own address; and datagrams to a port of this host that is published since. local are the host's addresses.
    """
    for flow in flows:
        if _crosses(changed, flow) and flow.source not in local and flow.target not in local:
            yield flow
        elif flow.translated:
            if any(_is_translated(rule, flow) for rule in _about(changed.gone, flow)) or _is_blocked(changed, flow):
                yield flow
        elif (
            _is_parted(changed, flow)
            or _is_allowed(changed.closed, flow)
            and not _is_allowed(changed.targets, flow)
            and flow.source not in local
        ) or (
            flow.protocol == UDP
            and flow.address in local
            and any(_matches(rule, flow) for rule in _about(changed.added, flow))
        ):
            yield flow


def _crosses(changed: Change, flow: Flow) -> bool:
    """Return whether a flow leaves a network that nothing leaves, or gets into one that nothing gets into."""
    return any(flow.source in subnet and flow.target not in subnet for subnet in changed.kept_in) or any(
        flow.target in subnet and flow.source not in subnet for subnet in changed.kept_out
    )


def _is_parted(changed: Change, flow: Flow) -> bool:
    """Return whether a flow goes through a wall that is new, and by no port that is open in it."""
    if not any(
        _is_in(flow.source, one)
        and _is_in(flow.target, others)
        or _is_in(flow.target, one)
        and _is_in(flow.source, others)
        for one, others in changed.parted
    ):
        return False
    return not _is_in(flow.target, changed.unprotected) and not _is_allowed(changed.targets, flow)


def _is_in(address: IPAddress, subnets: Subnets) -> bool:
    return any(address in subnet for subnet in subnets)


def _by_port(things: t.Iterable[t.Any]) -> dict[tuple[int, int], list[t.Any]]:
    found: dict[tuple[int, int], list[t.Any]] = {}
    for thing in things:
        found.setdefault((thing.protocol, thing.first if thing.first == thing.last else 0), []).append(thing)
    return found


def _about(index: t.Mapping[tuple[int, int], t.Sequence[t.Any]], flow: Flow) -> t.Iterator[t.Any]:
    yield from index.get((flow.protocol, flow.port), ())
    yield from index.get((flow.protocol, 0), ())


def _is_blocked(changed: Change, flow: Flow) -> bool:
    return any(_covers(door, flow) for door in _about(changed.doors, flow)) and not _is_allowed(changed.guests, flow)


def _is_allowed(doors: AllowedSources, flow: Flow) -> bool:
    """Return whether one of the doors is open to the flow."""
    return any(_covers(door, flow) and flow.source in (door.source or ()) for door in _about(doors, flow))


def _matches(rule: Rule, flow: Flow) -> bool:
    return (
        rule.first <= flow.port <= rule.last
        and rule.version == flow.address.version
        and (rule.network is None or flow.address in rule.network)
    )


def _is_translated(rule: Rule, flow: Flow) -> bool:
    return _matches(rule, flow) and rule.target == flow.target and (rule.target_port or flow.port) == flow.target_port


def _covers(door: AllowedSource, flow: Flow) -> bool:
    return door.first <= flow.port <= door.last and flow.address in door.network


def _elements(text: str) -> Elements:
    found: Elements = {}
    for name, body in _BLOCK.findall(text):
        listed = _ELEMENTS.search(body)
        if listed:
            found[name] = set(" ".join(listed.group(1).split()).split(", "))
    return found


def _less(one: Elements, other: Elements) -> Elements:
    return {name: elements - other.get(name, set()) for name, elements in one.items()}


def _fields(element: str) -> list[str]:
    return element.replace(" : ", " . ").split(" . ")


def _parted(elements: Elements, bridges: t.Collection[str]) -> t.Sequence[tuple[Subnets, Subnets]]:
    """Return the subnets of each of the bridges, with those of the others that it had no wall to."""
    return [
        (_subnets(elements, {bridge}), _subnets(elements, elements["isolate_open"] - {bridge}))
        for bridge in sorted(bridges)
    ]


def _unprotected(elements: Elements) -> Subnets:
    """Return the subnets of bridges that have all ports open."""
    rows = map(_fields, elements.get("direct_all", ()))
    return frozenset(
        s
        for family, bridge in rows
        for s in _subnets(elements, {bridge})
        if s.version == (6 if family == "ipv6" else 4)
    )


def _subnets(elements: Elements, bridges: t.Collection[str]) -> Subnets:
    """Return the subnets of some bridges."""
    attached = (_fields(element) for key in ("attached4", "attached6") for element in elements.get(key, ()) if bridges)
    return frozenset(ipaddress.ip_network(subnet) for subnet, bridge in attached if bridge in bridges)


def _rules(elements: Elements) -> set[Rule]:
    rules: set[Rule] = set()
    for name in (name for name in elements if name.startswith(("published", "ranges"))):
        for fields in map(_fields, elements[name]):
            network = ipaddress.ip_network(fields.pop(0)) if name.endswith("_on") else None
            first, dash, last = fields[1].partition("-")
            target_port = int(fields[3]) if len(fields) > 3 else 0
            target = ipaddress.ip_address(fields[2])
            rules.add(
                Rule(
                    target.version, _PROTOCOLS[fields[0]], network, int(first), int(last or first), target, target_port
                )
            )
    return rules


def _allowed_sources(elements: Elements, kind: str) -> set[AllowedSource]:
    """Return the elements of the sets of a kind: restricted, or with who may come first, allowed and targets."""
    doors: set[AllowedSource] = set()
    for fields in (_fields(element) for version in (4, 6) for element in elements.get(f"{kind}{version}", ())):
        source = ipaddress.ip_network(fields.pop(0)) if kind != "restricted" else None
        first, dash, last = fields[2].partition("-")
        doors.add(
            AllowedSource(
                ipaddress.ip_network(fields[0]), _PROTOCOLS[fields[1]], int(first), int(last or first), source
            )
        )
    return doors
