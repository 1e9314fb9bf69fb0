# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Finds out whether a foreign forward chain, as nft lists it, would drop traffic of dockless's bridges.

The analysis is a simulation. Each direction of each bridge (out of its network, into it, within it) is two packets: the
first one of a connection and the answer. A packet walks through the rules of the chain and of the chains that they jump
to. Conditions have three values: one about interfaces, connection state or translation is true or false; any other one
is unknown.

- An unknown condition never makes a drop certain: "tcp dport 25 drop" blocks nothing.
- An unknown condition makes an accept count if the rule names dockless's link: whoever wrote
  'iifname "br-a" tcp dport 80 accept' meant br-a. The verdict of such an accept is "meant".

Example: the chain of a firewall like ufw, whose policy is drop, with routing allowed in one direction of br-a only.

    chain FORWARD { policy drop; jump before; jump user }
    chain before  { ct state established,related accept; ip protocol icmp accept }
    chain user    { iifname "br-a" accept }

- Out of br-a, the first packet (from br-a to another link, new). In "before", the first rule is false and the second
  is unknown without naming br-a, so neither decides. In "user", the rule is true: meant.
- Out of br-a, the answer (from another link to br-a, established). In "before", the first rule is true: accept. So
  nothing blocks this direction.
- Into br-a, the first packet (from another link to br-a, new). No rule is true, the chains end, and the policy drops
  the packet. So this direction is blocked.

Parts: parsing of listings (forward_chains, rules_in, jumps), rules (_Rule, _split_verdict_map), the packets of a
direction (_directions), the walk (_walk), and the result (analyse).
"""

from __future__ import annotations

import re
import typing as t

from ..names import LINK_GROUP
from .coexistence import INBOUND, OUTBOUND, WITHIN_BRIDGE
from .foreign_firewalls import owner_of


class Chain(t.NamedTuple):
    """A base chain at the forward hook."""

    family: str
    table: str
    name: str
    policy: str


class BlockingChain(t.NamedTuple):
    """A chain that drops traffic of dockless's bridges, or that may, because nft cannot read it.

    bridged: it drops only frames between ports of one bridge. flows: the directions that it drops. bridges: the bridges
    whose traffic it is; none means all. firewall: its owner, by the name that coexist uses, "" if it is unknown.
    """

    family: str
    table: str
    chain: str
    why: str
    bridged: bool
    flows: tuple[str, ...] = ()
    bridges: tuple[str, ...] = ()
    firewall: str = ""

    def __str__(self) -> str:
        """Return why, which is a sentence."""
        return self.why

    def is_relevant(self, allowed: t.Mapping[str, t.Collection[str]]) -> bool:
        """Return whether it drops a direction that dockless's own table allows, by bridge."""
        return not self.bridges or any(flow in allowed[bridge] for bridge in self.bridges for flow in self.flows)


class _Packet(t.NamedTuple):
    """A packet of a connection, between two links. A link of "" is any link that is not dockless's."""

    into: str
    out: str
    state: str = "new"  # of the connection, as conntrack has it
    translated: bool = False  # the connection's destination was translated, by a published port
    of_bridge: bool = False  # the packet is a frame in the family bridge, and the links are ports


_HEADER = re.compile(r"type filter hook forward priority [^;]*;(?: policy (\w+);)?")
# Statements that decide nothing. Only whole words, because a chain may be called public_log.
_NOISE = re.compile(
    r"(?<!\S)(?:"
    r"counter packets \d+ bytes \d+"
    r"|counter"
    r'|comment "[^"]*"'
    r'|log(?: (?:prefix "[^"]*"|level \w+|flags [\w ,]+|group \d+))*'
    r")(?!\S)"
)
_VERDICT = re.compile(r"(?:^|\s)(accept|drop|return|reject\b.*|(?:jump|goto) \S+)$")
_JUMP = re.compile(r"(?:jump|goto) ([^\s,}]+)")
_INTERFACE = re.compile(
    r"(?:meta )?(iifname|oifname|iif|oif|iifgroup|oifgroup|ibrname|obrname) (!= )?"
    r'("[^"]*"|\{[^}]*\}|[^\s{".][^\s{"]*)(?=\s|$)'
)
_STATE = re.compile(r"ct state (!= )?(\{[^}]*\}|[\w,]+)(?=\s|$)")
_VMAP = re.compile(r"(\S+(?: \S+)*?) vmap \{([^}]*)\}$")
_QUOTED = re.compile(r'"[^"]*"')
_DNAT = re.compile(r"ct status dnat(?=\s|$)")


def forward_chains(listing: str) -> list[Chain]:
    """Return the base chains at the forward hook in what "nft list chains" printed."""
    found = []
    family = table = chain = ""
    for line in listing.splitlines():
        words = line.split()
        if line.startswith("table ") and len(words) >= 3:
            family, table = words[1], words[2]
        elif line.startswith("\tchain ") and len(words) >= 2:
            chain = words[1]
        header = _HEADER.search(line)
        if header:
            found.append(Chain(family, table, chain, header.group(1) or "accept"))
    return found


