# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""What other firewalls of a host are asked to let through, a line for each rule or setting; and how such lines are found in them.

They accept no more than what they have to stop deciding about. In nftables a drop is final in whatever chain it stands, so
our own table, at the same hook, still drops what it drops.
"""
from __future__ import annotations

import re
import shlex
import typing as t

from ..desired.overlay import device
from ..model.facts import Facts, Firewall
from ..model.gateways import Networks, are_ports_direct, mode_of, publishing_endpoint, trusted_links
from ..model.host import GATEWAY_UNPROTECTED, Host, Network
from ..names import LINK_GROUP
from ..state.objects import Object, Passage
from .firewalld import ZONE
from .foreign_chains import IN, OUT, WITHIN, Obstacle

COMMENT = "dockless"  # of a rule of ours in a chain or list of others
CHAIN = "DOCKER-USER"  # where Docker leaves room for the rules of others
PROGRAMS = {"iptables": 4, "ip6tables": 6}
_FROM, _TO = f"--src-group {LINK_GROUP}", f"--dst-group {LINK_GROUP}"
_DOCKER_NAMES = ("br-+", "docker+")  # how Docker calls its bridges by itself; + is any rest
_HEX = re.compile(r"(--(?:src|dst)-group) (0x[0-9a-f]+|\d+)")


def wanted(host: Host, networks: Networks, facts: Facts) -> t.Iterator[Passage]:
    """Yield what each firewall that is there, and that the host's defaults name, needs for our networks."""
    for firewall in facts.firewalls if _led(networks) else ():
        if firewall.name in host.defaults.coexist:
            lines = list(_WANTED[firewall.name](firewall, host, networks, facts))
            if lines:
                yield passage(firewall.name, lines)


def passage(firewall: str, lines: t.Iterable[str]) -> Passage:
    """Return lines as one object."""
    return Passage(firewall, "".join(line + "\n" for line in lines))


def _led(networks: Networks) -> t.List[Network]:
    """Return the networks whose packets pass this host."""
    return sorted((n for n in networks.values() if n.macvlan is None), key=lambda n: n.bridge_name)


def opened(passages: t.Iterable[t.Optional[Object]]) -> t.Set[str]:
    """Return the firewalls that passages are about."""
    return {thing.firewall for thing in passages if isinstance(thing, Passage)}


def ways(host: Host, networks: Networks) -> t.Dict[str, t.Set[str]]:
    """Return the directions that our own table lets new connections take, by bridge: out, in where something is open, within."""
    endpoints = [publishing_endpoint(sandbox, networks, version)
                 for project in host.projects for sandbox in project.sandboxes if sandbox.ports for version in (4, 6)]
    published = {endpoint.network for endpoint in endpoints if endpoint is not None}
    found = {}
    for network in _led(networks):
        inward = network.ingress and (network.key in published or _is_open_directly(host, network))
        found[network.bridge_name] = {WITHIN, *([OUT] if network.egress else []), *([IN] if inward else [])}
    return found


def _is_open_directly(host: Host, network: Network) -> bool:
    """Return whether sandboxes are connected to at their own addresses, without a translation that firewalls know by its mark."""
    return any(mode_of(network, version) == GATEWAY_UNPROTECTED or are_ports_direct(network, version, host.defaults)
               or trusted_links(network, version, host.defaults) for version in (4, 6))


def matters(obstacle: Obstacle, open_ways: t.Mapping[str, t.Set[str]]) -> bool:
    """Return whether an obstacle stops what our own table lets through."""
    return not obstacle.bridges or any(flow in open_ways[bridge] for bridge in obstacle.bridges for flow in obstacle.flows)


def told(obstacle: Obstacle, named: t.Collection[str]) -> str:
    """Return an obstacle's sentence, with what to do about it. named are the firewalls that coexist names."""
    if not obstacle.firewall:
        return str(obstacle)
    if obstacle.firewall not in named:
        return f"{obstacle}. Add {obstacle.firewall} to coexist (of container_networks, or dockless_defaults.coexist) to have them accepted there"
    if obstacle.firewall == "firewalld" and obstacle.flows == (IN,):
        return (f"{obstacle}. StrictForwardPorts of firewalld.conf keeps published ports closed, and coexist leaves that to firewalld: "
                f"open them there by a policy to the zone {ZONE}")
    return f"{obstacle}. It is not what coexist opens: look for the rule in {obstacle.firewall}'s own settings"


# ---- Docker ------------------------------------------------------------------


def _docker(firewall: Firewall, host: Host, networks: Networks, facts: Facts) -> t.Iterator[str]:
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
    versions = {subnet.version for network in _led(networks) for subnet in network.subnets}
    for program in firewall.programs:
        if PROGRAMS[program] in versions:
            yield from (f"{program} {rule(condition)} -j {verdict}" for condition, verdict in pairs)


