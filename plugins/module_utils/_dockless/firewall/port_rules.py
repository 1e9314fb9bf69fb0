# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""The sets and rules of table bridge dockless of a host: what may come in by each port of a bridge (port_security.py).

As in rules.py, the rules are the same on every host, and links are recognized by their group: a port without elements
may send nothing.
"""

from __future__ import annotations

from ..names import LINK_GROUP, PENDING_DELETE_GROUP
from .nft_text import NftSet, chain_text

# The links of dockless, also those that a run is about to delete: they are up until then, or longer if it is killed.
LINKS = f"{{ {LINK_GROUP}, {PENDING_DELETE_GROUP} }}"
# Types of neighbour discovery (RFC 4861), as nft lists them.
NEIGHBOUR_DISCOVERY = "nd-router-solicit, nd-router-advert, nd-neighbor-solicit, nd-neighbor-advert, nd-redirect"

PORT_SETS = (
    # Bridge ports without rules: those of networks without port_security or without subnets.
    NftSet("set", "unfiltered", "type ifname"),
    # What each port may send: MAC and EtherType.
    NftSet("set", "source_macs", "type ifname . ether_addr . ether_type"),
    # With which source address. A VXLAN device has those of the sandboxes on other hosts.
    NftSet("set", "source_addresses4", "type ifname . ether_addr . ipv4_addr"),
    NftSet("set", "source_addresses6", "type ifname . ether_addr . ipv6_addr"),
    # The addresses that a port may announce. nft 1.0.6 has no name for that field of a neighbour advertisement.
    NftSet("set", "neighbours6", "typeof iifname . @th,64,128"),
    # Subnets of overlays with EVPN, with the VXLAN device: there no declaration has the sandboxes on other hosts.
    NftSet("set", "learned_subnets4", "type ipv4_addr . ifname", interval=True),
    NftSet("set", "learned_subnets6", "type ipv6_addr . ifname", interval=True),
    # Exceptions: what belongs to the sandboxes on this host, and to the gateway.
    NftSet("set", "local_macs", "type ether_addr . ifname"),
    NftSet("set", "local_addresses4", "type ipv4_addr . ifname"),
    NftSet("set", "local_addresses6", "type ipv6_addr . ifname"),
)
PORT_COUNTERS = (
    "source_macs",
    "arp_senders",
    "source_addresses",
    "neighbours",
    "routers",
    "dhcp",
    "queriers",
    "protocols",
    "malformed",
    "tunnels",
)
# Checks the frames that sandboxes send, and those that VXLAN devices receive from other hosts.
_PORTS = chain_text(
    "ports",
    "type filter hook prerouting priority dstnat; policy accept;",
    f"iifgroup != {LINKS} accept",
    "iifname @unfiltered accept",
    'meta iifkind "vxlan" goto from_tunnel',
    'iifname . ether saddr . ether type != @source_macs counter name "source_macs" drop',
    "ether type arp goto from_arp",
    "ether type ip goto from_ip",
    "goto from_ip6",
)
# ARP: only with the sandbox's own MAC and address as the sender, or without one and for its own address (RFC 5227).
_FROM_ARP = chain_text(
    "from_arp",
    "arp htype 1 arp ptype ip arp hlen 6 arp plen 4 arp operation { request, reply }"
    " iifname . arp saddr ether . arp saddr ip @source_addresses4 accept",
    "arp htype 1 arp ptype ip arp hlen 6 arp plen 4 arp operation request"
    " arp saddr ip 0.0.0.0 iifname . arp saddr ether . arp daddr ip @source_addresses4 accept",
    'counter name "arp_senders" drop',
)
# IPv4: only own source addresses, no multicast queries, and nothing to a DHCP client, whatever port it comes from. A
# packet whose header nft cannot read passes all these rules. No kernel takes it, but a client that reads frames might.
_FROM_IP = chain_text(
    "from_ip",
    'iifname . ether saddr . ip saddr != @source_addresses4 counter name "source_addresses" drop',
    'udp sport 67 counter name "dhcp" drop',
    'udp dport 68 counter name "dhcp" drop',
    'ether type ip igmp type membership-query counter name "queriers" drop',
    "meta l4proto 0-255 accept",
    'counter name "malformed" drop',
)
# IPv6: the same, and nothing that only a router sends. Whoever asks whether an address is in use (RFC 4862, 5.4) keeps
# others from using it, so each asks for its own only.
_FROM_IP6 = chain_text(
    "from_ip6",
    'icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } exthdr frag exists counter name "neighbours" drop',
    'ip6 saddr :: icmpv6 type nd-neighbor-solicit iifname . @th,64,128 != @neighbours6 counter name "neighbours" drop',
    "ip6 saddr :: icmpv6 type { mld-listener-report, nd-neighbor-solicit, mld2-listener-report } accept",
    'iifname . ether saddr . ip6 saddr != @source_addresses6 counter name "source_addresses" drop',
    'icmpv6 type { nd-router-advert, nd-redirect } counter name "routers" drop',
    'icmpv6 type nd-neighbor-advert iifname . @th,64,128 != @neighbours6 counter name "neighbours" drop',
    'icmpv6 type mld-listener-query counter name "queriers" drop',
    'udp sport 547 counter name "dhcp" drop',
    'udp dport 546 counter name "dhcp" drop',
    "meta l4proto 0-255 accept",
    'counter name "malformed" drop',
)
# Out of a tunnel: unicast of the sandboxes on other hosts. Their own hosts have checked the same, but root in a sandbox
# lets the kernel write a checksum over the source of a packet after that (PACKET_VNET_HDR with an offset of its own).
# The bridge answers ARP and neighbour discovery itself.
_FROM_TUNNEL = chain_text(
    "from_tunnel",
    'ether daddr & 01:00:00:00:00:00 != 00:00:00:00:00:00 counter name "tunnels" drop',
    'ether type != { ip, ip6 } counter name "tunnels" drop',
    'meta l4proto igmp counter name "tunnels" drop',
    f'icmpv6 type {{ {NEIGHBOUR_DISCOVERY} }} counter name "tunnels" drop',
    "icmpv6 type { mld-listener-query, mld-listener-report, mld-listener-done, mld2-listener-report }"
    ' counter name "tunnels" drop',
    'udp sport { 67, 547 } counter name "tunnels" drop',
    'udp dport { 68, 546 } counter name "tunnels" drop',
    # What nft cannot read has passed the rules so far, and has no protocol for these.
    "meta l4proto 0-255 iifname . ether saddr . ip saddr @source_addresses4 accept",
    "meta l4proto 0-255 iifname . ether saddr . ip6 saddr @source_addresses6 accept",
    'ether saddr . iifname @local_macs counter name "tunnels" drop',
    "meta l4proto 0-255 ip saddr . iifname @learned_subnets4 ip saddr . iifname != @local_addresses4 accept",
    "meta l4proto 0-255 ip6 saddr . iifname @learned_subnets6 ip6 saddr . iifname != @local_addresses6 accept",
    'counter name "tunnels" drop',
)
_TO_TUNNELS = f'oifgroup {LINKS} meta oifkind "vxlan" oifname != @unfiltered'
# Into a tunnel: no ARP and no neighbour discovery, which other hosts drop.
_TO_TUNNEL = chain_text(
    "to_tunnel",
    "type filter hook forward priority filter; policy accept;",
    f'{_TO_TUNNELS} ether type arp counter name "tunnels" drop',
    f'{_TO_TUNNELS} icmpv6 type {{ {NEIGHBOUR_DISCOVERY} }} counter name "tunnels" drop',
)
# Frames to the bridge itself, of which the kernel delivers some past the first hook: no other protocols, no DHCP.
_DELIVERED = chain_text(
    "delivered",
    "type filter hook input priority -300; policy accept;",
    f'iifgroup {LINKS} ether type != {{ ip, arp, ip6 }} counter name "protocols" drop',
    f'iifgroup {LINKS} udp dport {{ 68, 546 }} counter name "dhcp" drop',
)
PORT_CHAINS = "".join((_PORTS, _FROM_ARP, _FROM_IP, _FROM_IP6, _FROM_TUNNEL, _TO_TUNNEL, _DELIVERED))