def rules_in(listing: str) -> list[str]:
    """Return the rules of the one chain that "nft list chain" printed, each on one line."""
    rules: list[str] = []
    inside = False
    pending = ""
    for line in listing.splitlines():
        if not inside:
            inside = line.startswith("\tchain ")
        elif line == "\t}":
            break
        else:
            pending = f"{pending} {line.strip()}".strip()
            bare = _QUOTED.sub("", pending)
            if bare.count("{") <= bare.count("}"):  # an element list may go over several lines
                rules.append(pending)
                pending = ""
    return [rule for rule in rules if not _HEADER.search(rule) and not rule.startswith("comment ")]


def jumps(rules: t.Sequence[str]) -> list[str]:
    """Return the names of the chains that the rules can jump to."""
    return [name for rule in rules for name in _JUMP.findall(_NOISE.sub("", rule))]


def analyse(
    chain: Chain, rules: t.Mapping[str, t.Sequence[str]], bridges: t.Sequence[str], bridged_frames: bool
) -> list[BlockingChain]:
    """Return the chain once for each set of directions that it drops, with the bridges concerned.

    rules: the rules of the chain and of those that it can jump to, by chain name. bridged_frames: whether frames
    between ports of one bridge pass this chain.
    """
    parsed = {
        name: [_Rule(part) for text in texts for part in _split_verdict_map(text)] for name, texts in rules.items()
    }
    patterns = sorted({pattern for chain_rules in parsed.values() for rule in chain_rules for pattern in rule.links})
    blocked_of: dict[tuple[str, ...], tuple[str, ...]] = {}
    bridges_of: dict[tuple[str, ...], list[str]] = {}
    for bridge in sorted(bridges):
        # Bridges that match the same patterns have the same result: with a thousand bridges, only a few differ.
        matching = tuple(pattern for pattern in patterns if _fits(pattern, bridge))
        if matching not in blocked_of:
            blocked_of[matching] = _blocked_directions(chain, parsed, bridge, bridged_frames)
        if blocked_of[matching]:
            bridges_of.setdefault(blocked_of[matching], []).append(bridge)
    owner = owner_of(chain.table, rules)
    return [
        BlockingChain(
            family=chain.family,
            table=chain.table,
            chain=chain.name,
            why=_why(chain, directions, blocked),
            bridged=directions == (WITHIN_BRIDGE,),
            flows=directions,
            bridges=tuple(blocked),
            firewall=owner,
        )
        for directions, blocked in sorted(bridges_of.items())
    ]


def unreadable_chain(chain: Chain, reason: str) -> BlockingChain:
    """Return a chain that nft could not list, as one that may drop traffic.

    A chain without a name stands for all chains.
    """
    subject = (
        f"chain {chain.name} of table {chain.family} {chain.table}" if chain.name else "the chains of other tables"
    )
    return BlockingChain(
        chain.family,
        chain.table,
        chain.name,
        f"nft cannot read {subject}, so it is unknown whether packets are dropped there: {reason}.",
        False,
    )


def _blocked_directions(
    chain: Chain, rules: t.Mapping[str, t.Sequence[_Rule]], bridge: str, bridged_frames: bool
) -> tuple[str, ...]:
    return tuple(
        direction
        for direction, packets in _directions(chain.family, bridge, bridged_frames)
        if not all(_passes(chain, rules, packet) for packet in packets)
    )


def _directions(family: str, bridge: str, bridged_frames: bool) -> list[tuple[str, tuple[_Packet, _Packet]]]:
    """Return the directions that pass a forward chain of a family, each with its first packet and the answer."""
    of_bridge = family == "bridge"
    within = (
        WITHIN_BRIDGE,
        (
            _Packet(bridge, bridge, "new", of_bridge=of_bridge),
            _Packet(bridge, bridge, "established", of_bridge=of_bridge),
        ),
    )
    if of_bridge:
        return [within]
    out = (OUTBOUND, (_Packet(bridge, ""), _Packet("", bridge, "established")))
    into = (INBOUND, (_Packet("", bridge, "new", translated=True), _Packet(bridge, "", "established", translated=True)))
    return [out, into, within] if bridged_frames else [out, into]


def _split_verdict_map(text: str) -> list[str]:
    """Return a rule as a list of one, or a verdict map as one rule for each of its elements.

    'iifname vmap { "a" : accept, "b" : jump c }' becomes 'iifname "a" accept' and 'iifname "b" jump c'. A map with
    concatenated keys stays whole: its condition is unknown.
    """
    text = " ".join(_NOISE.sub(" ", text).split())
    found = _VMAP.search(text)
    if not found or " . " in found.group(0):
        return [text]
    expression, elements = found.groups()
    pairs = [element.split(" : ", 1) for element in elements.split(",") if " : " in element]
    return [f"{expression} {value.strip()} {verdict.strip()}" for value, verdict in pairs]


