# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""The whole firewall of a host: one table, static rules, data in sets and maps.

The rules tell ours from foreign by the links' group number, so a bridge is
guarded from its first moment, before its data are in the sets: what is not
allowed by a set is dropped. Sets cannot mix families, hence one of each. In the
guard, a sandbox may address the host by any of its bridges, and whom an open
network reaches is left to the chain forward.
"""
from __future__ import annotations

import typing as t

from . import names
from .model import Host, Network, Overlay, PortMapping, Sandbox
from .overlay import device as device_of
from .routing import Networks, address_of, publishing_endpoint

SETS = (
    ("set", "same_bridge", "ifname . ifname", False),  # pairs of one bridge with itself: neighbours may talk
    ("set", "egress", "ifname", False),  # bridges whose sandboxes may leave the host
    ("set", "mutual", "ifname", False),  # bridges of networks with isolate: open
    ("set", "attached4", "ipv4_addr . ifname", True),  # a subnet and the bridge it lives on
    ("set", "attached6", "ipv6_addr . ifname", True),
    ("set", "guarded4", "ipv4_addr", True),  # subnets that nobody may address directly from outside
    ("set", "guarded6", "ipv6_addr", True),
    ("set", "masqueraded4", "ipv4_addr", True),
    ("set", "masqueraded6", "ipv6_addr", True),
    ("set", "tunnel_ports", "inet_service", False),  # UDP ports of overlays
    ("set", "tunnel_peers4", "ipv4_addr . inet_service", False),  # the other hosts' ends, and the ports they may send to
    ("set", "tunnel_peers6", "ipv6_addr . inet_service", False),
    ("set", "sealed_ports", "inet_service", False),  # those of them that are used within encrypted tunnels only
    ("map", "published4", "inet_proto . inet_service : ipv4_addr . inet_service", False),
    ("map", "published6", "inet_proto . inet_service : ipv6_addr . inet_service", False),
    ("map", "published4_on", "ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service", False),
    ("map", "published6_on", "ipv6_addr . inet_proto . inet_service : ipv6_addr . inet_service", False),
)
CHAINS = """
    chain guard {
        type filter hook prerouting priority raw; policy accept;
        iifname != "lo" ip daddr 127.0.0.0/8 drop
        iifname != "lo" ip saddr 127.0.0.0/8 drop
        udp dport @tunnel_ports fib daddr type local iifgroup {group} drop
        udp dport @sealed_ports fib daddr type local iifgroup != {tunnels} drop
        udp dport @tunnel_ports fib daddr type local ip saddr . udp dport != @tunnel_peers4 drop
        udp dport @tunnel_ports fib daddr type local ip6 saddr . udp dport != @tunnel_peers6 drop
        iifgroup {group} ip daddr . udp dport @tunnel_peers4 drop
        iifgroup {group} ip6 daddr . udp dport @tunnel_peers6 drop
        iifgroup {group} fib daddr type local accept
        iifname @mutual accept
        iifname != "lo" ip daddr @guarded4 ip daddr . iifname != @attached4 drop
        iifname != "lo" ip6 daddr @guarded6 ip6 daddr . iifname != @attached6 drop
    }

    chain forward {
        type filter hook forward priority filter; policy accept;
        iifname . oifname @same_bridge accept
        iifgroup {group} iifname != @egress drop
        oifgroup {group} oifname != @egress drop
        ct state established,related accept
        oifgroup {group} ct status dnat accept
        iifname @mutual oifname @mutual accept
        oifgroup {group} drop
    }

    chain sealed {
        type filter hook output priority filter; policy accept;
        udp dport @sealed_ports oifgroup != {tunnels} drop
    }

    chain prerouting {
        type nat hook prerouting priority dstnat; policy accept;
        fib daddr type local jump published
    }

    chain output {
        type nat hook output priority -100; policy accept;
        fib daddr type local jump published
    }

    chain published {
        dnat ip to ip daddr . meta l4proto . th dport map @published4_on
        dnat ip to meta l4proto . th dport map @published4
        ip6 daddr ::1 return
        ip6 daddr fe80::/10 return
        dnat ip6 to ip6 daddr . meta l4proto . th dport map @published6_on
        dnat ip6 to meta l4proto . th dport map @published6
    }

    chain postrouting {
        type nat hook postrouting priority srcnat; policy accept;
        oifgroup {group} ip saddr 127.0.0.0/8 masquerade
        ct status dnat ip saddr . oifname @attached4 masquerade
        ct status dnat ip6 saddr . oifname @attached6 masquerade
        ip saddr . oifname @attached4 accept
        ip6 saddr . oifname @attached6 accept
        ip saddr @masqueraded4 masquerade
        ip6 saddr @masqueraded6 masquerade
    }
