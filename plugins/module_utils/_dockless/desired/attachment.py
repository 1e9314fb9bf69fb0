# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""A sandbox's attachment to one network, with the values that its driver needs."""

from __future__ import annotations

import typing as t

from ..model.facts import Facts
from ..model.network import Network
from ..model.sandbox import Endpoint
from ..state.keys import Conf

# Duplicate address detection is off, because dockless assigns the addresses. For up to two seconds after a bridge comes
# up, while it runs, the kernel resolves no neighbour there: packets that a new network forwarded were lost.
NO_IPV6_DELAY: Conf = (("ipv6/accept_dad", 0), ("ipv6/accept_ra", 0))

# What comes in by a bridge port itself, such as a frame to a group address that no bridge forwards (IEEE 802.1D,
# table 7-10), passes none of the bridge's rules. A port has no IP stack that could take it.
NO_IPV6: Conf = (("ipv6/disable_ipv6", 1),)
# 8: no local address is answered for, and nothing is learned from the request.
NO_ARP_ANSWERS: Conf = (("ipv4/arp_ignore", 8),)
# By default the host answers ARP for all its addresses on every link, and asks with the source address of the packet
# that waits. 1: it answers for the addresses of the link alone. 2: it asks with one of them.
OWN_ADDRESSES_ONLY: Conf = (("ipv4/arp_announce", 2), ("ipv4/arp_ignore", 1))


def forwarding(facts: Facts, version: int) -> Conf:
    """Return the setting with which a link of the host forwards, where the host forwards packets of the family at all.

    A new link has that of net.ipv4.conf.default, which is 0 on hosts that turn forwarding on link by link.
    """
    is_on = facts.forwarding4 if version == 4 else facts.forwarding6
    return ((f"ipv{version}/forwarding", 1),) if is_on else ()


class Attachment(t.NamedTuple):
    """An endpoint in its namespace. conf: the settings of its interface. is_published: the sandbox publishes ports."""

    endpoint: Endpoint
    network: Network
    netns: str
    conf: Conf
    is_published: bool
