# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""The driver bridge: a bridge with the gateway addresses, and a veth pair for each endpoint."""

from __future__ import annotations

import typing as t

from .. import names
from ..model import gateways
from ..model.facts import Facts
from ..model.host import Host
from ..model.network import Network, NetworkKey, Networks
from ..model.sandbox import PortMapping
from ..state.keys import Conf
from ..state.objects import HOST, Address, ForwardingEntry, Link, Object, Veth
from .attachment import NO_ARP_ANSWERS, NO_IPV6, NO_IPV6_DELAY, OWN_ADDRESSES_ONLY, Attachment, forwarding


def network_objects(network: Network, is_reached_from_loopback: bool, facts: Facts) -> t.Iterator[Object]:
    """Yield a network's bridge and the host's addresses on it."""
    yield Link(
        HOST,
        network.bridge_name,
        "bridge",
        names.bridge_mac(network.project, network.name),
        network.mtu,
        names.label(network.project, network.name),
        conf=_bridge_conf(network, is_reached_from_loopback, facts),
    )
    for subnet in network.subnets:
        if subnet.gateway is not None and network.has_host_address(subnet.version):
            yield Address(HOST, network.bridge_name, f"{subnet.gateway}/{subnet.network.prefixlen}")


def endpoint_objects(attachment: Attachment, facts: Facts) -> t.Iterator[Object]:
    """Yield an endpoint's pair, the outer end a port of the bridge, and the entry by which its bridge finds it.

    The port itself takes no packets, and only that of a network without port security learns: no frame that another
    sandbox sends moves the entry.
    The port of a sandbox with published ports reflects frames: with br_netfilter, its own published port is bridged
    back to it.
    """
    endpoint, network = attachment.endpoint, attachment.network
    identity = endpoint.project, network.key, endpoint.sandbox
    link = names.veth_link(*identity)
    yield Veth(
        HOST,
        link,
        attachment.netns,
        endpoint.interface_name,
        mac=names.host_end_mac(*identity),
        peer_mac=endpoint.mac_address,
        mtu=network.mtu,
        peer_mtu=network.mtu,
        master=network.bridge_name,
        isolated=not network.icc,
        hairpin=attachment.is_published,
        learning=network.learns,
        conf=_port_conf(network, facts),
        peer_conf=attachment.conf,
        arp=network.answers_arp,
    )
    if not network.learns:
        yield ForwardingEntry(HOST, link, endpoint.mac_address, sticky=not network.is_evpn)


def _port_conf(network: Network, facts: Facts) -> Conf:
    """Return what keeps a port from taking packets. The kernel lets no bridge answer ARP by a port without ARP."""
    conf = NO_ARP_ANSWERS if network.answers_arp else ()
    return conf + NO_IPV6 if facts.ipv6 else conf


def reached_from_loopback(host: Host, networks: Networks) -> set[NetworkKey]:
    """Return the networks with a port that 127.0.0.0/8 reaches: its answers come back in by their bridges."""
    found = set()
    for sandbox in host.sandboxes():
        if any(_is_on_loopback(mapping) for mapping in sandbox.ports):
            endpoint = gateways.publishing_endpoint(sandbox, networks, 4)
            if endpoint is not None:
                found.add(endpoint.network)
    return found


def _bridge_conf(network: Network, is_reached_from_loopback: bool, facts: Facts) -> Conf:
    conf: Conf = (
        ("ipv4/accept_redirects", 0),
        *OWN_ADDRESSES_ONLY,
        *forwarding(facts, 4),
        ("ipv4/route_localnet", int(is_reached_from_loopback)),
        ("ipv4/send_redirects", 0),
    )
    if not facts.ipv6:
        return conf
    has_ipv6 = network.enable_ipv6 and network.has_host_address(6)
    return (
        *conf,
        *NO_IPV6_DELAY,
        ("ipv6/disable_ipv6", int(not has_ipv6)),
        *(forwarding(facts, 6) if has_ipv6 else ()),
    )


def _is_on_loopback(mapping: PortMapping) -> bool:
    address = mapping.host_ip
    if address is None:
        return True
    return address.version == 4 and (address.is_unspecified or address.is_loopback)
