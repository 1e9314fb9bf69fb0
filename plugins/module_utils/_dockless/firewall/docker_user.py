# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Docker: rules for its chain DOCKER-USER, and the parser of what iptables(8) lists of it.

A line is an iptables program and a rule as "iptables -S" lists it, without chain and comment.
"""

from __future__ import annotations

import re
import shlex
import typing as t

from ..model.facts import DockerFirewall
from ..names import LINK_GROUP
from .coexistence import COMMENT, Traffic

CHAIN = "DOCKER-USER"  # the chain that Docker reserves for the rules of others
PROGRAMS = {"iptables": 4, "ip6tables": 6}  # with the IP version of each
_FROM, _TO = f"--src-group {LINK_GROUP}", f"--dst-group {LINK_GROUP}"
_BRIDGE_PREFIXES = ("br-", "docker")  # of the names that Docker chooses for its bridges
_GROUP_NUMBER = re.compile(r"(--(?:src|dst)-group) (0x[0-9a-f]+|\d+)")


class DockerChain(t.NamedTuple):
    """Docker's chain as listed: dockless's rules, the position for the next one, and Docker's bridges."""

    own_rules: tuple[str, ...]
    position: int
    bridges: tuple[str, ...]


def wanted(firewall: DockerFirewall, traffic: Traffic) -> t.Iterator[str]:
    """Yield the rules for Docker's chain, which packets pass before Docker's own chains.

    Traffic between dockless's links and Docker's bridges is left to Docker: an accept here would open its containers to
    dockless's sandboxes. The host's uplink may have a name that Docker would choose for a bridge.
    """
    rules = [(f"{_FROM} {_TO}", "ACCEPT")]
    uplink_looks_like_bridge = traffic.uplink.startswith(_BRIDGE_PREFIXES)
    if uplink_looks_like_bridge and traffic.uplink not in firewall.bridges:
        rules += [(f"{_FROM} -o {traffic.uplink}", "ACCEPT"), (f"{_TO} -i {traffic.uplink}", "ACCEPT")]
    other_bridges = {name for name in firewall.bridges if not name.startswith(_BRIDGE_PREFIXES)}
    for name in sorted({f"{prefix}+" for prefix in _BRIDGE_PREFIXES} | other_bridges):  # + stands for any rest
        rules += [(f"{_FROM} -o {name}", "RETURN"), (f"{_TO} -i {name}", "RETURN")]
    rules += [(_FROM, "ACCEPT"), (_TO, "ACCEPT")]
    for program in firewall.programs:
        if PROGRAMS[program] in traffic.versions:
            yield from (f"{program} {_as_listed(condition)} -j {verdict}" for condition, verdict in rules)


def parse(listing: str) -> DockerChain | None:
    """Return Docker's chain in the output of "iptables -S", None if the chain is absent.

    Docker before 28 ends its chain with a rule that returns. The position is before that rule and after all foreign
    rules. Rules of dockless behind it are never reached and not returned.
    """
    lines = [shlex.split(line) for line in listing.splitlines()]
    if ["-N", CHAIN] not in lines:
        return None
    own_rules: list[str] = []
    position = 1
    for words in lines:
        if words == ["-A", CHAIN, "-j", "RETURN"]:
            break
        if words[:2] == ["-A", CHAIN]:
            if _has_comment(words):
                own_rules.append(_normalized(words))
            else:
                position += 1
    bridges = {words[words.index("-o") + 1] for words in lines if words[-2:] == ["-j", "DOCKER"] and "-o" in words[:-1]}
    return DockerChain(tuple(own_rules), position, tuple(sorted(bridges)))


def deletions_of_own_rules(listing: str) -> list[list[str]]:
    """Return the words that delete each rule of dockless in a listing, whether it is reached or not."""
    lines = [shlex.split(line) for line in listing.splitlines()]
    return [["-D", *words[1:]] for words in lines if words[:2] == ["-A", CHAIN] and _has_comment(words)]


def owns(table: str, chains: t.Collection[str]) -> bool:
    """Return whether a base chain is part of Docker's firewall. chains: itself and those that it can jump to."""
    return CHAIN in chains


def _as_listed(condition: str) -> str:
    """Return a condition in the order in which iptables lists it: interfaces, then the matches of an extension."""
    words = condition.split()
    interfaces = [at for at, word in enumerate(words) if word in ("-i", "-o")]
    first = [word for at in interfaces for word in words[at : at + 2]]
    rest = [word for at, word in enumerate(words) if at not in interfaces and at - 1 not in interfaces]
    return " ".join([*first, "-m", "devgroup", *rest])


def _has_comment(words: t.Sequence[str]) -> bool:
    return any(words[at : at + 2] == ["--comment", COMMENT] for at in range(len(words)))


def _normalized(words: t.Sequence[str]) -> str:
    """Return a listed rule without its chain and comment, with decimal group numbers."""
    at = list(words).index("--comment")
    text = " ".join([*words[2 : at - 2], *words[at + 2 :]])  # at - 1 is "comment" of "-m comment"
    return _GROUP_NUMBER.sub(lambda found: f"{found[1]} {int(found[2], 0)}", text)