class _Rule:
    """A parsed rule without its counters, comments and log statements. links: the interface names in it."""

    def __init__(self, text: str) -> None:
        verdict = _VERDICT.search(text)
        self.verdict = verdict.group(1).split()[0] if verdict else ""
        self.target = verdict.group(1).split()[1] if verdict and self.verdict in ("jump", "goto") else ""
        text = text[: verdict.start()] if verdict else text
        self.interfaces = [(m[0], bool(m[1]), _values(m[2])) for m in _INTERFACE.findall(text)]
        self.states = [(bool(m[0]), _values(m[1])) for m in _STATE.findall(text)]
        self.translated = bool(_DNAT.search(text))
        rest = _DNAT.sub("", _STATE.sub("", _INTERFACE.sub("", text)))
        self.has_unknown = bool(rest.strip())
        self.links = {value for key, _inverted, values in self.interfaces if "group" not in key for value in values}

    def matches(self, packet: _Packet) -> bool | None:
        """Return whether the packet meets all conditions, None if that is unknown."""
        results = [_interface_matches(packet, *condition) for condition in self.interfaces]
        results += [(packet.state in values) != inverted for inverted, values in self.states]
        if self.translated:
            results.append(packet.translated)
        if self.has_unknown:
            results.append(None)
        if False in results:
            return False
        return None if None in results else True

    def names_link_of(self, packet: _Packet) -> bool:
        """Return whether a condition that is not inverted names dockless's link in this packet."""
        return any(
            not inverted and _link_for(packet, key) and _interface_matches(packet, key, inverted, values)
            for key, inverted, values in self.interfaces
        )


def _values(text: str) -> frozenset[str]:
    return frozenset(word.strip('", {}') for word in text.strip("{} ").split(",") if word.strip())


def _link_for(packet: _Packet, key: str) -> str:
    """Return the link that an interface condition is about: keys begin with i (incoming) or o (outgoing)."""
    return packet.into if key.startswith("i") else packet.out


def _interface_matches(packet: _Packet, key: str, inverted: bool, values: frozenset[str]) -> bool | None:
    """Return whether a packet meets an interface condition, None if that is unknown."""
    if any(value.startswith("@") for value in values):
        return None  # a named set, which is not read
    own_link = packet.into or packet.out
    if "group" in key:
        listed = any(_group_number(value) == LINK_GROUP for value in values)
    elif packet.of_bridge and "br" not in key:
        listed = any(_fits(value, "veth") for value in values)  # a port, of whose name only the beginning is known
    else:
        listed = any(_fits(value, own_link) for value in values)
    if _link_for(packet, key):
        return listed != inverted
    # The link is any foreign one. It may be one that is listed, but it is neither dockless's nor the loopback, which
    # never forwards.
    only_own_link_listed = listed and len(values) == 1
    return inverted if only_own_link_listed or values == {"lo"} else None


def _group_number(text: str) -> int:
    try:
        return int(text, 0)
    except ValueError:  # a name from /etc/iproute2/group
        return 0


def _fits(pattern: str, link: str) -> bool:
    return link.startswith(pattern[:-1]) if pattern.endswith("*") else pattern == link


def _passes(chain: Chain, rules: t.Mapping[str, t.Sequence[_Rule]], packet: _Packet) -> bool:
    return (_walk(chain.name, rules, packet, frozenset()) or chain.policy) != "drop"


def _walk(name: str, rules: t.Mapping[str, t.Sequence[_Rule]], packet: _Packet, callers: frozenset[str]) -> str:
    """Return the verdict of a chain: "drop", "accept", "meant", or "" if the packet reaches its end.

    callers: the chains that jumped here. A jump back to one of them is not followed.
    """
    if name in callers:
        return ""
    for rule in rules.get(name, ()):
        matches = rule.matches(packet)
        if matches is False:
            continue
        verdict = rule.verdict
        if verdict in ("jump", "goto"):
            verdict = _walk(rule.target, rules, packet, callers | {name})
        names_link = rule.names_link_of(packet)
        is_meant = verdict == "meant" or (verdict == "accept" and names_link)
        if not (matches or is_meant):
            continue
        if verdict in ("drop", "reject"):
            return "drop"
        if verdict in ("accept", "meant"):
            return "meant" if names_link else verdict
        if rule.verdict in ("return", "goto"):
            return ""
    return ""


def _why(chain: Chain, directions: tuple[str, ...], bridges: t.Sequence[str]) -> str:
    """Return the sentence about the packets that a chain drops, and why."""
    shown = ", ".join(bridges[:3]) + (f" and {len(bridges) - 3} more" if len(bridges) > 3 else "")
    traffic = {
        OUTBOUND: f"packets out of {shown}",
        INBOUND: f"packets into {shown}",
        WITHIN_BRIDGE: f"frames between the ports of {shown}",
    }
    if chain.policy == "drop":
        cause = "its policy is drop and no rule accepts them"
    else:
        cause = "one of its rules drops them and no earlier rule accepts them"
    return (
        f"Chain {chain.name} of table {chain.family} {chain.table} drops "
        f"{', '.join(traffic[direction] for direction in directions)}, because {cause}."
    )