def rule(condition: str) -> str:
    """Return a condition as iptables lists it: interfaces first, then what is matched by an extension."""
    words = condition.split()
    links = [at for at, word in enumerate(words) if word in ("-i", "-o")]
    first = [word for at in links for word in words[at:at + 2]]
    rest = [word for at, word in enumerate(words) if at not in links and at - 1 not in links]
    return " ".join([*first, "-m", "devgroup", *rest])


class DockerChain(t.NamedTuple):
    """What "iptables -S" says: our rules in Docker's chain, the place of the next one, and Docker's bridges."""

    ours: t.Tuple[str, ...]
    place: int
    bridges: t.Tuple[str, ...]


def docker_chain(listing: str) -> t.Optional[DockerChain]:
    """Return what a listing of the table filter holds, None without Docker's chain. A rule of ours that is never reached is not counted.

    Docker before 28 ends the chain with a rule that returns; ours go before it, and after everybody else's.
    """
    lines = [shlex.split(line) for line in listing.splitlines()]
    if ["-N", CHAIN] not in lines:
        return None
    ours: t.List[str] = []
    place = 1
    for words in lines:
        if words == ["-A", CHAIN, "-j", "RETURN"]:
            break
        if words[:2] == ["-A", CHAIN]:
            if is_ours(words):
                ours.append(plain(words))
            else:
                place += 1
    bridges = {words[words.index("-o") + 1] for words in lines if words[-2:] == ["-j", "DOCKER"] and "-o" in words[:-1]}
    return DockerChain(tuple(ours), place, tuple(sorted(bridges)))


def rules_of_ours(listing: str) -> t.List[t.List[str]]:
    """Return every rule of ours in a listing, reached or not, as the words that delete it."""
    lines = [shlex.split(line) for line in listing.splitlines()]
    return [["-D", *words[1:]] for words in lines if words[:2] == ["-A", CHAIN] and is_ours(words)]


def is_ours(words: t.Sequence[str]) -> bool:
    """Return whether a listed rule bears our comment."""
    return any(words[at:at + 2] == ["--comment", COMMENT] for at in range(len(words)))


def plain(words: t.Sequence[str]) -> str:
    """Return a listed rule in our words: without its chain and comment, with numbers as we write them."""
    at = list(words).index("--comment")
    text = " ".join([*words[2:at - 2], *words[at + 2:]])
    return _HEX.sub(lambda found: f"{found[1]} {int(found[2], 0)}", text)


# ---- ufw ---------------------------------------------------------------------


def _ufw(firewall: Firewall, host: Host, networks: Networks, facts: Facts) -> t.Iterator[str]:
    """Yield routes to allow: out of bridges that lead out, into those where something is open, and between ports of the others."""
    open_ways = ways(host, networks)
    found: t.List[str] = []
    for network in _led(networks):
        name = network.bridge_name
        lines = [f"in on {name}"] if OUT in open_ways[name] else [f"in on {name} out on {name}"]
        lines += [f"in on {device(network)} out on {name}"] if _routed(network) else []
        lines += [f"out on {name}"] if IN in open_ways[name] else []
        found += [f"route allow {line}" for line in lines]
    yield from sorted(set(found) - set(firewall.taken))


def _routed(network: Network) -> bool:
    return network.overlay is not None and network.overlay.mode == "routed"


def ufw_rules(listing: str) -> t.Tuple[t.List[str], t.List[str]]:
    """Return the routes that "ufw show added" lists: ours, and those of others."""
    ours, others = [], []
    for line in listing.splitlines():
        words = shlex.split(line) if line.startswith("ufw route ") else []
        if words[-2:] == ["comment", COMMENT]:
            ours.append(" ".join(words[1:-2]))
        elif words:
            others.append(" ".join(words[1:words.index("comment")] if "comment" in words else words[1:]))
    return ours, others


# ---- firewalld ---------------------------------------------------------------


def _firewalld(firewall: Firewall, host: Host, networks: Networks, facts: Facts) -> t.Iterator[str]:
    """Yield the zone of our links, whose target is the default: of the host itself it opens nothing; and policies that lead out of it and in.

    Translated connections need no policy: firewalld accepts them, or by StrictForwardPorts decides about them.
    """
    led = _led(networks)
    links = sorted({network.bridge_name for network in led} | {device(network) for network in led if _routed(network)})
    settings = ["zone", "forward", *(f"interface {link}" for link in links)]
    settings += ["policy dockless-out"] if any(network.egress for network in led) else []
    settings += ["policy dockless-in"] if any(network.ingress and _is_open_directly(host, network) for network in led) else []
    for time in ("permanent", "runtime") if firewall.running else ("permanent",):
        yield from (f"{time} {setting}" for setting in settings)


_WANTED: t.Dict[str, t.Callable[[Firewall, Host, Networks, Facts], t.Iterator[str]]] = {
    "docker": _docker, "firewalld": _firewalld, "ufw": _ufw}
