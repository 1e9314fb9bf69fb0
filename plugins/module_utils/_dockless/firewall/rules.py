# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""The sets and rules of table inet dockless. They are the same on every host; the elements of the sets differ.

Rules recognize dockless's links by their group number, so a bridge is guarded from its first moment, before its data
are in the sets: what no set allows is dropped. A set cannot hold both IP versions, hence one for each.

Every drop has a named counter, which shows an operator which rule stopped a packet.

The rules are loaded when their version (host_firewall.RULES_VERSION) is not the one that is there.
"""

from __future__ import annotations

from ..names import TUNNEL_GROUP
from . import forwarder_rules
from .nft_text import NftSet, chain_text
from .port_rules import LINKS, NEIGHBOUR_DISCOVERY

# ---- table inet dockless: sets -----------------------------------------------

SETS = (
    # -- bridges and what their networks allow
    # Pairs of links between which packets pass: a bridge with itself where sandboxes may reach each other (icc).
    NftSet("set", "same_bridge", "type ifname . ifname"),
    # Bridges of networks that are not internal.
    NftSet("set", "not_internal", "type ifname"),
    # Bridges whose sandboxes may open connections out of their network.
    NftSet("set", "egress", "type ifname"),
    # Bridges whose sandboxes may be connected to from outside, as far as a port or mode opens them.
    NftSet("set", "ingress", "type ifname"),
    # Bridges of networks with isolate: open, between which packets pass.
    NftSet("set", "isolate_open", "type ifname"),
    # Links whose sandboxes reach every address of the host, not that of their bridge only.
    NftSet("set", "all_host_addresses", "type ifname"),
    # -- source addresses
    # Bridges of networks without subnets, whose sandboxes choose their addresses themselves.
    NftSet("set", "any_source", "type ifname"),
    # The valid source addresses of every other bridge.
    NftSet("set", "sources4", "type ipv4_addr . ifname", interval=True),
    NftSet("set", "sources6", "type ipv6_addr . ifname", interval=True),
    # Each subnet with its bridge.
    NftSet("set", "attached4", "type ipv4_addr . ifname", interval=True),
    NftSet("set", "attached6", "type ipv6_addr . ifname", interval=True),
    # -- access to sandboxes at their own addresses
    # Subnets that may not be addressed from outside.
    NftSet("set", "no_direct4", "type ipv4_addr", interval=True),
    NftSet("set", "no_direct6", "type ipv6_addr", interval=True),
    # The host's addresses on bridges, and broadcast or anycast addresses of subnets: other links do not reach them.
    NftSet("set", "gateways4", "type ipv4_addr"),
    NftSet("set", "gateways6", "type ipv6_addr"),
    # Exceptions: links of the host from which published ports of a subnet are reached (trusted_host_interfaces).
    NftSet("set", "trusted4", "type ipv4_addr . ifname", interval=True),
    NftSet("set", "trusted6", "type ipv6_addr . ifname", interval=True),
    # Bridges whose sandboxes answer pings at their own addresses.
    NftSet("set", "direct_ping", "type nf_proto . ifname"),
    # Bridges whose sandboxes are reached there at published ports.
    NftSet("set", "direct_ports", "type nf_proto . ifname"),
    # Bridges whose sandboxes are reached there at any port.
    NftSet("set", "direct_all", "type nf_proto . ifname"),
    # Those published ports: source, sandbox's address, protocol, port.
    NftSet("set", "targets4", "type ipv4_addr . ipv4_addr . inet_proto . inet_service", interval=True),
    NftSet("set", "targets6", "type ipv6_addr . ipv6_addr . inet_proto . inet_service", interval=True),
    # -- source_ranges of published ports
    # Ports that only some sources may use: host's address, protocol, port.
    NftSet("set", "restricted4", "type ipv4_addr . inet_proto . inet_service", interval=True),
    NftSet("set", "restricted6", "type ipv6_addr . inet_proto . inet_service", interval=True),
    # Those sources: source, then as in restricted4.
    NftSet("set", "allowed4", "type ipv4_addr . ipv4_addr . inet_proto . inet_service", interval=True),
    NftSet("set", "allowed6", "type ipv6_addr . ipv6_addr . inet_proto . inet_service", interval=True),
    # -- source address translation
    # Subnets whose packets leave with the address of the outgoing link.
    NftSet("set", "masqueraded4", "type ipv4_addr", interval=True),
    NftSet("set", "masqueraded6", "type ipv6_addr", interval=True),
    # Subnets whose packets leave with this address of the host (host_ipv4, host_ipv6).
    NftSet("map", "snat4", "type ipv4_addr : ipv4_addr", interval=True),
    NftSet("map", "snat6", "type ipv6_addr : ipv6_addr", interval=True),
    # -- the host
    *forwarder_rules.SETS,
    # -- overlays
    # VXLAN devices of routed overlays, whose packets the host takes. Every other one is the port of a bridge.
    NftSet("set", "routed_devices", "type ifname"),
    # Veth pairs outside of networks that are ports of dockless's bridges.
    NftSet("set", "bridged_pairs", "type ifname"),
    # What a peer of a routed overlay sends from: its slice, the MAC address of its VXLAN device.
    NftSet("set", "routed_sources4", "type ipv4_addr . ether_addr . ifname", interval=True),
    NftSet("set", "routed_sources6", "type ipv6_addr . ether_addr . ifname", interval=True),
    # UDP ports of overlays.
    NftSet("set", "vxlan_ports", "type inet_service"),
    # The port and VNI (RFC 7348, section 5) of each overlay. Others belong to VXLAN devices that dockless does not
    # manage. nft before 1.0.8 has no name for the VNI: it follows the UDP header (8 bytes) and the flags (4 bytes).
    NftSet("set", "vxlan_vnis", "typeof udp dport . @th,96,24"),
    # Who may send to each overlay that is no routed one: VTEP of a peer, VTEP of this host, port, VNI.
    NftSet("set", "vxlan_senders4", "typeof ip saddr . ip daddr . udp dport . @th,96,24"),
    NftSet("set", "vxlan_senders6", "typeof ip6 saddr . ip6 daddr . udp dport . @th,96,24"),
    # The same for a routed overlay, whose inner frames go from the VXLAN device of the peer to that of this host. The
    # VNI is followed by a zero (1 byte) and by their MAC addresses (6 bytes each), the peer's last. One raw field, as
    # nft 1.0.6 cannot add elements to a set with two.
    NftSet("set", "routers4", "typeof ip saddr . ip daddr . udp dport . @th,96,128"),
    NftSet("set", "routers6", "typeof ip6 saddr . ip6 daddr . udp dport . @th,96,128"),
    # VTEP addresses of the peers, with the port of the overlay.
    NftSet("set", "vxlan_peers4", "type ipv4_addr . inet_service"),
    NftSet("set", "vxlan_peers6", "type ipv6_addr . inet_service"),
    # Port and VNI of encrypted overlays, a subset of vxlan_vnis: only WireGuard links may carry them.
    NftSet("set", "encrypted_vnis", "typeof udp dport . @th,96,24"),
    # -- published ports
    # On every address of the host: protocol, port -> sandbox's address, port.
    NftSet("map", "published4", "type inet_proto . inet_service : ipv4_addr . inet_service"),
    NftSet("map", "published6", "type inet_proto . inet_service : ipv6_addr . inet_service"),
    # On one address of the host.
    NftSet("map", "published4_on", "type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service"),
    NftSet("map", "published6_on", "type ipv6_addr . inet_proto . inet_service : ipv6_addr . inet_service"),
    # Ranges of ports that keep their numbers.
    NftSet("map", "ranges4", "type inet_proto . inet_service : ipv4_addr", interval=True),
    NftSet("map", "ranges6", "type inet_proto . inet_service : ipv6_addr", interval=True),
    NftSet("map", "ranges4_on", "type ipv4_addr . inet_proto . inet_service : ipv4_addr", interval=True),
    NftSet("map", "ranges6_on", "type ipv6_addr . inet_proto . inet_service : ipv6_addr", interval=True),
)
# Sets whose elements close something: without them more would pass, not less. host_firewall.py has their order.
CLOSING = frozenset(
    (
        "bridged_pairs",
        "gateways4",
        "gateways6",
        "no_direct4",
        "no_direct6",
        "restricted4",
        "restricted6",
        "masqueraded4",
        "masqueraded6",
        "forwarders4",
        "forwarders6",
        "vxlan_ports",
        "vxlan_vnis",
        "vxlan_peers4",
        "vxlan_peers6",
        "encrypted_vnis",
        "local_macs",
        "local_addresses4",
        "local_addresses6",
    )
)
COUNTERS = (
    "ports",
    "loopback",
    "overlays",
    "source_ranges",
    "gateway_only",
    "forwarders",
    "forwarder_limits",
    "gateways",
    "direct",
    "sources",
    "internal",
    "invalid",
    "egress",
    "ingress",
    "closed",
    "unencrypted",
    "shared_addresses",
    "source_routes",
)

# ---- table inet dockless: chains ---------------------------------------------

_FROM_BRIDGE = f'iifgroup {LINKS} meta iifkind "bridge"'
_FROM_SANDBOXES = f'iifgroup {LINKS} meta iifkind {{ "vxlan", "bridge" }}'
# Drops packets that must not arrive, before connection tracking sees them.
_GUARD = chain_text(
    "guard",
    "type filter hook prerouting priority raw; policy accept;",
    # Bridge ports: a frame to a group address that no bridge forwards is passed to the port itself, past other rules.
    f'iifgroup {LINKS} meta iifkind {{ "veth", "vxlan" }} iifname != @routed_devices counter name "ports" drop',
    'iifname @bridged_pairs counter name "ports" drop',
    # A peer reaches the overlays through its tunnel, and nothing else of this host or behind it.
    f"iifgroup {TUNNEL_GROUP} ip saddr . ip daddr . udp dport . @th,96,24 @vxlan_senders4 accept",
    f"iifgroup {TUNNEL_GROUP} ip6 saddr . ip6 daddr . udp dport . @th,96,24 @vxlan_senders6 accept",
    f"iifgroup {TUNNEL_GROUP} ip saddr . ip daddr . udp dport . @th,96,128 @routers4 accept",
    f"iifgroup {TUNNEL_GROUP} ip6 saddr . ip6 daddr . udp dport . @th,96,128 @routers6 accept",
    f'iifgroup {TUNNEL_GROUP} counter name "overlays" drop',
    # Bridges may have route_localnet, with which the kernel no longer drops loopback addresses itself.
    'iifname != "lo" ip daddr 127.0.0.0/8 counter name "loopback" drop',
    'iifname != "lo" ip saddr 127.0.0.0/8 counter name "loopback" drop',
    # A sandbox sends no VXLAN to another host: after masquerading, it would seem to come from this one.
    f'iifgroup {LINKS} ip daddr . udp dport @vxlan_peers4 counter name "overlays" drop',
    f'iifgroup {LINKS} ip6 daddr . udp dport @vxlan_peers6 counter name "overlays" drop',
    f'{_FROM_BRIDGE} iifname != @any_source ip saddr . iifname != @sources4 counter name "sources" drop',
    f"{_FROM_BRIDGE} iifname != @any_source ip6 saddr != {{ ::, fe80::/10 }} ip6 saddr . iifname != @sources6"
    ' counter name "sources" drop',
    # Each peer of a routed overlay sends from its own slice. Neighbours on the device are static.
    'iifname @routed_devices ip saddr . ether saddr . iifname != @routed_sources4 counter name "sources" drop',
    'iifname @routed_devices ip6 saddr . ether saddr . iifname != @routed_sources6 counter name "sources" drop',
    f'iifname @routed_devices icmpv6 type {{ {NEIGHBOUR_DISCOVERY} }} counter name "sources" drop',
    f"{_FROM_SANDBOXES} iifname != @all_host_addresses fib daddr type local fib daddr . iif type != local"
    ' counter name "gateway_only" drop',
    'meta l4proto { tcp, udp } ip daddr . th dport @forwarders4 iifname != "lo" goto forwarder4',
    'meta l4proto { tcp, udp } ip6 daddr . th dport @forwarders6 iifname != "lo" goto forwarder6',
    # A sandbox may address the host by the address of any bridge.
    f"iifgroup {LINKS} fib daddr type local accept",
    # What listens on a bridge is for its sandboxes.
    f'iifgroup != {LINKS} iifname != "lo" ip daddr @gateways4 ip daddr . iifname != @trusted4'
    ' counter name "gateways" drop',
    f'iifgroup != {LINKS} iifname != "lo" ip6 daddr @gateways6 ip6 daddr . iifname != @trusted6'
    ' counter name "gateways" drop',
    # What an open network reaches is decided in the chain forward.
    "iifname @isolate_open accept",
    # The host comes first: it may have got an address that lies in a subnet of dockless after the network was created.
    "fib daddr type local ip daddr != @gateways4 accept",
    "fib daddr type local ip6 daddr != @gateways6 accept",
    # Sandboxes' own addresses.
    'iifname != "lo" ip daddr @no_direct4 ip daddr . iifname != @attached4 ip daddr . iifname != @trusted4'
    ' counter name "direct" drop',
    'iifname != "lo" ip6 daddr @no_direct6 ip6 daddr . iifname != @attached6 ip6 daddr . iifname != @trusted6'
    ' counter name "direct" drop',
)
# Drop sources that may not use a restricted port. The chain prerouting jumps here.
_SOURCE_RANGES4 = chain_text(
    "source_ranges4",
    "ip saddr . ip daddr . meta l4proto . th dport @allowed4 return",
    'counter name "source_ranges" drop',
)
_SOURCE_RANGES6 = chain_text(
    "source_ranges6",
    "ip6 saddr . ip6 daddr . meta l4proto . th dport @allowed6 return",
    'counter name "source_ranges" drop',
)
# Decides about forwarded packets from and to dockless's links. transit.py decides about those between other links.
_FORWARD = chain_text(
    "forward",
    "type filter hook forward priority filter; policy accept;",
    "iifname . oifname @same_bridge accept",
    # The host itself sends what goes into tunnels. What comes out of them is not forwarded, see the chain guard.
    f'oifgroup {TUNNEL_GROUP} counter name "overlays" drop',
    f'iifgroup {LINKS} iifname != @not_internal counter name "internal" drop',
    f'oifgroup {LINKS} oifname != @not_internal counter name "internal" drop',
    f"iifgroup {LINKS} jump source_routes",
    f"oifgroup {LINKS} jump source_routes",
    # A packet that belongs to no connection would leave with the sandbox's address.
    'ip saddr @masqueraded4 ct state invalid counter name "invalid" drop',
    'ip6 saddr @masqueraded6 ct state invalid counter name "invalid" drop',
    # Answers.
    "ct state established accept",
    "ct state related meta l4proto { icmp, ipv6-icmp } accept",
    # New connections.
    f'iifgroup {LINKS} iifname != @egress counter name "egress" drop',
    f'oifgroup {LINKS} oifname != @ingress counter name "ingress" drop',
    f"oifgroup {LINKS} ct status dnat accept",
    "iifname @isolate_open oifname @isolate_open accept",
    "meta nfproto . oifname @direct_all accept",
    "meta nfproto . oifname @direct_ping icmp type echo-request accept",
    "meta nfproto . oifname @direct_ping icmpv6 type echo-request accept",
    "meta nfproto . oifname @direct_ports ip saddr . ip daddr . meta l4proto . th dport @targets4 accept",
    "meta nfproto . oifname @direct_ports ip6 saddr . ip6 daddr . meta l4proto . th dport @targets6 accept",
    "ip daddr . iifname @trusted4 ip saddr . ip daddr . meta l4proto . th dport @targets4 accept",
    "ip6 daddr . iifname @trusted6 ip6 saddr . ip6 daddr . meta l4proto . th dport @targets6 accept",
    f'oifgroup {LINKS} counter name "closed" drop',
)
# Drops packets with a source route. Where the operator lets the host follow one (accept_source_route, seg6_enabled,
# rpl_seg_enabled), it forwards a packet that it received as its own: one of a connection with the host would pass as
# an answer, to any sandbox. The chain forward jumps here.
_SOURCE_ROUTES = chain_text(
    "source_routes",
    'ip option lsrr exists counter name "source_routes" drop',
    'ip option ssrr exists counter name "source_routes" drop',
    'exthdr rt exists counter name "source_routes" drop',
)
# Drops VXLAN packets that must not reach an overlay, and what sandboxes send to everybody: broadcast, multicast and
# anycast, which "fib daddr type local" in an earlier hook does not match.
_INPUT = chain_text(
    "input",
    "type filter hook input priority filter; policy accept;",
    f'iifgroup {LINKS} udp dport @vxlan_ports counter name "overlays" drop',
    f'udp dport . @th,96,24 @encrypted_vnis iifgroup != {TUNNEL_GROUP} counter name "overlays" drop',
    "udp dport . @th,96,24 @vxlan_vnis ip saddr . ip daddr . udp dport . @th,96,24 != @vxlan_senders4"
    ' ip saddr . ip daddr . udp dport . @th,96,128 != @routers4 counter name "overlays" drop',
    "udp dport . @th,96,24 @vxlan_vnis ip6 saddr . ip6 daddr . udp dport . @th,96,24 != @vxlan_senders6"
    ' ip6 saddr . ip6 daddr . udp dport . @th,96,128 != @routers6 counter name "overlays" drop',
    # "unicast" is a packet for an ipvlan link in mode l3s.
    f"{_FROM_SANDBOXES} fib daddr type != {{ unicast, local }} goto shared",
)
# Of what sandboxes send to broadcast, multicast and anycast addresses, the host takes neighbour discovery alone.
_SHARED = chain_text(
    "shared",
    "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept",
    'counter name "shared_addresses" drop',
)
# Keeps the data of encrypted overlays from leaving by another link than a WireGuard link.
_ENCRYPTED_ONLY = chain_text(
    "encrypted_only",
    "type filter hook output priority filter; policy accept;",
    f'udp dport . @th,96,24 @encrypted_vnis oifgroup != {TUNNEL_GROUP} counter name "unencrypted" drop',
)
# Translates published ports, for packets that arrive.
_PREROUTING = chain_text(
    "prerouting",
    "type nat hook prerouting priority dstnat; policy accept;",
    "ip daddr . meta l4proto . th dport @restricted4 fib daddr type local jump source_ranges4",
    "ip6 daddr . meta l4proto . th dport @restricted6 fib daddr type local jump source_ranges6",
    "fib daddr type local jump published",
)
# Translates published ports, for packets of the host itself.
_OUTPUT = chain_text(
    "output",
    "type nat hook output priority -100; policy accept;",
    "fib daddr type local jump published",
)
# The maps of published ports: one address before all addresses, a single port before a range.
_PUBLISHED = chain_text(
    "published",
    "dnat ip to ip daddr . meta l4proto . th dport map @published4_on",
    "dnat ip to ip daddr . meta l4proto . th dport map @ranges4_on",
    "dnat ip to meta l4proto . th dport map @published4",
    "dnat ip to meta l4proto . th dport map @ranges4",
    # Not for ::1 and link-local addresses: a source address of that scope cannot be forwarded to another link.
    "ip6 daddr ::1 return",
    "ip6 daddr fe80::/10 return",
    "dnat ip6 to ip6 daddr . meta l4proto . th dport map @published6_on",
    "dnat ip6 to ip6 daddr . meta l4proto . th dport map @ranges6_on",
    "dnat ip6 to meta l4proto . th dport map @published6",
    "dnat ip6 to meta l4proto . th dport map @ranges6",
)
# A translated packet gets a random source port from the default of ip_local_port_range. If it kept its own, a sandbox
# could choose the port of a service of the host or a published port, and receive packets that a client sends to it
# (CVE-2021-3773).
_WITH_PORTS = "tcp, udp, sctp"
_SOURCE_PORTS = "32768-60999 fully-random"
# Translates source addresses.
_POSTROUTING = chain_text(
    "postrouting",
    "type nat hook postrouting priority srcnat; policy accept;",
    # The host's own connections to 127.0.0.1:PORT.
    f"oifgroup {LINKS} ip saddr 127.0.0.0/8 jump masqueraded",
    # A sandbox's connections to a published port of its own network: the answer must come back through the host.
    "ct status dnat ip saddr . oifname @attached4 jump masqueraded",
    "ct status dnat ip6 saddr . oifname @attached6 jump masqueraded",
    # Everything else within a network keeps its address.
    "ip saddr . oifname @attached4 accept",
    "ip6 saddr . oifname @attached6 accept",
    # Packets that leave.
    f"meta l4proto {{ {_WITH_PORTS} }} snat ip to ip saddr map @snat4:{_SOURCE_PORTS}",
    f"meta l4proto {{ {_WITH_PORTS} }} snat ip6 to ip6 saddr map @snat6:{_SOURCE_PORTS}",
    "snat ip to ip saddr map @snat4",
    "snat ip6 to ip6 saddr map @snat6",
    "ip saddr @masqueraded4 jump masqueraded",
    "ip6 saddr @masqueraded6 jump masqueraded",
)
# The address of the outgoing link, and a new source port.
_MASQUERADE = chain_text(
    "masqueraded",
    f"meta l4proto {{ {_WITH_PORTS} }} masquerade to :{_SOURCE_PORTS}",
    "masquerade",
)
CHAINS = "".join(
    (
        _GUARD,
        forwarder_rules.CHAINS,
        _SOURCE_RANGES4,
        _SOURCE_RANGES6,
        _FORWARD,
        _SOURCE_ROUTES,
        _INPUT,
        _SHARED,
        _ENCRYPTED_ONLY,
        _PREROUTING,
        _OUTPUT,
        _PUBLISHED,
        _POSTROUTING,
        _MASQUERADE,
    )
)
