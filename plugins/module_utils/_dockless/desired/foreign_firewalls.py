# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Rules that dockless adds to the configuration of Docker, firewalld and ufw, as objects of the desired state."""

from __future__ import annotations

import typing as t

from ..firewall.coexistence import INBOUND, traffic_of
from ..firewall.firewalld import ZONE
from ..firewall.foreign_chains import BlockingChain
from ..firewall.foreign_firewalls import FOREIGN_FIREWALLS
from ..model.facts import Facts
from ..model.host import Host
from ..model.network import Networks
from ..state.objects import ForeignFirewallRules, Object


def foreign_firewall_objects(host: Host, networks: Networks, facts: Facts) -> t.Iterator[ForeignFirewallRules]:
    """Yield the rules for each firewall that is on this host and that the host's option coexist names."""
    named = [firewall for firewall in facts.firewalls if firewall.name in host.defaults.coexist]
    if not named:
        return
    traffic = traffic_of(host, networks, facts.uplink)
    if not traffic.bridges:
        return
    for firewall in named:
        lines = list(FOREIGN_FIREWALLS[firewall.name].wanted(firewall, traffic))
        if lines:
            yield ForeignFirewallRules.of(firewall.name, lines)


def opened_firewalls(objects_after: t.Iterable[Object | None]) -> set[str]:
    """Return the firewalls that have rules of dockless among these objects."""
    return {obj.firewall for obj in objects_after if isinstance(obj, ForeignFirewallRules)}


def blocking_chain_warning(chain: BlockingChain, coexist: t.Collection[str]) -> str:
    """Return the sentence about a blocking chain, with a remedy. coexist: the firewalls that the option names."""
    if not chain.firewall:
        return str(chain)
    if chain.firewall not in coexist:
        return (
            f"{chain} Add {chain.firewall} to coexist (of container_networks, or dockless_defaults.coexist), "
            "so that dockless adds rules there that accept them."
        )
    if chain.firewall == "firewalld" and chain.flows == (INBOUND,):
        return (
            f"{chain} StrictForwardPorts in firewalld.conf closes published ports, and coexist does not change that. "
            f"Open them in firewalld with a policy to the zone {ZONE}."
        )
    return f"{chain} The rules that coexist adds do not prevent this. Check the configuration of {chain.firewall}."