""".replace("{group}", str(names.LINK_GROUP)).replace("{tunnels}", str(names.TUNNEL_GROUP)).replace("    ", "\t")  # nft lists with tabs

Elements = t.Dict[str, t.List[str]]


def table(host: Host, networks: Networks) -> str:
    """Return the table as nft text: the same for the same host, whatever the order of declaration."""
    elements: Elements = {name: [] for kind, name, types, ranges in SETS}
    for network in networks.values():
        if network.macvlan is not None:  # its packets do not pass this host
            continue
        _network(network, elements)
    for project in host.projects:
        for sandbox in project.sandboxes:
            for mapping in sandbox.ports:
                _publish(sandbox, mapping, networks, elements)
    return render(elements)


def bare() -> str:
    """Return the table without data: everything of ours is guarded, nothing is published."""
    return render({name: [] for kind, name, types, ranges in SETS})


def render(elements: Elements) -> str:
    """Return the table's text for given elements."""
    parts = [_set(kind, name, types, ranges, elements[name]) for kind, name, types, ranges in SETS]
    return f"table inet {names.TABLE} {{\n" + "\n".join(parts) + CHAINS + "}\n"


def bindings(sandbox: Sandbox, mapping: PortMapping, networks: Networks) -> t.Iterator[t.Tuple[int, str, str]]:
    """Return (family, host address or "", sandbox address) of each binding of a mapping.

    A wildcard binds the families that the sandbox has; DNAT cannot cross from one to the other.
    """
    for version in (4, 6):
        if mapping.host_ip is not None and mapping.host_ip.version != version:
            continue
        endpoint = publishing_endpoint(sandbox, networks, version)
        if endpoint is not None:
            every = mapping.host_ip is None or mapping.host_ip.is_unspecified
            yield version, "" if every else str(mapping.host_ip), address_of(endpoint, version)


def _network(network: Network, elements: Elements) -> None:
    bridge = f'"{network.bridge_name}"'
    if network.icc:
        elements["same_bridge"].append(f"{bridge} . {bridge}")
    if network.overlay is not None:
        _tunnel(network, network.overlay, bridge, elements)
    if network.internal:
        return
    elements["egress"].append(bridge)
    if network.isolate == "open":
        elements["mutual"].append(bridge)
    for subnet in network.subnets:
        elements[f"attached{subnet.version}"].append(f"{subnet.network} . {bridge}")
        if network.masquerade:
            # Without masquerading, answers to the sandbox come addressed to it.
            elements[f"guarded{subnet.version}"].append(str(subnet.network))
            elements[f"masqueraded{subnet.version}"].append(str(subnet.network))


def _tunnel(network: Network, overlay: Overlay, bridge: str, elements: Elements) -> None:
    """Let in what the other hosts send. What a routed network's device carries is let through to the bridge and back, unchanged."""
    elements["tunnel_ports"].append(str(overlay.port))
    if overlay.encrypted:
        elements["sealed_ports"].append(str(overlay.port))
    for peer in network.peers:
        elements[f"tunnel_peers{peer.vtep.version}"].append(f"{peer.vtep} . {overlay.port}")
    if overlay.mode == "routed":
        device = f'"{device_of(network)}"'
        elements["same_bridge"] += [f"{bridge} . {device}", f"{device} . {bridge}"] if network.icc else []
        for subnet in network.subnets:
            elements[f"attached{subnet.version}"].append(f"{subnet.network} . {device}")


def _publish(sandbox: Sandbox, mapping: PortMapping, networks: Networks, elements: Elements) -> None:
    for version, address, target in bindings(sandbox, mapping, networks):
        name, prefix = (f"published{version}_on", f"{address} . ") if address else (f"published{version}", "")
        elements[name].append(
            f"{prefix}{mapping.protocol} . {mapping.host_port} : {target} . {mapping.target_port}")


def _set(kind: str, name: str, types: str, ranges: bool, elements: t.List[str]) -> str:
    lines = [f"\t{kind} {name} {{", f"\t\ttype {types}"]
    if ranges:
        lines.append("\t\tflags interval")
    if elements:  # an empty list is a syntax error in nft 1.0.6
        lines.append("\t\telements = { " + ",\n\t\t\t     ".join(sorted(set(elements))) + " }")
    return "\n".join(lines) + "\n\t}\n"
