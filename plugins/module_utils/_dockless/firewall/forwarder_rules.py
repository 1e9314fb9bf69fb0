# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Rules for the host's DNS forwarder: which sandboxes may query it, and how much of it each can take.

The forwarder has places for 8192 queries and 256 TCP connections (desired.host_resolvers). It forgets a query after 10
seconds, and ends a connection after 150, whatever the client does. So one sandbox takes at most 2400 queries and 170
connections.

The limits count packets. The number of tracked connections (ct count) would not do: a sandbox can make connection
tracking take a connection for closed that the forwarder still has, by segments with old time stamps.
"""

from __future__ import annotations

from .nft_text import NftSet, chain_text

QUERY_RATE, QUERY_BURST = 200, 400  # per second; at once
CONNECTION_RATE, CONNECTION_BURST = 1, 20
_QUERIES = f"limit rate {QUERY_RATE}/second burst {QUERY_BURST} packets"
_CONNECTIONS = f"limit rate {CONNECTION_RATE}/second burst {CONNECTION_BURST} packets"

SETS = (
    # Address and port of the host's DNS forwarder for sandboxes.
    NftSet("set", "forwarders4", "type ipv4_addr . inet_service"),
    NftSet("set", "forwarders6", "type ipv6_addr . inet_service"),
    # Who may query it: the address of a sandbox, and its bridge. Each element has a limit of its own.
    NftSet("set", "forwarder_queries4", "type ipv4_addr . ifname", limit=_QUERIES),
    NftSet("set", "forwarder_queries6", "type ipv6_addr . ifname", limit=_QUERIES),
    # The same, for new TCP connections.
    NftSet("set", "forwarder_connections4", "type ipv4_addr . ifname", limit=_CONNECTIONS),
    NftSet("set", "forwarder_connections6", "type ipv6_addr . ifname", limit=_CONNECTIONS),
)


def _chain(version: int) -> str:
    """Return the chain that decides about packets to the forwarder. SYN without ACK opens a TCP connection."""
    source = "ip saddr . iifname" if version == 4 else "ip6 saddr . iifname"
    return chain_text(
        f"forwarder{version}",
        f'{source} != @forwarder_queries{version} counter name "forwarders" drop',
        f"meta l4proto udp {source} @forwarder_queries{version} accept",
        "tcp flags & (syn | ack) != syn accept",
        f"meta l4proto tcp {source} @forwarder_connections{version} accept",
        'counter name "forwarder_limits" drop',
    )


CHAINS = _chain(4) + _chain(6)
