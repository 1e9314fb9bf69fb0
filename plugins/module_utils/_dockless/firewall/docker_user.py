# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Rules for the chain DOCKER-USER, and the parser of what iptables lists of it."""

from __future__ import annotations

import re
import shlex
import typing as t

from ..model.facts import Facts, Firewall
from ..model.host import Host
from ..model.topology import Networks
from ..names import LINK_GROUP
from . import coexistence
from .coexistence import COMMENT

CHAIN = "DOCKER-USER"  # where Docker leaves room for the rules of others

PROGRAMS = {"iptables": 4, "ip6tables": 6}

_FROM, _TO = f"--src-group {LINK_GROUP}", f"--dst-group {LINK_GROUP}"

_DOCKER_NAMES = ("br-+", "docker+")  # how Docker calls its bridges by itself; + is any rest

_HEX = re.compile(r"(--(?:src|dst)-group) (0x[0-9a-f]+|\d+)")


# ---- Docker ------------------------------------------------------------------


def docker_rules(firewall: Firewall, host: Host, networks: Networks, facts: Facts) -> t.Iterator[str]:
    """Yield rules for the chain that Docker asks before its own.

    What comes from or goes to one of Docker's bridges is left to Docker: an accept here would open its containers to our sandboxes.
    The host's uplink may have a name like theirs.
    """
    theirs = sorted({*_DOCKER_NAMES, *(name for name in firewall.taken if not name.startswith(("br-", "docker")))})
    pairs = [(f"{_FROM} {_TO}", "ACCEPT")]
    if facts.uplink.startswith(("br-", "docker")) and facts.uplink not in firewall.taken:
        pairs += [(f"{_FROM} -o {facts.uplink}", "ACCEPT"), (f"{_TO} -i {facts.uplink}", "ACCEPT")]
    for name in theirs:
        pairs += [(f"{_FROM} -o {name}", "RETURN"), (f"{_TO} -i {name}", "RETURN")]
    pairs += [(_FROM, "ACCEPT"), (_TO, "ACCEPT")]
    versions = {subnet.version for network in coexistence._bridge_networks(networks) for subnet in network.subnets}
    for program in firewall.programs:
        if PROGRAMS[program] in versions:
            yield from (f"{program} {rule(condition)} -j {verdict}" for condition, verdict in pairs)


def rule(condition: str) -> str:
    """Return a condition as iptables lists it: interfaces first, then what is matched by an extension."""
    words = condition.split()
    links = [at for at, word in enumerate(words) if word in ("-i", "-o")]
    first = [word for at in links for word in words[at : at + 2]]
    rest = [word for at, word in enumerate(words) if at not in links and at - 1 not in links]
    return " ".join([*first, "-m", "devgroup", *rest])


class DockerChain(t.NamedTuple):
    """What "iptables -S" says: our rules in Docker's chain, the place of the next one, and Docker's bridges."""

    ours: tuple[str, ...]
    place: int
    bridges: tuple[str, ...]


def docker_chain(listing: str) -> DockerChain | None:
    """Return what a listing of the table filter holds, None without Docker's chain. A rule of ours that is never reached is not counted.

    Docker before 28 ends the chain with a rule that returns; ours go before it, and after everybody else's.
    """
    lines = [shlex.split(line) for line in listing.splitlines()]
    if ["-N", CHAIN] not in lines:
        return None
    ours: list[str] = []
    place = 1
    for words in lines:
        if words == ["-A", CHAIN, "-j", "RETURN"]:
            break
        if words[:2] == ["-A", CHAIN]:
            if is_own_rule(words):
                ours.append(normalized(words))
            else:
                place += 1
    bridges = {words[words.index("-o") + 1] for words in lines if words[-2:] == ["-j", "DOCKER"] and "-o" in words[:-1]}
    return DockerChain(tuple(ours), place, tuple(sorted(bridges)))


def deletions_of_own_rules(listing: str) -> list[list[str]]:
    """Return every rule of ours in a listing, reached or not, as the words that delete it."""
    lines = [shlex.split(line) for line in listing.splitlines()]
    return [["-D", *words[1:]] for words in lines if words[:2] == ["-A", CHAIN] and is_own_rule(words)]


def is_own_rule(words: t.Sequence[str]) -> bool:
    """Return whether a listed rule bears our comment."""
    return any(words[at : at + 2] == ["--comment", COMMENT] for at in range(len(words)))


def normalized(words: t.Sequence[str]) -> str:
    """Return a listed rule in our words: without its chain and comment, with numbers as we write them."""
    at = list(words).index("--comment")
    text = " ".join([*words[2 : at - 2], *words[at + 2 :]])
    return _HEX.sub(lambda found: f"{found[1]} {int(found[2], 0)}", text)
