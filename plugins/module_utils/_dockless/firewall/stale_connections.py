# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Finds the tracked connections that a change of the firewall makes stale, each by its exact tuple.

The kernel decides about translation once, with the first packet of a connection, and remembers it. Without this a
client that keeps its source port would talk to the former target of a port, or to nothing, as long as it goes on.

Steps: group the elements before and after the change by set, keep those that differ (rule_change), and test each
connection against them (stale).
"""

from __future__ import annotations

import ipaddress
import typing as t

from ..model.addresses import IPAddress, IPNetwork
from .nft_text import Elements

TCP, UDP, SCTP, ICMP, ICMPV6 = 6, 17, 132, 1, 58
_PROTOCOLS = {"tcp": TCP, "udp": UDP, "sctp": SCTP}


class Flow(t.NamedTuple):
    """A tracked connection: source, the destination that the client used, and the target that answers.

    The ports of ICMP are 0.
    """

    protocol: int
    source: IPAddress
    source_port: int
    address: IPAddress
    port: int
    target: IPAddress
    target_port: int
    translated: bool  # the destination was


class PublishedPort(t.NamedTuple):
    """A published port, or a range of ports that keep their numbers (target_port 0)."""

    version: int
    protocol: int
    network: IPNetwork | None  # addresses of the host on which it is published, None for all
    first: int
    last: int
    target: IPAddress
    target_port: int


class AllowedSource(t.NamedTuple):
    """A port of the host or of a sandbox, and one of the networks that may connect to it."""

    network: IPNetwork  # addresses of the port
    protocol: int
    first: int
    last: int
    source: IPNetwork | None = None  # None where only the port matters


_PortKey = tuple[int, int]  # protocol and port; ranges are under port 0
PublishedPorts = dict[_PortKey, list[PublishedPort]]
AllowedSources = dict[_PortKey, list[AllowedSource]]
ElementSets = dict[str, set[str]]  # of sets and maps, by name
Subnets = frozenset[IPNetwork]
_Port = t.TypeVar("_Port", PublishedPort, AllowedSource)


class Change(t.NamedTuple):
    """What a change of the host's table closes and publishes."""

    removed: PublishedPorts
    added: PublishedPorts
    # Ports of the host that only some sources may use, and those sources, after the change. Empty if they are as
    # before.
    restricted: AllowedSources
    allowed: AllowedSources
    # Ports at sandboxes' own addresses that were closed, and those that are open after the change.
    closed_targets: AllowedSources
    open_targets: AllowedSources
    # Subnets that lost their egress, or their ingress.
    without_egress: Subnets
    without_ingress: Subnets
    # Subnets of each network that is newly isolated, with those of the networks that it was open to.
    isolated: t.Sequence[tuple[Subnets, Subnets]]
    # Subnets of which every port is open.
    fully_open: Subnets
    # Subnets of new networks. Their addresses were those of others before, so the translation of a connection to one
    # is that of a packet that leaves: the kernel drops its next packet.
    new_subnets: Subnets


def rule_change(before: Elements, after: Elements) -> Change | None:
    """Return the difference of the host's firewall before and after a change, None if no connection can be stale.

    Elements that are in both are dropped as text, before they are parsed: of ten thousand ports a run changes a few.
    """
    old, new = _by_set(before), _by_set(after)
    only_old, only_new = _by_set(before - after), _by_set(after - before)
    removed = _published_ports(only_old) - _published_ports(only_new)
    added = _published_ports(only_new) - _published_ports(only_old)
    closed_targets = _allowed_sources(only_old, "targets") - _allowed_sources(only_new, "targets")
    fewer_sources = _allowed_sources(only_old, "allowed") - _allowed_sources(only_new, "allowed")
    newly_restricted = _allowed_sources(only_new, "restricted") - _allowed_sources(only_old, "restricted")
    narrowed = bool(fewer_sources or newly_restricted)
    without_egress = _subnets_of(old, only_old.get("egress", set()))
    without_ingress = _subnets_of(old, only_old.get("ingress", set()))
    isolated = _newly_isolated(old, only_old.get("isolate_open", set()))
    new_subnets = _attached_subnets(only_new) - _attached_subnets(old)
    if not any((removed, added, closed_targets, narrowed, without_egress, without_ingress, isolated, new_subnets)):
        return None
    needs_targets = closed_targets or isolated
    return Change(
        removed=_by_port(removed),
        added=_by_port(added),
        restricted=_by_port(_allowed_sources(new, "restricted")) if narrowed else {},
        allowed=_by_port(_allowed_sources(new, "allowed")) if narrowed else {},
        closed_targets=_by_port(closed_targets),
        open_targets=_by_port(_allowed_sources(new, "targets")) if needs_targets else {},
        without_egress=without_egress,
        without_ingress=without_ingress,
        isolated=isolated,
        fully_open=_fully_open(new),
        new_subnets=new_subnets,
    )


