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

from .model import IPAddress, IPNetwork

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
    network: t.Optional[IPNetwork]
    first: int
    last: int
    target: IPAddress
    target_port: int


class Door(t.NamedTuple):
    """A published port, at the host or at a sandbox's own address, and one of those to whom it is open."""

    network: IPNetwork
    protocol: int
    first: int
    last: int
    source: t.Optional[IPNetwork] = None


Index = t.Dict[t.Tuple[int, int], t.List[Rule]]  # by protocol and port; ranges stand under port 0


class Change(t.NamedTuple):
    """What is published no more, what is published since, and to whom."""

    gone: Index
    added: Index
    doors: t.FrozenSet[Door]
    guests: t.FrozenSet[Door]
    kept_in: t.FrozenSet[IPNetwork]  # subnets that nothing leaves any more
    closed: t.FrozenSet[Door]  # at sandboxes' own addresses
    targets: t.FrozenSet[Door]  # what is open there since


def change(before: str, after: str) -> t.Optional[Change]:
    """Return how two of the host's tables, as nft text, differ in what they publish and let out; None where they do not."""
    old, new = _published(before), _published(after)
    guests, kept_in, targets = _doors(after, "allowed"), _kept_in(before, after), _doors(after, "targets")
    closed = _doors(before, "targets") - targets
    if old == new and guests == _doors(before, "allowed") and not kept_in and not closed:
        return None
    return Change(_index(old - new), _index(new - old), frozenset(_doors(after, "restricted")), frozenset(guests), kept_in,
                  frozenset(closed), frozenset(targets))


def without_ground(flows: t.Iterable[Flow], changed: Change, local: t.Container[IPAddress]) -> t.Iterator[Flow]:
    """Yield the flows that the new table would not let come about as they are.

    They are those that a rule sent on which is gone, those of clients that may no longer come, by the host's port or at the
    sandbox's own address, those out of a network that has lost its egress, and datagrams to a port of this host that is
    published since. local are the host's addresses.
    """
    for flow in flows:
        if any(flow.source in subnet and flow.target not in subnet for subnet in changed.kept_in) and flow.address not in local:
            yield flow
        elif flow.translated:
            if any(_led(rule, flow) for rule in _about(changed.gone, flow)) or _is_shut_out(changed, flow):
                yield flow
        elif _is_at_a_door(changed.closed, flow) and not _is_at_a_door(changed.targets, flow) and flow.source not in local:
            yield flow
        elif flow.protocol == UDP and flow.address in local and any(_matches(rule, flow) for rule in _about(changed.added, flow)):
            yield flow


def _index(rules: t.Iterable[Rule]) -> Index:
    found: Index = {}
    for rule in rules:
        found.setdefault((rule.protocol, rule.first if rule.first == rule.last else 0), []).append(rule)
    return found


def _about(index: Index, flow: Flow) -> t.Iterator[Rule]:
    yield from index.get((flow.protocol, flow.port), ())
    yield from index.get((flow.protocol, 0), ())


def _is_shut_out(changed: Change, flow: Flow) -> bool:
    return any(_covers(door, flow) for door in changed.doors) and not _is_at_a_door(changed.guests, flow)


def _is_at_a_door(doors: t.Iterable[Door], flow: Flow) -> bool:
    """Return whether one of the doors is open to the flow."""
    return any(_covers(door, flow) and flow.source in (door.source or ()) for door in doors)


def _matches(rule: Rule, flow: Flow) -> bool:
    return (rule.first <= flow.port <= rule.last and rule.version == flow.address.version
            and (rule.network is None or flow.address in rule.network))


def _led(rule: Rule, flow: Flow) -> bool:
    return _matches(rule, flow) and rule.target == flow.target and (rule.target_port or flow.port) == flow.target_port


def _covers(door: Door, flow: Flow) -> bool:
    return door.protocol == flow.protocol and door.first <= flow.port <= door.last and flow.address in door.network


def _elements(text: str) -> t.Dict[str, t.List[t.List[str]]]:
    """Return the elements of our sets and maps, each as the fields that it is joined of."""
    found: t.Dict[str, t.List[t.List[str]]] = {}
    for name, body in _BLOCK.findall(text):
        listed = _ELEMENTS.search(body)
        if listed:
            found[name] = [element.replace(" : ", " . ").split(" . ") for element in " ".join(listed.group(1).split()).split(", ")]
    return found


def _kept_in(before: str, after: str) -> t.FrozenSet[IPNetwork]:
    """Return the subnets of bridges that had egress and have it no more."""
    old, new = _elements(before), _elements(after)
    closed = {fields[0] for fields in old.get("egress", ())} - {fields[0] for fields in new.get("egress", ())}
    return frozenset(ipaddress.ip_network(fields[0]) for key in ("attached4", "attached6") for fields in old.get(key, ()) if fields[1] in closed)


def _published(text: str) -> t.Set[Rule]:
    rules: t.Set[Rule] = set()
    for name, elements in _elements(text).items():
        if not name.startswith(("published", "ranges")):
            continue
        for fields in elements:
            network = ipaddress.ip_network(fields.pop(0)) if name.endswith("_on") else None
            first, dash, last = fields[1].partition("-")
            target_port = int(fields[3]) if len(fields) > 3 else 0
            target = ipaddress.ip_address(fields[2])
            rules.add(Rule(target.version, _PROTOCOLS[fields[0]], network, int(first), int(last or first), target, target_port))
    return rules


def _doors(text: str, kind: str) -> t.Set[Door]:
    """Return the elements of the sets of a kind: restricted, or with who may come first, allowed and targets."""
    doors: t.Set[Door] = set()
    for name, elements in _elements(text).items():
        if name in (kind + "4", kind + "6"):
            for fields in elements:
                source = ipaddress.ip_network(fields.pop(0)) if kind != "restricted" else None
                first, dash, last = fields[2].partition("-")
                doors.add(Door(ipaddress.ip_network(fields[0]), _PROTOCOLS[fields[1]], int(first), int(last or first), source))
    return doors
