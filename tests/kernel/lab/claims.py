# SPDX-License-Identifier: GPL-3.0-or-later
"""What the lab claims: attacks, of which nothing may arrive anywhere, and passages, which must arrive.

And the trial of both.
"""

from __future__ import annotations

import collections
import typing as t

from . import places, wire
from .stations import connected
from .topology import Lab, one_processor

Send = t.Callable[[Lab, bytes], None]
ANY = "*"  # the counter of an attack that more than one rule stops


class Attack(t.NamedTuple):
    """Packets that must reach nobody. send puts one on its way.

    counter is that of the rule that must have dropped each packet; "" where a kernel's own setting does, which does not
    count; ANY where several rules do. seen_by are places that it passes before the rule sees it. victim gets the
    controls. kind is filled in by of_kinds.
    """

    name: str
    origin: str
    send: Send
    counter: str
    victim: str = "c2"
    seen_by: frozenset[str] = frozenset()
    kind: str = ""


class Passage(t.NamedTuple):
    """A packet that must arrive at a station in a way (udp, echo, frame), from the source that is expected there, if
    one is named.
    """

    name: str
    send: Send
    target: str
    how: str = "udp"
    source: str = ""
    port: int = 0


class Call(t.NamedTuple):
    """A connection that must come about."""

    name: str
    origin: str
    address: str
    port: int


def of_kinds(kinds: t.Mapping[str, t.Iterable[Attack]]) -> list[Attack]:
    """Return attacks, each with its kind."""
    return [attack._replace(kind=kind) for kind, attacks in kinds.items() for attack in attacks]


def udp_from(origin: str, source: str, target: str, port: int, to: str = "") -> Send:
    """Return the sender of raw datagrams: from any source to any address, on the link of origin, to the MAC of a
    place (or the node there).
    """

    def send(lab: Lab, token: bytes) -> None:
        lab[origin].frame(frame_of(lab, origin, source, target, wire.UDP, datagram(source, target, port, token), to))

    return send


def datagram(source: str, target: str, port: int, token: bytes, sport: int = 0) -> bytes:
    """Return a datagram with a source port of its own, so that no flow is like another."""
    return wire.udp(source, target, sport or 10000 + int(token[2:]) % 50000, port, token)


def frame_of(
    lab: Lab, origin: str, source: str, target: str, protocol: int, payload: bytes, to: str = "", hops: int = 64
) -> bytes:
    """Return a packet in a frame with origin's own MAC."""
    kind = wire.IP6 if ":" in source else wire.IP
    return wire.ethernet(
        mac_of(lab, origin, to), lab[origin].mac, kind, wire.packet(source, target, protocol, payload, hops)
    )


def mac_of(lab: Lab, origin: str, to: str = "") -> str:
    """Return the MAC of a place, a MAC as it is, or that of the node on origin's link."""
    if ":" in to:
        return to
    return lab[to].mac if to else lab.hop(origin)


def asks(origin: str, address: str, port: int) -> Send:
    """Return the sender of datagrams as programs of origin send them."""

    def send(lab: Lab, token: bytes) -> None:
        lab[origin].datagram(address, port, token)

    return send


@one_processor()
def try_attacks(lab: Lab, attacks: t.Sequence[Attack], count: int) -> list[str]:
    """Send count packets of each attack and return what is wrong: what arrived, and rules that did not count what
    they stopped.
    """
    lab.taken()
    lab.settle()
    lab.taken()
    before = lab.counters()
    sent: dict[bytes, Attack] = {}
    for attack in attacks:
        for _number in range(count):
            token = lab.token()
            sent[token] = attack
            attack.send(lab, token)
    lab.settle()
    wrong = [f"{attack.name}: arrived at {station}" for station, attack in _arrivals(lab, sent)]
    expected = collections.Counter(attack.counter for attack in attacks for _number in range(count))
    after = lab.counters()
    excess = {name: value - before[name] - expected[name] for name, value in after.items()}
    if min(excess.values()) < 0 or sum(excess.values()) != expected[ANY]:
        for name, surplus in excess.items():
            if surplus:
                meant = ", ".join(attack.name for attack in attacks if attack.counter == name)[:200]
                wrong.append(f"counter {name} counted {surplus + expected[name]}, not {expected[name]}: {meant}")
        wrong += ["counter of any rule counted too few"] * (sum(excess.values()) < expected[ANY])
    return list(dict.fromkeys(wrong))


def _arrivals(lab: Lab, sent: t.Mapping[bytes, Attack]) -> t.Iterator[tuple[str, Attack]]:
    for station, list_ in lab.taken().items():
        for each in list_:
            attack = sent.get(each.token)
            if attack is not None and station != attack.origin and station not in attack.seen_by:
                yield station, attack


@one_processor()
def try_passages(lab: Lab, passages: t.Sequence[Passage], calls: t.Sequence[Call], patience: float = 5) -> list[str]:
    """Send one packet of each passage and make each call, and return what did not come about."""
    lab.taken()
    doors = [lab[call.origin].connect(call.address, call.port) for call in calls]
    sent: dict[bytes, Passage] = {}
    for passage in passages:
        token = lab.token()
        sent[token] = passage
        passage.send(lab, token)
    lab.settle()
    lab.packets += len(calls)
    answers = connected(doors, range(len(doors)), patience)
    lab.settle()
    wrong = [f"{call.name}: no connection" for call, answer in zip(calls, answers) if not answer]
    taken = lab.taken()
    wrong += [
        f"{name} is redirected" for name, list_ in taken.items() if any(_is_redirect(each.frame) for each in list_)
    ]
    for token, passage in sent.items():
        found = [each for each in taken[passage.target] if each.token == token and each.how == passage.how]
        right = [each for each in found if passage.source in ("", each.source) and passage.port in (0, each.port)]
        if not right:
            wrong.append(
                f"{passage.name}: "
                + (f"came from {found[0].source}, port {found[0].port}" if found else "did not arrive")
            )
    return wrong


def _is_redirect(frame: bytes) -> bool:
    """Tell whether the frame is an ICMP redirect of IPv4 (RFC 792); those of IPv6 a kernel has no setting for."""
    return frame[12:14] == b"\x08\x00" and frame[23:24] == b"\x01" and frame[34:35] == b"\x05"


@one_processor()
def control(lab: Lab, victim: str, count: int) -> list[str]:
    """Send a victim datagrams that must arrive, as many as an attack has packets, over each family that it has."""
    friend, address4 = lab.friend(victim)
    addresses = [address4] + ([places.address(victim, 6)] if victim not in ("f1", "f2", "guest") else [])
    sent = {}
    for address in addresses:
        for _number in range(count):
            token = lab.token()
            sent[token] = address
            lab[friend].datagram(address, 80, token)
    lab.settle()
    heard = {each.token for each in lab.taken()[victim] if each.how == "udp"}
    return [f"the control to {address} did not arrive" for token, address in sent.items() if token not in heard]