def stale(flows: t.Iterable[Flow], change: Change, local: t.Container[IPAddress]) -> t.Iterator[Flow]:
    """Yield the connections that the new table would not let begin. local: the host's addresses."""
    return (flow for flow in flows if _is_stale(flow, change, local))


def _is_stale(flow: Flow, change: Change, local: t.Container[IPAddress]) -> bool:
    """Return whether one of the reasons below applies. A connection of the host itself passes no forward chain."""
    if _is_in(flow.address, change.new_subnets):
        return True
    if flow.source not in local and flow.target not in local and _crosses_closed_border(flow, change):
        return True
    if flow.translated:
        return _lost_its_port(flow, change) or _lost_its_permission(flow, change)
    if _crosses_new_isolation(flow, change):
        return True
    if flow.source not in local and _lost_its_target(flow, change):
        return True
    return _is_for_new_port(flow, change, local)


def _crosses_closed_border(flow: Flow, change: Change) -> bool:
    """Return whether a flow leaves a network that lost its egress, or enters one that lost its ingress."""
    leaves = any(flow.source in subnet and flow.target not in subnet for subnet in change.without_egress)
    enters = any(flow.target in subnet and flow.source not in subnet for subnet in change.without_ingress)
    return leaves or enters


def _lost_its_port(flow: Flow, change: Change) -> bool:
    """Return whether a published port that is removed translated a flow."""
    return any(
        _is_published_by(flow, port)
        and port.target == flow.target
        and (port.target_port or flow.port) == flow.target_port
        for port in _candidates(change.removed, flow)
    )


def _lost_its_permission(flow: Flow, change: Change) -> bool:
    """Return whether a flow uses a restricted port of the host from a source that is not allowed."""
    is_restricted = any(_is_for(flow, port) for port in _candidates(change.restricted, flow))
    return is_restricted and not _is_allowed(flow, change.allowed)


def _lost_its_target(flow: Flow, change: Change) -> bool:
    """Return whether a flow uses a port at a sandbox's own address that is closed for its source."""
    return _is_allowed(flow, change.closed_targets) and not _is_allowed(flow, change.open_targets)


def _crosses_new_isolation(flow: Flow, change: Change) -> bool:
    """Return whether a flow connects two networks that are newly isolated, at a port that is not open there."""
    crosses = any(
        (_is_in(flow.source, subnets) and _is_in(flow.target, others))
        or (_is_in(flow.target, subnets) and _is_in(flow.source, others))
        for subnets, others in change.isolated
    )
    if not crosses:
        return False
    return not _is_in(flow.target, change.fully_open) and not _is_allowed(flow, change.open_targets)


def _is_for_new_port(flow: Flow, change: Change, local: t.Container[IPAddress]) -> bool:
    """Return whether a UDP flow went to a port of the host itself that is published now.

    A TCP client would reconnect.
    """
    if flow.protocol != UDP or flow.address not in local:
        return False
    return any(_is_published_by(flow, port) for port in _candidates(change.added, flow))


def _is_published_by(flow: Flow, port: PublishedPort) -> bool:
    return (
        port.first <= flow.port <= port.last
        and port.version == flow.address.version
        and (port.network is None or flow.address in port.network)
    )


def _is_for(flow: Flow, port: AllowedSource) -> bool:
    return port.first <= flow.port <= port.last and flow.address in port.network


