# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""The rules of a host, which are the same on every host: what differs is in sets and maps.

The rules tell ours from foreign by the links' group number, so a bridge is
guarded from its first moment, before its data are in the sets: what is not
allowed by a set is dropped. Sets cannot mix families, hence one of each. In the
guard, a sandbox may address the host by any of its bridges, and whom an open
network reaches is left to the chain forward.

Every drop has a counter with a name, so that an operator sees which wall stopped
a packet, and a test which one it met.
"""

from __future__ import annotations

import typing as t

from ..names import LINK_GROUP, PAIR_GROUP, TABLE, TUNNEL_GROUP

Elements = dict[str, list[str]]  # of sets and maps, by name
Sets = tuple[tuple[str, str, str, bool], ...]

# kind, name, type, and whether elements may be ranges
SETS = (
    ("set", "same_bridge", "type ifname . ifname", False),  # pairs of one bridge with itself: neighbours may talk
    ("set", "not_internal", "type ifname", False),  # bridges that anything passes to or from
    ("set", "egress", "type ifname", False),  # bridges whose sandboxes may open connections out of their network
    (
        "set",
        "ingress",
        "type ifname",
        False,
    ),  # bridges whose sandboxes may be connected to from outside, where something is open
    ("set", "isolate_open", "type ifname", False),  # bridges of networks with isolate: open
    (
        "set",
        "gateway_only",
        "type ifname",
        False,
    ),  # bridges whose sandboxes reach none of the host's addresses but their own bridge's
    ("set", "bridges", "type ifname", False),  # bridges with subnets: nothing else may be the source there
    ("set", "sources4", "type ipv4_addr . ifname", True),
    ("set", "sources6", "type ipv6_addr . ifname", True),
    ("set", "attached4", "type ipv4_addr . ifname", True),  # a subnet and the bridge it lives on
    ("set", "attached6", "type ipv6_addr . ifname", True),
    ("set", "no_direct4", "type ipv4_addr", True),  # subnets that nobody may address directly from outside
    ("set", "no_direct6", "type ipv6_addr", True),
    (
        "set",
        "trusted4",
        "type ipv4_addr . ifname",
        True,
    ),  # except by these of the host's links, at ports that are published
    ("set", "trusted6", "type ipv6_addr . ifname", True),
    (
        "set",
        "direct_ping",
        "type nf_proto . ifname",
        False,
    ),  # bridges whose sandboxes are pinged at their own addresses
    ("set", "direct_ports", "type nf_proto . ifname", False),  # … and connected to there, at ports that are published
    ("set", "direct_all", "type nf_proto . ifname", False),  # … at any port
    (
        "set",
        "targets4",
        "type ipv4_addr . ipv4_addr . inet_proto . inet_service",
        True,
    ),  # those ports, each with who may come
    ("set", "targets6", "type ipv6_addr . ipv6_addr . inet_proto . inet_service", True),
    (
        "set",
        "restricted4",
        "type ipv4_addr . inet_proto . inet_service",
        True,
    ),  # published ports that not everybody may use
    ("set", "restricted6", "type ipv6_addr . inet_proto . inet_service", True),
    (
        "set",
        "allowed4",
        "type ipv4_addr . ipv4_addr . inet_proto . inet_service",
        True,
    ),  # who may: source, and the port as above
    ("set", "allowed6", "type ipv6_addr . ipv6_addr . inet_proto . inet_service", True),
    ("set", "masqueraded4", "type ipv4_addr", True),
    ("set", "masqueraded6", "type ipv6_addr", True),
    ("map", "snat4", "type ipv4_addr : ipv4_addr", True),  # subnets that leave with one address of the host
    ("map", "snat6", "type ipv6_addr : ipv6_addr", True),
    (
        "set",
        "forwarders4",
        "type ipv4_addr . inet_service",
        False,
    ),  # where this host answers sandboxes that ask for names from outside
    ("set", "forwarders6", "type ipv6_addr . inet_service", False),
    ("set", "no_transit", "type nf_proto", False),  # families that this host forwards for us alone
    ("set", "vxlan_ports", "type inet_service", False),  # UDP ports of overlays
    (
        "set",
        "vxlan_peers4",
        "type ipv4_addr . inet_service",
        False,
    ),  # the other hosts' ends, and the ports they may send to
    ("set", "vxlan_peers6", "type ipv6_addr . inet_service", False),
    ("set", "encrypted_ports", "type inet_service", False),  # those of them that are used within encrypted tunnels only
    ("map", "published4", "type inet_proto . inet_service : ipv4_addr . inet_service", False),
    ("map", "published6", "type inet_proto . inet_service : ipv6_addr . inet_service", False),
    ("map", "published4_on", "type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service", False),
    ("map", "published6_on", "type ipv6_addr . inet_proto . inet_service : ipv6_addr . inet_service", False),
    ("map", "ranges4", "type inet_proto . inet_service : ipv4_addr", True),  # ranges of ports that keep their numbers
    ("map", "ranges6", "type inet_proto . inet_service : ipv6_addr", True),
    ("map", "ranges4_on", "type ipv4_addr . inet_proto . inet_service : ipv4_addr", True),
    ("map", "ranges6_on", "type ipv6_addr . inet_proto . inet_service : ipv6_addr", True),
)
COUNTERS = (
    "loopback",
    "vxlan",
    "source_ranges",
    "gateway_only",
    "forwarders",
    "direct",
    "sources",
    "internal",
    "invalid",
    "egress",
    "ingress",
    "closed",
    "transit",
    "unencrypted",
)
_TEXT = """
    chain guard {
        type filter hook prerouting priority raw; policy accept;
        iifname != "lo" ip daddr 127.0.0.0/8 counter name "loopback" drop
        iifname != "lo" ip saddr 127.0.0.0/8 counter name "loopback" drop
        udp dport @vxlan_ports fib daddr type local iifgroup {group} counter name "vxlan" drop
        udp dport @encrypted_ports fib daddr type local iifgroup != {tunnels} counter name "vxlan" drop
        udp dport @vxlan_ports fib daddr type local ip saddr . udp dport != @vxlan_peers4 counter name "vxlan" drop
        udp dport @vxlan_ports fib daddr type local ip6 saddr . udp dport != @vxlan_peers6 counter name "vxlan" drop
        iifgroup {group} ip daddr . udp dport @vxlan_peers4 counter name "vxlan" drop
        iifgroup {group} ip6 daddr . udp dport @vxlan_peers6 counter name "vxlan" drop
        iifname @bridges ip saddr . iifname != @sources4 counter name "sources" drop
        iifname @bridges ip6 saddr != { ::, fe80::/10 } ip6 saddr . iifname != @sources6 counter name "sources" drop
        iifname @gateway_only fib daddr type local fib daddr . iif type != local counter name "gateway_only" drop
        meta l4proto { tcp, udp } ip daddr . th dport @forwarders4 iifname != "lo" iifname != @egress counter name "forwarders" drop
        meta l4proto { tcp, udp } ip6 daddr . th dport @forwarders6 iifname != "lo" iifname != @egress counter name "forwarders" drop
        iifgroup {group} fib daddr type local accept
        iifname @isolate_open accept
        iifname != "lo" ip daddr @no_direct4 ip daddr . iifname != @attached4 ip daddr . iifname != @trusted4 counter name "direct" drop
        iifname != "lo" ip6 daddr @no_direct6 ip6 daddr . iifname != @attached6 ip6 daddr . iifname != @trusted6 counter name "direct" drop
    }

    chain source_ranges4 {
        ip saddr . ip daddr . meta l4proto . th dport @allowed4 return
        counter name "source_ranges" drop
    }

    chain source_ranges6 {
        ip6 saddr . ip6 daddr . meta l4proto . th dport @allowed6 return
        counter name "source_ranges" drop
    }

    chain forward {
        type filter hook forward priority filter; policy accept;
        iifname . oifname @same_bridge accept
        iifgroup {group} iifname != @not_internal counter name "internal" drop
        oifgroup {group} oifname != @not_internal counter name "internal" drop
        ip saddr @masqueraded4 ct state invalid counter name "invalid" drop
        ip6 saddr @masqueraded6 ct state invalid counter name "invalid" drop
        ct state established accept
        ct state related meta l4proto { icmp, ipv6-icmp } accept
        iifgroup {group} iifname != @egress counter name "egress" drop
        oifgroup {group} oifname != @ingress counter name "ingress" drop
        oifgroup {group} ct status dnat accept
        iifname @isolate_open oifname @isolate_open accept
        meta nfproto . oifname @direct_all accept
        meta nfproto . oifname @direct_ping icmp type echo-request accept
        meta nfproto . oifname @direct_ping icmpv6 type echo-request accept
        meta nfproto . oifname @direct_ports ip saddr . ip daddr . meta l4proto . th dport @targets4 accept
        meta nfproto . oifname @direct_ports ip6 saddr . ip6 daddr . meta l4proto . th dport @targets6 accept
        ip daddr . iifname @trusted4 ip saddr . ip daddr . meta l4proto . th dport @targets4 accept
        ip6 daddr . iifname @trusted6 ip6 saddr . ip6 daddr . meta l4proto . th dport @targets6 accept
        oifgroup {group} counter name "closed" drop
        iifgroup { {group}, {pairs}, {tunnels} } accept
        oifgroup != { {pairs}, {tunnels} } meta nfproto @no_transit counter name "transit" drop
    }

    chain encrypted_only {
        type filter hook output priority filter; policy accept;
        udp dport @encrypted_ports oifgroup != {tunnels} counter name "unencrypted" drop
    }

    chain prerouting {
        type nat hook prerouting priority dstnat; policy accept;
        ip daddr . meta l4proto . th dport @restricted4 fib daddr type local jump source_ranges4
        ip6 daddr . meta l4proto . th dport @restricted6 fib daddr type local jump source_ranges6
        fib daddr type local jump published
    }

    chain output {
        type nat hook output priority -100; policy accept;
        fib daddr type local jump published
    }

    chain published {
        dnat ip to ip daddr . meta l4proto . th dport map @published4_on
        dnat ip to ip daddr . meta l4proto . th dport map @ranges4_on
        dnat ip to meta l4proto . th dport map @published4
        dnat ip to meta l4proto . th dport map @ranges4
        ip6 daddr ::1 return
        ip6 daddr fe80::/10 return
        dnat ip6 to ip6 daddr . meta l4proto . th dport map @published6_on
        dnat ip6 to ip6 daddr . meta l4proto . th dport map @ranges6_on
        dnat ip6 to meta l4proto . th dport map @published6
        dnat ip6 to meta l4proto . th dport map @ranges6
    }

    chain postrouting {
        type nat hook postrouting priority srcnat; policy accept;
        oifgroup {group} ip saddr 127.0.0.0/8 masquerade
        ct status dnat ip saddr . oifname @attached4 masquerade
        ct status dnat ip6 saddr . oifname @attached6 masquerade
        ip saddr . oifname @attached4 accept
        ip6 saddr . oifname @attached6 accept
        snat ip to ip saddr map @snat4
        snat ip6 to ip6 saddr map @snat6
        ip saddr @masqueraded4 masquerade
        ip6 saddr @masqueraded6 masquerade
    }
