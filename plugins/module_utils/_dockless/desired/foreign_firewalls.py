# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Rules that dockless adds to Docker's, firewalld's and ufw's own configuration, as objects of the desired state."""

from __future__ import annotations

import typing as t

from ..firewall import coexistence, docker_user, firewalld, ufw
from ..firewall.firewalld import ZONE
from ..firewall.foreign_chains import INBOUND, BlockingChain
from ..model.facts import Facts, Firewall
from ..model.host import Host
from ..model.topology import Networks
from ..state import objects
from ..state.objects import ForeignFirewallRules, Object


def foreign_firewall_objects(host: Host, networks: Networks, facts: Facts) -> t.Iterator[ForeignFirewallRules]:
    """Yield what each firewall that is there, and that the host's defaults name, needs for our networks."""
    for firewall in facts.firewalls if coexistence._bridge_networks(networks) else ():
        if firewall.name in host.defaults.coexist:
            lines = list(_WANTED[firewall.name](firewall, host, networks, facts))
            if lines:
                yield objects.foreign_firewall_rules(firewall.name, lines)


def opened_firewalls(passages: t.Iterable[Object | None]) -> set[str]:
    """Return the firewalls that passages are about."""
    return {thing.firewall for thing in passages if isinstance(thing, ForeignFirewallRules)}


def blocking_chain_warning(obstacle: BlockingChain, named: t.Collection[str]) -> str:
    """Return an obstacle's sentence, with what to do about it. named are the firewalls that coexist names."""
    if not obstacle.firewall:
        return str(obstacle)
    if obstacle.firewall not in named:
        return f"{obstacle}. Add {obstacle.firewall} to coexist (of container_networks, or dockless_defaults.coexist) to have them accepted there"
    if obstacle.firewall == "firewalld" and obstacle.flows == (INBOUND,):
        return (
            f"{obstacle}. StrictForwardPorts of firewalld.conf keeps published ports closed, and coexist leaves that to firewalld: "
            f"open them there by a policy to the zone {ZONE}"
        )
    return f"{obstacle}. It is not what coexist opens: look for the rule in {obstacle.firewall}'s own settings"


_WANTED: dict[str, t.Callable[[Firewall, Host, Networks, Facts], t.Iterator[str]]] = {
    "docker": docker_user.docker_rules,
    "firewalld": firewalld.wanted_settings,
    "ufw": ufw.wanted_routes,
}