def _is_allowed(flow: Flow, allowed: AllowedSources) -> bool:
    """Return whether one of these ports is open to the flow's source."""
    return any(
        _is_for(flow, port) and port.source is not None and flow.source in port.source
        for port in _candidates(allowed, flow)
    )


def _is_in(address: IPAddress, subnets: Subnets) -> bool:
    return any(address in subnet for subnet in subnets)


def _by_port(ports: t.Iterable[_Port]) -> dict[_PortKey, list[_Port]]:
    found: dict[_PortKey, list[_Port]] = {}
    for port in ports:
        number = port.first if port.first == port.last else 0
        found.setdefault((port.protocol, number), []).append(port)
    return found


def _candidates(index: t.Mapping[_PortKey, t.Sequence[_Port]], flow: Flow) -> t.Iterator[_Port]:
    """Yield the single ports with the flow's number, and all ranges of its protocol."""
    yield from index.get((flow.protocol, flow.port), ())
    yield from index.get((flow.protocol, 0), ())


def _by_set(elements: Elements) -> ElementSets:
    found: ElementSets = {}
    for name, element in elements:
        found.setdefault(name, set()).add(element)
    return found


def _fields(element: str) -> list[str]:
    return element.replace(" : ", " . ").split(" . ")


def _port_range(field: str) -> tuple[int, int]:
    first, _dash, last = field.partition("-")
    return int(first), int(last or first)


def _published_ports(elements: ElementSets) -> set[PublishedPort]:
    found: set[PublishedPort] = set()
    for name in elements:
        if not name.startswith(("published", "ranges")):
            continue
        for element in elements[name]:
            fields = _fields(element)
            network = ipaddress.ip_network(fields.pop(0)) if name.endswith("_on") else None
            protocol, ports, target, *target_port = fields
            address = ipaddress.ip_address(target)
            first, last = _port_range(ports)
            number = int(target_port[0]) if target_port else 0
            found.add(PublishedPort(address.version, _PROTOCOLS[protocol], network, first, last, address, number))
    return found


def _allowed_sources(elements: ElementSets, kind: str) -> set[AllowedSource]:
    """Return the elements of the sets of a kind: "restricted", or, with a source first, "allowed" or "targets"."""
    found: set[AllowedSource] = set()
    for version in (4, 6):
        for element in elements.get(f"{kind}{version}", ()):
            fields = _fields(element)
            source = ipaddress.ip_network(fields.pop(0)) if kind != "restricted" else None
            address, protocol, ports = fields
            first, last = _port_range(ports)
            found.add(AllowedSource(ipaddress.ip_network(address), _PROTOCOLS[protocol], first, last, source))
    return found


def _attached_subnets(elements: ElementSets) -> Subnets:
    attached = [_fields(element)[0] for name in ("attached4", "attached6") for element in elements.get(name, ())]
    return frozenset(map(ipaddress.ip_network, attached))


def _subnets_of(elements: ElementSets, bridges: t.Collection[str]) -> Subnets:
    """Return the subnets that are attached to some bridges."""
    if not bridges:
        return frozenset()
    attached = [_fields(element) for name in ("attached4", "attached6") for element in elements.get(name, ())]
    return frozenset(ipaddress.ip_network(subnet) for subnet, bridge in attached if bridge in bridges)


def _newly_isolated(elements: ElementSets, bridges: t.Collection[str]) -> t.Sequence[tuple[Subnets, Subnets]]:
    """Return the subnets of each bridge, with those of the other bridges that it was open to before."""
    return [
        (_subnets_of(elements, {bridge}), _subnets_of(elements, elements["isolate_open"] - {bridge}))
        for bridge in sorted(bridges)
    ]


def _fully_open(elements: ElementSets) -> Subnets:
    """Return the subnets of the bridges in direct_all, whose sandboxes are reached at every port."""
    found: set[IPNetwork] = set()
    for element in elements.get("direct_all", ()):
        family, bridge = _fields(element)
        version = 6 if family == "ipv6" else 4
        found.update(subnet for subnet in _subnets_of(elements, {bridge}) if subnet.version == version)
    return frozenset(found)