"""
PORT_SETS = (
    ("set", "unfiltered", "type ifname", False),  # ways to other hosts, and ports of networks without port_security
    ("set", "source_macs", "type ifname . ether_addr . ether_type", False),  # who may send what by which port
    ("set", "source_addresses4", "type ifname . ether_addr . ipv4_addr", False),
    ("set", "source_addresses6", "type ifname . ether_addr . ipv6_addr", False),
    (
        "set",
        "neighbours6",
        "typeof iifname . @th,64,128",
        False,
    ),  # addresses that a port may announce: nft 1.0.6 has no word for the field
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
)
_PORT_TEXT = """
    chain ports {
        type filter hook prerouting priority dstnat; policy accept;
        iifgroup != {group} accept
        iifname @unfiltered accept
        iifname . ether saddr . ether type != @source_macs counter name "source_macs" drop
        ether type arp goto from_arp
        ether type ip goto from_ip
        goto from_ip6
    }

    chain from_arp {
        arp htype 1 arp ptype ip arp hlen 6 arp plen 4 arp operation { request, reply } iifname . arp saddr ether . arp saddr ip @source_addresses4 accept
        counter name "arp_senders" drop
    }

    chain from_ip {
        iifname . ether saddr . ip saddr != @source_addresses4 counter name "source_addresses" drop
        udp sport 67 counter name "dhcp" drop
        ether type ip igmp type membership-query counter name "queriers" drop
    }

    chain from_ip6 {
        ip6 saddr :: icmpv6 type { mld-listener-report, nd-neighbor-solicit, mld2-listener-report } accept
        iifname . ether saddr . ip6 saddr != @source_addresses6 counter name "source_addresses" drop
        icmpv6 type { nd-router-advert, nd-redirect } counter name "routers" drop
        icmpv6 type nd-neighbor-advert iifname . @th,64,128 != @neighbours6 counter name "neighbours" drop
        icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } exthdr frag exists counter name "neighbours" drop
        icmpv6 type mld-listener-query counter name "queriers" drop
        udp sport 547 counter name "dhcp" drop
    }

    chain delivered {
        type filter hook input priority -300; policy accept;
        iifgroup {group} ether type != { ip, arp, ip6 } counter name "protocols" drop
    }
