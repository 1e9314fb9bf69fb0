# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Whether another's forward chain, as nft lists it, would drop our traffic.

A packet is followed through the rules in three-valued logic: a condition about
interfaces or connection state is true or false, any other is unknown. Unknown
conditions never make a drop certain; they make an accept count if the rule names
our link, because whoever wrote it meant us.
"""

from __future__ import annotations

import re
import typing as t

from ..names import LINK_GROUP

OUTBOUND, INBOUND, WITHIN_BRIDGE = "out", "in", "within"  # directions, seen from a network


class Chain(t.NamedTuple):
    """A base chain at the forward hook."""

    family: str
    table: str
    name: str
    policy: str


class BlockingChain(t.NamedTuple):
    """A chain that drops traffic of ours.

    bridged is True if it only hits frames between ports of one bridge. flows are
    the directions that it hits, bridges the links whose traffic it is.
    """

    family: str
    table: str
    chain: str
    why: str
    bridged: bool
    flows: tuple[str, ...] = ()
    bridges: tuple[str, ...] = ()
    firewall: str = ""  # whose it is, of those that coexist may name

    def __str__(self) -> str:
        """Return why, which is a sentence."""
        return self.why


class _Packet(t.NamedTuple):
    """The first packet of a connection or an answer, between two links. A link of "" is any that is not ours."""

    into: str
    out: str
    state: str = "new"
    translated: bool = False  # its destination was, by a published port
    of_bridge: bool = False  # links are ports, in the bridge family


_HEADER = re.compile(r"type filter hook forward priority [^;]*;(?: policy (\w+);)?")
# Words of their own: chains may be called public_log.
_NOISE = re.compile(
    r'(?<!\S)(?:counter packets \d+ bytes \d+|counter|comment "[^"]*"|log(?: (?:prefix "[^"]*"|level \w+|flags [\w ,]+|group \d+))*)(?!\S)'
)
_VERDICT = re.compile(r"(?:^|\s)(accept|drop|return|reject\b.*|(?:jump|goto) \S+)$")
_JUMP = re.compile(r"(?:jump|goto) ([^\s,}]+)")
_INTERFACE = re.compile(
    r'(?:meta )?(iifname|oifname|iif|oif|iifgroup|oifgroup|ibrname|obrname) (!= )?("[^"]*"|\{[^}]*\}|[^\s{".][^\s{"]*)(?=\s|$)'
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
    """Return the chains that the rules can go to."""
    return [name for rule in rules for name in _JUMP.findall(_NOISE.sub("", rule))]


def analyse(
    chain: Chain, rules: t.Mapping[str, t.Sequence[str]], bridges: t.Sequence[str], bridged_frames: bool
) -> list[BlockingChain]:
    """Return what the chain does to our bridges: one obstacle for each set of directions that it drops.

    bridged_frames tells whether frames between ports of one bridge come through this chain.
    """
    parsed = {name: [_Rule(part) for text in texts for part in _parts(text)] for name, texts in rules.items()}
    named = sorted({name for texts in parsed.values() for rule in texts for name in rule.links})
    seen: dict[tuple[str, ...], tuple[str, ...]] = {}
    hit: dict[tuple[str, ...], list[str]] = {}
    for bridge in sorted(bridges):
        alike = tuple(name for name in named if _fits(name, bridge))  # the same rules see it the same way
        if alike not in seen:
            seen[alike] = tuple(
                flow
                for flow, packets in _flows(chain.family, bridge, bridged_frames)
                if not all(_passes(chain, parsed, packet) for packet in packets)
            )
        if seen[alike]:
            hit.setdefault(seen[alike], []).append(bridge)
    return [
        BlockingChain(
            chain.family,
            chain.table,
            chain.name,
            _why(chain, flows, names_),
            flows == (WITHIN_BRIDGE,),
            flows,
            tuple(names_),
            _owner(chain, rules),
        )
        for flows, names_ in sorted(hit.items())
    ]


def unreadable_chain(chain: Chain, said: str) -> BlockingChain:
    """Return the obstacle that a chain may be which nft could not list; a chain without name means all of them."""
    what = (
        f"chain {chain.name} of table {chain.family} {chain.table}" if chain.name else "the other chains of this host"
    )
    return BlockingChain(
        chain.family,
        chain.table,
        chain.name,
        f"nft cannot read {what}, so it is not known whether traffic is dropped there: {said}",
        False,
    )


def _owner(chain: Chain, rules: t.Mapping[str, t.Sequence[str]]) -> str:
    """Return whose a chain is, told by the chains that it jumps to: ufw shares its table with Docker, which asks its own chain first."""
    if chain.table == "firewalld":
        return "firewalld"
    if "DOCKER-USER" in rules:
        return "docker"
    return "ufw" if any(name.startswith(("ufw-", "ufw6-")) for name in rules) else ""


def _flows(family: str, bridge: str, bridged_frames: bool) -> list[tuple[str, tuple[_Packet, ...]]]:
    """Return the directions that pass a forward chain, each as a question and its answer."""
    within = (
        WITHIN_BRIDGE,
        (
            _Packet(bridge, bridge, "new", False, family == "bridge"),
            _Packet(bridge, bridge, "established", False, family == "bridge"),
        ),
    )
    if family == "bridge":
        return [within]
    routed = [
        (OUTBOUND, (_Packet(bridge, ""), _Packet("", bridge, "established"))),
        (INBOUND, (_Packet("", bridge, "new", True), _Packet(bridge, "", "established", True))),
    ]
    return [*routed, within] if bridged_frames else routed


def _parts(text: str) -> list[str]:
    """Return the rule, a verdict map as one rule for each of its elements."""
    text = " ".join(_NOISE.sub(" ", text).split())
    mapped = _VMAP.search(text)
    if not mapped or " . " in mapped.group(0):
        return [text]
    pairs = [element.split(" : ", 1) for element in mapped.group(2).split(",") if " : " in element]
    return [f"{mapped.group(1)} {value.strip()} {verdict.strip()}" for value, verdict in pairs]


class _Rule:
    """A rule taken apart, counters and the like left out. links are the interface names it mentions."""

    def __init__(self, text: str) -> None:
        verdict = _VERDICT.search(text)
        self.verdict = verdict.group(1).split()[0] if verdict else ""
        self.target = verdict.group(1).split()[1] if verdict and self.verdict in ("jump", "goto") else ""
        text = text[: verdict.start()] if verdict else text
        self.interfaces = [(m[0], bool(m[1]), _values(m[2])) for m in _INTERFACE.findall(text)]
        self.states = [(bool(m[0]), _values(m[1])) for m in _STATE.findall(text)]
        self.translated = bool(_DNAT.search(text))
        rest = _DNAT.sub("", _STATE.sub("", _INTERFACE.sub("", text)))
        self.more = bool(rest.strip())  # conditions that are not understood
        self.links = {value for key, negated, values in self.interfaces if "group" not in key for value in values}

    def matches(self, packet: _Packet) -> bool | None:
        """Say whether the packet meets all conditions; None is unknown."""
        answers = [_interface_matches(packet, *condition) for condition in self.interfaces]
        answers += [(packet.state in values) != inverted for inverted, values in self.states]
        if self.translated:
            answers.append(packet.translated)
        if self.more:
            answers.append(None)
        if False in answers:
            return False
        return None if None in answers else True

    def names_us(self, packet: _Packet) -> bool:
        """Say whether a condition is about a link of ours, and is met."""
        return any(
            not inverted
            and (packet.into if key[0] == "i" else packet.out)
            and _interface_matches(packet, key, inverted, values)
            for key, inverted, values in self.interfaces
        )


def _values(text: str) -> frozenset[str]:
    return frozenset(word.strip('", {}') for word in text.strip("{} ").split(",") if word.strip())


def _interface_matches(packet: _Packet, key: str, inverted: bool, values: frozenset[str]) -> bool | None:
    link = packet.into if key[0] == "i" else packet.out
    if any(value.startswith("@") for value in values):
        return None  # a named set, not read
    ours = packet.into or packet.out
    if "group" in key:
        met = any(_number(value) == LINK_GROUP for value in values)
    elif packet.of_bridge and "br" not in key:
        met = any(_fits(value, "veth") for value in values)  # the port, of which only the beginning is known
    else:
        met = any(_fits(value, ours) for value in values)
    if link:
        return met != inverted
    # Some other link: it may be one that is named, but it is neither ours nor, in a forward chain, the loopback.
    return inverted if met and len(values) == 1 or values == {"lo"} else None


def _number(text: str) -> int:
    try:
        return int(text, 0)
    except ValueError:  # a name from /etc/iproute2/group
        return 0


def _fits(pattern: str, link: str) -> bool:
    return link.startswith(pattern[:-1]) if pattern.endswith("*") else pattern == link


def _passes(chain: Chain, rules: t.Mapping[str, t.Sequence[_Rule]], packet: _Packet) -> bool:
    return (_walk(chain.name, rules, packet, frozenset()) or chain.policy) != "drop"


def _walk(name: str, rules: t.Mapping[str, t.Sequence[_Rule]], packet: _Packet, above: frozenset[str]) -> str:
    """Return drop, accept, meant (an accept that names our link), or "" if the chain ends without any."""
    for rule in rules.get(name, ()) if name not in above else ():
        met = rule.matches(packet)
        if met is False:
            continue
        result = rule.verdict
        if result in ("jump", "goto"):
            result = _walk(rule.target, rules, packet, above | {name})
        certain = met or result == "meant" or result == "accept" and rule.names_us(packet)
        if not certain:
            continue
        if result in ("drop", "reject"):
            return "drop"
        if result in ("accept", "meant"):
            return "meant" if rule.names_us(packet) else result
        if rule.verdict in ("return", "goto"):
            return ""
    return ""


def _why(chain: Chain, flows: tuple[str, ...], bridges: t.Sequence[str]) -> str:
    """Return a sentence for people."""
    shown = ", ".join(bridges[:3]) + (f" and {len(bridges) - 3} more" if len(bridges) > 3 else "")
    how = "its policy is drop" if chain.policy == "drop" else "a rule in it drops what nobody accepted"
    what = {
        OUTBOUND: f"what leaves {shown}",
        INBOUND: f"what comes in to {shown}",
        WITHIN_BRIDGE: f"frames between the ports of {shown}",
    }
    return (
        f"chain {chain.name} of table {chain.family} {chain.table} drops "
        f"{', '.join(what[flow] for flow in flows)}: {how}, and no rule accepts them before"
    )
