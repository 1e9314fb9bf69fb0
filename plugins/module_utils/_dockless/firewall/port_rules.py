# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""The sets and rules of table bridge dockless: what sandboxes may send. They are the same on every host."""

from __future__ import annotations

from ..names import LINK_GROUP, PENDING_DELETE_GROUP
from .nft_text import NftSet, chain_text

# The links of dockless, also those that a run is about to delete: they are up until then, or longer if it is killed.
LINKS = f"{{ {LINK_GROUP}, {PENDING_DELETE_GROUP} }}"

PORT_SETS = (
    # Bridge ports without rules: VXLAN devices, and sandboxes of networks without port_security or without subnets.
    NftSet("set", "unfiltered", "type ifname"),
    # What each port may send: MAC and EtherType.
    NftSet("set", "source_macs", "type ifname . ether_addr . ether_type"),
    # With which source address.
    NftSet("set", "source_addresses4", "type ifname . ether_addr . ipv4_addr"),
    NftSet("set", "source_addresses6", "type ifname . ether_addr . ipv6_addr"),
    # The addresses that a port may announce. nft 1.0.6 has no name for that field of a neighbour advertisement.
    NftSet("set", "neighbours6", "typeof iifname . @th,64,128"),
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
)
# Checks the frames that sandboxes send.
_PORTS = chain_text(
    "ports",
    "type filter hook prerouting priority dstnat; policy accept;",
    f"iifgroup != {LINKS} accept",
    "iifname @unfiltered accept",
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
# Frames to the bridge itself, of which the kernel delivers some past the first hook: no other protocols, no DHCP.
_DELIVERED = chain_text(
    "delivered",
    "type filter hook input priority -300; policy accept;",
    f'iifgroup {LINKS} ether type != {{ ip, arp, ip6 }} counter name "protocols" drop',
    f'iifgroup {LINKS} udp dport {{ 68, 546 }} counter name "dhcp" drop',
)
PORT_CHAINS = "".join((_PORTS, _FROM_ARP, _FROM_IP, _FROM_IP6, _DELIVERED))