"""
_FILLED = (("{group}", str(LINK_GROUP)), ("{pairs}", str(PAIR_GROUP)), ("{tunnels}", str(TUNNEL_GROUP)), ("    ", "\t"))


def _filled(text: str) -> str:
    for slot, value in _FILLED:  # nft lists with tabs
        text = text.replace(slot, value)
    return text


CHAINS = _filled(_TEXT)
PORT_CHAINS = _filled(_PORT_TEXT)


def empty(sets: Sets) -> Elements:
    """Return no elements for each of the sets."""
    return {name: [] for kind, name, types, ranges in sets}


def table_text(family: str, counters: t.Sequence[str], sets: Sets, elements: Elements, chains: str) -> str:
    """Return our table of a family as nft text."""
    parts = [f"\tcounter {name} {{\n\t}}\n" for name in counters]
    parts += [_set(kind, name, types, ranges, elements[name]) for kind, name, types, ranges in sets]
    return f"table {family} {TABLE} {{\n" + "\n".join(parts) + chains + "}\n"


def _set(kind: str, name: str, types: str, ranges: bool, elements: t.Sequence[str]) -> str:
    lines = [f"\t{kind} {name} {{", f"\t\t{types}"]
    if ranges:
        lines.append("\t\tflags interval")
    if elements:  # an empty list is a syntax error in nft 1.0.6
        lines.append("\t\telements = { " + ",\n\t\t\t     ".join(sorted(set(elements))) + " }")
    return "\n".join(lines) + "\n\t}\n"
