# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may reach whom, worked out from the declaration alone, in the words of the documentation.

It shares nothing with the engine: no set, no rule, no model.
"""

from __future__ import annotations

import typing as t

from . import places

PUBLISHED, UNPUBLISHED, ECHO = "published", "unpublished", "echo"
FAMILIES = (4, 6)


class Question(t.NamedTuple):
    """May source reach address of target in a family? what is a kind of port or an echo.

    Port 0 is the address's own.
    """

    source: str
    target: str
    address: str
    what: str
    protocol: str
    port: int
    version: int
    expected: bool


def _net(place: str) -> places.Net | None:
    return places.NETS[places.NETWORK_OF[place]] if place in places.NETWORK_OF else None


def _is_internal(net: places.Net) -> bool:
    return bool(net.options.get("internal"))


def _leads_out(net: places.Net) -> bool:
    return net.options.get("egress", True) and not _is_internal(net)


def _leads_in(net: places.Net) -> bool:
    return net.options.get("ingress", True) and not _is_internal(net)


def _mode(net: places.Net, version: int) -> str:
    return net.options.get(f"gateway_mode_ipv{version}", "nat")


def may_reach(source: str, target: str, what: str, version: int) -> bool:
    """Tell whether source may reach target at target's own address."""
    mine, other = _net(source), _net(target)
    if any(net is not None and version not in net.families for net in (mine, other)):
        return False
    if target == "node":  # at its own address: as a host's, of networks that are not internal
        return mine is None or not _is_internal(mine)
    if other is None:
        return _may_leave(source, target, mine)
    if mine is other:
        return mine.options.get("icc", True) is not False
    if source == "node":
        return _mode(other, version) != "isolated"
    if mine is not None and not _leads_out(mine) or not _leads_in(other):
        return False
    if mine is not None and mine.options.get("isolate") == other.options.get("isolate") == "open":
        return True
    return _is_open(source, other, what, version)


def _may_leave(source: str, target: str, mine: places.Net | None) -> bool:
    if mine is not None:
        return _leads_out(mine)
    return source == "node" or "vpn" not in (source, target)  # the node forwards for its networks alone


def _is_open(source: str, other: places.Net, what: str, version: int) -> bool:
    """Return whether a network's gateway mode admits another network's sandbox."""
    mode = _mode(other, version)
    if mode == "nat":
        trusted = source == "vpn" and "up2" in other.options.get("trusted_host_interfaces", ())
        return trusted and what == PUBLISHED
    return mode == "nat-unprotected" or mode == "routed" and what != UNPUBLISHED


def may_use_host_port(source: str, target: str, version: int, bridge_calls: bool = False) -> bool:
    """Tell whether source may use the node's port that target publishes.

    With bridge_calls (br_netfilter hands frames to the inet rules) the port is translated within the bridge, and the
    frame goes straight to the neighbour: to one that is walled off (icc: false) there is no such way then.
    """
    mine, other = _net(source), _net(target)
    assert other is not None
    if any(net is not None and version not in net.families for net in (mine, other)):
        return False
    if not _leads_in(other) or _mode(other, version) == "routed":
        return False
    if mine is None:
        return True
    if bridge_calls and mine is other and mine.options.get("icc") is False:
        return False
    return not _is_internal(mine) and (mine is other or _leads_out(mine))


def questions(bridge_calls: bool = False) -> list[Question]:
    """Return every question that can be asked of every pair, with its answer."""
    everybody = ("node", *places.OUTSIDE, *places.SANDBOXES)
    found = []
    for version in FAMILIES:
        for source in everybody:
            for target in everybody:
                if source != target:
                    found += _of_pair(source, target, version, bridge_calls)
            found += _of_gateway(source, version)
    return found


def _of_pair(source: str, target: str, version: int, bridge_calls: bool) -> t.Iterator[Question]:
    address = places.address(target, version)
    for what, protocol, port in (
        (PUBLISHED, "tcp", 80),
        (PUBLISHED, "udp", 80),
        (UNPUBLISHED, "tcp", 81),
        (UNPUBLISHED, "udp", 81),
        (ECHO, "icmp", 0),
    ):
        yield Question(source, target, address, what, protocol, port, version, may_reach(source, target, what, version))
    if target in places.NETWORK_OF:
        for protocol in ("tcp", "udp"):
            expected = may_use_host_port(source, target, version, bridge_calls)
            yield Question(
                source,
                target,
                places.address("node", version),
                "host port",
                protocol,
                places.host_port(target),
                version,
                expected,
            )


def _of_gateway(source: str, version: int) -> t.Iterator[Question]:
    """Ask about the node's address on each network: the own one is there for its sandboxes, others for those who may
    reach the node.
    """
    mine = _net(source)
    for name, net in places.NETS.items():
        if version not in net.families or source == "node":
            continue
        if mine is None:
            expected = _mode(net, version) != "isolated" and _gateway_is_open(source, net, version)
        else:
            there = _mode(net, version) != "isolated" and version in mine.families
            expected = there and (mine is net or not _is_internal(mine))
        for _what, protocol, port in ((UNPUBLISHED, "udp", 81), (UNPUBLISHED, "tcp", 81)):
            yield Question(
                source, "node", net.address(1, version), f"gateway of {name}", protocol, port, version, expected
            )


def _gateway_is_open(source: str, net: places.Net, version: int) -> bool:
    """The node's address on a bridge is for sandboxes; gateway mode nat-unprotected and trusted links open it."""
    trusted = source == "vpn" and "up2" in net.options.get("trusted_host_interfaces", ())
    return _mode(net, version) == "nat-unprotected" or trusted
